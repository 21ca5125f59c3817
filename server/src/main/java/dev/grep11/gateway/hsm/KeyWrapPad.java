package dev.grep11.gateway.hsm;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * The unwrapping side of AES key wrap with padding (RFC 5649) over a block decryption that someone
 * else does, in native memory throughout.
 */
final class KeyWrapPad {
  /** One AES block: {@link #input} is filled, {@link #decrypt} gives the clear block. */
  interface BlockDecryption {
    MemorySegment input();

    MemorySegment decrypt();
  }

  private static final ValueLayout.OfLong BIG_ENDIAN =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);

  /** RFC 5649 section 3: the high half of the alternative initial value. */
  private static final int MAGIC = 0xa65959a6;

  private KeyWrapPad() {}

  /**
   * Fills {@code clear} (8 bytes less than {@code wrapped}) and returns the alternative initial
   * value, not yet checked.
   */
  static long open(BlockDecryption aes, byte[] wrapped, MemorySegment clear) {
    var source = MemorySegment.ofArray(wrapped);
    int n = wrapped.length / 8 - 1;
    if (n == 1) {
      // RFC 5649 section 4.2: a single block, not the rounds of RFC 3394.
      MemorySegment.copy(source, 0, aes.input(), 0, 16);
      var block = aes.decrypt();
      clear.set(BIG_ENDIAN, 0, block.get(BIG_ENDIAN, 8));
      return block.get(BIG_ENDIAN, 0);
    }
    long a = source.get(BIG_ENDIAN, 0);
    MemorySegment.copy(source, 8, clear, 0, 8L * n);
    // RFC 3394 section 2.2.2, index based.
    for (int j = 5; j >= 0; j--) {
      for (int i = n; i >= 1; i--) {
        long register = 8L * (i - 1);
        aes.input().set(BIG_ENDIAN, 0, a ^ ((long) n * j + i));
        aes.input().set(BIG_ENDIAN, 8, clear.get(BIG_ENDIAN, register));
        var block = aes.decrypt();
        a = block.get(BIG_ENDIAN, 0);
        clear.set(BIG_ENDIAN, register, block.get(BIG_ENDIAN, 8));
      }
    }
    return a;
  }

  /**
   * The length of the key in bytes, or -1 if the alternative initial value or the padding is wrong;
   * what was wrong does not show in the time it takes.
   */
  static int checkedLength(long initialValue, MemorySegment clear) {
    int padded = (int) clear.byteSize();
    int length = (int) initialValue;
    int wrong = (int) (initialValue >>> 32) ^ MAGIC;
    // padded - 8 < length <= padded, as sign bits of differences; both are far below 2^31 when
    // length is not negative, and a negative length is wrong by itself.
    wrong |= length >> 31;
    wrong |= (length - (padded - 7)) >> 31;
    wrong |= (padded - length) >> 31;
    for (int back = 1; back <= 7; back++) {
      int position = padded - back;
      // All ones where the position lies behind the key.
      int padding = ~((position - length) >> 31);
      wrong |= clear.get(JAVA_BYTE, position) & padding;
    }
    return wrong == 0 ? length : -1;
  }
}
