package dev.grep11.gateway.hsm;

import static dev.grep11.gateway.pkcs11.Cka.*;
import static dev.grep11.gateway.pkcs11.Ckm.*;
import static dev.grep11.gateway.pkcs11.Ckr.*;
import static java.util.concurrent.TimeUnit.SECONDS;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;

import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.HsmUnavailableException;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.OverloadedException;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.softhsm.SoftHsmExtension;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.time.Duration;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The token fails in every way we know, and comes back, without a restart of the process. */
class RecoveryTest {
  @RegisterExtension static final SoftHsmExtension SOFTHSM = new SoftHsmExtension();

  private static final Mechanism CMAC = Mechanism.of(CKM_AES_CMAC);

  /** By function: what it answers instead of doing anything. */
  private final Map<String, Long> answers = new ConcurrentHashMap<>();

  /** Functions that answered so. */
  private final Set<String> answered = ConcurrentHashMap.newKeySet();

  private final Map<String, CountDownLatch> hanging = new ConcurrentHashMap<>();
  private final Set<Long> openSessions = ConcurrentHashMap.newKeySet();
  private final AtomicInteger pinAsked = new AtomicInteger();
  private Hsm hsm;
  private int sessionsAtStart;

  @BeforeEach
  void open() {
    var plain = Tokens.settings(SOFTHSM.token());
    PinSource counted =
        () -> {
          pinAsked.incrementAndGet();
          return plain.pin().read();
        };
    hsm =
        Hsm.open(
            Faults.decorate(this::behave),
            new HsmSettings(
                plain.module(), plain.tokenLabel(), counted, plain.environment(), plain.lanes()));
    hsm.adoptCurrentThread();
    sessionsAtStart = openSessions.size();
  }

  private long behave(String function, long[] arguments, Faults.Real real) throws Throwable {
    var latch = hanging.remove(function);
    if (latch != null) {
      latch.await(30, SECONDS);
    }
    var answer = answers.get(function);
    if (answer != null) {
      answered.add(function);
      return answer;
    }
    long returnValue = real.call();
    if (returnValue == CKR_OK && function.equals("C_OpenSession")) {
      openSessions.add(Faults.ulongAt(arguments[4]));
    }
    if (returnValue == CKR_OK && function.equals("C_CloseSession")) {
      openSessions.remove(arguments[0]);
    }
    return returnValue;
  }

  @AfterEach
  void close() {
    answers.clear();
    hsm.close();
    assertThat(openSessions).as("sessions left open").isEmpty();
  }

  @ParameterizedTest
  @ValueSource(
      longs = {
        CKR_DEVICE_REMOVED,
        CKR_TOKEN_NOT_PRESENT,
        CKR_SESSION_HANDLE_INVALID,
        CKR_SESSION_CLOSED,
        CKR_USER_NOT_LOGGED_IN,
        CKR_CRYPTOKI_NOT_INITIALIZED
      })
  void startsANewEpochWhenTheTokenIsLost(long returnValue) {
    var old = hsm.session();
    var ended = new AtomicBoolean();
    old.epoch().onEnd(() -> ended.set(hsm.epoch() == old.epoch()));
    answers.put("C_Sign", returnValue);

    assertThatThrownBy(() -> signOnce()).isInstanceOf(HsmUnavailableException.class);
    answers.clear();
    assertThat(old.epoch().live()).isFalse();
    awaitRecovery(old.epoch());

    assertThat(hsm.epoch().number()).isEqualTo(old.epoch().number() + 1);
    assertThat(ended).as("told before the new epoch was published").isTrue();
    assertThatThrownBy(() -> old.random(1)).isInstanceOf(HsmUnavailableException.class);
    assertThat(signOnce()).hasSize(16);
    assertThat(openSessions).hasSize(sessionsAtStart);
    assertThat(pinAsked).hasValue(2);
  }

  @ParameterizedTest
  @ValueSource(
      longs = {CKR_DEVICE_ERROR, CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED, CKR_KEY_HANDLE_INVALID})
  void keepsTheEpochWhileTheTokenStillAnswers(long returnValue) {
    answers.put("C_Sign", returnValue);

    var refusal = catchThrowableOfType(Pkcs11Exception.class, this::signOnce);
    answers.clear();

    assertThat(refusal).isNotInstanceOf(HsmUnavailableException.class);
    assertThat(Ckr.name(refusal.returnValue())).isEqualTo(Ckr.name(returnValue));
    assertThat(hsm.epoch().live()).isTrue();
    assertThat(signOnce()).hasSize(16);
  }

  @ParameterizedTest
  @ValueSource(longs = {CKR_DEVICE_ERROR, CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED})
  void endsTheEpochWhenTheTokenDoesNotAnswerEither(long returnValue) {
    var old = hsm.epoch();
    answers.put("C_Sign", returnValue);
    answers.put("C_GetTokenInfo", CKR_DEVICE_ERROR);

    assertThatThrownBy(() -> signOnce()).isInstanceOf(HsmUnavailableException.class);
    answers.clear();

    awaitRecovery(old);
    assertThat(signOnce()).hasSize(16);
    assertThat(openSessions).hasSize(sessionsAtStart);
  }

