package dev.grep11.gateway.hsm;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Stream;

/**
 * Off-heap buffers for payloads that a session's own memory does not hold: in powers of two up to a
 * mebibyte, in mebibytes beyond. Shared by all sessions; what it hands out was wiped.
 */
final class NativeBuffers {
  private static final long SMALLEST = 4 << 10;
  private static final long MEBIBYTE = 1 << 20;

  /** Powers of two up to a mebibyte. */
  private static final int POWERS = Long.numberOfTrailingZeros(MEBIBYTE / SMALLEST) + 1;

  /** Larger ones are left to the collector. */
  private static final int LARGEST_MEBIBYTES = 32;

  /** Beyond it a buffer is left to the collector. */
  private static final long KEPT_BYTES = 64L << 20;

  private static final List<ConcurrentLinkedQueue<MemorySegment>> FREE =
      Stream.generate(ConcurrentLinkedQueue<MemorySegment>::new)
          .limit(POWERS + LARGEST_MEBIBYTES - 1L)
          .toList();

  private static final AtomicLong KEPT = new AtomicLong();

  private NativeBuffers() {}

  /** Bytes of the buffer that {@link #borrow} gives for so many. */
  static long room(long size) {
    return size > MEBIBYTE
        ? (size + MEBIBYTE - 1) / MEBIBYTE * MEBIBYTE
        : Math.max(SMALLEST, Long.highestOneBit(2 * size - 1));
  }

  /** At least so many bytes, all zero. */
  static MemorySegment borrow(long size) {
    long room = room(size);
    var kept = isPooled(room) ? free(room).poll() : null;
    if (kept == null) {
      return Arena.ofAuto().allocate(room, Scratch.ALIGNMENT);
    }
    KEPT.addAndGet(-room);
    return kept;
  }

  static void giveBack(MemorySegment buffer, long used) {
    buffer.asSlice(0, used).fill((byte) 0);
    long room = buffer.byteSize();
    if (!isPooled(room)) {
      return;
    }
    if (KEPT.addAndGet(room) > KEPT_BYTES) {
      KEPT.addAndGet(-room);
      return;
    }
    free(room).add(buffer);
  }

  private static boolean isPooled(long room) {
    return room <= LARGEST_MEBIBYTES * MEBIBYTE;
  }

  private static ConcurrentLinkedQueue<MemorySegment> free(long room) {
    return FREE.get(
        room > MEBIBYTE
            ? POWERS + Math.toIntExact(room / MEBIBYTE) - 2
            : Long.numberOfTrailingZeros(room / SMALLEST));
  }
}
