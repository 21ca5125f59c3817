package dev.grep11.gateway.host;

import static dev.grep11.gateway.pkcs11.Cka.CKA_CLASS;
import static dev.grep11.gateway.pkcs11.Cka.CKA_ENCRYPT;
import static dev.grep11.gateway.pkcs11.Cka.CKA_EXTRACTABLE;
import static dev.grep11.gateway.pkcs11.Cka.CKA_KEY_TYPE;
import static dev.grep11.gateway.pkcs11.Cka.CKA_SENSITIVE;
import static dev.grep11.gateway.pkcs11.Cka.CKA_TOKEN;
import static dev.grep11.gateway.pkcs11.Cka.CKA_VALUE_LEN;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;

import dev.grep11.gateway.audit.AuditEvent;
import dev.grep11.gateway.command.DemoData;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.key.KeyForm;
import dev.grep11.gateway.key.KeySealer;
import dev.grep11.gateway.key.Keyring;
import dev.grep11.gateway.key.Keys;
import dev.grep11.gateway.key.PublicKeyInfo;
import dev.grep11.gateway.key.SealingKeyException;
import dev.grep11.gateway.key.SealingKeys;
import dev.grep11.gateway.key.StateSealer;
import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.CryptoFunction;
import dev.grep11.gateway.pkcs11.HsmUnavailableException;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.gateway.store.FollowSettings;
import dev.grep11.gateway.store.ReplicaRecord;
import dev.grep11.gateway.store.SealingKeyGeneration;
import dev.grep11.gateway.store.SealingKeyGeneration.State;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.store.StoreFollower;
import dev.grep11.gateway.store.StoreTamperedException;
import dev.grep11.gateway.token.HsmCalls;
import dev.grep11.gateway.token.KeyringFollower;
import dev.grep11.gateway.token.Lease;
import dev.grep11.gateway.token.TokenAnchor;
import dev.grep11.gateway.token.TokenKeys;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyPairGenerator;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A gateway's keyring and the store, with clocks that the test moves, and commands cut short. */
class KeyringFollowerTest {
  private static final Duration LEASE = Duration.ofMinutes(5);
  // The poller is not to interfere: the test says when to look.
  private static final FollowSettings SETTINGS = new FollowSettings(Duration.ofSeconds(30), LEASE);
  private static final Duration WAIT = Duration.ofMillis(20);
  private static final Optional<String> ANY = Optional.empty();
  private static final byte[] CONTENT = {1, 2, 3};

  private final AtomicLong nanos = new AtomicLong(1);
  private final Instant begin = Instant.parse("2026-11-21T10:00:00Z");
  private final AtomicLong jumped = new AtomicLong();
  private final InstantSource clock = () -> begin.plusNanos(nanos.get() + jumped.get());
  private final List<AuditEvent> audited = new ArrayList<>();
  private Hsm hsm;
  private HsmCalls calls;
  private Store store;
  private Path demoDirectory;
  private GatewayConfig config;
  private UUID instance;
  private MasterKeys masterKeys;
  private volatile Runnable onLook = () -> {};
  // They look while a command waits for gateways.
  private final List<Replica> following = new ArrayList<>();

  /** A gateway, as far as its sealing keys go. */
  private final class Replica implements AutoCloseable {
    final Lease lease = new Lease(nanos::get, clock);
    final Keyring keyring = Keyring.leased(hsm, lease::lasts);
    final StateSealer states = new StateSealer(hsm, keyring);
    final KeySealer sealer = new KeySealer(hsm, keyring, true, true);
    final Keys keys = new Keys(hsm, sealer, 16);
    final StoreFollower state = StoreFollower.leased(store, SETTINGS, nanos::get, lease::lasts);
    final KeyringFollower follower;

    Replica(String name) {
      try {
        follower =
            new KeyringFollower(
                store,
                calls,
                lease,
                keyring,
                keys,
                SETTINGS,
                name,
                state,
                Optional.of(new ReplicaRecord.Rules(false, "INVITED")),
                this::look,
                clock,
                false);
      } catch (RuntimeException e) {
        state.close();
        throw e;
      }
    }