  @Test
  void answersABusyTokenWithRetry() {
    answers.put("C_Sign", CKR_DEVICE_MEMORY);

    assertThatThrownBy(() -> signOnce()).isInstanceOf(OverloadedException.class);
    assertThat(hsm.epoch().live()).isTrue();
  }

  @Test
  void keepsTryingWhileRecoveryFails() throws Exception {
    var old = hsm.epoch();
    answers.put("C_Login", CKR_DEVICE_ERROR);
    answers.put("C_Sign", CKR_DEVICE_REMOVED);
    assertThatThrownBy(() -> signOnce()).isInstanceOf(HsmUnavailableException.class);

    Thread.sleep(400);
    assertThat(hsm.epoch()).isSameAs(old);
    assertThatThrownBy(hsm::session).isInstanceOf(HsmUnavailableException.class);
    assertThatThrownBy(() -> hsm.withHolder(holder -> holder.random(1)))
        .isInstanceOf(HsmUnavailableException.class);
    answers.clear();

    awaitRecovery(old);
    assertThat(signOnce()).hasSize(16);
    assertThat(openSessions).hasSize(sessionsAtStart);
  }

  @Test
  void givesASessionAfterRecoveryToAThreadThatCameDuringTheLoss() throws Exception {
    var old = hsm.epoch();
    answers.put("C_GetSlotList", CKR_DEVICE_ERROR);
    answers.put("C_Sign", CKR_DEVICE_REMOVED);
    assertThatThrownBy(() -> signOnce()).isInstanceOf(HsmUnavailableException.class);
    var thread =
        Thread.ofPlatform()
            .unstarted(() -> {
              hsm.adoptCurrentThread();
              assertThatThrownBy(hsm::session).isInstanceOf(HsmUnavailableException.class);
              answers.clear();
              awaitRecovery(old);
              hsm.session().random(1);
              hsm.releaseCurrentThread();
            });
    var failure = new java.util.concurrent.atomic.AtomicReference<Throwable>();
    thread.setUncaughtExceptionHandler((t, e) -> failure.set(e));
    thread.start();
    thread.join(20_000);
    assertThat(failure.get()).isNull();
  }

  @Test
  void leavesAHangingCallBehindAndClosesItsSessionLater() throws Exception {
    var old = hsm.epoch();
    var latch = new CountDownLatch(1);
    hanging.put("C_GenerateRandom", latch);
    var stuck =
        hsm.submit(
            Lane.USE,
            "test",
            System.nanoTime() + SECONDS.toNanos(60),
            () -> hsm.session().random(8));
    await().until(hanging::isEmpty);
    answers.put("C_Sign", CKR_DEVICE_REMOVED);
    assertThatThrownBy(() -> signOnce()).isInstanceOf(HsmUnavailableException.class);
    answers.clear();

    awaitRecovery(old);
    assertThat(signOnce()).hasSize(16);
    assertThat(openSessions).hasSize(sessionsAtStart + 1);
    latch.countDown();
    await().untilAsserted(() -> assertThat(openSessions).hasSize(sessionsAtStart));
    assertThat(stuck).isDone();
  }

  @Test
  void doesNotOfferARefusedPinAgainAtOnce() throws Exception {
    var old = hsm.epoch();
    answers.put("C_Login", CKR_PIN_INCORRECT);
    answers.put("C_Sign", CKR_DEVICE_REMOVED);
    assertThatThrownBy(() -> signOnce()).isInstanceOf(HsmUnavailableException.class);
    answers.remove("C_Sign");
    await().until(() -> pinAsked.get() == 2);

    Thread.sleep(1000);

    assertThat(pinAsked).hasValue(2);
    assertThat(old.live()).isFalse();
  }

  @ParameterizedTest
  @CsvSource({
    "0x20000, CKF_USER_PIN_FINAL_TRY, log in once with the right PIN",
    "0x40000, CKF_USER_PIN_LOCKED, set a new one as security officer"
  })
  void offersNoPinWhereAWrongOneWouldLockTheToken(long flags, String why, String remedy) {
    var refusal =
        catchThrowableOfType(
            PinRefusedException.class,
            () -> Hsm.open(Faults.flagged(flags), Tokens.settings(SOFTHSM.token())));

    assertThat(refusal).hasMessageContaining(why).hasMessageContaining(SOFTHSM.token().label());
    assertThat(refusal.remedy()).startsWith(remedy);
  }

