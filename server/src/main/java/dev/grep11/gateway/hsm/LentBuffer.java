package dev.grep11.gateway.hsm;

import dev.grep11.gateway.pkcs11.OverloadedException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * Pooled memory outside the Java heap, for data on its way to or from the token. It is wiped and
 * given back by {@link #close}, after which no view of it may be used: unlike those of a {@link
 * SecretBuffer} they do not notice, because the memory lives on and serves another call.
 */
public final class LentBuffer implements AutoCloseable {
  private static final AtomicLong LENT = new AtomicLong();
  private static final AtomicLong ROOM = new AtomicLong();

  /**
   * Memory outside the heap is limited to the size of the heap unless it is set; at its limit the
   * JDK would collect and wait, on an event loop too.
   */
  private static final long MOST_ROOM = Runtime.getRuntime().maxMemory() / 2;

  private final long size;
  private final ByteBuffer bytes;
  private @Nullable MemorySegment memory;

  private LentBuffer(MemorySegment memory, int size) {
    this.memory = memory;
    this.size = size;
    this.bytes = memory.asSlice(0, size).asByteBuffer();
  }

  /**
   * So many zero bytes.
   *
   * @throws OverloadedException when half as much as the heap may have is lent
   */
  public static LentBuffer of(int size) {
    long room = NativeBuffers.room(Math.max(1, size));
    if (ROOM.addAndGet(room) > MOST_ROOM) {
      ROOM.addAndGet(-room);
      throw new OverloadedException("too much data is being worked on");
    }
    MemorySegment memory;
    try {
      memory = NativeBuffers.borrow(Math.max(1, size));
    } catch (RuntimeException | Error e) {
      ROOM.addAndGet(-room);
      throw e;
    }
    LENT.addAndGet(size);
    return new LentBuffer(memory, size);
  }

  /** Bytes that are lent out now in this process, for tests and metrics. */
  public static long lent() {
    return LENT.get();
  }

  /** The bytes, direct and writable; always the same view. */
  public ByteBuffer bytes() {
    return bytes;
  }

  @Override
  public void close() {
    var mine = memory;
    if (mine != null) {
      memory = null;
      LENT.addAndGet(-size);
      ROOM.addAndGet(-NativeBuffers.room(Math.max(1, size)));
      NativeBuffers.giveBack(mine, Math.max(1, size));
    }
  }

  @Override
  public String toString() {
    return "LentBuffer[" + size + "]";
  }
}