    ReplicaRecord said() {
      return store.snapshot().replicas().stream()
          .filter(replica -> replica.id().equals(follower.id()))
          .findFirst()
          .orElseThrow();
    }

    private long look() {
      onLook.run();
      return nanos.get();
    }

    byte[] seal() {
      return calls.call(_ -> states.seal(instance, CryptoFunction.DIGEST, 1, new byte[0], CONTENT));
    }

    byte[] open(byte[] state) {
      return calls.call(_ -> states.open(instance, CryptoFunction.DIGEST, state));
    }

    byte[] aesKey() {
      return calls.call(_ -> KeyringFollowerTest.this.aesKey(sealer));
    }

    byte[] rewrap(byte[] blob) {
      return calls.call(_ -> sealer.rewrap(sealer.open(instance, blob)));
    }

    void use(byte[] blob) {
      calls.call(_ -> {
        keys.borrow(instance, blob, KeyForm.USE).close();
        return true;
      });
    }

    @Override
    public void close() {
      follower.close();
      state.close();
    }
  }

  private byte[] aesKey(KeySealer sealer) {
    var attributes =
        Template.builder()
            .put(CKA_CLASS, Cko.CKO_SECRET_KEY)
            .put(CKA_KEY_TYPE, Ckk.CKK_AES)
            .put(CKA_VALUE_LEN, 32)
            .put(CKA_ENCRYPT, true)
            .build();
    var session = hsm.session();
    long object =
        session.generateKey(
            Mechanism.of(Ckm.CKM_AES_KEY_GEN),
            attributes.toBuilder()
                .put(CKA_TOKEN, false)
                .put(CKA_SENSITIVE, true)
                .put(CKA_EXTRACTABLE, true)
                .build());
    try {
      return sealer.seal(
          instance, object, attributes.toBuilder().put(CKA_EXTRACTABLE, false).build());
    } finally {
      session.destroyObject(object);
    }
  }

  @BeforeEach
  void open(@TempDir Path parent) {
    demoDirectory = parent.resolve("demo");
    var demo = DemoData.open(demoDirectory);
    config = GatewayConfig.read(demo.config());
    instance = config.instance().orElseThrow();
    hsm = Hsm.open(config.hsm());
    calls = new HsmCalls(hsm);
    store = StartSteps.openStore(config, calls);
    masterKeys =
        masterKeys(event -> {
          audited.add(event);
          return Optional.empty();
        });
  }

  @AfterEach
  void close() {
    store.close();
    hsm.close();
  }

  private MasterKeys masterKeys(HostAudit.Sink sink) {
    return new MasterKeys(
        hsm,
        store,
        Duration.ofDays(7),
        new HostAudit(sink),
        clock,
        WAIT,
        () -> {
          following.forEach(replica -> replica.follower.refresh());
          Thread.sleep(1);
        });
  }

  private void pass(Duration time) {
    nanos.addAndGet(time.toNanos());
  }

  private static String masterKeyOf(byte[] state) {
    return HexFormat.of().formatHex(state, 24, 40);
  }

  private SealingKeyGeneration generation(String id) {
    return store.findInstance(instance).orElseThrow().generations().stream()
        .filter(each -> each.id().equals(id))
        .findFirst()
        .orElseThrow();
  }

  private String active() {
    return store.findInstance(instance).orElseThrow().active().orElseThrow().id();
  }

  private String next() {
    return masterKeys.createNext(instance).generation().id();
  }

  @Test
  void aGatewayThatCouldNotConfirmWithinItsLeaseRefusesUntilItHas() {
    try (var one = new Replica("one")) {
      var state = one.seal();
      pass(LEASE);

      assertThatThrownBy(() -> one.open(state)).isInstanceOf(HsmUnavailableException.class);
      assertThatThrownBy(one::seal).isInstanceOf(HsmUnavailableException.class);
      assertThat(one.keyring.available()).isFalse();

      one.follower.refresh();
      assertThat(one.open(state)).isEqualTo(CONTENT);
    }
  }

