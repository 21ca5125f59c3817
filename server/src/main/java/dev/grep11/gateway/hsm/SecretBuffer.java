package dev.grep11.gateway.hsm;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;

/**
 * Secret bytes in native memory that the collector neither copies nor keeps: wiped and released by
 * {@link #close}, after which every view of them throws.
 */
public final class SecretBuffer implements AutoCloseable {
  // Shared, because a secret may be opened by a worker and used by another; closing such an arena
  // costs a handshake with all threads, which the rare secret paths can afford.
  private final Arena arena = Arena.ofShared();
  private final MemorySegment memory;
  private MemorySegment content;

  private SecretBuffer(int capacity) {
    memory = arena.allocate(Math.max(1, capacity), Scratch.ALIGNMENT);
    content = memory.asSlice(0, capacity);
  }

  /** So many zero bytes. */
  public static SecretBuffer allocate(int size) {
    return new SecretBuffer(size);
  }

  /** The bytes, direct and writable, position 0 and limit {@link #size}. */
  public ByteBuffer buffer() {
    return content.asByteBuffer();
  }

  /** The bytes, direct and read-only. */
  public ByteBuffer readOnly() {
    return content.asReadOnly().asByteBuffer();
  }

  public int size() {
    return Math.toIntExact(content.byteSize());
  }

  /** Keeps the first bytes only; the rest is wiped. */
  public SecretBuffer truncate(int size) {
    content.asSlice(size).fill((byte) 0);
    content = content.asSlice(0, size);
    return this;
  }

  MemorySegment segment() {
    return content;
  }

  @Override
  public void close() {
    if (arena.scope().isAlive()) {
      memory.fill((byte) 0);
      arena.close();
    }
  }

  @Override
  public String toString() {
    return "SecretBuffer[redacted]";
  }
}
