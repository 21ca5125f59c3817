package dev.grep11.jca;

import dev.grep11.client.Hash;
import java.util.Map;

/** Hashes by their JCA names, with and without the hyphen. */
final class Hashes {
  private static final Map<String, Hash> BY_NAME =
      Map.ofEntries(
          Map.entry("SHA-1", Hash.SHA1),
          Map.entry("SHA1", Hash.SHA1),
          Map.entry("SHA", Hash.SHA1),
          Map.entry("SHA-224", Hash.SHA224),
          Map.entry("SHA224", Hash.SHA224),
          Map.entry("SHA-256", Hash.SHA256),
          Map.entry("SHA256", Hash.SHA256),
          Map.entry("SHA-384", Hash.SHA384),
          Map.entry("SHA384", Hash.SHA384),
          Map.entry("SHA-512", Hash.SHA512),
          Map.entry("SHA512", Hash.SHA512));

  static boolean isKnown(String name) {
    return BY_NAME.containsKey(name);
  }

  /** {@link IllegalArgumentException} of one that is not {@linkplain #isKnown known}. */
  static Hash of(String name) {
    var hash = BY_NAME.get(name);
    if (hash == null) {
      throw new IllegalArgumentException("the hash " + name + " is not offered");
    }
    return hash;
  }

  private Hashes() {}
}
