package dev.grep11.agent.rpc;

import dev.grep11.agent.rpc.Protocol.AttributeForm;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;

/** The results of one call, written in their order. */
public final class MessageWriter {
  private static final Protocol.Signature ERROR = Protocol.INSTANCE.signature("ERROR");

  private ByteBuffer body = ByteBuffer.allocate(256);

  private MessageWriter(int number, String signature) {
    int32(number);
    lengthPrefixed(signature.getBytes(StandardCharsets.US_ASCII));
  }

  /** The answer of a call that succeeded. */
  public static MessageWriter answer(Call call) {
    return new MessageWriter(call.number(), call.response());
  }

  /** The answer of a call that was refused. */
  public static MessageWriter refusal(long returnValue) {
    return new MessageWriter(ERROR.number(), ERROR.response()).number(returnValue);
  }

  /** What was written, to be read from. */
  public ByteBuffer finish() {
    return body.flip();
  }

  public MessageWriter number(long value) {
    reserve(8);
    body.putLong(value);
    return this;
  }

  public MessageWriter oneByte(int value) {
    reserve(1);
    body.put((byte) value);
    return this;
  }

  public MessageWriter version(int major, int minor) {
    return oneByte(major).oneByte(minor);
  }

  /** Text in UTF-8, padded with spaces to {@code length} bytes, or cut. */
  public MessageWriter padded(String text, int length) {
    byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
    byte[] padded = Arrays.copyOf(utf8, length);
    if (utf8.length < length) {
      Arrays.fill(padded, utf8.length, length, (byte) ' ');
    }
    return lengthPrefixed(padded);
  }

  /** Bytes that fit the application's buffer. */
  public MessageWriter bytes(byte[] value) {
    return oneByte(1).lengthPrefixed(value);
  }

  /** The length of bytes, where the application asks for it or has no room. */
  public MessageWriter bytesOfLength(int length) {
    return oneByte(0).int32(length);
  }

  /** Numbers if the application has room for all, otherwise how many there are. */
  public MessageWriter numbers(List<Long> values, Room room) {
    boolean fits = values.size() <= room.bytes() && (room.present() || values.isEmpty());
    oneByte(fits ? 1 : 0).int32(values.size());
    if (fits) {
      values.forEach(this::number);
    }
    return this;
  }

  /** How many attributes follow. */
  public MessageWriter attributeCount(int count) {
    return int32(count);
  }

  /** An attribute whose value does not exist, may not be told, or has no room. */
  public MessageWriter unavailable(long type) {
    return int32((int) type).oneByte(0);
  }

  /** The value of an attribute, or its length alone when the application asks for that. */
  public MessageWriter attribute(long type, byte[] value, boolean lengthOnly) {
    int32((int) type).oneByte(1).int32(value.length);
    AttributeForm form = Protocol.INSTANCE.attribute(type);
    return switch (form) {
      case FLAG -> oneByte(lengthOnly || value.length == 0 ? 0 : value[0]);
      case NUMBER -> {
        reserve(8);
        // What reads this needs eight bytes, whatever is asked.
        body.put(lengthOnly || value.length != 8 ? new byte[8] : value);
        yield this;
      }
      case DATE, BYTES -> lengthOnly ? int32(0xffffffff) : lengthPrefixed(value);
      case TEMPLATE, MECHANISMS -> int32(0);
    };
  }

  private MessageWriter int32(int value) {
    reserve(4);
    body.putInt(value);
    return this;
  }

  private MessageWriter lengthPrefixed(byte[] value) {
    int32(value.length);
    reserve(value.length);
    body.put(value);
    return this;
  }

  private void reserve(int bytes) {
    if (body.remaining() < bytes) {
      int needed = body.position() + bytes;
      body = ByteBuffer.allocate(Math.max(2 * body.capacity(), needed)).put(body.flip());
    }
  }
}
