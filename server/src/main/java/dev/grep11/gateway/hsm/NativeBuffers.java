package dev.grep11.gateway.hsm;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Stream;

/**
 * Off-heap buffers for payloads that a session's own memory does not hold, in sizes of powers of
 * two. Shared by all sessions; what it hands out was wiped.
 */
final class NativeBuffers {
  private static final int SMALLEST_SHIFT = 12;
  private static final int LARGEST_SHIFT = 25;

  /** Beyond it a buffer is left to the collector. */
  private static final long KEPT_BYTES = 64L << 20;

  private static final List<ConcurrentLinkedQueue<MemorySegment>> FREE =
      Stream.generate(ConcurrentLinkedQueue<MemorySegment>::new)
          .limit(LARGEST_SHIFT - SMALLEST_SHIFT + 1L)
          .toList();

  private static final AtomicLong KEPT = new AtomicLong();

  private NativeBuffers() {}

  /** At least so many bytes, all zero. */
  static MemorySegment borrow(long size) {
    int shift = Math.max(SMALLEST_SHIFT, 64 - Long.numberOfLeadingZeros(size - 1));
    if (shift > LARGEST_SHIFT) {
      return Arena.ofAuto().allocate(size, Scratch.ALIGNMENT);
    }
    var kept = free(shift).poll();
    if (kept == null) {
      return Arena.ofAuto().allocate(1L << shift, Scratch.ALIGNMENT);
    }
    KEPT.addAndGet(-kept.byteSize());
    return kept;
  }

  static void giveBack(MemorySegment buffer, long used) {
    buffer.asSlice(0, used).fill((byte) 0);
    long size = buffer.byteSize();
    if (size > 1L << LARGEST_SHIFT) {
      return;
    }
    if (KEPT.addAndGet(size) > KEPT_BYTES) {
      KEPT.addAndGet(-size);
      return;
    }
    free(Long.numberOfTrailingZeros(size)).add(buffer);
  }

  private static ConcurrentLinkedQueue<MemorySegment> free(int shift) {
    return FREE.get(shift - SMALLEST_SHIFT);
  }
}