  @Test
  void theLeaseEndsByTheClockThatOthersTakeForIt() {
    try (var one = new Replica("one")) {
      var state = one.seal();
      // A machine that slept: only the clock on the wall went on.
      jumped.set(LEASE.toNanos());
      assertThatThrownBy(() -> one.open(state)).isInstanceOf(HsmUnavailableException.class);

      one.follower.refresh();
      assertThat(one.open(state)).isEqualTo(CONTENT);
      assertThat(store.snapshot().live(clock.instant())).hasSize(1);

      jumped.set(0);
      pass(LEASE);
      assertThatThrownBy(() -> one.open(state)).isInstanceOf(HsmUnavailableException.class);
    }
  }

  @Test
  void whatAGatewayKnowsOfTheStoreEndsWithTheLeaseThatItSaidAndNotLater() {
    try (var one = new Replica("one")) {
      var until = one.said().until();
      // The latest look before it would say so again, and then nothing reaches the store.
      pass(LEASE.dividedBy(3).minusSeconds(1));
      one.state.refresh();
      assertThat(one.state.current()).isPresent();

      pass(LEASE.dividedBy(3).multipliedBy(2));
      assertThat(clock.instant()).isBefore(until);
      assertThat(one.state.current()).isPresent();
      pass(Duration.ofSeconds(1));
      assertThat(clock.instant()).isEqualTo(until);
      assertThat(one.state.current()).isEmpty();
      assertThat(one.keyring.available()).isFalse();

      one.state.refresh();
      assertThat(one.state.current()).as("a look is no lease").isEmpty();
      one.follower.refresh();
      assertThat(one.state.current()).isPresent();

      // A machine that slept: only the clock on the wall went on.
      jumped.set(LEASE.toNanos());
      assertThat(one.state.current()).isEmpty();
    }
  }

  @Test
  void aGatewayThatHasSaidNothingOrEndsKnowsNothing() {
    var one = new Replica("one");
    try (one) {
      assertThat(one.state.current()).isPresent();
    }
    assertThat(one.state.current()).isEmpty();
    var unsaid = new Lease(nanos::get, clock);
    try (var silent = StoreFollower.leased(store, SETTINGS, nanos::get, unsaid::lasts)) {
      assertThat(silent.current()).isEmpty();
    }
  }

  @Test
  void aGatewayOnACopyThatTheOthersLeftBehindRefusesAsSoonAsItWouldSayThatItServes() {
    try (var one = new Replica("one")) {
      var state = one.seal();
      // The others go on by the newest database, of which this gateway sees nothing.
      new TokenAnchor(calls, TokenKeys.read(config.store())).advance(store.generation() + 100);
      pass(LEASE.dividedBy(3));

      assertThatThrownBy(one.follower::refresh).isInstanceOf(StoreTamperedException.class);

      assertThat(one.state.current()).isEmpty();
      assertThat(one.keyring.available()).isFalse();
      assertThatThrownBy(() -> one.open(state)).isInstanceOf(HsmUnavailableException.class);
      assertThatThrownBy(one.state::refresh).isInstanceOf(StoreTamperedException.class);
    }
  }

  @Test
  void aGatewayThatWasTakenForDeadOrHadItsLeaseCutShortConfirmsAtItsNextLook() {
    try (var one = new Replica("one")) {
      var before = store.snapshot().replicas();
      store.change(change -> change.remove(before.getFirst()));
      one.follower.refresh();
      assertThat(store.snapshot().replicas()).isEqualTo(before);

      one.lease.end();
      assertThatThrownBy(one::seal).isInstanceOf(HsmUnavailableException.class);
      one.follower.refresh();
      assertThat(one.open(one.seal())).isEqualTo(CONTENT);
    }
  }

  @Test
  void aGatewayThatIsCutOffIsWaitedForUntilItsLeaseEndsAndMustOpenTheNewKeyToComeBack() {
    try (var one = new Replica("one");
        var cutOff = new Replica("cut off")) {
      var old = active();
      var next = next();
      one.follower.refresh();
      assertThatThrownBy(() -> masterKeys.activate(instance, ANY))
          .hasMessageContaining("gateway cut off has not shown to open master key " + next);
      assertThat(active()).isEqualTo(old);

      pass(LEASE.plusSeconds(2));
      one.follower.refresh();
      masterKeys.activate(instance, ANY);
      one.follower.refresh();
      var state = one.seal();
      assertThat(masterKeyOf(state)).isEqualTo(next);
      assertThatThrownBy(() -> cutOff.open(state)).isInstanceOf(HsmUnavailableException.class);

      cutOff.follower.refresh();
      assertThat(cutOff.open(state)).isEqualTo(CONTENT);
      assertThat(masterKeyOf(cutOff.seal())).isEqualTo(next);
    }
  }

