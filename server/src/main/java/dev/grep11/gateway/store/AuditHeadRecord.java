package dev.grep11.gateway.store;

import java.time.Instant;
import java.util.Arrays;
import java.util.UUID;

/**
 * The last checkpoint that one process wrote into an audit file, so that a missing tail of the file
 * shows. It decides nothing about anybody's access.
 *
 * @param file named by its first line
 * @param source the process
 * @param path for people
 * @param sequence of the checkpoint in its source
 * @param chain its chain value
 * @param offset in bytes of what follows it
 * @param closing whether the process wrote it as its last
 */
@SuppressWarnings("ArrayRecordComponent") // Copied in and out; equality is by content.
public record AuditHeadRecord(
    UUID file,
    UUID source,
    String path,
    long sequence,
    byte[] chain,
    long offset,
    Instant time,
    boolean closing)
    implements Stored {
  public AuditHeadRecord {
    if (chain.length != 32) {
      throw new IllegalArgumentException("a chain value has 32 bytes, not " + chain.length);
    }
    if (sequence < 1 || offset < 0) {
      throw new IllegalArgumentException("a checkpoint has a place");
    }
    chain = chain.clone();
  }

  @Override
  public byte[] chain() {
    return chain.clone();
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof AuditHeadRecord that
        && file.equals(that.file)
        && source.equals(that.source)
        && path.equals(that.path)
        && sequence == that.sequence
        && Arrays.equals(chain, that.chain)
        && offset == that.offset
        && time.equals(that.time)
        && closing == that.closing;
  }

  @Override
  public int hashCode() {
    return source.hashCode();
  }
}
