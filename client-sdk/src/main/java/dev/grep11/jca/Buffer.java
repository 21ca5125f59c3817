package dev.grep11.jca;

import java.io.ByteArrayOutputStream;
import java.util.Arrays;

/** Data of a call that is made when it is complete; wiped when it is let go. */
final class Buffer extends ByteArrayOutputStream {
  /** The data; the buffer is empty afterwards. */
  byte[] take() {
    byte[] all = toByteArray();
    clear();
    return all;
  }

  void clear() {
    truncate(0);
  }

  /** Forgets all but the first bytes. */
  synchronized void truncate(int length) {
    Arrays.fill(buf, length, count, (byte) 0);
    count = length;
  }
}
