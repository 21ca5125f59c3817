package dev.grep11.client;

import java.math.BigInteger;
import java.util.Arrays;

/**
 * The two encodings of an ECDSA signature. PKCS #11 has {@code r ‖ s}, each as long as the group
 * order (v2.40, 2.3.1); X.509, TLS and JCA have a DER SEQUENCE of two INTEGERs (RFC 3279, 2.2.3).
 */
public final class EcdsaSignature {

  /** {@code r ‖ s} to DER. */
  public static byte[] toDer(byte[] raw) {
    if (raw.length == 0 || raw.length % 2 != 0) {
      throw new IllegalArgumentException("signature of " + raw.length + " bytes");
    }
    int half = raw.length / 2;
    var r = new BigInteger(1, Arrays.copyOfRange(raw, 0, half));
    var s = new BigInteger(1, Arrays.copyOfRange(raw, half, raw.length));
    return Der.encode(
        Der.SEQUENCE,
        Der.encode(Der.INTEGER, r.toByteArray()),
        Der.encode(Der.INTEGER, s.toByteArray()));
  }

  /**
   * DER to {@code r ‖ s}.
   *
   * @param orderLength bytes of the group order: 32 for P-256, 66 for P-521
   */
  public static byte[] fromDer(byte[] der, int orderLength) {
    var sequence = Der.read(der, 0).require(Der.SEQUENCE);
    var r = Der.read(sequence.content(), 0).require(Der.INTEGER);
    var s = Der.read(sequence.content(), r.totalLength()).require(Der.INTEGER);
    if (sequence.totalLength() != der.length
        || r.totalLength() + s.totalLength() != sequence.content().length) {
      throw Der.malformed();
    }
    var raw = new byte[2 * orderLength];
    place(r.content(), raw, orderLength);
    place(s.content(), raw, 2 * orderLength);
    return raw;
  }

  private static void place(byte[] integer, byte[] raw, int end) {
    var value = integer.length == 0 ? BigInteger.ONE.negate() : new BigInteger(integer);
    int length = (value.bitLength() + 7) / 8;
    if (value.signum() < 0 || length > raw.length / 2) {
      throw Der.malformed();
    }
    System.arraycopy(integer, integer.length - length, raw, end - length, length);
  }

  private EcdsaSignature() {}
}
