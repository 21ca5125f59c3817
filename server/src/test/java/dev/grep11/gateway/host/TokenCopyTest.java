package dev.grep11.gateway.host;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.grep11.gateway.command.DemoData;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.hsm.TokenInfo;
import dev.grep11.gateway.store.UpkeepRecord;
import dev.grep11.gateway.token.StartException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A backup is tried on a copy of the token, by another process. */
class TokenCopyTest {
  private static final TokenInfo SOFTHSM =
      new TokenInfo("grep11-demo", "0001", "SoftHSM project", "SoftHSM v2", "2.6");

  private static final Set<PosixFilePermission> OWNERS =
      PosixFilePermissions.fromString("rwx------");

  @TempDir private Path parent;
  private Path file;
  private DemoData demo;
  private GatewayConfig config;

  @BeforeEach
  void backUp() {
    demo = DemoData.open(parent.resolve("demo"));
    config = GatewayConfig.read(demo.config());
    file = parent.resolve("backup");
    try (var host = Host.open(config)) {
      host.backups().backUp(file, false);
    }
  }

  private int rehearse() throws IOException {
    try (var scratch = Scratch.in(parent)) {
      int samples =
          TokenCopy.of(config, SOFTHSM).orElseThrow().rehearse(demo.config(), file, scratch);
      try (Stream<Path> copied = Files.walk(scratch.directory().resolve("token/tokens"))) {
        assertThat(copied.filter(Files::isRegularFile)).hasSameSizeAs(tokenFiles());
      }
      return samples;
    }
  }

  private Path tokens() {
    return demo.config().resolveSibling("token").resolve("tokens");
  }

  private List<Path> tokenFiles() throws IOException {
    try (Stream<Path> all = Files.walk(tokens())) {
      return all.filter(Files::isRegularFile).toList();
    }
  }

  /** SoftHSM rewrites a file of a token at each login. */
  private Map<Path, String> state() throws IOException {
    var state = new TreeMap<Path, String>();
    for (var each : tokenFiles()) {
      state.put(each, Files.getLastModifiedTime(each) + " " + Files.size(each));
    }
    return state;
  }

  @Test
  void samplesOpenOnACopyAndNobodyLogsInToTheLiveToken() throws Exception {
    var before = state();
    assertThat(before).isNotEmpty();

    assertThat(rehearse()).isEqualTo(3);

    assertThat(state()).isEqualTo(before);
    assertThat(scratches()).isEmpty();
  }

  private List<Path> scratches() throws IOException {
    try (Stream<Path> all = Files.list(parent)) {
      return all.filter(each -> each.getFileName().toString().startsWith("rehearsal-")).toList();
    }
  }

  @Test
  void whatAKilledRehearsalLeftIsRemovedByTheNextAndNotWhatIsInUse() throws Exception {
    try (var inUse = Scratch.in(parent)) {
      Files.createDirectories(inUse.directory().resolve("token/tokens"));
      var left = Files.createDirectories(parent.resolve("rehearsal-1/token"));
      Files.createFile(left.resolveSibling("lock"));
      Files.createFile(left.resolve("token.object"));
      var other = Files.createDirectories(parent.resolve("rehearsal-notes"));
      var strange = Files.createDirectories(parent.resolve("rehearsal-2/token"));
      Files.createFile(strange.resolveSibling("lock"));
      Files.setPosixFilePermissions(parent.resolve("rehearsal-1"), OWNERS);
      Files.setPosixFilePermissions(
          parent.resolve("rehearsal-2"), PosixFilePermissions.fromString("rwxrwxrwx"));
      var kept = Files.createFile(parent.resolve("kept"));
      Files.createSymbolicLink(left.resolve("link"), parent);

      try (var next = Scratch.in(parent)) {
        assertThat(scratches())
            .containsExactlyInAnyOrder(
                inUse.directory(), next.directory(), other, parent.resolve("rehearsal-2"));
        assertThat(Files.getPosixFilePermissions(next.directory())).isEqualTo(OWNERS);
      }
      assertThat(scratches())
          .containsExactlyInAnyOrder(inUse.directory(), other, parent.resolve("rehearsal-2"));
      assertThat(kept).exists();
    }
  }

  @Test
  void aTokenBehindALinkIsCopiedWhateverIsSaidBesideItsName() throws Exception {
    var link = Files.createSymbolicLink(parent.resolve("link"), tokens());
    var settings =
        Files.writeString(
            parent.resolve("linked.conf"),
            "directories.tokendir = %s # of the demo%nobjectstore.backend = file%n"
                .formatted(link));
    var linked =
        GatewayConfig.read(
            demo.config(),
            Map.of("/hsm/environment", Map.of("SOFTHSM2_CONF", settings.toString())));
    try (var scratch = Scratch.in(parent)) {
      assertThat(TokenCopy.of(linked, SOFTHSM).orElseThrow().rehearse(demo.config(), file, scratch))
          .isEqualTo(3);
    }
  }

