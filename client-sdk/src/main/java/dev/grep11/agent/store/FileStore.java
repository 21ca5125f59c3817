package dev.grep11.agent.store;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.grep11.agent.store.StoreException.Reason;
import java.io.IOException;
import java.io.InputStream;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Consumer;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;

/**
 * A keystore in a directory: one sealed file for each object, written beside and renamed.
 *
 * <p>A key is sealed by the HSM already, as a blob. Each file is in addition encrypted and
 * authenticated by the keystore's {@link Seal}, whose envelope is the file {@code seal}: with a
 * password nobody without it reads or changes a record. Without one the seal protects against who
 * can write records and not read that file, and against accidents; not against a holder of the
 * whole directory. Either can put an older file back.
 *
 * <p>Several agents of one host may have the same directory: changes are made under a lock of it.
 */
public final class FileStore extends LocalStore {
  private static final String SUFFIX = ".object";
  private static final String HEAD = "keystore";
  private static final String SEAL = "seal";

  private static final ReentrantLock LOCAL = new ReentrantLock();

  private final Path directory;
  private final Seal seal;

  /** As this store was opened, or gave it another password. */
  private volatile byte[] envelope;

  private record Seen(FileTime time, long size, StoredObject object) {}

  /** What was read last, by file name. Guarded by itself. */
  private final Map<String, Seen> seen = new HashMap<>();

  /** What was warned of, by file name. Guarded by {@link #seen}. */
  private final Map<String, String> broken = new HashMap<>();

  private volatile Consumer<String> warn = problem -> {};

  private FileStore(Path directory, Seal seal, byte[] envelope) {
    this.directory = directory;
    this.seal = seal;
    this.envelope = envelope;
  }

