package dev.grep11.gateway.hsm;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.grep11.gateway.pkcs11.CkStruct;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;

/**
 * A mechanism's parameter laid out as the platform's C compiler does: 8-byte members on multiples
 * of 8, bytes where they come, the whole a multiple of its widest member.
 */
final class NativeStruct implements CkStruct {
  /** The widest parameter of PKCS #11 v3.0 that has no inline data takes 72 bytes. */
  private static final long SIZE = 256;

  private final Scratch scratch;
  private MemorySegment segment = MemorySegment.NULL;
  private long position;
  private long widest;

  NativeStruct(Scratch scratch) {
    this.scratch = scratch;
  }

  void start() {
    segment = scratch.allocate(SIZE);
    position = 0;
    widest = 1;
  }

  MemorySegment segment() {
    return segment;
  }

  /** sizeof. */
  long size() {
    return (position + widest - 1) & -widest;
  }

  @Override
  public CkStruct ulong(long value) {
    widest = Long.BYTES;
    position = size();
    segment.set(JAVA_LONG, position, value);
    position += Long.BYTES;
    return this;
  }

  @Override
  public CkStruct bool(boolean value) {
    segment.set(JAVA_BYTE, position++, (byte) (value ? 1 : 0));
    return this;
  }

  @Override
  public CkStruct pointer(byte[] bytes) {
    return ulong(bytes.length == 0 ? 0 : scratch.copy(bytes).address());
  }

  @Override
  public CkStruct pointer(ByteBuffer offHeap) {
    return ulong(
        offHeap.hasRemaining() ? scratch.copy(MemorySegment.ofBuffer(offHeap)).address() : 0);
  }

  @Override
  public CkStruct inline(byte[] bytes) {
    MemorySegment.copy(bytes, 0, segment, JAVA_BYTE, position, bytes.length);
    position += bytes.length;
    return this;
  }
}
