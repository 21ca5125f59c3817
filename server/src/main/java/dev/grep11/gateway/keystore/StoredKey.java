package dev.grep11.gateway.keystore;

import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Template;
import java.util.List;
import java.util.UUID;

/**
 * An object of a keystore.
 *
 * @param version 0, and one more with each update
 * @param transaction by which it was last written
 * @param blobs of the one key, best first; two while a rotation of master keys runs
 */
public record StoredKey(
    UUID id, long version, UUID transaction, Template attributes, List<byte[]> blobs) {
  public StoredKey {
    blobs = List.copyOf(blobs);
  }

  /** Its attributes, with the one that the service sets. */
  public Template shownAttributes() {
    return blobs.size() < 2
        ? attributes
        : attributes.toBuilder().put(Cka.CKA_GREP11_KEYBLOB_HAS_ROTATION, true).build();
  }
}
