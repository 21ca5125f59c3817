package dev.grep11.gateway.store;

import java.nio.ByteBuffer;
import java.util.Arrays;

/**
 * What the sealed head record says of all rows.
 *
 * @param digest of the rows, {@link Rows#digest}
 * @param anchored the generation that last granted or revoked something
 */
record Head(long generation, byte[] digest, long anchored) {
  /**
   * Before there were anchors, content was the digest alone; its generation then stands for both.
   */
  static Head of(long generation, byte[] content) {
    return content.length == Rows.DIGEST_LENGTH
        ? new Head(generation, content, generation)
        : new Head(
            generation,
            Arrays.copyOf(content, Rows.DIGEST_LENGTH),
            ByteBuffer.wrap(content).getLong(Rows.DIGEST_LENGTH));
  }

  /** What is sealed. */
  byte[] content() {
    return ByteBuffer.allocate(digest.length + Long.BYTES).put(digest).putLong(anchored).array();
  }
}