  @Test
  void aGatewayThatStartsLaterOpensEverythingBeforeItServesOrDoesNotStart() {
    try (var one = new Replica("one")) {
      var old = one.seal();
      next();
      one.follower.refresh();
      masterKeys.activate(instance, ANY);
      one.follower.refresh();
      try (var later = new Replica("later")) {
        assertThat(later.open(one.seal())).isEqualTo(CONTENT);
        assertThat(later.open(old)).isEqualTo(CONTENT);
        assertThat(masterKeyOf(later.seal())).isEqualTo(active());
      }
      calls.call(session -> {
        SealingKeys.destroy(session, KeyringFollower.ids(generation(active())), false);
        return true;
      });
      assertThatThrownBy(() -> new Replica("without keys"))
          .isInstanceOf(SealingKeyException.class)
          .hasMessageContaining("0 objects");
      assertThat(store.snapshot().replicas()).hasSize(1);
    }
  }

  @Test
  void aNextKeyThatIsMissingHoldsUpTheRotationAndNoCall() {
    try (var one = new Replica("one")) {
      var state = one.seal();
      var next = next();
      calls.call(session -> {
        SealingKeys.destroy(session, KeyringFollower.ids(generation(next)), false);
        return true;
      });

      one.follower.refresh();
      following.add(one);

      assertThat(one.open(state)).isEqualTo(CONTENT);
      assertThatThrownBy(() -> masterKeys.activate(instance, ANY))
          .isInstanceOf(SealingKeyException.class);
      assertThat(one.open(one.seal())).isEqualTo(CONTENT);
      masterKeys.retire(instance, Optional.of(next), Duration.ZERO, false);
      assertThat(generation(next()).state()).isEqualTo(State.NEXT);
    }
  }

  @Test
  void whatAnOlderCopyOfTheTokenLacksIsNotTakenForProvenWhenTheTokenComesBack() throws Exception {
    var tokens = demoDirectory.resolve("token").resolve("tokens");
    var older = tokens.resolveSibling("older");
    copy(tokens, older);
    try (var one = new Replica("one")) {
      var state = one.seal();
      var next = next();
      one.follower.refresh();
      assertThat(store.snapshot().replicas().getFirst().opens()).contains(next);

      var epoch = hsm.epoch().number();
      Files.move(tokens, tokens.resolveSibling("away"));
      await().atMost(Duration.ofSeconds(20)).until(() -> !hsm.epoch().live());
      Files.move(older, tokens);
      await()
          .atMost(Duration.ofSeconds(30))
          .until(() -> hsm.epoch().number() > epoch && hsm.epoch().live());
      one.follower.refresh();

      assertThat(store.snapshot().replicas().getFirst().opens())
          .doesNotContain(next)
          .contains(active());
      assertThat(one.open(state)).isEqualTo(CONTENT);
    }
  }

  private static void copy(Path from, Path to) throws IOException {
    try (var files = Files.walk(from)) {
      for (var file : files.toList()) {
        Files.copy(file, to.resolve(from.relativize(file).toString()));
      }
    }
  }

  @Test
  void aNextKeyIsRetiredOnlyWhenNoGatewayRewrapsUnderIt() {
    try (var one = new Replica("one")) {
      var old = one.aesKey();
      var next = next();
      one.follower.refresh();
      assertThat(store.snapshot().replicas().getFirst().rewrapsUnder()).containsExactly(next);

      assertThatThrownBy(() -> masterKeys.retire(instance, Optional.of(next), Duration.ZERO, true))
          .hasMessageContaining("gateway one has not ceased to seal under master key " + next);
      assertThat(generation(next).state()).as("withdrawn").isEqualTo(State.PREVIOUS);
      var late = one.rewrap(old);
      assertThat(masterKeyOf(late)).isEqualTo(next);

      one.follower.refresh();
      assertThatThrownBy(() -> one.rewrap(old))
          .isInstanceOfSatisfying(
              Pkcs11Exception.class,
              refusal ->
                  assertThat(refusal.returnValue()).isEqualTo(Ckr.CKR_IBM_WK_NOT_INITIALIZED));
      assertThat(masterKeyOf(one.rewrap(late))).as("back").isEqualTo(active());
      masterKeys.retire(instance, Optional.of(next), Duration.ZERO, true);
      assertThat(generation(next).state()).isEqualTo(State.RETIRED);
    }
  }

