package dev.grep11.bench;

import dev.grep11.client.Mechanisms;
import dev.grep11.proto.Mechanism;
import java.util.Arrays;
import java.util.List;
import java.util.Random;

/**
 * What is measured: the same mechanism on the same number of bytes, whichever peer does it.
 *
 * <p>AES-GCM draws a fresh 12-byte IV from the token for each message in both peers, since that is
 * what the gateway does where a client leaves the IV empty (and all it offers under policy {@code
 * strict}).
 */
enum Workload {
  /** CKM_ECDSA over a hash, P-256. */
  EC_SIGN("ec-sign", 32, 64),
  /** CKM_SHA256_RSA_PKCS, RSA-2048. */
  RSA_SIGN("rsa-sign", 32, 16),
  /** CKM_AES_GCM, 256 bits. */
  GCM_16K("gcm-16k", 16 << 10, 16),
  /** CKM_AES_GCM, 256 bits. */
  GCM_1M("gcm-1m", 1 << 20, 4),
  /** CKM_AES_CBC, 256 bits: where a peer has no other AES. */
  CBC_1M("cbc-1m", 1 << 20, 4);

  /** Of CBC; the client's affair, so the same each time. */
  static final byte[] IV = new byte[16];

  private final String label;
  private final int bytes;
  private final int headline;

  Workload(String label, int bytes, int headline) {
    this.label = label;
    this.bytes = bytes;
    this.headline = headline;
  }

  static Workload named(String label) {
    return Arrays.stream(values())
        .filter(workload -> workload.label.equals(label))
        .findFirst()
        .orElseThrow(() -> new IllegalArgumentException("no operation " + label));
  }

  /** Those that the project has a bar for. */
  static List<Workload> usual() {
    return List.of(EC_SIGN, RSA_SIGN, GCM_16K, GCM_1M);
  }

  String label() {
    return label;
  }

  /** Length of the input of one call. */
  int bytes() {
    return bytes;
  }

  /** Calls in flight at which the gateway's rate is quoted. */
  int headline() {
    return headline;
  }

  /** The input; the same in every run. */
  byte[] input() {
    var input = new byte[bytes];
    new Random(bytes).nextBytes(input);
    return input;
  }

  /** As a client names it. */
  Mechanism mechanism() {
    return switch (this) {
      case EC_SIGN -> Mechanisms.ecdsa();
      case RSA_SIGN -> Mechanisms.sha256RsaPkcs();
      case GCM_16K, GCM_1M -> Mechanisms.aesGcm();
      case CBC_1M -> Mechanisms.aesCbc(IV);
    };
  }

  @Override
  public String toString() {
    return label;
  }
}
