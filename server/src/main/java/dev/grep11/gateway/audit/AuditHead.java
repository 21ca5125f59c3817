package dev.grep11.gateway.audit;

import java.time.Instant;
import java.util.Arrays;
import java.util.UUID;

/**
 * The last checkpoint of an audit file, kept elsewhere so that a missing tail of the file shows.
 *
 * @param file names the file by its first line: the beginning of its SHA-256
 * @param path for people
 * @param source that wrote the checkpoint
 * @param sequence of the checkpoint
 * @param chain its value
 * @param offset in bytes of what follows it
 * @param closing whether the source wrote it as its last
 */
@SuppressWarnings("ArrayRecordComponent") // Copied in and out; equality is by content.
public record AuditHead(
    UUID file,
    String path,
    UUID source,
    long sequence,
    byte[] chain,
    long offset,
    Instant time,
    boolean closing) {
  public AuditHead {
    if (chain.length != Chain.LENGTH) {
      throw new IllegalArgumentException("a chain value has 32 bytes, not " + chain.length);
    }
    chain = chain.clone();
  }

  @Override
  public byte[] chain() {
    return chain.clone();
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof AuditHead that
        && file.equals(that.file)
        && path.equals(that.path)
        && source.equals(that.source)
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
