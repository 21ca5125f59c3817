package dev.grep11.gateway.store;

import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.sql.SQLException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A backup that is being looked at. The manifest says which token is needed; nothing else is read
 * before {@link #verify} has shown that the whole file is as a gateway with this token wrote it.
 * The file stays open, so that what is judged is what is read. Not safe for use by several threads.
 */
public final class BackupFile implements AutoCloseable {
  private static final int MOST_MANIFEST = 16 << 20;
  private static final int MOST_SEALED = 4096;
  private static final int BUFFER = 1 << 16;

  private final Path path;
  private final FileChannel channel;
  private final BackupManifest manifest;
  private final byte[] encodedManifest;
  private final byte[] sealedKey;
  private final long bodyOffset;

  private BackupFile(
      Path path, FileChannel channel, byte[] encodedManifest, byte[] sealedKey, long bodyOffset) {
    this.path = path;
    this.channel = channel;
    this.encodedManifest = encodedManifest;
    this.manifest = BackupManifest.decode(encodedManifest);
    this.sealedKey = sealedKey;
    this.bodyOffset = bodyOffset;
  }

  /**
   * Opens a backup as far as its manifest.
   *
   * @throws StoreException when there is no such file, or it is no backup
   */
  public static BackupFile open(Path path) {
    try {
      var channel = FileChannel.open(path, StandardOpenOption.READ);
      try {
        return read(path, channel);
      } catch (IOException | RuntimeException e) {
        channel.close();
        throw e;
      }
    } catch (StoreException e) {
      throw new StoreException(path + ": " + e.getMessage(), e);
    } catch (NoSuchFileException e) {
      throw new StoreException("there is no backup " + path + "; name the file by --from", e);
    } catch (IOException e) {
      throw new StoreException("the backup " + path + " cannot be read: " + e.getMessage(), e);
    }
  }

  private static BackupFile read(Path path, FileChannel channel) throws IOException {
    var in = new DataInputStream(from(channel, 0));
    if (!Arrays.equals(in.readNBytes(UnpublishedBackup.MAGIC.length), UnpublishedBackup.MAGIC)) {
      throw new StoreException(
          "this is no backup of a gateway, or its beginning is damaged; name a file of: grep11 backup");
    }
    byte[] manifest = part(in, MOST_MANIFEST);
    byte[] sealedKey = part(in, MOST_SEALED);
    return new BackupFile(
        path,
        channel,
        manifest,
        sealedKey,
        UnpublishedBackup.MAGIC.length + 2L * Integer.BYTES + manifest.length + sealedKey.length);
  }

  private static byte[] part(DataInputStream in, int most) throws IOException {
    var prefix = in.readNBytes(Integer.BYTES);
    int length = prefix.length < Integer.BYTES ? -1 : ByteBuffer.wrap(prefix).getInt();
    byte[] bytes = length < 0 || length > most ? new byte[0] : in.readNBytes(length);
    if (length != bytes.length) {
      throw new StoreException("the backup is damaged or cut short at its beginning");
    }
    return bytes;
  }

  private static InputStream from(FileChannel channel, long position) throws IOException {
    channel.position(position);
    return new BufferedInputStream(Channels.newInputStream(channel), BUFFER);
  }

  public Path path() {
    return path;
  }

  /** Of the token that is needed; not to be believed before {@link #verify}. */
  public BackupManifest manifest() {
    return manifest;
  }

  /**
   * Judges the whole file, by the store key in the token.
   *
   * @throws StoreTamperedException when a byte of it is not as it was written
   * @throws RuntimeException what the token answers otherwise
   */
  public Verified verify(Envelope envelope) {
    byte[] key;
    try {
      key = envelope.open(sealedKey, UnpublishedBackup.context(encodedManifest));
    } catch (RuntimeException e) {
      throw new StoreTamperedException(
          "%s is refused whole: its seal does not open by the store key %s, so the file is damaged or was changed, or is of another token (%s)"
              .formatted(path, manifest.token().storeKey(), e.getMessage()),
          e);
    }
    if (key.length != BackupChunks.KEY_LENGTH) {
      throw new StoreTamperedException(path + " is refused whole: its key is none");
    }
    try {
      // Not closed, which would close the channel: it is read again.
      var body = new DigestInputStream(from(channel, bodyOffset), UnpublishedBackup.sha256());
      body.transferTo(OutputStream.nullOutputStream());
      byte[] expected = HexFormat.of().parseHex(manifest.bodySha256());
      if (!MessageDigest.isEqual(expected, body.getMessageDigest().digest())) {
        throw new StoreTamperedException(
            path
                + " is refused whole: its body is cut short, damaged or was changed; use another copy of it, or an older backup");
      }
    } catch (IOException e) {
      throw new StoreException("the backup " + path + " cannot be read: " + e.getMessage(), e);
    }
    return new Verified(this, key);
  }

  @Override
  public void close() {
    try {
      channel.close();
    } catch (IOException e) {
      throw new StoreException("the backup " + path + " did not close cleanly", e);
    }
  }

  /** Takes the rows of a backup in their order. */
  interface Taking {
    void keys(UnpublishedBackup.Keys keys) throws IOException, SQLException;

    /**
     * The next of a table's rows.
     *
     * @param in to be read to the end of the table
     * @return how many there were
     */
    long table(BackedUp table, DataInputStream in) throws IOException, SQLException;
  }

  /** A backup of which every byte is as it was written. */
  @SuppressWarnings("ArrayRecordComponent") // Never compared.
  public static final class Verified {
    private final BackupFile file;
    private final byte[] key;

    private Verified(BackupFile file, byte[] key) {
      this.file = file;
      this.key = key;
    }

    public Path path() {
      return file.path;
    }

    public BackupManifest manifest() {
      return file.manifest;
    }

    /**
     * What the store would hold again, keystores aside.
     *
     * @throws StoreTamperedException when rows and head of the backup do not belong together
     */
    public Snapshot snapshot(Envelope envelope) {
      try {
        var reading = new SnapshotReading(envelope);
        read(reading);
        return reading.verified().rows().snapshot(file.manifest.generation());
      } catch (SQLException e) {
        throw new IllegalStateException("no database is asked", e);
      }
    }

    /** Hands all rows over, of every table that the backup has. */
    void read(Taking to) throws SQLException {
      try {
        var in = body();
        to.keys(keys(in));
        if (file.manifest.hasSamples()) {
          var _ = BackupSample.read(in);
        }
        Map<String, Long> read = new LinkedHashMap<>();
        for (String name = BackedUp.text(in); !name.isEmpty(); name = BackedUp.text(in)) {
          read.put(name, to.table(table(name), in));
        }
        if (in.read() >= 0 || !read.equals(file.manifest.rows())) {
          throw new StoreTamperedException(
              file.path + " is refused whole: it does not hold what its manifest says");
        }
      } catch (IOException e) {
        throw unreadable(e);
      }
    }

    /** Key blobs that were made for it; empty of a backup that a program made before there were. */
    public Optional<List<BackupSample>> samples() {
      if (!file.manifest.hasSamples()) {
        return Optional.empty();
      }
      try {
        var in = body();
        var _ = keys(in);
        return Optional.of(BackupSample.read(in));
      } catch (IOException e) {
        throw unreadable(e);
      }
    }

    private DataInputStream body() throws IOException {
      return new DataInputStream(
          new BackupChunks.Opening(from(file.channel, file.bodyOffset), key));
    }

    private static UnpublishedBackup.Keys keys(DataInputStream in) throws IOException {
      return new UnpublishedBackup.Keys(BackedUp.blob(in), in.readLong(), BackedUp.blob(in));
    }

    private StoreException unreadable(IOException cause) {
      return new StoreException(
          "the backup " + file.path + " cannot be read: " + cause.getMessage(), cause);
    }

    private BackedUp table(String name) {
      return BackedUp.TABLES.stream()
          .filter(table -> table.name().equals(name))
          .findFirst()
          .orElseThrow(() ->
              new StoreException(
                  "the backup %s has the table %s, which this program does not know: use the program that made it, or a later one"
                      .formatted(file.path, name)));
    }

    @Override
    public String toString() {
      return "BackupFile.Verified[" + file.path + "]";
    }
  }

  /** Opens the records of a backup and compares them with its head. */
  static class SnapshotReading implements Taking {
    private final Envelope envelope;
    private final Rows records = new Rows();
    private Optional<Opened> opened = Optional.empty();

    /** With the data key, as it was sealed by the token. */
    @SuppressWarnings("ArrayRecordComponent") // Never compared.
    record Opened(byte[] keys, RowSeal seal, Head head) {
      @Override
      public String toString() {
        return "Opened[generation " + head.generation() + "]";
      }
    }

    SnapshotReading(Envelope envelope) {
      this.envelope = envelope;
    }

    @Override
    public void keys(UnpublishedBackup.Keys sealed) throws IOException, SQLException {
      byte[] keys;
      try {
        keys = envelope.open(sealed.sealedDataKey(), Store.DATA_KEY_CONTEXT);
      } catch (RuntimeException e) {
        throw new StoreException("the data key in the backup does not open: " + e.getMessage(), e);
      }
      var seal = new RowSeal(keys);
      var head =
          Head.of(sealed.generation(), seal.openHead(sealed.generation(), sealed.sealedHead()));
      opened = Optional.of(new Opened(keys, seal, head));
    }

    Opened opened() {
      return opened.orElseThrow(() -> new IllegalStateException("the keys come first"));
    }

    @Override
    public long table(BackedUp table, DataInputStream in) throws IOException, SQLException {
      long rows = 0;
      for (var row = table.read(in); row.isPresent(); row = table.read(in), rows++) {
        take(table, row.get());
      }
      return rows;
    }

    void take(BackedUp table, List<Object> row) {
      if (table.records().isPresent()) {
        Table records = table.records().get();
        byte[] rowKey = (byte[]) row.get(0);
        long version = (Long) row.get(1);
        byte[] sealed = (byte[]) row.get(2);
        var record =
            RecordCodec.decode(records, opened().seal().openRow(records, rowKey, version, sealed));
        this.records.of(records).put(rowKey, new Rows.Row(version, sealed, record));
      }
    }

    /** Once all tables were read. */
    Store.Verified verified() {
      var head = opened().head();
      if (!MessageDigest.isEqual(head.digest(), records.digest())) {
        throw new StoreTamperedException(
            "the rows of the backup are not those of generation " + head.generation());
      }
      return new Store.Verified(head.generation(), head.anchored(), records);
    }
  }
}
