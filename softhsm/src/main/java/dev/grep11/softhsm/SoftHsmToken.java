package dev.grep11.softhsm;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * An initialised token in a directory of its own: {@code softhsm2.conf}, {@code tokens/} and {@code
 * pin}, readable by the owner only.
 *
 * <p>{@code softhsm2-util} takes PINs from a terminal or its arguments, nothing else, so they show
 * for a moment in the process list of the host: provision where you are alone, as the script {@code
 * provision.sh} does for people.
 */
public final class SoftHsmToken implements AutoCloseable {
  private static final String OVERRIDE = "PKCS11_MODULE";
  private static final List<Path> USUAL_MODULES =
      List.of(
          Path.of("/usr/lib/softhsm/libsofthsm2.so"),
          Path.of("/usr/lib64/softhsm/libsofthsm2.so"),
          Path.of("/usr/lib64/pkcs11/libsofthsm2.so"),
          Path.of("/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"),
          Path.of("/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so"),
          Path.of("/usr/local/lib/softhsm/libsofthsm2.so"),
          Path.of("/opt/homebrew/lib/softhsm/libsofthsm2.so"));
  private static final String INSTALL =
      "install SoftHSM 2 (Debian, Ubuntu: apt-get install softhsm2; Fedora: dnf install softhsm)";
  private static final String SETTINGS = "softhsm2.conf";
  private static final String TOKENS = "tokens";

  /** What SoftHSM keeps of the token itself: label, PINs, and the key of all other objects. */
  private static final String TOKEN_OBJECT = "token.object";

  private static final String KEPT = TOKEN_OBJECT + ".kept";
  private static final Duration LOGIN = Duration.ofMillis(300);
  private static final Pattern TOKEN_DIRECTORY =
      Pattern.compile("\\s*directories\\.tokendir\\s*=\\s*(.*\\S)\\s*");
  private static final SecureRandom RANDOM = new SecureRandom();

  private final Path directory;
  private final String label;
  private final Path module;
  private final boolean temporary;

  private SoftHsmToken(Path directory, String label, Path module, boolean temporary) {
    this.directory = directory;
    this.label = label;
    this.module = module;
    this.temporary = temporary;
  }

  /**
   * Makes and initialises a token.
   *
   * @param directory created if absent; must hold no token yet
   * @param label up to 32 bytes
   * @param userPin 4 to 255 characters
   * @param soPin the security officer's, 4 to 255 characters
   * @throws SoftHsmUnavailableException if SoftHSM is not installed or refuses
   */
  public static SoftHsmToken create(Path directory, String label, char[] userPin, char[] soPin) {
    return create(directory, label, userPin, soPin, false);
  }

  /** A token with a random PIN in a temporary directory, which {@link #close} deletes. */
  public static SoftHsmToken temporary() {
    var userPin = randomPin();
    var soPin = randomPin();
    try {
      var directory = Files.createTempDirectory("softhsm");
      return create(
          directory, "token-" + Long.toHexString(RANDOM.nextLong()), userPin, soPin, true);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    } finally {
      Arrays.fill(userPin, '\0');
      Arrays.fill(soPin, '\0');
    }
  }

  /** A token that {@link #create} made earlier. */
  public static SoftHsmToken at(Path directory, String label) {
    var token = new SoftHsmToken(directory.toAbsolutePath(), label, findModule(), false);
    if (!Files.isReadable(token.configuration())) {
      throw new SoftHsmUnavailableException(
          directory + " holds no token: " + token.configuration() + " is not readable");
    }
    return token;
  }

  private static SoftHsmToken create(
      Path directory, String label, char[] userPin, char[] soPin, boolean temporary) {
    var token = new SoftHsmToken(directory.toAbsolutePath(), label, findModule(), temporary);
    if (Files.exists(token.configuration())) {
      throw new SoftHsmUnavailableException(directory + " holds a token already");
    }
    try {
      token.write(userPin);
      token.initialise(new String(userPin), new String(soPin));
      writePrivately(
          token.directory.resolve(KEPT),
          ByteBuffer.wrap(Files.readAllBytes(tokenObject(token.directory).orElseThrow())));
      return token;
    } catch (IOException e) {
      token.undo();
      throw new UncheckedIOException(e);
    } catch (RuntimeException e) {
      token.undo();
      throw e;
    }
  }

