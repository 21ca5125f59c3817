package dev.grep11.gateway.audit;

import java.io.IOException;
import java.io.InputStream;
import java.util.Arrays;

/**
 * Reads lines as bytes in bounded memory: one that is longer than any that a gateway writes comes
 * in pieces.
 */
final class LineReader {
  private static final int LONGEST = 1024 * 1024;

  private final InputStream in;
  private final byte[] buffer = new byte[256 * 1024];
  private int position;
  private int limit;
  private byte[] line = new byte[4096];
  private int length;
  private boolean terminated;

  LineReader(InputStream in) {
    this.in = in;
  }

  /** False at the end. */
  boolean next() throws IOException {
    length = 0;
    terminated = false;
    boolean any = false;
    while (length < LONGEST) {
      if (position == limit) {
        limit = Math.max(0, in.read(buffer, 0, buffer.length));
        position = 0;
        if (limit == 0) {
          return any;
        }
      }
      any = true;
      int end = position;
      int most = Math.min(limit, position + LONGEST - length);
      while (end < most && buffer[end] != '\n') {
        end++;
      }
      take(end);
      if (end < limit && buffer[end] == '\n') {
        position = end + 1;
        terminated = true;
        return true;
      }
      position = end;
    }
    return true;
  }

  private void take(int end) {
    int taken = end - position;
    if (length + taken > line.length) {
      line = Arrays.copyOf(line, Math.max(length + taken, 2 * line.length));
    }
    System.arraycopy(buffer, position, line, length, taken);
    length += taken;
  }

  /** The line, up to {@link #length}, without its end; valid until the next one. */
  byte[] bytes() {
    return line;
  }

  int length() {
    return length;
  }

  /** Whether the line had an end. */
  boolean terminated() {
    return terminated;
  }
}
