package dev.grep11.agent.cryptoki;

/**
 * What a function that fills a buffer answers: the bytes, or how long they are where the
 * application asked for that or has too small a buffer.
 */
public sealed interface Output {

  /** The result. */
  record Bytes(byte[] value) implements Output {
    @Override
    public String toString() {
      return "Bytes[" + value.length + "]";
    }
  }

  /** The length, or no less than it (PKCS #11 v2.40, 5.2). */
  record Length(int bytes) implements Output {}
}