  @Test
  void aNextKeyIsWithdrawnAndRetiredInOneStepWhenGatewaysFollow() {
    try (var one = new Replica("one")) {
      var next = next();
      one.follower.refresh();
      following.add(one);
      masterKeys.retire(instance, Optional.of(next), Duration.ZERO, true);
      assertThat(generation(next).state()).isEqualTo(State.RETIRED);
    }
  }

  @Test
  void aNextKeyUnderWhichSomethingWasSealedIsRetiredByForceOnly() {
    try (var one = new Replica("one")) {
      var old = one.aesKey();
      var next = next();
      one.follower.refresh();
      var _ = one.rewrap(old);
      pass(Duration.ofSeconds(6));
      one.follower.refresh();
      following.add(one);

      assertThatThrownBy(() -> masterKeys.retire(instance, Optional.of(next), Duration.ZERO, false))
          .hasMessageContaining("blobs were re-wrapped under master key " + next);
      assertThat(generation(next).state()).isEqualTo(State.NEXT);
      masterKeys.retire(instance, Optional.of(next), Duration.ZERO, true);
      assertThat(generation(next).state()).isEqualTo(State.RETIRED);
    }
  }

  @Test
  void aNextKeyUnderWhichNothingWasSealedIsRetiredAtOnce() {
    try (var one = new Replica("one")) {
      var next = next();
      one.follower.refresh();
      following.add(one);
      masterKeys.retire(instance, Optional.of(next), Duration.ofDays(30), false);
      assertThat(generation(next).state()).isEqualTo(State.RETIRED);
    }
  }

  @Test
  void aGatewayThatWasTakenForDeadMustOpenEverythingBeforeItIsBelievedAgain() {
    try (var one = new Replica("one")) {
      var next = next();
      calls.call(session -> {
        SealingKeys.destroy(session, KeyringFollower.ids(generation(next)), false);
        return true;
      });
      one.follower.refresh();
      var dead = store.snapshot().replicas().getFirst();
      store.change(change -> change.remove(dead));

      assertThatThrownBy(one.follower::refresh)
          .isInstanceOf(SealingKeyException.class)
          .hasMessageContaining(next);
      assertThat(store.snapshot().replicas()).isEmpty();
    }
  }

  @Test
  void retirementWaitsForAGatewayThatStillSealsAndThenBindsIt() {
    try (var one = new Replica("one")) {
      var old = active();
      var state = one.seal();
      next();
      one.follower.refresh();
      masterKeys.activate(instance, ANY);
      assertThatThrownBy(() -> masterKeys.retire(instance, ANY, Duration.ZERO, true))
          .hasMessageContaining("gateway one has not ceased to seal");

      one.follower.refresh();
      following.add(one);
      assertThat(masterKeyOf(one.seal())).isNotEqualTo(old);
      masterKeys.retire(instance, ANY, Duration.ZERO, false);
      one.follower.refresh();
      assertThatThrownBy(() -> one.open(state))
          .isInstanceOfSatisfying(
              Pkcs11Exception.class,
              refusal -> assertThat(refusal.returnValue()).isEqualTo(Ckr.CKR_IBM_BLOB_ERROR));

      masterKeys.reinstate(instance, ANY);
      one.follower.refresh();
      assertThat(one.open(state)).isEqualTo(CONTENT);
    }
  }

