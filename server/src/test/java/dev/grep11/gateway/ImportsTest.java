package dev.grep11.gateway;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** Which package may use which: the table of docs/architecture.md, and its two hard boundaries. */
class ImportsTest {
  private static final String BASE = "dev.grep11.gateway";
  private static final Path SOURCES = Path.of("src/main/java");

  /** Only downward. {@code hsm} is named where working copies and sessions are lent. */
  private static final Map<String, Set<String>> MAY_USE =
      Map.ofEntries(
          Map.entry(
              "rpc",
              Set.of(
                  "operation",
                  "queue",
                  "metrics",
                  "trace",
                  "keystore",
                  "certmgr",
                  "trust",
                  "iam",
                  "tls",
                  "key",
                  "pkcs11",
                  "audit",
                  "store")),
          Map.entry(
              "doctor",
              Set.of(
                  "host", "config", "token", "trace", "certmgr", "trust", "iam", "tls", "key",
                  "hsm", "pkcs11", "store", "audit")),
          Map.entry(
              "host",
              Set.of(
                  "config", "token", "certmgr", "trust", "tls", "iam", "key", "hsm", "pkcs11",
                  "store", "audit")),
          Map.entry(
              "config",
              Set.of(
                  "rpc", "trace", "certmgr", "trust", "iam", "tls", "hsm", "pkcs11", "store",
                  "audit")),
          Map.entry("token", Set.of("iam", "keystore", "key", "hsm", "pkcs11", "store", "audit")),
          Map.entry("tls", Set.of("certmgr", "trust", "audit")),
          Map.entry("iam", Set.of("http", "trust", "store", "audit")),
          Map.entry("http", Set.of("tls")),
          Map.entry("certmgr", Set.of("trust", "store", "audit")),
          Map.entry("trust", Set.of()),
          Map.entry("keystore", Set.of("store", "pkcs11")),
          Map.entry("operation", Set.of("key", "hsm", "pkcs11")),
          Map.entry("key", Set.of("hsm", "pkcs11")),
          Map.entry("hsm", Set.of("queue", "pkcs11")),
          Map.entry("queue", Set.of("pkcs11")),
          Map.entry("metrics", Set.of()),
          Map.entry("trace", Set.of("trust", "pkcs11")),
          Map.entry("pkcs11", Set.of()),
          Map.entry("store", Set.of()),
          Map.entry("audit", Set.of()));

  /** These build and use whatever is below them: all but {@code command}, and all. */
  private static final String ROOT = "";

  private static final String COMMAND = "command";

  private static final Pattern NAMED =
      Pattern.compile("\\b((?:dev\\.grep11|java\\.lang\\.foreign)[a-z0-9_.]*)");

  /** A package named anywhere in a source file: in an import or in full. */
  private record Use(Path file, String from, String to) {
    @Override
    public String toString() {
      return SOURCES.relativize(file) + " names " + to;
    }
  }

  private static Set<Use> uses() throws IOException {
    var found = new ArrayList<Use>();
    try (var files = Files.walk(SOURCES)) {
      for (var file : files.filter(path -> path.toString().endsWith(".java")).toList()) {
        var from = SOURCES.relativize(file.getParent()).toString().replace('/', '.');
        var matcher = NAMED.matcher(Files.readString(file));
        while (matcher.find()) {
          found.add(new Use(file, from, matcher.group(1).replaceAll("\\.$", "")));
        }
      }
    }
    assertThat(found).hasSizeGreaterThan(100);
    return Set.copyOf(found);
  }

  private static String room(String packageName) {
    return packageName.length() <= BASE.length() ? "" : packageName.substring(BASE.length() + 1);
  }

  private static boolean mayUse(String from, String to) {
    return switch (from) {
      case COMMAND -> true;
      case ROOT -> !to.equals(COMMAND);
      default -> MAY_USE.getOrDefault(from, Set.of()).contains(to);
    };
  }

  @Test
  void packagesUseOnlyWhatIsBelowThem() throws IOException {
    var wrong = new TreeSet<String>();
    for (var use : uses()) {
      var from = room(use.from());
      if (!(use.to() + ".").startsWith(BASE + ".")) {
        continue;
      }
      var to = room(use.to());
      if (!to.equals(from) && !mayUse(from, to)) {
        wrong.add(use.toString());
      }
    }
    assertThat(wrong).isEmpty();
  }

  @Test
  void everyPackageHasItsPlaceInTheTable() throws IOException {
    assertThat(uses())
        .extracting(use -> room(use.from()))
        .allSatisfy(from ->
            assertThat(Set.of(ROOT, COMMAND).contains(from) || MAY_USE.containsKey(from))
                .as(from)
                .isTrue());
  }

  @Test
  void generatedMessagesStayInRpc() throws IOException {
    assertThat(uses())
        .filteredOn(use -> use.to().startsWith("dev.grep11.proto"))
        .allSatisfy(use -> assertThat(use.from()).isEqualTo(BASE + ".rpc"));
  }

  @Test
  void foreignMemoryStaysInHsm() throws IOException {
    assertThat(uses())
        .filteredOn(use -> use.to().startsWith("java.lang.foreign"))
        .allSatisfy(use -> assertThat(use.from()).isEqualTo(BASE + ".hsm"));
  }
}
