package dev.grep11.agent.cryptoki;

import static dev.grep11.client.Cka.CKA_PUBLIC_KEY_INFO;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;

/**
 * Which master key a blob says it is under (docs/key-blob.md), to tell many blobs apart by asking
 * the gateway about one of each. Nothing is believed of it.
 */
final class MasterKeyId {
  private static final byte[] KEY = "G11K".getBytes(StandardCharsets.US_ASCII);
  private static final byte[] PUBLIC_KEY = "G11P".getBytes(StandardCharsets.US_ASCII);

  /**
   * Magic, format and what belongs to it; then instance and master key, of a UUID's length each.
   */
  private static final int HEAD = 8;

  private static final int IDS = 32;

  /** Tag and length of the OCTET STRING after a SubjectPublicKeyInfo. */
  private static final int TRAILER = 4;

  /** The same of two blobs under one master key; of a blob in another form, its own. */
  static String of(byte[] blob) {
    int begin = startsWith(blob, 0, KEY) ? 0 : endOfPublicKey(blob) + TRAILER;
    boolean known = begin == 0 || startsWith(blob, begin, PUBLIC_KEY);
    return known && blob.length >= begin + HEAD + IDS
        ? HexFormat.of().formatHex(blob, begin + HEAD, begin + HEAD + IDS)
        : Sha256.hex(blob);
  }

  private static int endOfPublicKey(byte[] blob) {
    try {
      return SubjectPublicKey.attributes(blob).get(CKA_PUBLIC_KEY_INFO).orElseThrow().length;
    } catch (IllegalArgumentException another) {
      return blob.length;
    }
  }

  private static boolean startsWith(byte[] blob, int from, byte[] magic) {
    return blob.length >= from + magic.length
        && Arrays.equals(blob, from, from + magic.length, magic, 0, magic.length);
  }

  private MasterKeyId() {}
}
