package dev.grep11.gateway.token;

import static dev.grep11.gateway.pkcs11.Cka.CKA_CLASS;
import static dev.grep11.gateway.pkcs11.Cka.CKA_LABEL;
import static dev.grep11.gateway.pkcs11.Cka.CKA_PRIVATE;
import static dev.grep11.gateway.pkcs11.Cka.CKA_TOKEN;
import static dev.grep11.gateway.pkcs11.Cka.CKA_VALUE;
import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.grep11.gateway.Gateway;
import dev.grep11.gateway.command.DemoData;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.gateway.store.Grant;
import dev.grep11.gateway.store.StoreTamperedException;
import dev.grep11.gateway.store.Subject;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The generation on a real token, its store rolled back, its processes killed and side by side. */
class TokenAnchorTest {
  private static final String CLOSING = "closing";

  private Path directory = Path.of("");
  private GatewayConfig config;
  private UUID instance;

  @BeforeEach
  void makeDemo(@TempDir Path parent) {
    directory = parent.resolve("demo");
    config = GatewayConfig.read(DemoData.open(directory).config());
    instance = config.instance().orElseThrow();
  }

  @Test
  void keepsTheHighestInOnePrivateObject() {
    try (var hsm = Hsm.open(config.hsm())) {
      var calls = new HsmCalls(hsm);
      var anchor = new TokenAnchor(calls, TokenKeys.read(config.store()));
      long before = anchor.highest();
      assertThat(before).as("the demo's instance and grant").isPositive();
      anchor.advance(before + 7);
      anchor.advance(before + 3);
      assertThat(anchor.highest()).isEqualTo(before + 7);

      var objects =
          calls.call(session ->
              session.findObjects(
                  Template.builder()
                      .put(CKA_CLASS, Cko.CKO_DATA)
                      .put(CKA_LABEL, label(anchor).getBytes(US_ASCII))
                      .build()));
      assertThat(objects).hasSize(1);
      var object =
          calls.call(session -> session.attributes(objects.getFirst(), CKA_TOKEN, CKA_PRIVATE));
      assertThat(object.isTrue(CKA_TOKEN)).isTrue();
      assertThat(object.isTrue(CKA_PRIVATE)).isTrue();
    }
  }

  @Test
  void whatAnybodyCanPutIntoTheTokenWithoutThePinCountsForNothing() {
    try (var hsm = Hsm.open(config.hsm())) {
      var calls = new HsmCalls(hsm);
      var anchor = new TokenAnchor(calls, TokenKeys.read(config.store()));
      long before = anchor.highest();
      for (var value : List.of("999999999999999999", "no number")) {
        // A session without login can make it: PKCS #11 v2.40, 2.4, public objects.
        calls.call(session ->
            session.createObject(
                Template.builder()
                    .put(CKA_CLASS, Cko.CKO_DATA)
                    .put(CKA_TOKEN, true)
                    .put(CKA_PRIVATE, false)
                    .put(CKA_LABEL, label(anchor).getBytes(US_ASCII))
                    .put(CKA_VALUE, value.getBytes(US_ASCII))
                    .build()));
      }
      assertThat(anchor.highest()).isEqualTo(before);

      try (var host = Host.open(config)) {
        assertThat(host.store().addGrant(grant("somebody"))).isTrue();
        assertThat(anchor.highest()).isEqualTo(host.store().generation());
      }
    }
  }

  private static String label(TokenAnchor anchor) {
    return anchor.name().substring(anchor.name().indexOf('"') + 1).replace("\"", "");
  }

  @Test
  void neitherGatewayNorCommandOpensAnOlderDatabase() throws IOException {
    var older = config.store().resolveSibling("older.db");
    Files.copy(database(), older);
    try (var host = Host.open(config)) {
      assertThat(host.store().addGrant(grant("somebody"))).isTrue();
    }
    Files.copy(older, database(), StandardCopyOption.REPLACE_EXISTING);
    assertThatThrownBy(() -> Gateway.start(config).close())
        .isInstanceOf(StoreTamperedException.class)
        .hasMessageContaining("an older database was put back")
        .hasMessageContaining("restore a backup, which tells what comes back: grep11 restore")
        .hasMessageNotContaining("delete");
    assertThatThrownBy(() -> Host.open(config).close()).isInstanceOf(StoreTamperedException.class);
  }