  private void write(char[] userPin) throws IOException {
    var onlyOwner = PosixFilePermissions.fromString("rwx------");
    Files.createDirectories(directory, PosixFilePermissions.asFileAttribute(onlyOwner));
    Files.createDirectory(tokens(), PosixFilePermissions.asFileAttribute(onlyOwner));
    writePrivately(configuration(), settings(tokens()));
    var pin = StandardCharsets.UTF_8.encode(CharBuffer.wrap(userPin));
    writePrivately(pinFile(), pin.duplicate());
    while (pin.hasRemaining()) {
      pin.put((byte) 0);
    }
  }

  private static ByteBuffer settings(Path tokens) {
    return StandardCharsets.UTF_8.encode(
        """
        directories.tokendir = %s
        objectstore.backend = file
        log.level = ERROR
        slots.removable = false
        """
            .formatted(tokens));
  }

  /**
   * Points the settings at where this directory is about to be moved; until then the token cannot
   * be opened.
   *
   * @return the token as it will be there
   */
  public SoftHsmToken prepareMove(Path destination) throws IOException {
    var moved = new SoftHsmToken(destination.toAbsolutePath(), label, module, temporary);
    replaceSettings(directory, moved.tokens());
    return moved;
  }

  /**
   * Where the settings in a token's directory say that its objects are, which is another place once
   * the directory was moved or copied; empty when they do not say.
   */
  public static Optional<Path> tokensNamedIn(Path directory) throws IOException {
    try (var lines = Files.lines(directory.resolve(SETTINGS))) {
      return lines
          .map(TOKEN_DIRECTORY::matcher)
          .filter(Matcher::matches)
          .map(found -> Path.of(found.group(1)))
          .findFirst();
    }
  }

  /** How many objects the tokens below a directory have. Each is a file of its own. */
  public static long objectsBelow(Path directory) throws IOException {
    try (var files = Files.walk(directory)) {
      return files
          .filter(file -> file.toString().endsWith(".object"))
          .filter(file -> !file.endsWith(TOKEN_OBJECT))
          .count();
    }
  }

  /** Makes the settings of a directory that was moved name the objects that are in it. */
  public static void settle(Path directory) throws IOException {
    replaceSettings(directory, directory.toAbsolutePath().resolve(TOKENS));
  }

  /**
   * Puts back the copy of the token's own object that was kept when the token was made, where that
   * object is empty. SoftHSM 2.6.1 writes it at every login, and a process that is killed meanwhile
   * leaves it so: no key opens without it. PINs that were changed later are the old ones again.
   *
   * @return whether it was empty, and is not any more
   */
  public static boolean mend(Path directory) throws IOException {
    var kept = directory.resolve(KEPT);
    var object = tokenObject(directory);
    if (object.isEmpty() || Files.size(object.get()) > 0 || !Files.exists(kept)) {
      return false;
    }
    try {
      // Empty for a moment in every login.
      Thread.sleep(LOGIN);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return false;
    }
    if (Files.size(object.get()) > 0) {
      return false;
    }
    // Not by the name of an object, which SoftHSM would load.
    var next = object.get().resolveSibling("mended");
    Files.deleteIfExists(next);
    writePrivately(next, ByteBuffer.wrap(Files.readAllBytes(kept)));
    Files.move(next, object.get(), StandardCopyOption.ATOMIC_MOVE);
    return true;
  }

  private static Optional<Path> tokenObject(Path directory) throws IOException {
    var tokens = directory.resolve(TOKENS);
    if (!Files.isDirectory(tokens)) {
      return Optional.empty();
    }
    try (var found = Files.list(tokens)) {
      return found.map(token -> token.resolve(TOKEN_OBJECT)).filter(Files::exists).findFirst();
    }
  }

  /** At once, so that no moment is without settings. */
  private static void replaceSettings(Path directory, Path tokens) throws IOException {
    var next = directory.resolve(SETTINGS + ".next");
    Files.deleteIfExists(next);
    writePrivately(next, settings(tokens));
    Files.move(next, directory.resolve(SETTINGS), StandardCopyOption.ATOMIC_MOVE);
  }

