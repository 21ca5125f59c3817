package dev.grep11.gateway.store;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.BufferedOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.DigestOutputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.SecureRandom;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A backup that is complete and on the disk under another name, until it is put in its place. Its
 * file begins with
 *
 * <pre>
 * "grep11 backup 1\n" | length, {@link BackupManifest} | length, key of the body sealed by the token
 * </pre>
 *
 * and the sealing authenticates all that stands before it; the manifest has the SHA-256 of the body
 * ({@link BackupChunks}), which is the rest. So the store key vouches for every byte of the file.
 */
public final class UnpublishedBackup implements AutoCloseable {
  static final byte[] MAGIC = "grep11 backup 1\n".getBytes(US_ASCII);
  private static final byte[] CONTEXT = "grep11-gateway store backup v1".getBytes(UTF_8);
  private static final SecureRandom RANDOM = new SecureRandom();
  private static final int BUFFER = 1 << 16;

  private final Path target;
  private final Path unfinished;
  private final BackupManifest manifest;
  private final int samples;
  private boolean published;

  private UnpublishedBackup(Path target, Path unfinished, BackupManifest manifest, int samples) {
    this.target = target;
    this.unfinished = unfinished;
    this.manifest = manifest;
    this.samples = samples;
  }

  /** What the sealing of a body's key authenticates. */
  static byte[] context(byte[] encodedManifest) {
    return RowSeal.concatenate(
        CONTEXT, sha256().digest(RowSeal.concatenate(MAGIC, encodedManifest)));
  }

