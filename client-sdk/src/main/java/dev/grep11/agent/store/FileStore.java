package dev.grep11.agent.store;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.grep11.agent.store.StoreException.Reason;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.GeneralSecurityException;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Consumer;
import javax.crypto.AEADBadTagException;
import javax.crypto.Cipher;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;
import org.bouncycastle.crypto.generators.SCrypt;
import org.jspecify.annotations.Nullable;

/**
 * A keystore in a directory: one sealed file for each object, written beside and renamed.
 *
 * <p>A key is sealed by the HSM already, as a blob. Each file is in addition encrypted with
 * AES-256-GCM, bound to its store and name, so that nobody reads or changes its attributes: under a
 * key that scrypt makes of the keystore's password, or, without a password, under a random one in
 * the file {@code seal}. That file protects against who can write records and not read it, and
 * against accidents; not against a holder of the whole directory, who can also put an older file
 * back.
 *
 * <p>Several agents of one host may have the same directory: changes are made under a lock of it.
 */
public final class FileStore implements Store {
  private static final int FORMAT = 1;
  private static final String SUFFIX = ".object";
  private static final String HEAD = "keystore";
  private static final int KEY_BYTES = 32;
  private static final int SALT_BYTES = 16;
  private static final int IV_BYTES = 12;
  private static final int TAG_BITS = 128;
  private static final int LARGEST = 1 << 20;

  /** RFC 7914: 64 MiB and about a fifth of a second, once for each start of the agent. */
  private static final int SCRYPT_COST = 1 << 16;

  private static final int SCRYPT_BLOCK = 8;

  private static final ReentrantLock LOCAL = new ReentrantLock();

  private final Path directory;
  private final UUID id;
  private final SecretKeySpec key;
  private final SecureRandom random = new SecureRandom();

  private record Seen(FileTime time, long size, StoredObject object) {}

  /** What was read last, by file name. Guarded by itself. */
  private final Map<String, Seen> seen = new HashMap<>();

  /** What was warned of, by file name. Guarded by {@link #seen}. */
  private final Map<String, String> broken = new HashMap<>();

  private volatile Consumer<String> warn = problem -> {};