  @Test
  void whatWasSealedWhileItsGenerationWasRetiredIsNotGivenAway() {
    var generations =
        Map.of(
            instance, new Keyring.Generations(List.of(KeyringFollower.ids(generation(active())))));
    var readings = new AtomicInteger();
    var keyring = new AtomicReference<Keyring>();
    // Looked at when the keys are chosen, and again when the token has sealed.
    BooleanSupplier retiring =
        () -> {
          if (readings.incrementAndGet() == 2) {
            keyring.get().replace(Map.of());
          }
          return true;
        };
    keyring.set(Keyring.leased(hsm, retiring));
    var states = new StateSealer(hsm, keyring.get());
    var keys = new KeySealer(hsm, keyring.get(), true, true);
    var rsa = PublicKeyInfo.parse(rsaKey());
    List<Supplier<byte[]>> sealings =
        List.of(
            () -> states.seal(instance, CryptoFunction.DIGEST, 1, new byte[0], CONTENT),
            () -> keys.sealPublic(instance, rsa, Template.builder().put(CKA_ENCRYPT, true).build()),
            () -> aesKey(keys));
    for (var sealing : sealings) {
      keyring.get().replace(generations);
      readings.set(0);
      assertThatThrownBy(() -> calls.call(_ -> sealing.get()))
          .isInstanceOf(HsmUnavailableException.class)
          .hasMessageContaining("retired while");
    }
  }

  private static byte[] rsaKey() {
    try {
      var generator = KeyPairGenerator.getInstance("RSA");
      generator.initialize(1024);
      return generator.generateKeyPair().getPublic().getEncoded();
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException("RSA is part of every JDK", e);
    }
  }

  @Test
  void retirementDestroysTheWorkingCopiesAndNoOthers() {
    try (var one = new Replica("one")) {
      var old = one.aesKey();
      one.use(old);
      var next = next();
      one.follower.refresh();
      masterKeys.activate(instance, ANY);
      one.follower.refresh();
      var fresh = one.aesKey();
      one.use(fresh);
      assertThat(one.keys.size()).isEqualTo(2);
      following.add(one);

      masterKeys.retire(instance, ANY, Duration.ZERO, false);
      one.follower.refresh();

      assertThat(one.keys.size()).isEqualTo(1);
      assertThatThrownBy(() -> one.use(old))
          .isInstanceOfSatisfying(
              Pkcs11Exception.class,
              refusal -> assertThat(refusal.returnValue()).isEqualTo(Ckr.CKR_IBM_WKID_MISMATCH));
      one.use(fresh);
      assertThat(active()).isEqualTo(next);
    }
  }

  @Test
  void aCachedKeyIsRefusedWhenTheLeaseHasEnded() {
    try (var one = new Replica("one")) {
      var key = one.aesKey();
      one.use(key);
      pass(LEASE);
      assertThatThrownBy(() -> one.use(key)).isInstanceOf(HsmUnavailableException.class);
    }
  }

  @Test
  void unusedForCountsFromTheLastUseOrFromTheActivationOfItsSuccessor() {
    try (var one = new Replica("one")) {
      var state = one.seal();
      next();
      one.follower.refresh();
      masterKeys.activate(instance, ANY);
      one.follower.refresh();
      following.add(one);
      assertThatThrownBy(() -> masterKeys.retire(instance, ANY, Duration.ofDays(1), false))
          .hasMessageContaining("in use until");

      pass(Duration.ofMinutes(2));
      one.follower.refresh();
      var _ = one.open(state);
      pass(Duration.ofSeconds(6));
      one.follower.refresh();
      pass(Duration.ofHours(24));
      one.follower.refresh();
      assertThatThrownBy(() -> masterKeys.retire(instance, ANY, Duration.ofDays(1), false))
          .as("within what gateways may write late")
          .hasMessageContaining("in use until 2026-11-21T10:02:06Z");
      pass(Duration.ofSeconds(20));
      one.follower.refresh();
      masterKeys.retire(instance, ANY, Duration.ofDays(1), false);
    }
  }

  /** A day after a rotation, of which one state is left. */
  private byte[] rotatedADayAgo(Replica one) {
    var state = one.seal();
    next();
    one.follower.refresh();
    masterKeys.activate(instance, ANY);
    one.follower.refresh();
    pass(Duration.ofDays(2));
    one.follower.refresh();
    return state;
  }

