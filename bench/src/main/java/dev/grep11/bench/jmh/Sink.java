package dev.grep11.bench.jmh;

import java.io.OutputStream;

/**
 * Takes bytes as the transport does, by copying them; the next ones lie over them. Of what goes
 * nowhere the compiler would leave out how it came to be.
 */
final class Sink extends OutputStream {
  private final byte[] taken = new byte[16 << 10];

  @Override
  public void write(int value) {
    taken[0] = (byte) value;
  }

  @Override
  public void write(byte[] bytes, int from, int length) {
    for (int done = 0; done < length; done += taken.length) {
      System.arraycopy(bytes, from + done, taken, 0, Math.min(taken.length, length - done));
    }
  }
}