  @Test
  void twoProcessesThatGrantAtOnceLoseNothing() throws Exception {
    try (var one = new Granter(directory);
        var two = new Granter(directory)) {
      one.awaitGrants(25);
      two.awaitGrants(25);
      var acknowledged = new ArrayList<>(one.end());
      acknowledged.addAll(two.end());
      requireAll(acknowledged);
    }
  }

  @Test
  void aKillInTheMiddleOfChangesLosesNothing() throws Exception {
    killAndLook(3);
  }

  @Test
  @Tag("load")
  void tenKillsInTheMiddleOfChangesLoseNothing() throws Exception {
    killAndLook(10);
  }

  @Test
  @Tag("long")
  void manyKillsInTheMiddleOfChangesLoseNothing() throws Exception {
    killAndLook(100);
  }

  private void killAndLook(int kills) throws Exception {
    var acknowledged = new ArrayList<String>();
    for (int kill = 0; kill < kills; kill++) {
      try (var granter = new Granter(directory)) {
        // A little more each time, so that the kill falls on another step of a change.
        granter.awaitGrants(2 + kill % 7);
        Thread.sleep(kill % 5);
        acknowledged.addAll(granter.kill());
      }
      requireAll(acknowledged);
    }
  }

  /** Opens, which refuses a database behind the token, and finds what was said to be granted. */
  private void requireAll(List<String> acknowledged) {
    // A login that is cut off leaves SoftHSM's token empty; the demo puts it back.
    DemoData.open(directory);
    try (var host = Host.open(config)) {
      assertThat(host.store().grants().stream().map(grant -> grant.subject().id()))
          .containsAll(acknowledged);
    }
  }

  private Grant grant(String subject) {
    return Grant.ofRole(new Subject("i", subject), instance, "Reader");
  }

  private Path database() {
    return config.store().resolve("store.db");
  }

  /** A process that grants, and says what was acknowledged, until it is told to end or killed. */
  private static final class Granter implements AutoCloseable {
    private final Process process;
    private final BufferedReader out;
    private final List<String> acknowledged = new ArrayList<>();

    Granter(Path directory) throws IOException {
      process =
          new ProcessBuilder(
                  Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                  "--enable-native-access=ALL-UNNAMED",
                  "-XX:TieredStopAtLevel=1",
                  "-XX:+UseSerialGC",
                  "-cp",
                  System.getProperty("java.class.path"),
                  TokenAnchorTest.class.getName(),
                  directory.toString())
              .redirectError(ProcessBuilder.Redirect.INHERIT)
              .start();
      out = process.inputReader();
    }

    void awaitGrants(int count) throws IOException {
      while (acknowledged.size() < count) {
        var line = out.readLine();
        assertThat(line).as("the process ended by itself").isNotNull();
        acknowledged.add(line);
      }
    }

    /** What it acknowledged before it ended in order. */
    List<String> end() throws Exception {
      process.outputWriter().close();
      var rest = out.lines().toList();
      assertThat(rest).last().isEqualTo(CLOSING);
      acknowledged.addAll(rest.subList(0, rest.size() - 1));
      assertThat(process.waitFor()).isZero();
      return acknowledged;
    }

    List<String> kill() throws InterruptedException {
      // By its handle, which leaves the pipe open: what it had acknowledged is still in there.
      process.toHandle().destroyForcibly();
      process.waitFor();
      out.lines().filter(line -> line.length() == 36).forEach(acknowledged::add);
      return acknowledged;
    }

    @Override
    public void close() {
      process.destroyForcibly().onExit().join();
    }
  }

  public static void main(String[] arguments) {
    var ended = new AtomicBoolean();
    Thread.ofPlatform()
        .daemon()
        .start(() -> {
          try (var in = System.in) {
            in.transferTo(OutputStream.nullOutputStream());
          } catch (IOException e) {
            throw new UncheckedIOException(e);
          } finally {
            ended.set(true);
          }
        });
    var config = GatewayConfig.read(DemoData.config(Path.of(arguments[0])));
    try (var host = Host.open(config)) {
      while (!ended.get()) {
        var id = UUID.randomUUID().toString();
        host.store()
            .addGrant(
                Grant.ofRole(new Subject("i", id), config.instance().orElseThrow(), "Reader"));
        System.out.println(id);
      }
    }
    System.out.println(CLOSING);
  }
}
