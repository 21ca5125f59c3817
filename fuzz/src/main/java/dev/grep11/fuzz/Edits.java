package dev.grep11.fuzz;

import java.nio.ByteBuffer;
import java.util.Arrays;

/**
 * Changes to real bytes, described by an input. A blob differs from process to process, the
 * description does not, so that a finding can be repeated and a corpus keeps its worth.
 */
final class Edits {

  /**
   * The bytes after the edits that {@code input} describes to its end: set or flip a byte, cut,
   * delete, insert, append what is left, take a piece of {@code other}.
   */
  static byte[] of(byte[] original, byte[] other, ByteBuffer input) {
    var bytes = original;
    while (input.remaining() >= 4) {
      int operation = Byte.toUnsignedInt(input.get());
      int position = bytes.length == 0 ? 0 : Short.toUnsignedInt(input.getShort()) % bytes.length;
      int value = Byte.toUnsignedInt(input.get());
      bytes =
          switch (operation % 7) {
            case 0 -> set(bytes, position, (byte) value);
            case 1 -> set(bytes, position, (byte) (at(bytes, position) ^ value));
            case 2 -> Arrays.copyOf(bytes, position);
            case 3 -> replaced(bytes, position, Math.min(value, bytes.length - position), rest(0));
            case 4 -> replaced(bytes, position, 0, taken(input, value));
            case 5 -> replaced(bytes, bytes.length, 0, taken(input, value));
            default -> spliced(bytes, other, position, value);
          };
    }
    return bytes;
  }

  private static byte at(byte[] bytes, int position) {
    return bytes.length == 0 ? 0 : bytes[position];
  }

  private static byte[] set(byte[] bytes, int position, byte value) {
    var copy = bytes.clone();
    if (copy.length > 0) {
      copy[position] = value;
    }
    return copy;
  }

  private static byte[] rest(int length) {
    return new byte[length];
  }

  private static byte[] taken(ByteBuffer input, int length) {
    var bytes = new byte[Math.min(length, input.remaining())];
    input.get(bytes);
    return bytes;
  }

  private static byte[] replaced(byte[] bytes, int position, int length, byte[] by) {
    return ByteBuffer.allocate(bytes.length - length + by.length)
        .put(bytes, 0, position)
        .put(by)
        .put(bytes, position + length, bytes.length - position - length)
        .array();
  }

  /** As much of the other at the same place. */
  private static byte[] spliced(byte[] bytes, byte[] other, int position, int length) {
    var copy = bytes.clone();
    int end = Math.min(Math.min(copy.length, other.length), position + length);
    if (end > position) {
      System.arraycopy(other, position, copy, position, end - position);
    }
    return copy;
  }

  private Edits() {}
}
