package dev.grep11.proto;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;

/**
 * Protobuf's wire format by hand (encoding guide, "Message Structure"), so that the expected bytes
 * of a test come from the field numbers of the specification and not from the code under test.
 */
final class Wire {
  private final ByteArrayOutputStream out = new ByteArrayOutputStream();

  static Wire message() {
    return new Wire();
  }

  /** Wire type 0: uint32, uint64, int64, bool, enum. */
  Wire varint(int number, long value) {
    tag(number, 0);
    raw(value);
    return this;
  }

  /** Wire type 2: bytes, string, message, packed list. */
  Wire bytes(int number, byte[] value) {
    tag(number, 2);
    raw(value.length);
    out.writeBytes(value);
    return this;
  }

  Wire bytes(int number, String ascii) {
    return bytes(number, ascii.getBytes(StandardCharsets.US_ASCII));
  }

  Wire message(int number, Wire nested) {
    return bytes(number, nested.toBytes());
  }

  /** A map entry is a nested message with the key as field 1 and the value as field 2. */
  Wire entry(int number, long key, Wire value) {
    return message(number, message().varint(1, key).message(2, value));
  }

  Wire entry(int number, long key, byte[] value) {
    return message(number, message().varint(1, key).bytes(2, value));
  }

  Wire packed(int number, long... values) {
    var list = new Wire();
    for (long value : values) {
      list.raw(value);
    }
    return bytes(number, list.toBytes());
  }

  byte[] toBytes() {
    return out.toByteArray();
  }

  @Override
  public String toString() {
    return HexFormat.of().formatHex(toBytes());
  }

  private void tag(int number, int wireType) {
    raw((long) number << 3 | wireType);
  }

  private void raw(long value) {
    while ((value & ~0x7fL) != 0) {
      out.write((int) (value & 0x7f | 0x80));
      value >>>= 7;
    }
    out.write((int) value);
  }
}