  @Test
  void whatWasUsedAMomentAgoKeepsAGenerationFromBeingRetired() {
    try (var one = new Replica("one")) {
      var _ = one.open(rotatedADayAgo(one));
      assertThatThrownBy(() -> masterKeys.retire(instance, ANY, Duration.ofDays(1), false))
          .hasMessageContaining("gateway one has not written what was used of master key");
      following.add(one);
      assertThatThrownBy(() -> masterKeys.retire(instance, ANY, Duration.ofDays(1), false))
          .hasMessageContaining("in use until 2026-11-23T10:00:00Z");
    }
  }

  @Test
  void aGatewayThatWasKilledIsWaitedForAndThenCountsAsAUse() {
    try (var killed = new Replica("killed")) {
      var _ = killed.open(rotatedADayAgo(killed));
      for (int attempt = 0; attempt < 2; attempt++) {
        assertThatThrownBy(() -> masterKeys.retire(instance, ANY, Duration.ofDays(1), false))
            .hasMessageContaining("gateway killed has not written");
      }
      pass(LEASE.plusSeconds(2));
      assertThatThrownBy(() -> masterKeys.retire(instance, ANY, Duration.ofDays(1), false))
          .hasMessageContaining("in use until 2026-11-23T10:05:00Z");
    }
  }

  @Test
  void whatWasUsedAfterItsRetirementIsNotDestroyed() {
    try (var one = new Replica("one")) {
      var state = rotatedADayAgo(one);
      var old = generation(store.instances().getFirst().generations().getFirst().id()).id();
      masterKeys.retire(instance, ANY, Duration.ZERO, true);
      pass(Duration.ofSeconds(1));
      assertThat(one.open(state)).as("not followed yet").isEqualTo(CONTENT);
      one.follower.refresh();
      pass(Duration.ofDays(8));
      one.follower.refresh();

      assertThatThrownBy(() -> masterKeys.destroy(instance, ANY))
          .hasMessageContaining("still used until 2026-11-23T10:00:01Z");
      masterKeys.reinstate(instance, ANY);
      one.follower.refresh();
      following.add(one);
      masterKeys.retire(instance, ANY, Duration.ZERO, false);
      pass(Duration.ofDays(8));
      one.follower.refresh();
      masterKeys.destroy(instance, ANY);
      assertThat(generation(old).state()).isEqualTo(State.DESTROYED);
    }
  }

  @Test
  void aGatewayThatEndsInOrderIsNotWaitedForAndLeavesItsUses() {
    var old = active();
    try (var one = new Replica("one")) {
      var _ = one.open(one.seal());
    }
    assertThat(store.snapshot().replicas()).isEmpty();
    assertThat(store.snapshot().use(instance, old).orElseThrow().count())
        .as("sealed once, opened once")
        .isEqualTo(2);
  }