  private FileStore(Path directory, UUID id, SecretKeySpec key) {
    this.directory = directory;
    this.id = id;
    this.key = key;
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
        var store = new FileStore(directory, id, sealKey(directory, password));
        store.requireHead();
        return store;
      }
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
        known = new Seen(time, size, decode(name, open(name, readFile(file))));
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
    locked(() -> write(object.id() + SUFFIX, encode(object)));
    return object;
  }

  @Override
  public StoredObject update(UUID object, long version, Attributes attributes, List<byte[]> blobs) {
    var changed = new StoredObject(object, version + 1, attributes, blobs);
    locked(() -> {
      var current = read(object).orElseThrow(() -> missing(object));
      if (current.version() != version) {
        throw new StoreException(
            Reason.CONFLICT,
            "object %s is of version %d by now, not %d"
                .formatted(object, current.version(), version));
      }
      write(object + SUFFIX, encode(changed));
    });
    return changed;
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
      var label = new String(open(HEAD, readFile(directory.resolve(HEAD))), UTF_8);
      return label.isEmpty() ? Optional.empty() : Optional.of(label);
    } catch (IOException e) {
      throw broken(directory.resolve(HEAD), e);
    }
  }

  /** It was opened by it. */
  @Override
  public void requirePassword() {}

  @Override
  public void close() {
    synchronized (seen) {
      seen.clear();
    }
  }

  /** The first file that is written under a key tells whether a password is the right one. */
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
    try {
      var channel =
          FileChannel.open(
              directory.resolve("lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
      // Closing the channel releases the lock.
      channel.lock();
      return () -> {
        try {
          channel.close();
        } finally {
          LOCAL.unlock();
        }
      };
    } catch (IOException e) {
      LOCAL.unlock();
      throw e;
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
    writeRaw(directory, name, seal(name, plain));
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
      byte[] content = in.readNBytes(LARGEST + 1);
      if (content.length > LARGEST) {
        throw new IOException("larger than any record");
      }
      return content;
    }
  }

  // ---- Sealing

  private static SecretKeySpec sealKey(Path directory, char @Nullable [] password)
      throws IOException {
    Path salt = directory.resolve("salt");
    Path seal = directory.resolve("seal");
    boolean begun = Files.exists(directory.resolve(HEAD));
    if (begun && (password == null) != Files.exists(seal)) {
      throw new StoreException(
          Reason.PASSWORD,
          directory
              + (password == null
                  ? ": this keystore has a password; name it in sessionauth"
                  : ": this keystore was made without a password; switch sessionauth off"));
    }
    if (password == null) {
      if (!Files.exists(seal)) {
        writeRaw(directory, "seal", randomBytes(KEY_BYTES));
      }
      byte[] content = readFile(seal);
      if (content.length != KEY_BYTES) {
        throw new IOException("the file seal does not hold " + KEY_BYTES + " bytes");
      }
      return new SecretKeySpec(content, "AES");
    }
    if (!Files.exists(salt)) {
      writeRaw(directory, "salt", randomBytes(SALT_BYTES));
    }
    byte[] bytes = UTF_8.encode(java.nio.CharBuffer.wrap(password)).array();
    // The encoder's array may be longer than the text; zeros are not part of the password.
    int length = bytes.length;
    while (length > 0 && bytes[length - 1] == 0) {
      length--;
    }
    byte[] exact = Arrays.copyOf(bytes, length);
    try {
      return new SecretKeySpec(
          SCrypt.generate(exact, readFile(salt), SCRYPT_COST, SCRYPT_BLOCK, 1, KEY_BYTES), "AES");
    } finally {
      Arrays.fill(bytes, (byte) 0);
      Arrays.fill(exact, (byte) 0);
    }
  }

  private static byte[] randomBytes(int length) {
    byte[] bytes = new byte[length];
    new SecureRandom().nextBytes(bytes);
    return bytes;
  }

  private byte[] seal(String name, byte[] plain) {
    byte[] iv = new byte[IV_BYTES];
    random.nextBytes(iv);
    try {
      var cipher = Cipher.getInstance("AES/GCM/NoPadding");
      cipher.init(Cipher.ENCRYPT_MODE, key, new GCMParameterSpec(TAG_BITS, iv));
      cipher.updateAAD(context(name));
      byte[] sealed = Arrays.copyOf(iv, IV_BYTES + plain.length + TAG_BITS / 8);
      cipher.doFinal(plain, 0, plain.length, sealed, IV_BYTES);
      return sealed;
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e);
    }
  }

  private byte[] open(String name, byte[] sealed) throws IOException {
    if (sealed.length < IV_BYTES + TAG_BITS / 8) {
      throw new IOException("shorter than any record");
    }
    try {
      var cipher = Cipher.getInstance("AES/GCM/NoPadding");
      cipher.init(Cipher.DECRYPT_MODE, key, new GCMParameterSpec(TAG_BITS, sealed, 0, IV_BYTES));
      cipher.updateAAD(context(name));
      return cipher.doFinal(sealed, IV_BYTES, sealed.length - IV_BYTES);
    } catch (AEADBadTagException e) {
      throw name.equals(HEAD)
          ? new StoreException(
              Reason.PASSWORD, directory + ": the keystore has another password", e)
          : new StoreException(
              Reason.BROKEN,
              directory.resolve(name) + ": not as this keystore wrote it; restore it or delete it",
              e);
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e);
    }
  }

  /** What a sealed file is bound to, so that it cannot take another's place. */
  private byte[] context(String name) {
    return ("grep11 filestore " + FORMAT + "\n" + id + "\n" + name).getBytes(UTF_8);
  }

  // ---- Records

  private static byte[] encode(StoredObject object) {
    var bytes = new ByteArrayOutputStream();
    var out = new DataOutputStream(bytes);
    try {
      out.writeByte(FORMAT);
      out.writeLong(object.version());
      out.writeInt(object.attributes().toMap().size());
      for (var attribute : object.attributes().toMap().entrySet()) {
        out.writeLong(attribute.getKey());
        out.writeInt(attribute.getValue().length);
        out.write(attribute.getValue());
      }
      out.writeInt(object.blobs().size());
      for (byte[] blob : object.blobs()) {
        out.writeInt(blob.length);
        out.write(blob);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    if (bytes.size() > LARGEST - 64) {
      throw new StoreException(
          Reason.BROKEN, "an object of " + bytes.size() + " bytes; 1 MiB is the most");
    }
    return bytes.toByteArray();
  }

  private static StoredObject decode(String name, byte[] plain) throws IOException {
    var in = new DataInputStream(new java.io.ByteArrayInputStream(plain));
    if (in.readByte() != FORMAT) {
      throw new IOException(name + " has a format of another version");
    }
    long version = in.readLong();
    var attributes = new TreeMap<Long, byte[]>();
    for (int count = in.readInt(); count > 0; count--) {
      attributes.put(in.readLong(), in.readNBytes(in.readInt()));
    }
    var blobs = new ArrayList<byte[]>();
    for (int count = in.readInt(); count > 0; count--) {
      blobs.add(in.readNBytes(in.readInt()));
    }
    UUID id;
    try {
      id = UUID.fromString(name.substring(0, name.length() - SUFFIX.length()));
    } catch (IllegalArgumentException e) {
      throw new IOException("its name is no object's", e);
    }
    return new StoredObject(id, version, Attributes.of(attributes), blobs);
  }

  private static StoreException missing(UUID object) {
    return new StoreException(Reason.MISSING, "there is no object " + object);
  }

  private static StoreException broken(Path file, IOException cause) {
    return new StoreException(Reason.BROKEN, file + ": " + cause.getMessage(), cause);
  }
}
