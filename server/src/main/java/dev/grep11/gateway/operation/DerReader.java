package dev.grep11.gateway.operation;

import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import java.nio.ByteBuffer;

/**
 * Reads DER where it lies, so that the private components of a PKCS #8 structure never enter the
 * Java heap. ITU-T X.690; lengths are definite, minimal and below 64 KiB.
 */
final class DerReader {
  static final int INTEGER = 0x02;
  static final int OCTET_STRING = 0x04;
  static final int OBJECT_IDENTIFIER = 0x06;
  static final int SEQUENCE = 0x30;
  static final int CONTEXT_0 = 0xa0;
  static final int CONTEXT_1 = 0xa1;

  private final ByteBuffer in;

  DerReader(ByteBuffer in) {
    this.in = in.duplicate();
  }

  boolean atEnd() {
    return !in.hasRemaining();
  }

  /** The next tag, without taking it; 0 at the end. */
  int peek() {
    return in.hasRemaining() ? in.get(in.position()) & 0xff : 0;
  }

  /** The content of the next element, which must have this tag. */
  ByteBuffer take(int tag) {
    if (peek() != tag) {
      throw malformed();
    }
    in.get();
    int length = length();
    if (length > in.remaining()) {
      throw malformed();
    }
    var content = in.slice(in.position(), length);
    in.position(in.position() + length);
    return content;
  }

  /** Length of the element that bytes begin with, header included. */
  static int totalLength(ByteBuffer bytes, int tag) {
    var reader = new DerReader(bytes);
    reader.take(tag);
    return reader.in.position() - bytes.position();
  }

  DerReader sequence() {
    return new DerReader(take(SEQUENCE));
  }

  /** A non-negative integer without its sign byte. */
  ByteBuffer unsigned() {
    var content = take(INTEGER);
    if (!content.hasRemaining() || content.get(0) < 0) {
      throw malformed();
    }
    return content.remaining() > 1 && content.get(0) == 0
        ? content.slice(1, content.remaining() - 1)
        : content;
  }

  /** A copy of content that is not secret. */
  static byte[] copy(ByteBuffer content) {
    var bytes = new byte[content.remaining()];
    content.duplicate().get(bytes);
    return bytes;
  }

  private int length() {
    if (!in.hasRemaining()) {
      throw malformed();
    }
    int first = in.get() & 0xff;
    if (first < 0x80) {
      return first;
    }
    int octets = first & 0x7f;
    if (octets == 0 || octets > 2 || octets > in.remaining()) {
      throw malformed();
    }
    int length = 0;
    for (int i = 0; i < octets; i++) {
      length = (length << 8) | (in.get() & 0xff);
    }
    if (length < 0x80 || (octets == 2 && length < 0x100)) {
      throw malformed();
    }
    return length;
  }

  static Pkcs11Exception malformed() {
    return new Pkcs11Exception(
        Ckr.CKR_WRAPPED_KEY_INVALID, "the wrapped key is not what it should be");
  }
}
