package dev.grep11.gateway.operation;

import dev.grep11.gateway.hsm.LentBuffer;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * Memory outside the Java heap that belongs to one call: its payload lies there, and so does its
 * result, until the answer is written. Whoever ends the call closes it, which wipes all of it; one
 * thread at a time may use what it gives, any may close it.
 */
public final class CallMemory implements AutoCloseable {
  /** Below it an array costs less than a loan. */
  public static final int WORTHWHILE = 4096;

  private final List<LentBuffer> lent = new ArrayList<>(2);

  /** So many zero bytes, direct, until {@link #close}. */
  public synchronized ByteBuffer take(int size) {
    var buffer = LentBuffer.of(size);
    lent.add(buffer);
    return buffer.bytes();
  }

  /** Wipes and gives back all that was taken; more may be taken afterwards. */
  public synchronized void clear() {
    lent.forEach(LentBuffer::close);
    lent.clear();
  }

  @Override
  public void close() {
    clear();
  }
}
