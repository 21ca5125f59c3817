package dev.grep11.agent.cryptoki;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.grep11.agent.config.ClientConfig.LogLevel;
import dev.grep11.agent.config.ClientConfigFile;
import dev.grep11.agent.cryptoki.Slot.Role;
import dev.grep11.agent.log.Log;
import dev.grep11.agent.store.Attributes;
import dev.grep11.agent.store.FileStore;
import dev.grep11.client.Cka;
import dev.grep11.client.Ckr;
import dev.grep11.client.EventLoop;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A slot with a keystore of this machine, no token service, and no gateway behind it. */
class SlotTest {
  @TempDir private Path directory;
  private final ByteArrayOutputStream log = new ByteArrayOutputStream();
  private final EventLoop loop = new EventLoop("slot-test", fault -> {});
  private Slot slot;

  @BeforeEach
  void start() throws IOException {
    slot = open("k3yst0re");
  }

  private Slot open(String password) throws IOException {
    var file =
        Files.writeString(
            directory.resolve("grep11client.yaml"),
            """
            sessionauthtemplate: &store { enabled: true, tokenspaceIDPassword: %s }
            tokens:
              0:
                grep11connection: { address: localhost, port: 1, tls: { enabled: true } }
                storage: { filestore: { enabled: true, storagepath: "%s" } }
                users:
                  0: { name: officer }
                  1: { name: user, tokenspaceID: 7c0c7d1e-07c4-4a6b-8d3c-0e5f5f3f6a11, sessionauth: *store }
                  2: { name: guest, tokenspaceID: b1f3f2d6-5b0d-4f0a-9d54-2a6f3c8e7720, sessionauth: *store }
            """
                .formatted(password, directory.resolve("stores")));
    var to = new Log(new PrintStream(log, true, UTF_8), LogLevel.TRACE);
    return new Slot(ClientConfigFile.read(file).tokens().values().iterator().next(), loop, to);
  }

  @AfterEach
  void stop() {
    slot.close();
    loop.close();
  }

  private static long refusal(org.assertj.core.api.ThrowableAssert.ThrowingCallable work) {
    var refused = catchThrowableOfType(Refusal.class, work);
    assertThat(refused).isNotNull();
    return refused.returnValue();
  }

  private long login(String pin, String who) {
    // Without a gateway a good PIN gets as far as asking it.
    return refusal(() -> slot.login(Role.NORMAL, pin.getBytes(UTF_8), who));
  }

  @Test
  void comparesNoMorePasswordsOfAUserAfterFiveWrongOnes() {
    for (int i = 0; i < 4; i++) {
      assertThat(login("wr0ng", "mallory")).isEqualTo(Ckr.CKR_PIN_INCORRECT);
    }
    assertThat(login("k3yst0re", "mallory"))
        .as("the count begins anew")
        .isEqualTo(Ckr.CKR_DEVICE_REMOVED);
    for (int i = 0; i < 5; i++) {
      assertThat(login("wr0ng", "mallory")).isEqualTo(Ckr.CKR_PIN_INCORRECT);
    }
    assertThat(login("k3yst0re", "mallory")).isEqualTo(Ckr.CKR_PIN_LOCKED);
    assertThat(login("k3yst0re", "alice")).isEqualTo(Ckr.CKR_DEVICE_REMOVED);
  }

  @Test
  void isNotEmptiedUnderTheSessionOfAnyApplication() {
    var object = Attributes.empty().with(Cka.CKA_TOKEN, true);
    slot.store(false, SlotTest::nobody).create(object, List.of());
    slot.enter();
    slot.enter();
    slot.leave();
    assertThat(refusal(() -> slot.initialize(SlotTest::nobody, "new")))
        .isEqualTo(Ckr.CKR_SESSION_EXISTS);
    assertThat(slot.store(false, SlotTest::nobody).find(object)).hasSize(1);

    slot.leave();
    slot.initialize(SlotTest::nobody, "new");
    assertThat(slot.store(false, SlotTest::nobody).find(object)).isEmpty();
    assertThat(slot.label(SlotTest::nobody)).isEqualTo("new");
  }

  /** Each was at hand a moment ago, for all that its caller knows. */
  @Test
  void waitsForNothingOnTheEventLoopThatReadsTheAnswers() {
    var user = slot.login(Role.ANONYMOUS, null, "alice");
    var objects = new ObjectTable(slot, () -> user);
    Map<String, Runnable> waits =
        Map.of(
            "mechanisms", () -> slot.mechanisms(user),
            "call", () -> user.call(client -> client.generateRandom(1)),
            "user", () -> slot.login(Role.ANONYMOUS, null, "bob"),
            "object", () -> objects.get(1L << 62, Role.ANONYMOUS),
            "store", () -> slot.store(false, () -> user),
            "stored", () -> slot.stored(() -> true));
    waits.forEach((name, work) -> {
      var ended = new CompletableFuture<Throwable>();
      loop.execute(() -> ended.complete(catchThrowable(work::run)));
      assertThat(ended)
          .as(name)
          .succeedsWithin(Duration.ofSeconds(10))
          .isInstanceOf(WouldWait.class);
    });
    slot.logout(user);
  }