  static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("SHA-256 is part of every JDK", e);
    }
  }

  /** What stands in the body before the rows. */
  @SuppressWarnings("ArrayRecordComponent") // Never compared.
  record Keys(byte[] sealedDataKey, long generation, byte[] sealedHead) {}

  /**
   * Writes what a connection sees.
   *
   * @param draft says all but the rows and the digest of the body
   * @param samples left out of a format that has none
   */
  static UnpublishedBackup write(
      Path target,
      Envelope envelope,
      BackupManifest draft,
      Keys keys,
      List<BackupSample> samples,
      Connection connection)
      throws IOException, SQLException {
    Path absolute = target.toAbsolutePath().normalize();
    Path directory = absolute.getParent();
    if (directory == null || absolute.getFileName() == null) {
      throw new StoreException(target + " is no file that a backup could be written to");
    }
    Map<String, Long> rows = new LinkedHashMap<>();
    for (var table : BackedUp.TABLES) {
      rows.put(table.name(), table.count(connection));
    }
    var counted =
        new BackupManifest(
            draft.format(),
            draft.made(),
            draft.schema(),
            draft.token(),
            draft.instances(),
            draft.generation(),
            draft.granted(),
            rows,
            BackupManifest.NO_DIGEST);
    Path unfinished =
        Files.createTempFile(
            directory,
            "." + absolute.getFileName() + ".",
            ".partial",
            PosixFilePermissions.asFileAttribute(OwnerOnly.FILE));
    byte[] key = new byte[BackupChunks.KEY_LENGTH];
    RANDOM.nextBytes(key);
    try (var channel = FileChannel.open(unfinished, StandardOpenOption.WRITE)) {
      // As long as what replaces it once the digest of the body is known.
      byte[] before = beginning(counted, key, envelope);
      writeAll(channel, before);
      byte[] digest = writeBody(channel, key, counted, keys, samples, connection);
      var manifest = counted.with(digest);
      byte[] beginning = beginning(manifest, key, envelope);
      if (beginning.length != before.length) {
        throw new IllegalStateException("the beginning of a backup has changed its length");
      }
      channel.position(0);
      writeAll(channel, beginning);
      channel.force(true);
      return new UnpublishedBackup(
          absolute, unfinished, manifest, manifest.hasSamples() ? samples.size() : 0);
    } catch (IOException | SQLException | RuntimeException e) {
      Files.deleteIfExists(unfinished);
      throw e;
    } finally {
      Arrays.fill(key, (byte) 0);
    }
  }

  private static byte[] beginning(BackupManifest manifest, byte[] key, Envelope envelope) {
    byte[] encoded = manifest.encoded();
    byte[] sealed = envelope.seal(key, context(encoded));
    return Fields.bytes(out -> {
      out.write(MAGIC);
      Fields.blob(out, encoded);
      Fields.blob(out, sealed);
    });
  }

  private static void writeAll(FileChannel channel, byte[] bytes) throws IOException {
    var left = ByteBuffer.wrap(bytes);
    while (left.hasRemaining()) {
      channel.write(left);
    }
  }

  private static byte[] writeBody(
      FileChannel channel,
      byte[] key,
      BackupManifest manifest,
      Keys keys,
      List<BackupSample> samples,
      Connection connection)
      throws IOException, SQLException {
    // Not closed, which would close the channel.
    OutputStream file = new BufferedOutputStream(Channels.newOutputStream(channel), BUFFER);
    var digesting = new DigestOutputStream(file, sha256());
    try (var sealing = new BackupChunks.Sealing(digesting, key);
        var out = new DataOutputStream(sealing)) {
      Fields.blob(out, keys.sealedDataKey());
      out.writeLong(keys.generation());
      Fields.blob(out, keys.sealedHead());
      if (manifest.hasSamples()) {
        BackupSample.write(out, samples);
      }
      for (var table : BackedUp.TABLES) {
        Fields.text(out, table.name());
        long written = table.write(connection, out);
        long counted = manifest.rows().getOrDefault(table.name(), -1L);
        if (written != counted) {
          throw new StoreException(
              "table %s had %d rows and then %d: the database does not show one state"
                  .formatted(table.name(), counted, written));
        }
      }
      Fields.text(out, "");
    }
    file.flush();
    return digesting.getMessageDigest().digest();
  }

  public BackupManifest manifest() {
    return manifest;
  }

  /** How many key blobs it has to be tried by. */
  public int samples() {
    return samples;
  }

  /** Where it is going to be. */
  public Path target() {
    return target;
  }

  /**
   * Puts it in its place, as a whole or not at all; on return it survives the loss of power.
   *
   * @param overwrite whether it may take the place of another file
   * @throws StoreException when there is a file and it may not, or it cannot be put there
   */
  public void publish(boolean overwrite) {
    try {
      if (overwrite) {
        Files.move(
            unfinished,
            target,
            StandardCopyOption.ATOMIC_MOVE,
            StandardCopyOption.REPLACE_EXISTING);
      } else {
        Files.createLink(target, unfinished);
        Files.delete(unfinished);
      }
      published = true;
      try (var directory = FileChannel.open(requireParent(), StandardOpenOption.READ)) {
        directory.force(true);
      }
    } catch (FileAlreadyExistsException e) {
      throw alreadyThere(target);
    } catch (IOException e) {
      throw new StoreException("the backup cannot be put at " + target + ": " + e.getMessage(), e);
    }
  }

  private Path requireParent() {
    var parent = target.getParent();
    if (parent == null) {
      throw new IllegalStateException("was looked at when it was written");
    }
    return parent;
  }

  /** Whether it is in its place. */
  public boolean published() {
    return published;
  }

  /** Refuses early what {@link #publish} would refuse when all the work is done. */
  static void requireFree(Path target) {
    if (Files.exists(target, LinkOption.NOFOLLOW_LINKS)) {
      throw alreadyThere(target);
    }
  }

  static void requireNoDirectory(Path target) {
    if (Files.isDirectory(target, LinkOption.NOFOLLOW_LINKS)) {
      throw new StoreException(target + " is a directory; name a file in it");
    }
  }

  private static StoreException alreadyThere(Path target) {
    return new StoreException(
        target + " is there already; choose another file, or replace it with --overwrite");
  }

  /** Takes a backup back that was put where no file was before. */
  public void withdraw() {
    if (published) {
      delete(target);
    }
  }

  /** Leaves nothing behind of one that was not published. */
  @Override
  public void close() {
    if (!published) {
      delete(unfinished);
    }
  }

  private static void delete(Path file) {
    try {
      Files.deleteIfExists(file);
    } catch (IOException e) {
      throw new UncheckedIOException(file + " cannot be deleted: " + e.getMessage(), e);
    }
  }
}