  @Test
  void aGatewayThatHangsInALookStopsAllTheSameAndSaysNothingLater() throws Exception {
    var hangs = new CountDownLatch(1);
    var goesOn = new CountDownLatch(1);
    var one = new Replica("one");
    onLook =
        () -> {
          hangs.countDown();
          try {
            goesOn.await();
          } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
          }
        };
    var look = Thread.ofPlatform().start(one.follower::refresh);
    hangs.await();
    try {
      assertTimeoutPreemptively(Duration.ofSeconds(20), one::close);
    } finally {
      goesOn.countDown();
      look.join();
    }
    assertThat(one.keyring.available()).isFalse();
    assertThatThrownBy(one::seal).isInstanceOf(HsmUnavailableException.class);
  }

  @Test
  void destructionWaitsForTheQuarantineAndIsFinishedWhereItWasCutOff() {
    var old = active();
    next();
    masterKeys.activate(instance, ANY);
    masterKeys.retire(instance, ANY, Duration.ZERO, false);
    pass(Duration.ofDays(6));
    assertThatThrownBy(() -> masterKeys.destroy(instance, ANY))
        .hasMessageContaining("can be destroyed from 2026-11-28T10:00:00Z on");
    assertThat(masterKeys.list(instance).getFirst().tokenObjects()).isEqualTo(5);
    pass(Duration.ofDays(1));
    // As a process leaves it that is killed right after the commit.
    store.change(change -> {
      var record = change.snapshot().instance(instance).orElseThrow();
      return change.replace(record.with(generation(old).in(State.DESTROYED, clock.instant())));
    });

    var destroyed = masterKeys.destroy(instance, Optional.of(old));

    assertThat(destroyed.tokenObjects()).as("the first derivation root").isEqualTo(1);
    assertThat(masterKeys.destroy(instance, Optional.of(old)).tokenObjects()).isEqualTo(1);
    try (var one = new Replica("one")) {
      assertThat(one.open(one.seal())).isEqualTo(CONTENT);
    }
  }

  @Test
  void aGatewayDoesNotStartWithoutTheFirstRootAlsoWhenItsGenerationIsDestroyed() {
    var first = generation(active());
    next();
    masterKeys.activate(instance, ANY);
    masterKeys.retire(instance, ANY, Duration.ZERO, false);
    new Replica("with it").close();
    calls.call(session -> {
      SealingKeys.destroy(session, KeyringFollower.ids(first), false);
      return true;
    });

    assertThatThrownBy(() -> new Replica("without it"))
        .isInstanceOf(SealingKeyException.class)
        .hasMessageContaining("first derivation root");
    assertThatThrownBy(() -> StartSteps.requireSealingKeys(calls, store.instances()))
        .isInstanceOf(SealingKeyException.class)
        .hasMessageContaining("first derivation root");
  }

  /** A command that dies before its commit: the record of it is the last thing before that. */
  @Test
  void everyStepThatIsCutOffHasDoneNothingAndCanBeRepeated() {
    var killed = new Error("killed");
    var cutOff =
        masterKeys(event -> {
          throw killed;
        });
    try (var one = new Replica("one")) {
      var old = active();
      var state = one.seal();

      var before = store.instances();
      assertThatThrownBy(() -> cutOff.createNext(instance)).isSameAs(killed);
      assertThat(store.instances()).isEqualTo(before);
      var next = next();
      assertThat(next()).as("given again").isEqualTo(next);
      one.follower.refresh();

      before = store.instances();
      assertThatThrownBy(() -> cutOff.activate(instance, ANY)).isSameAs(killed);
      assertThat(store.instances()).isEqualTo(before);
      masterKeys.activate(instance, ANY);
      masterKeys.activate(instance, Optional.of(next));
      one.follower.refresh();

      before = store.instances();
      following.add(one);
      assertThatThrownBy(() -> cutOff.retire(instance, ANY, Duration.ZERO, false)).isSameAs(killed);
      assertThat(store.instances()).isEqualTo(before);
      assertThat(one.open(state)).isEqualTo(CONTENT);
      masterKeys.retire(instance, ANY, Duration.ZERO, false);
      masterKeys.retire(instance, Optional.of(old), Duration.ZERO, false);
      one.follower.refresh();

      before = store.instances();
      assertThatThrownBy(() -> cutOff.reinstate(instance, ANY)).isSameAs(killed);
      assertThat(store.instances()).isEqualTo(before);
      masterKeys.reinstate(instance, ANY);
      masterKeys.reinstate(instance, Optional.of(old));
      one.follower.refresh();
      assertThat(one.open(state)).isEqualTo(CONTENT);

      masterKeys.retire(instance, ANY, Duration.ZERO, false);
      one.follower.refresh();
      pass(Duration.ofDays(8));
      one.follower.refresh();
      before = store.instances();
      assertThatThrownBy(() -> cutOff.destroy(instance, ANY)).isSameAs(killed);
      assertThat(store.instances()).isEqualTo(before);
      assertThat(masterKeys.list(instance).getFirst().tokenObjects()).isEqualTo(5);
      masterKeys.destroy(instance, ANY);

      assertThat(audited)
          .extracting(AuditEvent::action)
          .containsExactly(
              "hs-crypto.masterkey.create-next",
              "hs-crypto.masterkey.activate",
              "hs-crypto.masterkey.retire",
              "hs-crypto.masterkey.reinstate",
              "hs-crypto.masterkey.retire",
              "hs-crypto.masterkey.destroy");
    }
  }
}
