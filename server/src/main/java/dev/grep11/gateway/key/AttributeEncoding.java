package dev.grep11.gateway.key;

import dev.grep11.gateway.pkcs11.AttributeKind;
import dev.grep11.gateway.pkcs11.AttributeValue;
import dev.grep11.gateway.pkcs11.AttributeValue.Bool;
import dev.grep11.gateway.pkcs11.AttributeValue.Bytes;
import dev.grep11.gateway.pkcs11.AttributeValue.Nested;
import dev.grep11.gateway.pkcs11.AttributeValue.OffHeap;
import dev.grep11.gateway.pkcs11.AttributeValue.Ulong;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Template;
import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;

/**
 * Attributes as bytes inside a blob: for each, ascending by number, the number (8 bytes) and the
 * value (a boolean as 1 byte 0 or 1, an unsigned long as 8 bytes, bytes as a 2-byte length and
 * themselves). Which form follows from the number alone, so there is one encoding of a template and
 * one template of an encoding.
 */
final class AttributeEncoding {
  private AttributeEncoding() {}

  static byte[] encode(Template attributes) {
    int length = 0;
    for (var value : attributes.values().values()) {
      length += Long.BYTES + valueLength(value);
    }
    var out = ByteBuffer.allocate(length);
    attributes
        .values()
        .forEach((type, value) -> {
          out.putLong(type);
          switch (value) {
            case Bool(boolean flag) -> out.put((byte) (flag ? 1 : 0));
            case Ulong(long number) -> out.putLong(number);
            case Bytes(byte[] bytes) -> out.putShort((short) bytes.length).put(bytes);
            case OffHeap ignored -> throw new IllegalArgumentException("secret attribute");
            case Nested ignored -> throw new IllegalArgumentException("nested attribute");
          }
        });
    return out.array();
  }

  static Template decode(ByteBuffer in) {
    var attributes = Template.builder();
    long previous = 0;
    boolean first = true;
    try {
      while (in.hasRemaining()) {
        long type = in.getLong();
        if (!first && Long.compareUnsigned(type, previous) <= 0) {
          throw malformed();
        }
        first = false;
        previous = type;
        switch (AttributeKind.of(type)) {
          case BOOL -> {
            byte flag = in.get();
            if (flag != 0 && flag != 1) {
              throw malformed();
            }
            attributes.put(type, flag == 1);
          }
          case ULONG -> attributes.put(type, in.getLong());
          case BYTES -> {
            var bytes = new byte[Short.toUnsignedInt(in.getShort())];
            in.get(bytes);
            attributes.put(type, bytes);
          }
        }
      }
    } catch (BufferUnderflowException e) {
      throw malformed();
    }
    return attributes.build();
  }

  private static int valueLength(AttributeValue value) {
    return switch (value) {
      case Bool ignored -> 1;
      case Ulong ignored -> Long.BYTES;
      case Bytes(byte[] bytes) -> {
        if (bytes.length > 0xffff) {
          throw new Pkcs11Exception(Ckr.CKR_ATTRIBUTE_VALUE_INVALID, "attribute too long");
        }
        yield Short.BYTES + bytes.length;
      }
      case OffHeap ignored -> throw new IllegalArgumentException("secret attribute");
      case Nested ignored -> throw new IllegalArgumentException("nested attribute");
    };
  }

  private static Pkcs11Exception malformed() {
    return new Pkcs11Exception(Ckr.CKR_IBM_BLOB_ERROR, "malformed attributes");
  }
}
