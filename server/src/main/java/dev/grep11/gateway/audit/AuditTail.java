package dev.grep11.gateway.audit;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;

/**
 * Where a file that was written before is gone on with.
 *
 * @param file empty when there is nothing in it
 * @param size in bytes
 * @param inMiddleOfLine whether its last line has no end
 */
@SuppressWarnings("ArrayRecordComponent") // Not compared.
record AuditTail(Optional<UUID> file, byte[] chain, long size, boolean inMiddleOfLine) {
  private static final long FIRST_LOOK = 64 * 1024;
  private static final long LONGEST_LOOK = 16 * 1024 * 1024;

  static final AuditTail EMPTY = new AuditTail(Optional.empty(), Chain.empty().value(), 0, false);

  static AuditTail of(Path path) throws IOException {
    try (FileChannel channel = reading(path)) {
      long size = channel.size();
      if (size == 0) {
        return EMPTY;
      }
      LineReader first = new LineReader(Channels.newInputStream(channel));
      first.next();
      UUID file = fileId(first.bytes(), 0, first.length());
      for (long look = FIRST_LOOK; look < size && look <= LONGEST_LOOK; look *= 4) {
        Optional<AuditTail> found = look(channel, file, size - look, size);
        if (found.isPresent()) {
          return found.get();
        }
      }
      return look(channel, file, 0, size).orElseThrow();
    }
  }

  static FileChannel reading(Path path) throws IOException {
    return FileChannel.open(path, Set.of(StandardOpenOption.READ, LinkOption.NOFOLLOW_LINKS));
  }

  /** Empty when no line from there on states a chain value. */
  private static Optional<AuditTail> look(FileChannel channel, UUID file, long from, long size)
      throws IOException {
    channel.position(from);
    InputStream in = Channels.newInputStream(channel);
    LineReader lines = new LineReader(in);
    Chain chain = Chain.empty();
    boolean known = from == 0;
    boolean terminated = true;
    // Where the look begins is likely the middle of a line; what it states counts all the same.
    while (lines.next()) {
      terminated = lines.terminated();
      Optional<byte[]> stated = Chain.stated(lines.bytes(), lines.length());
      if (stated.isPresent()) {
        chain.resume(stated.get());
        known = true;
      } else {
        chain.other(lines.bytes(), 0, lines.length());
      }
    }
    return known
        ? Optional.of(new AuditTail(Optional.of(file), chain.value(), size, !terminated))
        : Optional.empty();
  }

  /** Names a file by its first line, which has a random source in it. */
  static UUID fileId(byte[] firstLine, int from, int to) {
    var sha256 = Chain.sha256();
    sha256.update(firstLine, from, to - from);
    ByteBuffer digest = ByteBuffer.wrap(sha256.digest());
    return new UUID(digest.getLong(), digest.getLong());
  }

  /** Whether the file has, just before this offset, a line that states this chain value. */
  static boolean states(Path path, long offset, byte[] chain) throws IOException {
    try (FileChannel channel = reading(path)) {
      int wanted = Chain.SUFFIX + 2;
      if (offset < wanted || offset > channel.size()) {
        return false;
      }
      ByteBuffer bytes = ByteBuffer.allocate(wanted);
      while (bytes.hasRemaining()
          && channel.read(bytes, offset - wanted + bytes.position()) >= 0) {}
      return Chain.stated(bytes.array(), wanted - 1)
          .filter(stated -> MessageDigest.isEqual(stated, chain))
          .isPresent();
    }
  }
}
