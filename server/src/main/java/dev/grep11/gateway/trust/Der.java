package dev.grep11.gateway.trust;

import java.io.IOException;
import java.util.ArrayDeque;
import java.util.Arrays;
import org.bouncycastle.asn1.ASN1Encoding;
import org.bouncycastle.asn1.ASN1Primitive;

/** The distinguished encoding (X.690, 10), checked before any parser looks inside. */
final class Der {
  /** Real certificates nest about ten deep. A parser that recurses must not be led further. */
  private static final int MAX_DEPTH = 32;

  /**
   * Sets hold the parts of a name, one attribute each as a rule. Bouncy Castle takes time with the
   * square of their members to see whether they are in order.
   */
  private static final int MAX_SET_BYTES = 2048;

  private static final int SET = 0x31;

  private Der() {}

  /**
   * One value and nothing after it, which encodes to the same bytes again. Two parsers can then not
   * see two different certificates in it.
   *
   * @throws IllegalArgumentException saying where it departs from DER
   */
  static ASN1Primitive read(byte[] der) {
    requireShape(der);
    try {
      var value = ASN1Primitive.fromByteArray(der);
      if (value == null || !Arrays.equals(value.getEncoded(ASN1Encoding.DER), der)) {
        throw new IllegalArgumentException("encoded in a way that DER does not allow");
      }
      return value;
    } catch (IOException e) {
      throw new IllegalArgumentException("not ASN.1 in DER", e);
    }
  }

  /** Lengths that are definite, shortest and within bounds, and not too many of them nested. */
  private static void requireShape(byte[] der) {
    var ends = new ArrayDeque<Integer>();
    ends.push(der.length);
    int at = 0;
    while (at < der.length) {
      while (at == ends.element()) {
        ends.pop();
      }
      boolean constructed = (der[at] & 0x20) != 0;
      boolean set = der[at] == SET;
      if ((der[at] & 0x1f) == 0x1f) {
        throw new IllegalArgumentException("an ASN.1 tag that no certificate has");
      }
      int lengthOctets = at + 1 < der.length ? der[at + 1] & 0xff : 0xff;
      at += 2;
      long length = lengthOctets;
      if (lengthOctets >= 0x80) {
        int count = lengthOctets & 0x7f;
        if (count == 0 || count > 4 || at + count > der.length || der[at] == 0) {
          throw new IllegalArgumentException("an ASN.1 length that DER does not allow");
        }
        length = 0;
        for (int i = 0; i < count; i++) {
          length = (length << 8) | (der[at++] & 0xff);
        }
        if (length < 0x80) {
          throw new IllegalArgumentException("an ASN.1 length that DER does not allow");
        }
      }
      if (length > ends.element() - at) {
        throw new IllegalArgumentException("cut off, or an ASN.1 length beyond its end");
      }
      if (set && length > MAX_SET_BYTES) {
        throw new IllegalArgumentException("a set longer than in any certificate");
      }
      if (ends.size() == 1 && at + length != der.length) {
        throw new IllegalArgumentException("followed by something else");
      }
      if (constructed) {
        ends.push((int) (at + length));
        if (ends.size() > MAX_DEPTH) {
          throw new IllegalArgumentException("nested deeper than any certificate");
        }
      } else {
        at += (int) length;
      }
    }
    if (der.length == 0) {
      throw new IllegalArgumentException("empty");
    }
  }
}