  // ---- C_SetPIN and C_InitPIN

  private void change(String before, String next) {
    slot.changePassword(before.getBytes(UTF_8), next.getBytes(UTF_8), "alice", SlotTest::nobody);
  }

  private static final Attributes DATA = Attributes.empty().with(Cka.CKA_TOKEN, true);

  private void makeInBoth() {
    for (boolean isPrivate : new boolean[] {true, false}) {
      slot.store(isPrivate, SlotTest::nobody).create(DATA, List.of());
    }
  }

  private void requireOpens(String password) throws IOException {
    try (var again = open(password)) {
      for (boolean isPrivate : new boolean[] {true, false}) {
        assertThat(again.store(isPrivate, SlotTest::nobody).find(DATA)).hasSize(1);
      }
    }
  }

  @Test
  void changesThePasswordOfBothKeystoresForWhoKnowsIt() throws IOException {
    makeInBoth();
    assertThat(refusal(() -> change("wr0ngpw", "n3wpass"))).isEqualTo(Ckr.CKR_PIN_INCORRECT);
    requireOpens("k3yst0re");

    change("k3yst0re", "n3wpass");

    requireOpens("n3wpass");
    assertThat(refusal(() -> requireOpens("k3yst0re"))).isEqualTo(Ckr.CKR_PIN_INCORRECT);
    assertThat(login("k3yst0re", "alice")).isEqualTo(Ckr.CKR_PIN_INCORRECT);
    assertThat(login("n3wpass", "alice")).isEqualTo(Ckr.CKR_DEVICE_REMOVED);
    slot.setPassword("0fficer".getBytes(UTF_8), SlotTest::nobody);
    requireOpens("0fficer");
    assertThat(log.toString(UTF_8))
        .contains("write the new one to tokenspaceIDPassword")
        .doesNotContain("k3yst0re", "n3wpass", "0fficer", "wr0ngpw");
  }

  @Test
  void countsWrongPasswordsOfAChangeAsThoseOfALogin() {
    for (int i = 0; i < 5; i++) {
      assertThat(refusal(() -> change("wr0ngpw", "n3wpass"))).isEqualTo(Ckr.CKR_PIN_INCORRECT);
    }
    assertThat(refusal(() -> change("k3yst0re", "n3wpass"))).isEqualTo(Ckr.CKR_PIN_LOCKED);
    assertThat(login("k3yst0re", "alice")).isEqualTo(Ckr.CKR_PIN_LOCKED);
  }

  @ParameterizedTest
  @CsvSource({
    "short, 0xa2",
    "far-too-long, 0xa2",
    "'', 0xa2",
    "with\tone, 0xa1",
  })
  void takesNoPasswordThatAKeystoreCannotHave(String password, String returnValue)
      throws IOException {
    makeInBoth();
    assertThat(refusal(() -> change("k3yst0re", password.replace("\\t", "\t"))))
        .isEqualTo(Long.decode(returnValue));
    requireOpens("k3yst0re");
  }

  @Test
  void takesTheFirstChangeBackWhenTheSecondFails() throws IOException {
    makeInBoth();
    var seal = directory.resolve("stores/b1f3f2d6-5b0d-4f0a-9d54-2a6f3c8e7720/seal");
    var aside = directory.resolve("seal");
    Files.move(seal, aside);

    assertThat(refusal(() -> change("k3yst0re", "n3wpass"))).isEqualTo(Ckr.CKR_DEVICE_ERROR);

    Files.move(aside, seal);
    assertThat(log.toString(UTF_8)).contains("the password of the keystores was not changed");
    requireOpens("k3yst0re");
    change("k3yst0re", "n3wpass");
    requireOpens("n3wpass");
  }

  @Test
  void completesAChangeThatWasCutOffInBetween() throws IOException {
    makeInBoth();
    // As an agent that was killed between the two leaves them.
    try (var first =
        FileStore.open(
            directory.resolve("stores"),
            UUID.fromString("7c0c7d1e-07c4-4a6b-8d3c-0e5f5f3f6a11"),
            "k3yst0re".toCharArray())) {
      first.changePassword("n3wpass".toCharArray());
    }
    slot.close();
    slot = open("k3yst0re");
    assertThat(refusal(() -> slot.setPassword("th1rdpw".getBytes(UTF_8), SlotTest::nobody)))
        .isEqualTo(Ckr.CKR_PIN_INCORRECT);

    change("k3yst0re", "n3wpass");
    requireOpens("n3wpass");
  }

  /** A keystore in files asks no gateway. */
  private static GatewayUser nobody() {
    throw new AssertionError("asked a gateway");
  }
}