  /**
   * The keystore {@code id} below {@code storagePath}, which is made if it is not there.
   *
   * @param password that of the keystore, or null where it has none
   * @throws StoreException {@link Reason#PASSWORD} when the keystore has another password
   */
  @SuppressWarnings("try") // The lock is held, not used.
  public static FileStore open(Path storagePath, UUID id, char @Nullable [] password) {
    Path directory = storagePath.resolve(id.toString());
    try {
      Files.createDirectories(
          directory,
          PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
      try (var lock = lock(directory)) {
        removeUnfinished(directory);
        byte[] envelope = envelope(directory, id, password);
        var store = new FileStore(directory, Seal.in(envelope, id, password), envelope);
        store.requireHead();
        return store;
      }
    } catch (IOException e) {
      throw broken(directory, e);
    }
  }

  /**
   * Tries a password on what is there, and makes nothing.
   *
   * @param password that of the keystore, or null where it has none
   * @return false where the keystore is not made yet
   * @throws StoreException {@link Reason#PASSWORD} when the keystore has another password, {@link
   *     Reason#BROKEN} when it cannot be read
   */
  public static boolean opens(Path storagePath, UUID id, char @Nullable [] password) {
    Path directory = storagePath.resolve(id.toString());
    try {
      if (!Files.exists(directory.resolve(SEAL), LinkOption.NOFOLLOW_LINKS)) {
        return false;
      }
      Seal.in(readFile(directory.resolve(SEAL)), id, password);
      return true;
    } catch (IOException e) {
      throw broken(directory, e);
    }
  }

  /** Where files that cannot be read are told of, each once. */
  public FileStore warning(Consumer<String> to) {
    warn = to;
    return this;
  }

  @Override
  public List<StoredObject> find(Attributes template) {
    return all().stream().filter(object -> object.attributes().match(template)).toList();
  }

  private List<StoredObject> all() {
    synchronized (seen) {
      var found = new ArrayList<StoredObject>();
      var names = new ArrayList<String>();
      try (var files = Files.newDirectoryStream(directory, "*" + SUFFIX)) {
        for (Path file : files) {
          names.add(file.getFileName().toString());
        }
      } catch (IOException e) {
        throw broken(directory, e);
      }
      names.sort(null);
      seen.keySet().retainAll(names);
      broken.keySet().retainAll(names);
      for (String name : names) {
        try {
          readSeen(name).ifPresent(found::add);
          broken.remove(name);
        } catch (StoreException e) {
          // One bad file must not hide the others' keys. Whoever asks for its object is told why.
          String problem = String.valueOf(e.getMessage());
          if (!problem.equals(broken.put(name, problem))) {
            warn.accept("a file is left out: " + problem);
          }
        }
      }
      return found;
    }
  }

  @Override
  public Optional<StoredObject> read(UUID object) {
    synchronized (seen) {
      return readSeen(object + SUFFIX);
    }
  }

  /** Reads the file unless it is as it was. Empty when it is no longer there. */
  private Optional<StoredObject> readSeen(String name) {
    Path file = directory.resolve(name);
    try {
      var time = Files.getLastModifiedTime(file, LinkOption.NOFOLLOW_LINKS);
      long size = Files.size(file);
      var known = seen.get(name);
      if (known == null || !known.time.equals(time) || known.size != size) {
        known = new Seen(time, size, decode(name, seal.open(name, readFile(file))));
        seen.put(name, known);
      }
      return Optional.of(known.object);
    } catch (NoSuchFileException deletedMeanwhile) {
      seen.remove(name);
      return Optional.empty();
    } catch (IOException e) {
      throw broken(file, e);
    }
  }

  @Override
  public StoredObject create(Attributes attributes, List<byte[]> blobs) {
    var object = new StoredObject(UUID.randomUUID(), 0, attributes, blobs);
    locked(() -> write(object.id() + SUFFIX, ObjectRecord.encode(object)));
    return object;
  }

  @Override
  StoredObject changed(UUID object, UnaryOperator<StoredObject> change) {
    String name = object + SUFFIX;
    var result = new AtomicReference<StoredObject>();
    locked(() -> {
      // A file system may count time too coarsely to tell two files of one length.
      seen.remove(name);
      var present = read(object).orElseThrow(() -> missing(object));
      var changed = change.apply(present);
      if (!changed.equals(present)) {
        write(name, ObjectRecord.encode(changed));
        seen.remove(name);
      }
      result.set(changed);
    });
    return result.get();
  }

  @Override
  public void delete(UUID object) {
    locked(() -> {
      if (!Files.deleteIfExists(directory.resolve(object + SUFFIX))) {
        throw missing(object);
      }
      sync(directory);
    });
  }

  @Override
  public void initialize(String label) {
    locked(() -> {
      try (var files = Files.newDirectoryStream(directory, "*" + SUFFIX)) {
        for (Path file : files) {
          Files.delete(file);
        }
      }
      write(HEAD, label.getBytes(UTF_8));
    });
  }

  @Override
  public Optional<String> label() {
    try {
      var label = new String(seal.open(HEAD, readFile(directory.resolve(HEAD))), UTF_8);
      return label.isEmpty() ? Optional.empty() : Optional.of(label);
    } catch (IOException e) {
      throw broken(directory.resolve(HEAD), e);
    }
  }

  /** It was opened by its password, which another agent may have changed since. */
  @Override
  public void requirePassword() {
    try {
      if (!Arrays.equals(envelope, readFile(directory.resolve(SEAL)))) {
        throw seal.passwordChanged();
      }
    } catch (IOException e) {
      throw broken(directory.resolve(SEAL), e);
    }
  }

  @Override
  public void changePassword(char[] password) {
    locked(() -> {
      byte[] present = readFile(directory.resolve(SEAL));
      byte[] next = seal.exchanged(envelope, present, password);
      if (!Arrays.equals(next, present)) {
        writeRaw(directory, SEAL, next);
      }
      envelope = next;
    });
  }

  @Override
  public void close() {
    synchronized (seen) {
      seen.clear();
    }
  }

  /** Its label; empty until C_InitToken gives one. */
  private void requireHead() throws IOException {
    if (!Files.exists(directory.resolve(HEAD))) {
      write(HEAD, new byte[0]);
    } else {
      label();
    }
  }

  // ---- Files

  private interface Change {
    void run() throws IOException;
  }

  @SuppressWarnings("try") // The lock is held, not used.
  private void locked(Change change) {
    synchronized (seen) {
      try (var lock = lock(directory)) {
        change.run();
      } catch (IOException e) {
        throw broken(directory, e);
      }
    }
  }

  /**
   * Held by one agent at a time, and within a JVM by one thread, which file locks do not see to.
   */
  private static Closing lock(Path directory) throws IOException {
    LOCAL.lock();
    boolean locked = false;
    try {
      var channel =
          FileChannel.open(
              directory.resolve("lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
      try {
        // Not only an IOException: somebody else in this JVM may have the file's lock.
        channel.lock();
        locked = true;
      } finally {
        if (!locked) {
          channel.close();
        }
      }
      // Closing the channel releases the lock.
      return () -> {
        try {
          channel.close();
        } finally {
          LOCAL.unlock();
        }
      };
    } catch (OverlappingFileLockException e) {
      throw new IOException(
          "its file lock is held by something else within this process; only the agent has business"
              + " there",
          e);
    } finally {
      if (!locked) {
        LOCAL.unlock();
      }
    }
  }

  private interface Closing extends AutoCloseable {
    @Override
    void close() throws IOException;
  }

  /** What an agent that was killed left behind; nobody else writes while the lock is held. */
  private static void removeUnfinished(Path directory) throws IOException {
    try (var files = Files.newDirectoryStream(directory, "*.new")) {
      for (Path file : files) {
        Files.delete(file);
      }
    }
  }

  /** The file is complete on the disk before its name says so. */
  private void write(String name, byte[] plain) throws IOException {
    writeRaw(directory, name, seal.seal(name, plain));
  }

  private static void writeRaw(Path directory, String name, byte[] content) throws IOException {
    Path file = directory.resolve(name);
    Path unfinished = directory.resolve(name + ".new");
    try (var channel =
        FileChannel.open(
            unfinished,
            java.util.Set.of(
                StandardOpenOption.CREATE,
                StandardOpenOption.TRUNCATE_EXISTING,
                StandardOpenOption.WRITE),
            PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")))) {
      var buffer = java.nio.ByteBuffer.wrap(content);
      while (buffer.hasRemaining()) {
        channel.write(buffer);
      }
      channel.force(true);
    }
    Files.move(
        unfinished, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    sync(directory);
  }

  /** So that the name survives a loss of power too. */
  private static void sync(Path directory) throws IOException {
    try (var channel = FileChannel.open(directory, StandardOpenOption.READ)) {
      channel.force(true);
    }
  }

  private static byte[] readFile(Path file) throws IOException {
    try (InputStream in = Files.newInputStream(file, LinkOption.NOFOLLOW_LINKS)) {
      byte[] content = in.readNBytes(ObjectRecord.LARGEST + 1);
      if (content.length > ObjectRecord.LARGEST) {
        throw new IOException("larger than any record");
      }
      return content;
    }
  }

  // ---- Sealing

  /** What the file holds; it is made for a keystore that is made, and for no other. */
  private static byte[] envelope(Path directory, UUID id, char @Nullable [] password)
      throws IOException {
    Path file = directory.resolve(SEAL);
    if (Files.exists(file, LinkOption.NOFOLLOW_LINKS)) {
      return readFile(file);
    }
    try (var records = Files.newDirectoryStream(directory, "{*" + SUFFIX + "," + HEAD + "}")) {
      if (records.iterator().hasNext()) {
        // A new one would open none of them.
        throw new StoreException(
            Reason.BROKEN,
            file + " is missing, and there are records that only it opens; restore it");
      }
    }
    writeRaw(directory, SEAL, Seal.fresh(id).envelope(password));
    return readFile(file);
  }

  private static StoredObject decode(String name, byte[] plain) throws IOException {
    UUID id;
    try {
      id = UUID.fromString(name.substring(0, name.length() - SUFFIX.length()));
    } catch (IllegalArgumentException e) {
      throw new IOException("its name is no object's", e);
    }
    return ObjectRecord.decode(id, plain);
  }

  @Override
  public String toString() {
    return "keystore " + directory.getFileName();
  }

  private static StoreException missing(UUID object) {
    return new StoreException(Reason.MISSING, "there is no object " + object);
  }

  private static StoreException broken(Path file, IOException cause) {
    return new StoreException(Reason.BROKEN, file + ": " + cause.getMessage(), cause);
  }
}
