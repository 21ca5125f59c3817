package dev.grep11.agent.cryptoki;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.grep11.agent.config.ClientConfig.LogLevel;
import dev.grep11.agent.config.ClientConfigFile;
import dev.grep11.agent.cryptoki.Slot.Role;
import dev.grep11.agent.log.Log;
import dev.grep11.agent.store.Attributes;
import dev.grep11.client.Cka;
import dev.grep11.client.Ckr;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A slot with a keystore of this machine, no token service, and no gateway behind it. */
class SlotTest {
  @TempDir private Path directory;
  private Slot slot;

  @BeforeEach
  void start() throws IOException {
    var file =
        Files.writeString(
            directory.resolve("grep11client.yaml"),
            """
            sessionauthtemplate: &store { enabled: true, tokenspaceIDPassword: k3yst0re }
            tokens:
              0:
                grep11connection: { address: localhost, port: 1, tls: { enabled: true } }
                storage: { filestore: { enabled: true, storagepath: "%s" } }
                users:
                  0: { name: officer }
                  1: { name: user, tokenspaceID: 7c0c7d1e-07c4-4a6b-8d3c-0e5f5f3f6a11, sessionauth: *store }
                  2: { name: guest, tokenspaceID: b1f3f2d6-5b0d-4f0a-9d54-2a6f3c8e7720, sessionauth: *store }
            """
                .formatted(directory.resolve("stores")));
    var log = new Log(new PrintStream(new ByteArrayOutputStream(), true, UTF_8), LogLevel.TRACE);
    slot = new Slot(ClientConfigFile.read(file).tokens().values().iterator().next(), log);
  }

  @AfterEach
  void stop() {
    slot.close();
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

  /** A keystore in files asks no gateway. */
  private static GatewayUser nobody() {
    throw new AssertionError("asked a gateway");
  }
}
