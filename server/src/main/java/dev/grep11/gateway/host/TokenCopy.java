package dev.grep11.gateway.host;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.config.IoCause;
import dev.grep11.gateway.hsm.TokenInfo;
import dev.grep11.gateway.token.StartException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * A copy of a SoftHSM token, on which a backup is tried by another process: SoftHSM is loaded once
 * in a process and has one directory for its tokens. Tokens of other makers allow no copy.
 *
 * <p>The copy is what SoftHSM's own backup is: its files, whose keys the PIN opens.
 */
final class TokenCopy {
  static final String SETTINGS = "SOFTHSM2_CONF";
  private static final String MANUFACTURER = "SoftHSM project";
  private static final Pattern DIRECTORY =
      Pattern.compile("\\s*directories\\.tokendir\\s*=\\s*([^#]*[^#\\s])\\s*(#.*)?");
  private static final int ATTEMPTS = 12;
  private static final Duration PAUSE = Duration.ofMillis(250);
  private static final Duration LONGEST = Duration.ofMinutes(60);

  /** It has the PIN, and keys for a moment: nothing looks into its memory, and none of it stays. */
  private static final List<String> HARDENED =
      List.of(
          "-XX:+DisableAttachMechanism",
          "-XX:-HeapDumpOnOutOfMemoryError",
          "-XX:-CreateCoredumpOnCrash",
          "-XX:-UsePerfData",
          "-XX:TieredStopAtLevel=1");

  private final Path settings;
  private final Path tokens;

  private TokenCopy(Path settings, Path tokens) {
    this.settings = settings;
    this.tokens = tokens;
  }

  /**
   * Finds where a token is that can be copied.
   *
   * @return empty of a token that allows no copy, or whose files are not found
   */
  static Optional<TokenCopy> of(GatewayConfig config, TokenInfo token) {
    if (!token.manufacturer().equals(MANUFACTURER)) {
      return Optional.empty();
    }
    var file =
        Optional.ofNullable(config.hsm().environment().get(SETTINGS))
            .or(() -> Optional.ofNullable(System.getenv(SETTINGS)))
            .map(Path::of);
    return file.filter(Files::isReadable)
        .flatMap(TokenCopy::tokenDirectory)
        .map(tokens -> new TokenCopy(file.get(), tokens));
  }

  private static Optional<Path> tokenDirectory(Path settings) {
    try (var lines = Files.lines(settings, UTF_8)) {
      var named =
          lines
              .map(DIRECTORY::matcher)
              .filter(line -> line.matches())
              .map(line -> Path.of(line.group(1)))
              .findFirst()
              .filter(Files::isDirectory);
      return named.isPresent() ? Optional.of(named.get().toRealPath()) : Optional.empty();
    } catch (IOException e) {
      throw new StartException(settings + " cannot be read: " + IoCause.of(e), e);
    }
  }

  /**
   * Tries a backup on a copy.
   *
   * @param config the file of the gateway's settings
   * @return how many samples were opened
   * @throws StartException with what does not work
   */
  int rehearse(Path config, Path backup, Scratch scratch) throws IOException {
    var directory = Files.createDirectory(scratch.directory().resolve("token"));
    copy(directory.resolve("tokens"));
    var copied = directory.resolve("softhsm2.conf");
    var lines = new ArrayList<String>();
    for (var line : Files.readAllLines(settings, UTF_8)) {
      lines.add(
          DIRECTORY.matcher(line).matches()
              ? "directories.tokendir = " + directory.resolve("tokens").toAbsolutePath()
              : line);
    }
    Files.write(copied, lines, UTF_8);
    return answer(config, backup, scratch, copied);
  }

  /** Whoever logs in meanwhile empties and rewrites a file of the token. */
  private void copy(Path to) throws IOException {
    for (int attempt = 1; !copied(to); attempt++) {
      if (attempt == ATTEMPTS) {
        throw new StartException(
            "the token in %s cannot be copied: a file of it is empty, or changes all the time"
                .formatted(tokens));
      }
      Scratch.remove(to);
      try {
        Thread.sleep(PAUSE);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        throw new StartException("the copying of the token was interrupted", e);
      }
    }
  }