  private static void writePrivately(Path file, ByteBuffer content) throws IOException {
    var onlyOwner =
        PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------"));
    var create = EnumSet.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
    try (var channel = Files.newByteChannel(file, create, onlyOwner)) {
      while (content.hasRemaining()) {
        channel.write(content);
      }
    }
  }

  private void initialise(String userPin, String soPin) throws IOException {
    var command =
        new ArrayList<>(
            List.of("softhsm2-util", "--init-token", "--free", "--label", label, "--module"));
    command.addAll(List.of(module.toString(), "--pin", userPin, "--so-pin", soPin));
    var builder = new ProcessBuilder(command).redirectErrorStream(true);
    builder.environment().putAll(environment());
    Process process;
    try {
      process = builder.start();
    } catch (IOException e) {
      throw new SoftHsmUnavailableException("softhsm2-util cannot be run; " + INSTALL);
    }
    process.getOutputStream().close();
    var output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    try {
      if (!process.waitFor(30, TimeUnit.SECONDS) || process.exitValue() != 0) {
        process.destroyForcibly();
        throw new SoftHsmUnavailableException("softhsm2-util failed: " + output.strip());
      }
    } catch (InterruptedException e) {
      process.destroyForcibly();
      Thread.currentThread().interrupt();
      throw new SoftHsmUnavailableException("interrupted");
    }
  }

  /**
   * SoftHSM's library: the system property or environment variable PKCS11_MODULE, else where
   * distributions put it.
   */
  public static Path findModule() {
    var override = override();
    if (override != null) {
      var module = Path.of(override);
      if (!Files.isReadable(module)) {
        throw new SoftHsmUnavailableException(
            OVERRIDE + " names " + module + ", not a readable file");
      }
      return module;
    }
    return USUAL_MODULES.stream()
        .filter(Files::isReadable)
        .findFirst()
        .orElseThrow(() ->
            new SoftHsmUnavailableException(
                "libsofthsm2.so not found in the usual places; "
                    + INSTALL
                    + ", or set "
                    + OVERRIDE));
  }

  private static @Nullable String override() {
    var property = System.getProperty(OVERRIDE);
    var value = property == null ? System.getenv(OVERRIDE) : property;
    return value == null || value.isBlank() ? null : value;
  }

  private static char[] randomPin() {
    var pin = new char[24];
    var alphabet = "abcdefghijkmnopqrstuvwxyz23456789";
    for (int i = 0; i < pin.length; i++) {
      pin[i] = alphabet.charAt(RANDOM.nextInt(alphabet.length()));
    }
    return pin;
  }

  /** The PKCS #11 library. */
  public Path module() {
    return module;
  }

  public String label() {
    return label;
  }

  public Path directory() {
    return directory;
  }

  /** Holds the user PIN without a line end; mode 0600. */
  public Path pinFile() {
    return directory.resolve("pin");
  }

  /** Where SoftHSM keeps the token's objects. */
  public Path tokens() {
    return directory.resolve(TOKENS);
  }

  private Path configuration() {
    return directory.resolve(SETTINGS);
  }

  /** What the module reads from the environment at C_Initialize. */
  public Map<String, String> environment() {
    return Map.of("SOFTHSM2_CONF", configuration().toString());
  }

  /** Deletes a temporary token; any other stays. */
  @Override
  public void close() {
    if (temporary) {
      delete(directory);
    }
  }

  /** Leaves nothing of a token that could not be initialised, and what others put there alone. */
  private void undo() {
    delete(tokens());
    delete(configuration());
    delete(pinFile());
    delete(directory.resolve(KEPT));
    close();
  }

  private static void delete(Path tree) {
    if (!Files.exists(tree)) {
      return;
    }
    try {
      Files.walkFileTree(
          tree,
          new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes)
                throws IOException {
              Files.deleteIfExists(file);
              return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult postVisitDirectory(Path visited, @Nullable IOException failure)
                throws IOException {
              Files.deleteIfExists(visited);
              return FileVisitResult.CONTINUE;
            }
          });
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Override
  public String toString() {
    return "SoftHSM token " + label + " in " + directory;
  }
}
