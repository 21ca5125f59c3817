package dev.grep11.bench;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;

/** What the figures of a run belong to. */
final class Machine {
  private static final Pattern VERSION = Pattern.compile("\\d+(\\.\\d+)+[A-Za-z0-9.+-]*");

  private Machine() {}

  /** Processor, memory, and the versions of what takes part; words are joined by underscores. */
  static Line line() {
    return new Line()
        .with("machine", words(field(Path.of("/proc/cpuinfo"), "model name").orElse("unknown")))
        .with("processors", Runtime.getRuntime().availableProcessors())
        .with(
            "memory_mib",
            field(Path.of("/proc/meminfo"), "MemTotal")
                .map(value -> Long.parseLong(value.replaceAll("\\D", "")) / 1024)
                .orElse(0L))
        .with("kernel", words(System.getProperty("os.version", "unknown")))
        .with("java", words(System.getProperty("java.vm.version", "unknown")))
        .with("softhsm", version("softhsm2-util", "--version"))
        .with("openssl", version("openssl", "version"))
        .with("p11_kit", version("dpkg-query", "-W", "-f", "${Version}", "p11-kit"))
        .with("commit", Optional.ofNullable(System.getenv("GREP11_COMMIT")).orElse("unknown"))
        .with("date", LocalDate.now(ZoneOffset.UTC).toString());
  }

  private static Optional<String> field(Path file, String name) {
    try (var lines = Files.lines(file)) {
      return lines
          .filter(line -> line.startsWith(name))
          .findFirst()
          .map(line -> line.substring(line.indexOf(':') + 1).strip());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** The first thing that looks like a version, or none when there is no such program. */
  private static String version(String... command) {
    try {
      var process = new ProcessBuilder(command).redirectErrorStream(true).start();
      var said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
      process.waitFor(5, TimeUnit.SECONDS);
      var found = VERSION.matcher(said);
      return found.find() ? found.group() : "unknown";
    } catch (IOException e) {
      return "none";
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new BenchException("interrupted", e);
    }
  }

  private static String words(String text) {
    return text.strip().replaceAll("\\s+", "_");
  }
}
