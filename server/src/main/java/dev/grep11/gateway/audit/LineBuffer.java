package dev.grep11.gateway.audit;

import java.io.ByteArrayOutputStream;

/** Lines that wait to be written, which can be looked at and amended without a copy. */
final class LineBuffer extends ByteArrayOutputStream {
  LineBuffer() {
    super(64 * 1024);
  }

  /** What is written so far, up to {@link #size}; valid until the next write. */
  byte[] bytes() {
    return buf;
  }

  void removeLast() {
    count--;
  }
}
