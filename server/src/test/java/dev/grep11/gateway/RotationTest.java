package dev.grep11.gateway;

import static dev.grep11.gateway.BothDialectsTest.assertCode;
import static dev.grep11.gateway.RunningGateway.aesKey;
import static dev.grep11.gateway.RunningGateway.cbcPad;
import static dev.grep11.gateway.RunningGateway.encrypt;
import static dev.grep11.gateway.RunningGateway.flag;
import static dev.grep11.gateway.RunningGateway.mechanism;
import static dev.grep11.gateway.RunningGateway.number;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.host.MasterKeys;
import dev.grep11.gateway.iam.ApiKeys;
import dev.grep11.gateway.iam.Roles;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.NamedCurve;
import dev.grep11.gateway.store.ReplicaRecord;
import dev.grep11.gateway.store.SealingKeyGeneration.State;
import dev.grep11.gateway.token.StartException;
import dev.grep11.proto.AttributeValue;
import dev.grep11.proto.CryptoGrpc.CryptoBlockingStub;
import dev.grep11.proto.DecryptSingleRequest;
import dev.grep11.proto.EncryptFinalRequest;
import dev.grep11.proto.EncryptInitRequest;
import dev.grep11.proto.EncryptUpdateRequest;
import dev.grep11.proto.GenerateKeyPairRequest;
import dev.grep11.proto.GenerateKeyPairResponse;
import dev.grep11.proto.GenerateKeyRequest;
import dev.grep11.proto.RewrapKeyBlobRequest;
import dev.grep11.proto.SetAttributeValueRequest;
import dev.grep11.proto.SignSingleRequest;
import dev.grep11.proto.VerifySingleRequest;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.AbstractStub;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Queue;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Executors;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.atomic.AtomicReferenceArray;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/** Two gateways on one token and store, while the master keys of their instances are rotated. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class RotationTest {
  private static final ByteString PLAIN =
      ByteString.copyFromUtf8("the same under every master key");
  private static final ByteString HASH = ByteString.copyFrom(new byte[32]);
  private static final Duration PATIENCE = Duration.ofSeconds(20);
  private static final Optional<String> ANY = Optional.empty();

  private RunningGateway one;
  private RunningGateway two;

  @BeforeAll
  void start(@TempDir Path parent) throws Exception {
    var directory = parent.resolve("demo");
    one = RunningGateway.start(directory, settings("audit.jsonl"));
    two = RunningGateway.start(directory, settings("audit-two.jsonl"));
  }

  private static Map<String, Object> settings(String audit) {
    var settings = new HashMap<String, Object>();
    settings.put("/instance", null);
    settings.put("/multiInstance", true);
    settings.put("/audit/file", audit);
    settings.put("/store/leaseSeconds", 60);
    settings.put("/masterKey/quarantineSeconds", 0);
    return settings;
  }

  @AfterAll
  void stop() {
    two.close();
    one.close();
  }

  /** A new instance, and clients of it at both gateways. */
  private final class Instance implements AutoCloseable {
    final UUID id = UUID.randomUUID();
    final Host host = Host.open(one.config);
    final MasterKeys masterKeys = host.masterKeys();
    final CryptoBlockingStub atOne;
    final CryptoBlockingStub atTwo;

    Instance() throws Exception {
      host.createInstance(id, "instance " + id, "demo", "local");
      var issuer = one.config.tokenService().orElseThrow().issuer();
      try (var key =
          new ApiKeys(host.store(), Roles.standard(), issuer)
              .create("of " + id, id, "Manager")
              .secret()) {
        var token = "Bearer " + one.tokenFor(new String(key.chars()));
        atOne = patient(one.client("authorization", token, "bluemix-instance", id.toString()));
        atTwo = patient(two.client("authorization", token, "bluemix-instance", id.toString()));
      }
      for (var client : clients()) {
        await().atMost(PATIENCE).ignoreExceptions().until(() -> !aesKey(client).isEmpty());
      }
    }

    List<CryptoBlockingStub> clients() {
      return List.of(atOne, atTwo);
    }

    CryptoBlockingStub any() {
      return ThreadLocalRandom.current().nextBoolean() ? atOne : atTwo;
    }

    String active() {
      return host.store().findInstance(id).orElseThrow().active().orElseThrow().id();
    }

    /** Both gateways have followed. */
    void settled() {
      await()
          .atMost(PATIENCE)
          .until(() -> masterKeys.list(id).stream().allMatch(each -> each.waiting().isEmpty()));
    }

    @Override
    public void close() {
      host.close();
    }
  }

  /** Ten thousand keys take longer than a client of the other tests waits. */
  private static <S extends AbstractStub<S>> S patient(S client) {
    return client.withDeadlineAfter(10, TimeUnit.MINUTES);
  }

  private static ByteString rewrap(CryptoBlockingStub client, ByteString blob) {
    return client
        .rewrapKeyBlob(RewrapKeyBlobRequest.newBuilder().setWrappedKeyBytes(blob).build())
        .getRewrappedKeyBytes();
  }

  /** Of a private or secret key. */
  private static String masterKeyOf(ByteString blob) {
    return HexFormat.of().formatHex(blob.toByteArray(), 24, 40);
  }

  private static GenerateKeyPairResponse pair(CryptoBlockingStub client, NamedCurve curve) {
    return client.generateKeyPair(
        GenerateKeyPairRequest.newBuilder()
            .setMech(mechanism(Ckm.CKM_EC_KEY_PAIR_GEN))
            .putPubKeyTemplate(
                Cka.CKA_EC_PARAMS,
                AttributeValue.newBuilder()
                    .setAttributeB(ByteString.copyFrom(curve.parameters()))
                    .build())
            .build());
  }

  private static ByteString sign(CryptoBlockingStub client, long mechanism, ByteString key) {
    return client
        .signSingle(
            SignSingleRequest.newBuilder()
                .setMech(mechanism(mechanism))
                .setPrivKeyBytes(key)
                .setData(HASH)
                .build())
        .getSignature();
  }

  private static void verify(
      CryptoBlockingStub client, long mechanism, ByteString key, ByteString signature) {
    var _ =
        client.verifySingle(
            VerifySingleRequest.newBuilder()
                .setMech(mechanism(mechanism))
                .setPubKeyBytes(key)
                .setData(HASH)
                .setSignature(signature)
                .build());
  }

  /** Each step of an operation at another gateway. */
  private static ByteString encryptInParts(
      CryptoBlockingStub first, CryptoBlockingStub second, ByteString key) {
    var state =
        first
            .encryptInit(EncryptInitRequest.newBuilder().setMech(cbcPad()).setKeyBytes(key).build())
            .getState();
    var step =
        second.encryptUpdate(
            EncryptUpdateRequest.newBuilder().setState(state).setPlain(PLAIN).build());
    return step.getCiphered()
        .concat(
            first
                .encryptFinal(EncryptFinalRequest.newBuilder().setState(step.getState()).build())
                .getCiphered());
  }

  /** Clients that use keys all the time, and note what goes wrong. */
  private static final class Traffic implements AutoCloseable {
    private static final int CLIENTS = 2;
    final AtomicReferenceArray<ByteString> blobs;
    final Queue<Throwable> failures = new ConcurrentLinkedQueue<>();
    final AtomicIntegerArray calls = new AtomicIntegerArray(CLIENTS);
    private final List<ByteString> ciphered = new ArrayList<>();
    private final AtomicBoolean ended = new AtomicBoolean();
    private final List<Thread> threads = new ArrayList<>();

    Traffic(Instance instance, List<ByteString> keys) {
      blobs = new AtomicReferenceArray<>(keys.toArray(ByteString[]::new));
      keys.forEach(key -> ciphered.add(encrypt(instance.any(), key, PLAIN)));
      for (int i = 0; i < CLIENTS; i++) {
        int client = i;
        threads.add(Thread.ofPlatform().start(() -> run(instance, client)));
      }
    }

    private void run(Instance instance, int client) {
      var atOne = instance.atOne;
      var atTwo = instance.atTwo;
      while (!ended.get()) {
        try {
          int key = ThreadLocalRandom.current().nextInt(blobs.length());
          var blob = blobs.get(key);
          var expected = ciphered.get(key);
          assertThat(encrypt(atOne, blob, PLAIN)).isEqualTo(expected);
          assertThat(encrypt(atTwo, blob, PLAIN)).isEqualTo(expected);
          assertThat(encryptInParts(atOne, atTwo, blob)).isEqualTo(expected);
          // What one makes, the other one opens.
          var made = aesKey(atOne);
          var _ = encrypt(atTwo, made, PLAIN);
        } catch (RuntimeException | AssertionError e) {
          failures.add(e);
        }
        calls.incrementAndGet(client);
      }
    }

    /** Every client has taken up what is in {@link #blobs} now. */
    void everybodyHasBegunAnew() {
      for (int i = 0; i < CLIENTS; i++) {
        int client = i;
        int before = calls.get(client);
        await().atMost(PATIENCE).until(() -> calls.get(client) >= before + 2);
      }
    }

    @Override
    public void close() {
      ended.set(true);
      for (var thread : threads) {
        try {
          thread.join();
        } catch (InterruptedException e) {
          Thread.currentThread().interrupt();
        }
      }
    }
  }

  @Test
  void aRotationUnderTrafficFailsNoCall() throws Exception {
    rotate(200);
  }

  @Test
  @Tag("long")
  void aRotationOfTenThousandBlobsUnderTrafficFailsNoCall() throws Exception {
    rotate(10_000);
  }

  private void rotate(int count) throws Exception {
    try (var instance = new Instance()) {
      var keys = new ArrayList<ByteString>();
      for (int i = 0; i < count; i++) {
        keys.add(aesKey(instance.any()));
      }
      var old = instance.active();
      var masterKeys = instance.masterKeys;
      try (var traffic = new Traffic(instance, keys)) {
        traffic.everybodyHasBegunAnew();
        var next = masterKeys.createNext(instance.id);
        assertThat(next.generation().state()).isEqualTo(State.NEXT);
        instance.settled();
        rewrap(instance, traffic, 0, count / 2);
        assertThat(masterKeyOf(traffic.blobs.get(0))).isEqualTo(next.generation().id());

        assertThat(masterKeys.activate(instance.id, ANY).generation().id())
            .isEqualTo(next.generation().id());
        instance.settled();
        assertThat(masterKeyOf(aesKey(instance.any()))).isEqualTo(next.generation().id());
        rewrap(instance, traffic, count / 2, count);
        traffic.everybodyHasBegunAnew();

        var retired = masterKeys.retire(instance.id, ANY, Duration.ZERO, false);
        assertThat(retired.generation().id()).isEqualTo(old);
        instance.settled();
        traffic.everybodyHasBegunAnew();
        assertThat(traffic.failures).isEmpty();
      }
      var lost = keys.getFirst();
      for (var client : instance.clients()) {
        assertCode(Ckr.CKR_IBM_WKID_MISMATCH, () -> encrypt(client, lost, PLAIN));
      }

      masterKeys.reinstate(instance.id, ANY);
      instance.settled();
      for (var client : instance.clients()) {
        assertThat(encrypt(client, lost, PLAIN)).isNotEqualTo(PLAIN);
      }

      // Not by force: uses that are written later would keep it from being destroyed.
      masterKeys.retire(instance.id, ANY, Duration.ZERO, false);
      instance.settled();
      var destroyed = masterKeys.destroy(instance.id, ANY);
      assertThat(destroyed.generation().state()).isEqualTo(State.DESTROYED);
      assertThat(destroyed.tokenObjects()).as("the first derivation root").isEqualTo(1);
      assertThatThrownBy(() -> masterKeys.reinstate(instance.id, Optional.of(old)))
          .hasMessageContaining("is destroyed");
      for (var client : instance.clients()) {
        assertCode(Ckr.CKR_IBM_WKID_MISMATCH, () -> encrypt(client, lost, PLAIN));
        assertThat(encrypt(client, aesKey(client), PLAIN).isEmpty()).isFalse();
      }
    }
  }

  @Test
  void theClientLearnsThatABlobIsOfNoKeyInUseAndTheAuditWhichItIsAndWhy() throws Exception {
    try (var instance = new Instance();
        var other = new Instance()) {
      var client = instance.atOne;
      var key = aesKey(client);
      var state = begin(client, key);
      var old = instance.active();
      assertRefusedSaying(
          Ckr.CKR_IBM_WK_NOT_INITIALIZED, false, "there is no next one", () -> rewrap(client, key));
      instance.masterKeys.createNext(instance.id);
      instance.settled();
      var moved = rewrap(client, key);
      assertRefusedSaying(
          Ckr.CKR_IBM_WK_NOT_INITIALIZED,
          false,
          "under the newest master key already",
          () -> rewrap(client, moved));
      instance.masterKeys.activate(instance.id, ANY);
      instance.settled();
      instance.masterKeys.retire(instance.id, ANY, Duration.ZERO, false);
      instance.settled();

      var said = "not sealed under a master key that is in use here";
      assertRefusedSaying(
          Ckr.CKR_IBM_WKID_MISMATCH, false, said, () -> encrypt(client, key, PLAIN));
      assertRefusedSaying(Ckr.CKR_IBM_BLOB_ERROR, false, said, () -> update(client, state));
      assertAudited(
          "EncryptSingle",
          said + "; it names master key " + old + " of this instance, which is retired");
      assertAudited(
          "EncryptUpdate",
          said + "; it names master key " + old + " of this instance, which is retired");
      assertRefusedSaying(
          Ckr.CKR_IBM_WKID_MISMATCH, false, said, () -> encrypt(other.atOne, key, PLAIN));
      assertAudited("EncryptSingle", said + "; it names instance " + instance.id);
      instance.masterKeys.destroy(instance.id, ANY);
      await()
          .atMost(PATIENCE)
          .untilAsserted(() -> {
            assertCode(Ckr.CKR_IBM_WKID_MISMATCH, () -> encrypt(client, key, PLAIN));
            assertAudited(
                "EncryptSingle",
                "it names master key " + old + " of this instance, whose keys were destroyed");
          });
    }
  }

  private static ByteString begin(CryptoBlockingStub client, ByteString key) {
    return client
        .encryptInit(EncryptInitRequest.newBuilder().setMech(cbcPad()).setKeyBytes(key).build())
        .getState();
  }

  private static void update(CryptoBlockingStub client, ByteString state) {
    var _ =
        client.encryptUpdate(
            EncryptUpdateRequest.newBuilder().setState(state).setPlain(PLAIN).build());
  }

  private static void assertRefusedSaying(
      long code, boolean retry, String said, ThrowingCallable call) {
    assertCode(code, call);
    assertThatThrownBy(call)
        .isInstanceOfSatisfying(
            StatusRuntimeException.class,
            refusal -> {
              assertThat(RunningGateway.detail(refusal).getDetail())
                  .contains(said)
                  .doesNotContain("it names");
              assertThat(RunningGateway.detail(refusal).getRetry()).isEqualTo(retry);
            });
  }

  /** Events reach the file soon after the answer. */
  private void assertAudited(String rpc, String why) {
    await()
        .atMost(PATIENCE)
        .untilAsserted(() ->
            assertThat(Files.readString(one.directory.resolve("audit.jsonl")).lines())
                .anyMatch(line -> line.contains("/grep11.Crypto/" + rpc) && line.contains(why)));
  }

  private static void rewrap(Instance instance, Traffic traffic, int from, int to)
      throws Exception {
    try (var clients = Executors.newFixedThreadPool(2)) {
      var work = new ArrayList<java.util.concurrent.Callable<Boolean>>();
      for (int i = from; i < to; i++) {
        int key = i;
        work.add(() -> {
          traffic.blobs.set(key, rewrap(instance.any(), traffic.blobs.get(key)));
          return true;
        });
      }
      for (var done : clients.invokeAll(work)) {
        assertThat(done.get()).isTrue();
      }
    }
  }

  @Test
  void everyKindOfBlobIsRewrappedAndStaysTheSameKey() throws Exception {
    try (var instance = new Instance()) {
      var client = instance.atOne;
      var ec = pair(client, NamedCurve.P_256);
      var ed = pair(client, NamedCurve.ED25519);
      var extractable =
          client
              .generateKey(
                  GenerateKeyRequest.newBuilder()
                      .setMech(mechanism(Ckm.CKM_AES_KEY_GEN))
                      .putTemplate(Cka.CKA_VALUE_LEN, number(32))
                      .putTemplate(Cka.CKA_EXTRACTABLE, flag(true))
                      .build())
              .getKeyBytes();
      var before = encrypt(client, extractable, PLAIN);
      var signature = sign(client, Ckm.CKM_ECDSA, ec.getPrivKeyBytes());
      assertCode(Ckr.CKR_IBM_WK_NOT_INITIALIZED, () -> rewrap(client, extractable));

      var next = instance.masterKeys.createNext(instance.id).generation().id();
      instance.settled();

      var moved = rewrap(client, extractable);
      assertThat(masterKeyOf(moved)).isEqualTo(next);
      assertThat(encrypt(instance.atTwo, moved, PLAIN)).isEqualTo(before);
      assertThat(encrypt(client, extractable, PLAIN)).as("the old one").isEqualTo(before);
      var publicKey = rewrap(client, ec.getPubKeyBytes());
      assertThat(publicKey).isNotEqualTo(ec.getPubKeyBytes());
      verify(instance.atTwo, Ckm.CKM_ECDSA, publicKey, signature);
      verify(
          instance.atTwo,
          Ckm.CKM_ECDSA,
          ec.getPubKeyBytes(),
          sign(client, Ckm.CKM_ECDSA, rewrap(client, ec.getPrivKeyBytes())));
      verify(
          instance.atTwo,
          Ckm.CKM_EDDSA,
          ed.getPubKeyBytes(),
          sign(client, Ckm.CKM_EDDSA, rewrap(client, ed.getPrivKeyBytes())));
      assertCode(Ckr.CKR_IBM_WK_NOT_INITIALIZED, () -> rewrap(client, moved));

      // A change of attributes leaves a blob where it is, and does not bring it back.
      var changed =
          client
              .setAttributeValue(
                  SetAttributeValueRequest.newBuilder()
                      .setObject(moved)
                      .putAttributes(Cka.CKA_EXTRACTABLE, flag(false))
                      .build())
              .getObject();
      assertThat(masterKeyOf(changed)).isEqualTo(next);
      assertThat(encrypt(instance.atTwo, changed, PLAIN)).isEqualTo(before);
    }
  }

  /** A ciphertext whose answer changed with the master key would be known as a made-up one. */
  @Test
  void implicitRejectionAnswersTheSameThroughARotationAndThroughEveryBlob() throws Exception {
    try (var instance = new Instance()) {
      var client = instance.atOne;
      var key =
          client
              .generateKeyPair(
                  GenerateKeyPairRequest.newBuilder()
                      .setMech(mechanism(Ckm.CKM_RSA_PKCS_KEY_PAIR_GEN))
                      .putPubKeyTemplate(Cka.CKA_MODULUS_BITS, number(1024))
                      .putPubKeyTemplate(Cka.CKA_PUBLIC_EXPONENT, number(65537))
                      .putPrivKeyTemplate(Cka.CKA_DECRYPT, flag(true))
                      .build())
              .getPrivKeyBytes();
      var wrong = new byte[128];
      wrong[127] = 2;
      var before = decrypt(client, key, wrong);

      instance.masterKeys.createNext(instance.id);
      instance.settled();
      var moved = rewrap(client, key);
      assertThat(decrypt(client, moved, wrong)).isEqualTo(before);
      instance.masterKeys.activate(instance.id, ANY);
      instance.settled();
      assertThat(decrypt(client, key, wrong)).isEqualTo(before);
      assertThat(decrypt(instance.atTwo, moved, wrong)).isEqualTo(before);
      instance.masterKeys.retire(instance.id, ANY, Duration.ZERO, false);
      instance.settled();
      instance.masterKeys.destroy(instance.id, ANY);
      assertThat(decrypt(instance.atTwo, moved, wrong)).isEqualTo(before);
    }
  }

  private static ByteString decrypt(CryptoBlockingStub client, ByteString key, byte[] ciphered) {
    return client
        .decryptSingle(
            DecryptSingleRequest.newBuilder()
                .setMech(mechanism(Ckm.CKM_RSA_PKCS))
                .setKeyBytes(key)
                .setCiphered(ByteString.copyFrom(ciphered))
                .build())
        .getPlain();
  }

  @Test
  void nothingIsSealedUnderAKeyThatALivingGatewayHasNotConfirmed() throws Exception {
    try (var instance = new Instance()) {
      var key = aesKey(instance.atOne);
      var now = Instant.now();
      var silent =
          new ReplicaRecord(
              UUID.randomUUID(), "silent", now, now.plusSeconds(600), Set.of(), Set.of(), Set.of());
      instance
          .host
          .store()
          .change(change -> {
            change.put(silent);
            return true;
          });
      try {
        var next = instance.masterKeys.createNext(instance.id);
        assertThat(next.waiting()).contains(silent);
        await()
            .atMost(PATIENCE)
            .until(() ->
                instance.host.store().snapshot().replicas().stream()
                        .filter(each -> each.opens().contains(next.generation().id()))
                        .count()
                    == 2);

        assertThatThrownBy(() -> instance.masterKeys.activate(instance.id, ANY))
            .isInstanceOf(StartException.class)
            .hasMessageContaining("gateway silent has not shown to open master key");
        for (var client : instance.clients()) {
          assertRefusedSaying(
              Ckr.CKR_IBM_WK_NOT_INITIALIZED,
              true,
              "not every gateway has shown to open yet",
              () -> rewrap(client, key));
        }
      } finally {
        instance.host.store().change(change -> change.remove(silent));
      }
      instance.masterKeys.activate(instance.id, ANY);
      instance.settled();
      assertThat(masterKeyOf(aesKey(instance.atTwo))).isEqualTo(instance.active());
      assertThat(masterKeyOf(rewrap(instance.atOne, key))).isEqualTo(instance.active());
      assertThat(Files.readString(one.directory.resolve("audit.jsonl.commands")))
          .contains("\"action\":\"hs-crypto.masterkey.create-next\"")
          .containsPattern("masterkey.activate\"[^\n]*\"outcome\":\"failure\"[^\n]*silent")
          .containsPattern("masterkey.activate\"[^\n]*\"outcome\":\"success\"");
    }
  }

  @Test
  void aGatewayThatEndedWithoutAWordHoldsNobodyUpAndCountsAsAUse() throws Exception {
    try (var instance = new Instance()) {
      var old = instance.active();
      instance.masterKeys.createNext(instance.id);
      instance.settled();
      var later = Instant.now().minusSeconds(5);
      var dead =
          new ReplicaRecord(
              UUID.randomUUID(),
              "dead",
              later.minusSeconds(5),
              later,
              Set.of(old),
              Set.of(),
              Set.of(old));
      instance
          .host
          .store()
          .change(change -> {
            change.put(dead);
            return true;
          });

      instance.masterKeys.activate(instance.id, ANY);

      assertThat(instance.host.store().snapshot().replicas()).doesNotContain(dead);
      assertThat(instance.host.store().snapshot().use(instance.id, old).orElseThrow().lastUsed())
          .isAfterOrEqualTo(later);
    }
  }

  @Test
  void usesOfAnOldGenerationAreCountedCacheHitsTooAndKeepItFromBeingRetired() throws Exception {
    try (var instance = new Instance()) {
      var key = aesKey(instance.atOne);
      var old = instance.active();
      instance.masterKeys.createNext(instance.id);
      instance.settled();
      instance.masterKeys.activate(instance.id, ANY);
      instance.settled();
      for (int i = 0; i < 20; i++) {
        var _ = encrypt(instance.atOne, key, PLAIN);
      }
      await()
          .atMost(PATIENCE)
          .until(() -> instance.masterKeys.list(instance.id).getFirst().uses() >= 20);

      assertThatThrownBy(
              () -> instance.masterKeys.retire(instance.id, ANY, Duration.ofHours(1), false))
          .isInstanceOf(StartException.class)
          .hasMessageContaining(old)
          .hasMessageContaining("was in use until");
      assertThatThrownBy(() ->
              instance.masterKeys.retire(
                  instance.id, Optional.of(instance.active()), Duration.ZERO, true))
          .hasMessageContaining("is active");
      instance.masterKeys.retire(instance.id, ANY, Duration.ofDays(30), true);
      assertThat(Files.readString(one.directory.resolve("audit.jsonl.commands")))
          .containsPattern("masterkey.force-retire\"[^\n]*\"severity\":\"critical\"");
    }
  }
}
