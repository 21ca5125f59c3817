package dev.grep11.gateway.operation;

import java.nio.ByteBuffer;

/**
 * The padding of CBC_PAD, RFC 5652 section 6.3, read by the same steps whatever it is. A token that
 * takes it off refuses in its own time: with SoftHSM a wrong padding took 32 microseconds longer
 * than a right one around no key, and Vaudenay's attack needs no more.
 */
final class BlockPadding {
  private BlockPadding() {}

  /**
   * Length in bytes without the padding; negative when the padding is wrong.
   *
   * @param padded one whole block or more
   */
  static int unpaddedLength(ByteBuffer padded, int block) {
    int end = padded.limit();
    int count = padded.get(end - 1) & 0xff;
    int wrong = ((count - 1) | (block - count)) >> 31;
    for (int i = 1; i <= block; i++) {
      int within = ~((count - i) >> 31);
      wrong |= within & ((padded.get(end - i) & 0xff) ^ count);
    }
    return (padded.remaining() - count) | ((wrong | -wrong) >> 31);
  }
}