  @Test
  void aProcessThatIsToldToStopTakesItsScratchAlong() throws Exception {
    var process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-cp",
                System.getProperty("java.class.path"),
                Waiting.class.getName(),
                parent.toString())
            .redirectErrorStream(true)
            .redirectOutput(parent.resolve("log").toFile())
            .start();
    try {
      await()
          .atMost(Duration.ofSeconds(30))
          .until(() -> Files.exists(parent.resolve("child")) && !scratches().isEmpty());
      var child =
          ProcessHandle.of(Long.parseLong(Files.readString(parent.resolve("child")))).orElseThrow();
      process.destroy();
      assertThat(process.waitFor(30, TimeUnit.SECONDS)).isTrue();
      assertThat(scratches()).isEmpty();
      await().atMost(Duration.ofSeconds(10)).until(() -> !child.isAlive());
    } finally {
      process.destroyForcibly();
    }
  }

  /** A rehearsal that does not end. */
  static final class Waiting {
    private Waiting() {}

    public static void main(String[] arguments) throws Exception {
      var scratch = Scratch.in(Path.of(arguments[0]));
      Files.createFile(scratch.directory().resolve("token.object"));
      var child = new ProcessBuilder("sleep", "60").start();
      scratch.runs(child);
      var next = Path.of(arguments[0], "child.next");
      Files.writeString(next, Long.toString(child.pid()));
      Files.move(next, Path.of(arguments[0], "child"));
      Thread.sleep(Duration.ofMinutes(1));
    }
  }

  @Test
  void theTrialIsHardenedAsGatewaysAre() throws Exception {
    var options = new AtomicReference<>("");
    var ended = new AtomicBoolean();
    try (var scratch = Scratch.in(parent)) {
      var watching =
          Thread.ofVirtual()
              .start(() -> {
                while (options.get().isEmpty() && !ended.get()) {
                  ProcessHandle.current()
                      .children()
                      .map(child -> commandLine(child.pid()))
                      .filter(line -> line.contains(TokenCopyTrial.class.getName()))
                      .forEach(options::set);
                  LockSupport.parkNanos(Duration.ofMillis(10).toNanos());
                }
              });
      try {
        var _ = TokenCopy.of(config, SOFTHSM).orElseThrow().rehearse(demo.config(), file, scratch);
      } finally {
        ended.set(true);
        watching.join();
      }
    }
    assertThat(options.get())
        .contains("-XX:+DisableAttachMechanism\0", "-XX:-CreateCoredumpOnCrash\0")
        .contains("-XX:-HeapDumpOnOutOfMemoryError\0", "-XX:-UsePerfData\0");
  }

  private static String commandLine(long process) {
    try {
      return Files.readString(Path.of("/proc", Long.toString(process), "cmdline"));
    } catch (IOException e) {
      return "";
    }
  }

  @Test
  void aTokenWhoseFilesAreNotAllThereIsFoundOutByItsCopy() throws Exception {
    for (var each : tokenFiles()) {
      var name = each.getFileName().toString();
      if (name.endsWith(".object") && !name.equals("token.object")) {
        Files.delete(each);
      }
    }
    assertThatThrownBy(this::rehearse)
        .isInstanceOf(StartException.class)
        .hasMessageStartingWith("on a copy of the token: ")
        .hasMessageContaining("0 objects in the token");
  }

  @Test
  void aTokenThatIsBeingWrittenIsNotCopied() throws Exception {
    for (var each : tokenFiles()) {
      if (each.getFileName().toString().equals("token.object")) {
        Files.write(each, new byte[0]);
      }
    }
    assertThatThrownBy(this::rehearse)
        .isInstanceOf(StartException.class)
        .hasMessageContaining("cannot be copied");
  }

  @Test
  void aTokenOfAnotherMakerAndOneWhoseFilesAreNotFoundAllowNoCopy() throws Exception {
    var other = new TokenInfo("grep11-demo", "0001", "another", "SoftHSM v2", "2.6");
    assertThat(TokenCopy.of(config, other)).isEmpty();
    var nowhere =
        GatewayConfig.read(
            demo.config(), Map.of("/hsm/environment", Map.of("SOFTHSM2_CONF", "/nowhere")));
    assertThat(TokenCopy.of(nowhere, SOFTHSM)).isEmpty();
  }

  @Test
  void aTrialThatFailsOnTheCopyIsNoneAndNothingIsLeftOfIt() throws Exception {
    try (var host = Host.open(config)) {
      var good = host.backups().withTokenCopies(demo.config());
      assertThat(good.rehearseLatest(Optional.empty(), Optional.empty()).onCopy()).isTrue();
      var counted = host.store().snapshot().last(UpkeepRecord.Kind.REHEARSAL);
      assertThat(counted).isPresent();

      var bad = host.backups().withTokenCopies(parent.resolve("absent.yaml"));
      assertThatThrownBy(() -> bad.rehearseLatest(Optional.empty(), Optional.empty()))
          .isInstanceOf(StartException.class)
          .hasMessageStartingWith("on a copy of the token: ")
          .hasMessageContaining("absent.yaml");
      assertThat(host.store().snapshot().last(UpkeepRecord.Kind.REHEARSAL)).isEqualTo(counted);
      assertThat(host.backups().rehearseLatest(Optional.empty(), Optional.empty()).onCopy())
          .isFalse();
    }
    try (Stream<Path> left = Files.list(config.store())) {
      assertThat(left).noneMatch(each -> each.getFileName().toString().startsWith("rehearsal-"));
    }
  }

  @Test
  void aTrialThatEndsWithoutAnAnswerIsNone() {
    var path = System.getProperty("java.class.path");
    System.setProperty("java.class.path", parent.toString());
    try {
      assertThatThrownBy(this::rehearse)
          .isInstanceOf(StartException.class)
          .hasMessageContaining("ended without an answer, by exit code 1: ");
    } finally {
      System.setProperty("java.class.path", path);
    }
  }
}
