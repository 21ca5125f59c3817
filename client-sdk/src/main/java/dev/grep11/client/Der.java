package dev.grep11.client;

import java.io.ByteArrayOutputStream;
import java.util.Arrays;

/** The few shapes of DER (X.690) that blobs, signatures and private keys need. */
final class Der {
  static final int INTEGER = 0x02;
  static final int OCTET_STRING = 0x04;
  static final int OBJECT_IDENTIFIER = 0x06;
  static final int SEQUENCE = 0x30;
  static final int CONTEXT_0 = 0xa0;

  /** One element: its tag, its content and how many bytes it takes from {@code start}. */
  record Element(int tag, byte[] content, int totalLength) {
    Element require(int expected) {
      if (tag != expected) {
        throw malformed();
      }
      return this;
    }
  }

  static byte[] encode(int tag, byte[]... contents) {
    var content = new ByteArrayOutputStream();
    for (byte[] part : contents) {
      content.writeBytes(part);
    }
    var out = new ByteArrayOutputStream();
    out.write(tag);
    int length = content.size();
    if (length >= 0x80) {
      int lengthBytes = (39 - Integer.numberOfLeadingZeros(length)) / 8;
      out.write(0x80 | lengthBytes);
      for (int shift = 8 * (lengthBytes - 1); shift >= 0; shift -= 8) {
        out.write(length >>> shift);
      }
    } else {
      out.write(length);
    }
    out.writeBytes(content.toByteArray());
    return out.toByteArray();
  }

  /** The element that begins at {@code start}; what follows it is left alone. */
  static Element read(byte[] der, int start) {
    if (start < 0 || der.length - start < 2) {
      throw malformed();
    }
    int tag = der[start] & 0xff;
    int length = der[start + 1] & 0xff;
    int header = 2;
    if (length >= 0x80) {
      int lengthBytes = length & 0x7f;
      if (lengthBytes < 1 || lengthBytes > 3 || der.length - start < 2 + lengthBytes) {
        throw malformed();
      }
      length = 0;
      for (int i = 0; i < lengthBytes; i++) {
        length = (length << 8) | (der[start + 2 + i] & 0xff);
      }
      header += lengthBytes;
    }
    if (der.length - start - header < length) {
      throw malformed();
    }
    return new Element(
        tag, Arrays.copyOfRange(der, start + header, start + header + length), header + length);
  }

  /** The content of an OBJECT IDENTIFIER in the usual text (X.690, 8.19). */
  static String dotted(byte[] identifier) {
    var text = new StringBuilder();
    long arc = 0;
    for (byte octet : identifier) {
      if (arc >= 1L << 55) {
        throw malformed();
      }
      arc = (arc << 7) | (octet & 0x7f);
      if (octet >= 0) {
        if (text.isEmpty()) {
          long root = Math.min(arc / 40, 2);
          text.append(root).append('.').append(arc - 40 * root);
        } else {
          text.append('.').append(arc);
        }
        arc = 0;
      }
    }
    return text.toString();
  }

  static IllegalArgumentException malformed() {
    return new IllegalArgumentException("malformed DER");
  }

  private Der() {}
}
