package dev.grep11.gateway.hsm;

import static dev.grep11.gateway.pkcs11.Cka.*;
import static dev.grep11.gateway.pkcs11.Ckm.*;
import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.concurrent.TimeUnit.SECONDS;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.softhsm.SoftHsmExtension;
import dev.grep11.softhsm.SoftHsmToken;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class HsmTest {
  @RegisterExtension static final SoftHsmExtension SOFTHSM = new SoftHsmExtension();

  private static final Mechanism AES_KEY_GEN = Mechanism.of(CKM_AES_KEY_GEN);

  private static Hsm hsm;

  @BeforeAll
  static void open() {
    hsm = Hsm.open(Tokens.settings(SOFTHSM.token()));
  }

  @AfterAll
  static void close() {
    hsm.close();
  }

  @Test
  void knowsItsToken() {
    assertThat(hsm.tokenInfo().label()).isEqualTo(SOFTHSM.token().label());
    assertThat(hsm.tokenInfo().manufacturer()).isEqualTo("SoftHSM project");
    assertThat(hsm.tokenInfo().serial()).hasSize(16);
    assertThat(hsm.mechanisms()).containsKeys(CKM_AES_KEY_WRAP_PAD, CKM_ECDSA, CKM_EDDSA);
    assertThat(hsm.publicSessionObjects()).isTrue();
  }

  @Test
  void namesTheTokensThatExistWhenTheLabelIsWrong() {
    var settings =
        HsmSettings.of(
            SOFTHSM.token().module(),
            "another",
            PinSource.file(SOFTHSM.token().pinFile()),
            SOFTHSM.token().environment());

    assertThatThrownBy(() -> Hsm.open(settings).close())
        .isInstanceOf(HsmOpenException.class)
        .hasMessageContaining("\"another\"")
        .hasMessageContaining(SOFTHSM.token().label());
  }

  @Test
  void ownsASessionOnEveryThreadOfEveryLane() throws Exception {
    for (var lane : Lane.values()) {
      assertThat(
              hsm.submit(lane, "test", inSeconds(10), () -> hsm.session().random(8))
                  .get(10, SECONDS))
          .hasSize(8);
    }
  }

  @Test
  void givesNoSessionToAThreadThatOwnsNone() throws Exception {
    var thread =
        CompletableFuture.runAsync(() -> {
          assertThat(hsm.ownsSession()).isFalse();
          assertThatThrownBy(hsm::session).isInstanceOf(IllegalStateException.class);
          hsm.adoptCurrentThread();
          assertThat(hsm.session().random(4)).hasSize(4);
          hsm.releaseCurrentThread();
          assertThat(hsm.ownsSession()).isFalse();
        });
    thread.get(10, SECONDS);
  }

  @Test
  void usesTheHoldersKeysOnManyThreadsAtOnce() throws Exception {
    long key = hsm.withHolder(holder -> holder.generateKey(AES_KEY_GEN, aes()));
    var calls = new ArrayList<CompletableFuture<byte[]>>();
    var message = ByteBuffer.allocateDirect(100_000).asReadOnlyBuffer();
    for (int i = 0; i < 400; i++) {
      calls.add(
          hsm.submit(
              Lane.USE,
              "caller " + i % 7,
              inSeconds(30),
              () -> hsm.session().sign(Mechanism.of(CKM_AES_CMAC), key, message.duplicate())));
    }
    var first = calls.getFirst().get(30, SECONDS);
    for (var call : calls) {
      assertThat(call.get(30, SECONDS)).isEqualTo(first);
    }
    hsm.<@Nullable Void>withHolder(holder -> {
      holder.destroyObject(key);
      return null;
    });
  }

  @Test
  void sharesAModuleAndRefusesAnotherEnvironmentMeanwhile() {
    try (var second = Hsm.open(Tokens.settings(SOFTHSM.token()));
        var foreign = SoftHsmToken.temporary()) {
      assertThat(second.tokenInfo()).isEqualTo(hsm.tokenInfo());
      assertThatThrownBy(() -> Hsm.open(Tokens.settings(foreign)).close())
          .isInstanceOf(HsmOpenException.class)
          .hasMessageContaining("another environment");
    }
    byte[] random = hsm.withHolder(holder -> holder.random(8));
    assertThat(random).hasSize(8);
  }

  @Test
  void saysWhatIsWrongWithAPinFile(@TempDir Path directory) throws Exception {
    var file = Files.writeString(directory.resolve("pin"), "1234\n");
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-r-----"));

    assertThatThrownBy(PinSource.file(file)::read)
        .isInstanceOf(HsmOpenException.class)
        .hasMessageContainingAll(file.toString(), "owner ", "rw-r-----", "expected", "rw-------")
        .hasMessageEndingWith("remedy: chmod 600 " + file)
        .hasMessageNotContaining("1234");
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("r--------"));
    assertThat(PinSource.file(file).read()).isEqualTo("1234".getBytes(UTF_8));
    assertThatThrownBy(PinSource.file(directory.resolve("absent"))::read)
        .isInstanceOf(HsmOpenException.class)
        .hasMessageContaining("absent");
    assertThatThrownBy(PinSource.environment("NO_SUCH_VARIABLE")::read)
        .hasMessageContaining("NO_SUCH_VARIABLE");
  }

  @Test
  void refusesAWrongPinWithoutNamingIt() {
    var wrong =
        HsmSettings.of(
            SOFTHSM.token().module(),
            SOFTHSM.token().label(),
            PinSource.chars("mistaken"::toCharArray),
            SOFTHSM.token().environment());

    // SoftHSM keeps the login per process, so only a module of our own sees the refusal.
    hsm.close();
    try {
      assertThatThrownBy(() -> Hsm.open(wrong).close())
          .isInstanceOf(HsmOpenException.class)
          .hasMessageContaining("CKR_PIN_INCORRECT")
          .hasMessageNotContaining("mistaken");
    } finally {
      open();
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"C_Login", "C_GetTokenInfo"})
  void logsInAgainWhenAnotherProcessDidAtTheSameMoment(String fails) {
    var refusals = new AtomicInteger(2);
    var opened = new AtomicBoolean();
    var module =
        Faults.decorate((function, _, real) -> {
          if (function.equals(fails) && opened.get() && refusals.getAndDecrement() > 0) {
            return Ckr.CKR_GENERAL_ERROR;
          }
          if (function.equals("C_OpenSession")) {
            opened.set(true);
          }
          return real.call();
        });

    hsm.close();
    try (var second = Hsm.open(module, Tokens.settings(SOFTHSM.token()))) {
      second.adoptCurrentThread();
      assertThat(second.session().random(8)).hasSize(8);
      assertThat(refusals).hasNegativeValue();
    } finally {
      open();
    }
  }

  @Test
  void saysThatAModuleIsNone(@TempDir Path directory) throws Exception {
    var text = Files.writeString(directory.resolve("module.so"), "text");
    assertThatThrownBy(() -> NativeCryptoki.load(text))
        .isInstanceOf(HsmOpenException.class)
        .hasMessageContaining(text.toString());
    assertThatThrownBy(() -> NativeCryptoki.load(directory.resolve("absent.so")))
        .isInstanceOf(HsmOpenException.class)
        .hasMessageContaining("absent.so");
  }

  /** In a process of its own the module would be fresh; here the others must let go of it first. */
  @Test
  void saysWhereToLookWhenTheModuleDoesNotFindItsOwnConfiguration(@TempDir Path directory) {
    var nowhere = directory.resolve("softhsm2.conf").toString();
    var settings =
        HsmSettings.of(
            SOFTHSM.token().module(),
            SOFTHSM.token().label(),
            PinSource.file(SOFTHSM.token().pinFile()),
            Map.of("SOFTHSM2_CONF", nowhere));

    hsm.close();
    try {
      assertThatThrownBy(() -> Hsm.open(settings).close())
          .isInstanceOf(HsmOpenException.class)
          .hasMessageContaining("C_Initialize answered CKR_GENERAL_ERROR")
          .hasMessageContaining("directories.tokendir")
          .hasMessageContaining("hsm.environment sets SOFTHSM2_CONF=" + nowhere);
    } finally {
      open();
    }
  }

  /** As SoftHSM does when it is initialised while another process logs in. */
  @Test
  void looksAgainForATokenThatIsPassedOver() {
    var looks = new AtomicInteger();
    var cryptoki =
        Faults.decorate((function, arguments, real) -> {
          // Two calls a look.
          if (function.equals("C_GetSlotList") && looks.incrementAndGet() <= 6) {
            Faults.setUlongAt(arguments[2], 0);
            return Ckr.CKR_OK;
          }
          return real.call();
        });

    try (var found = Hsm.open(cryptoki, Tokens.settings(SOFTHSM.token()))) {
      assertThat(found.tokenInfo()).isEqualTo(hsm.tokenInfo());
    }
    assertThat(looks).hasValueGreaterThan(6);
  }

  private static Template aes() {
    return Template.builder()
        .put(CKA_TOKEN, false)
        .put(CKA_PRIVATE, false)
        .put(CKA_SENSITIVE, true)
        .put(CKA_SIGN, true)
        .put(CKA_VALUE_LEN, 32)
        .build();
  }

  private static long inSeconds(long seconds) {
    return System.nanoTime() + SECONDS.toNanos(seconds);
  }
}
