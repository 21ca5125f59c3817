package dev.grep11.gateway.host;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.grep11.gateway.command.DemoData;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.hsm.TokenInfo;
import dev.grep11.gateway.store.UpkeepRecord;
import dev.grep11.gateway.token.StartException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A backup is tried on a copy of the token, by another process. */
class TokenCopyTest {
  private static final TokenInfo SOFTHSM =
      new TokenInfo("grep11-demo", "0001", "SoftHSM project", "SoftHSM v2", "2.6");

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
    var scratch = Files.createDirectory(parent.resolve("scratch"));
    return TokenCopy.of(config, SOFTHSM).orElseThrow().rehearse(demo.config(), file, scratch);
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
    try (Stream<Path> copied = Files.walk(parent.resolve("scratch/token/tokens"))) {
      assertThat(copied.filter(Files::isRegularFile)).hasSameSizeAs(before.keySet());
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
}