  private boolean copied(Path to) throws IOException {
    try {
      var before = state();
      copyOnce(to);
      return !before.isEmpty()
          && before.equals(state())
          && before.values().stream().noneMatch(each -> each.size() == 0);
    } catch (NoSuchFileException _) {
      return false;
    } catch (UncheckedIOException e) {
      if (e.getCause() instanceof NoSuchFileException) {
        return false;
      }
      throw e.getCause();
    }
  }

  private record FileState(long size, FileTime changed) {}

  private Map<Path, FileState> state() throws IOException {
    var state = new HashMap<Path, FileState>();
    for (var path : files()) {
      if (Files.isRegularFile(path) && !path.toString().endsWith(".lock")) {
        state.put(path, new FileState(Files.size(path), Files.getLastModifiedTime(path)));
      }
    }
    return state;
  }

  private void copyOnce(Path to) throws IOException {
    // Its parent must be there: it is gone when the process is told to stop.
    Files.createDirectory(to);
    for (var path : files()) {
      var target = to.resolve(tokens.relativize(path).toString());
      if (path.equals(tokens)) {
        continue;
      }
      if (Files.isDirectory(path)) {
        Files.createDirectory(target);
      } else {
        Files.copy(path, target);
      }
    }
  }

  private List<Path> files() throws IOException {
    try (Stream<Path> all = Files.walk(tokens)) {
      return all.toList();
    }
  }

  private static int answer(Path config, Path backup, Scratch scratch, Path copied)
      throws IOException {
    var answer = scratch.directory().resolve("answer");
    var command = new ArrayList<String>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    // Where libraries are, what they may do, and how much memory there is.
    ManagementFactory.getRuntimeMXBean().getInputArguments().stream()
        .filter(each -> each.startsWith("-D") || each.startsWith("--") || each.startsWith("-Xmx"))
        .forEach(command::add);
    command.addAll(HARDENED);
    command.addAll(
        List.of(
            "-cp",
            System.getProperty("java.class.path"),
            TokenCopyTrial.class.getName(),
            config.toAbsolutePath().toString(),
            backup.toAbsolutePath().toString(),
            scratch.directory().toAbsolutePath().toString(),
            answer.toAbsolutePath().toString()));
    var builder = new ProcessBuilder(command);
    builder.environment().put(SETTINGS, copied.toAbsolutePath().toString());
    var log = scratch.directory().resolve("log");
    Process process;
    try {
      process = builder.redirectErrorStream(true).redirectOutput(log.toFile()).start();
    } catch (IOException e) {
      throw new StartException(
          "no process for a trial on a copy of the token can be started: " + e.getMessage(), e);
    }
    scratch.runs(process);
    try {
      if (!process.waitFor(LONGEST.toSeconds(), TimeUnit.SECONDS)) {
        throw new StartException("the trial on a copy of the token did not end");
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new StartException("the trial on a copy of the token was interrupted", e);
    }
    if (!Files.exists(answer)) {
      throw new StartException(
          "the trial on a copy of the token ended without an answer, by exit code %d: %s"
              .formatted(process.exitValue(), lastLine(log)));
    }
    var said = Files.readString(answer, UTF_8);
    if (!said.startsWith(TokenCopyTrial.GOOD)) {
      throw new StartException("on a copy of the token: " + said);
    }
    return Integer.parseInt(said.substring(TokenCopyTrial.GOOD.length()));
  }

  private static String lastLine(Path log) throws IOException {
    try (var lines = Files.lines(log, UTF_8)) {
      return lines
          .filter(line -> !line.isBlank())
          .reduce((_, last) -> last)
          .orElse("it said nothing");
    }
  }
}