  @Test
  void recoversWithoutANewStartOfAModuleThatOthersUse() throws Exception {
    var tokens = SOFTHSM.token().tokens();
    var away = tokens.resolveSibling("away");
    var old = hsm.epoch();
    try (var other = Hsm.open(Tokens.settings(SOFTHSM.token()))) {
      var othersOld = other.epoch();
      Files.move(tokens, away);
      await().atMost(Duration.ofSeconds(10)).until(() -> !old.live() && !othersOld.live());
      Files.move(away, tokens);
      awaitRecovery(old);
      await()
          .atMost(Duration.ofSeconds(20))
          .until(() -> other.epoch() != othersOld && other.epoch().live());
      byte[] random = other.withHolder(holder -> holder.random(4));
      assertThat(random).hasSize(4);
      assertThat(signOnce()).hasSize(16);
    }
    assertThat(signOnce()).hasSize(16);
  }

  @Test
  void startsTheModuleAnewThoughItCouldNotBeEndedBefore() throws Exception {
    var old = hsm.epoch();
    answers.put("C_Finalize", CKR_FUNCTION_FAILED);
    answers.put("C_Login", CKR_DEVICE_ERROR);
    answers.put("C_Sign", CKR_DEVICE_REMOVED);
    assertThatThrownBy(() -> signOnce()).isInstanceOf(HsmUnavailableException.class);
    await().atMost(Duration.ofSeconds(20)).until(() -> answered.contains("C_Finalize"));
    answers.clear();
    awaitRecovery(old);

    // SoftHSM gives it back to a module that was started anew, and to no other.
    var tokens = SOFTHSM.token().tokens();
    var away = tokens.resolveSibling("away");
    var recovered = hsm.epoch();
    Files.move(tokens, away);
    await().atMost(Duration.ofSeconds(10)).until(() -> !recovered.live());
    Files.move(away, tokens);

    awaitRecovery(recovered);
    assertThat(signOnce()).hasSize(16);
  }

  @Test
  void noticesByItselfThatTheTokenIsGone() {
    var old = hsm.epoch();
    answers.put("C_GetTokenInfo", CKR_TOKEN_NOT_PRESENT);

    await().atMost(Duration.ofSeconds(10)).until(() -> !old.live());
    answers.clear();
    awaitRecovery(old);
  }

  @Test
  void survivesThatTheTokenIsPulledAwayUnderLoadAndGivenBack() throws Exception {
    var tokens = SOFTHSM.token().tokens();
    var away = tokens.resolveSibling("away");
    var label = new byte[] {42};
    hsm.session().generateKey(Mechanism.of(CKM_AES_KEY_GEN), key(true, label));
    var search = Template.builder().put(CKA_LABEL, label).build();
    var running = new AtomicBoolean(true);
    var signed = new AtomicLong();
    var unavailable = new AtomicLong();
    var wrong = ConcurrentHashMap.<String>newKeySet();
    var load =
        Thread.ofPlatform()
            .start(() -> {
              while (running.get()) {
                try {
                  hsm.submit(
                          Lane.USE,
                          "load",
                          System.nanoTime() + SECONDS.toNanos(10),
                          () -> {
                            var session = hsm.session();
                            var found = session.findObjects(search);
                            if (found.size() != 1) {
                              throw Session.unavailable();
                            }
                            return session.sign(CMAC, found.getFirst(), ByteBuffer.allocate(16));
                          })
                      .get();
                  signed.incrementAndGet();
                } catch (ExecutionException e) {
                  if (e.getCause() instanceof HsmUnavailableException) {
                    unavailable.incrementAndGet();
                  } else {
                    wrong.add(String.valueOf(e.getCause()));
                  }
                } catch (InterruptedException e) {
                  return;
                }
              }
            });
    await().until(() -> signed.get() > 20);
    var old = hsm.epoch();

    Files.move(tokens, away);
    await().atMost(Duration.ofSeconds(10)).until(() -> !old.live());
    await().until(() -> unavailable.get() > 0);
    Files.move(away, tokens);
    awaitRecovery(old);
    long before = signed.get();
    await().until(() -> signed.get() > before + 20);
    running.set(false);
    load.join(10_000);

    assertThat(wrong).isEmpty();
    assertThat(openSessions).hasSize(sessionsAtStart);
    assertThat(signOnce()).hasSize(16);
  }

  private void awaitRecovery(Epoch old) {
    await()
        .atMost(Duration.ofSeconds(20))
        .pollInterval(Duration.ofMillis(5))
        .until(() -> hsm.epoch() != old && hsm.epoch().live());
  }

  private byte[] signOnce() {
    var session = hsm.session();
    long key = session.generateKey(Mechanism.of(CKM_AES_KEY_GEN), key(false, new byte[0]));
    return session.sign(CMAC, key, ByteBuffer.allocate(16));
  }

  private static Template key(boolean token, byte[] label) {
    return Template.builder()
        .put(CKA_TOKEN, token)
        .put(CKA_SENSITIVE, true)
        .put(CKA_SIGN, true)
        .put(CKA_LABEL, label)
        .put(CKA_VALUE_LEN, 32)
        .build();
  }
}
