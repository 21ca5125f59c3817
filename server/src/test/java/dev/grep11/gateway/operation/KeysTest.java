package dev.grep11.gateway.operation;

import static dev.grep11.gateway.operation.Client.assertRefused;
import static dev.grep11.gateway.operation.Client.flags;
import static dev.grep11.gateway.pkcs11.Cka.*;
import static dev.grep11.gateway.pkcs11.Ckm.*;
import static dev.grep11.gateway.pkcs11.Ckr.*;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.grep11.gateway.hsm.Cryptoki;
import dev.grep11.gateway.hsm.NativeCryptoki;
import dev.grep11.gateway.key.BlobDigest;
import dev.grep11.gateway.key.KeyForm;
import dev.grep11.gateway.key.Keys;
import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Hash;
import dev.grep11.gateway.pkcs11.HsmUnavailableException;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismParameters.Ecdh1Derive;
import dev.grep11.gateway.pkcs11.MechanismParameters.RsaOaep;
import dev.grep11.gateway.pkcs11.NamedCurve;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.softhsm.SoftHsmExtension;
import dev.grep11.softhsm.SoftHsmToken;
import java.lang.reflect.Proxy;
import java.nio.ByteBuffer;
import java.security.KeyPairGenerator;
import java.security.spec.ECGenParameterSpec;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import javax.crypto.Cipher;
import javax.crypto.spec.SecretKeySpec;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The cache of working copies, under load, under loss of the token, and in what it leaves behind.
 */
class KeysTest {
  @RegisterExtension static final SoftHsmExtension HSM = new SoftHsmExtension();

  private static final byte[] MESSAGE = "signed under load".getBytes(UTF_8);
  private static final Mechanism HMAC = Mechanism.of(CKM_SHA256_HMAC);
  private static final Template SESSION_OBJECTS = Template.builder().put(CKA_TOKEN, false).build();

  /** By function: what it answers once instead of doing anything. */
  private final Map<String, Long> answersOnce = new ConcurrentHashMap<>();

  private Core core;
  private Client client;

  @BeforeEach
  void open() {
    var real = NativeCryptoki.load(SoftHsmToken.findModule());
    var faulty =
        (Cryptoki)
            Proxy.newProxyInstance(
                KeysTest.class.getClassLoader(),
                new Class<?>[] {Cryptoki.class},
                (proxy, method, arguments) -> {
                  var answer = answersOnce.remove(method.getName());
                  return answer != null ? answer : method.invoke(real, arguments);
                });
    core = Core.on(HSM.token(), faulty);
    client = new Client(core.operations(Policy.COMPATIBLE, true), Core.A);
  }

  @AfterEach
  void close() {
    core.close();
  }

  private int sessionObjects() {
    return core.hsm.session().findObjects(SESSION_OBJECTS).size();
  }

  /** Runs the work on so many threads at once, each of which owns a session. */
  private void together(int threads, java.util.function.IntConsumer work)
      throws InterruptedException, ExecutionException {
    var barrier = new CyclicBarrier(threads);
    try (var pool = Executors.newFixedThreadPool(threads)) {
      var running = new ArrayList<Future<?>>();
      for (int i = 0; i < threads; i++) {
        int number = i;
        running.add(
            pool.submit(() -> {
              core.hsm.adoptCurrentThread();
              try {
                barrier.await();
                work.accept(number);
              } finally {
                core.hsm.releaseCurrentThread();
              }
              return null;
            }));
      }
      for (var future : running) {
        future.get();
      }
    }
  }

  @Test
  void manyThreadsThatMissTogetherLoadAKeyOnce() throws Exception {
    var keys = new Keys(core.hsm, core.sealer, 100);
    var blobs =
        List.of(
            client.aes(32, Template.empty()).blob(),
            client.ec(NamedCurve.P_256, Template.empty(), Template.empty()).privateKey().blob(),
            client.rsa(2048, Template.empty(), Template.empty()).privateKey().blob());
    int before = sessionObjects();
    together(
        12,
        ignored -> {
          for (var blob : blobs) {
            try (var key = keys.borrow(Core.A, blob, KeyForm.USE)) {
              assertThat(key.handle()).isNotZero();
            }
          }
        });
    assertThat(keys.loads()).isEqualTo(3);
    assertThat(sessionObjects()).isEqualTo(before + 3);
  }

  @Test
  void aKeyInUseOutlivesItsEviction() throws Exception {
    var keys = new Keys(core.hsm, core.sealer, 1);
    var first = client.aes(32, Template.empty()).blob();
    var second = client.aes(32, Template.empty()).blob();
    var third = client.aes(32, Template.empty()).blob();
    var expected = client.sign(HMAC, first, MESSAGE);
    try (var held = keys.borrow(Core.A, first, KeyForm.HMAC)) {
      keys.borrow(Core.A, second, KeyForm.HMAC).close();
      keys.borrow(Core.A, third, KeyForm.HMAC).close();
      assertThat(keys.isLoaded(Core.A, BlobDigest.of(first).orElseThrow(), KeyForm.HMAC)).isFalse();
      assertThat(core.hsm.session().sign(HMAC, held.handle(), ByteBuffer.wrap(MESSAGE)))
          .isEqualTo(expected);
    }
  }

  /** Two places for twelve keys, eight threads: every use finds its own key, alive. */
  @Test
  void manyThreadsWithManyKeysInATinyCacheAlwaysUseTheirOwn() throws Exception {
    var keys = new Keys(core.hsm, core.sealer, 2);
    var blobs = new ArrayList<byte[]>();
    var expected = new ArrayList<byte[]>();
    for (int i = 0; i < 12; i++) {
      blobs.add(client.aes(32, Template.empty()).blob());
      expected.add(client.sign(HMAC, blobs.get(i), MESSAGE));
    }
    int before = sessionObjects();
    together(
        8,
        number -> {
          var random = new Random(number);
          for (int i = 0; i < 250; i++) {
            int which = random.nextInt(blobs.size());
            try (var key = keys.borrow(Core.A, blobs.get(which), KeyForm.HMAC)) {
              assertThat(core.hsm.session().sign(HMAC, key.handle(), ByteBuffer.wrap(MESSAGE)))
                  .isEqualTo(expected.get(which));
            }
          }
        });
    assertThat(keys.loads()).isGreaterThan(100);
    // Each load destroys up to eight that were given up: a few more leave the cached ones only.
    for (int i = 0; i < 12; i++) {
      keys.borrow(Core.A, blobs.get(i), KeyForm.HMAC).close();
    }
    assertThat(sessionObjects() - before).isEqualTo((int) keys.size()).isLessThanOrEqualTo(4);
  }

  @Test
  void noInstancePushesOutTheKeysOfAnother() {
    var keys = new Keys(core.hsm, core.sealer, 2);
    var b = new Client(client.operations, Core.B);
    var ofB = b.aes(32, Template.empty()).blob();
    keys.borrow(Core.B, ofB, KeyForm.USE).close();
    for (int i = 0; i < 20; i++) {
      keys.borrow(Core.A, client.aes(32, Template.empty()).blob(), KeyForm.USE).close();
    }
    assertThat(keys.isLoaded(Core.B, BlobDigest.of(ofB).orElseThrow(), KeyForm.USE)).isTrue();
    assertThat(keys.isLoaded(Core.A, BlobDigest.of(ofB).orElseThrow(), KeyForm.USE)).isFalse();
    assertThat(keys.isLoaded(Core.TWIN_OF_A, BlobDigest.of(ofB).orElseThrow(), KeyForm.USE))
        .isFalse();
  }

  @Test
  void aRefusedBlobLeavesNothingBehind() {
    var keys = new Keys(core.hsm, core.sealer, 10);
    var blob = Client.flipped(client.aes(32, Template.empty()).blob(), 999);
    int before = sessionObjects();
    for (int i = 0; i < 20; i++) {
      assertRefused(CKR_IBM_BLOB_ERROR, () -> keys.borrow(Core.A, blob, KeyForm.USE));
    }
    assertThat(keys.size()).isZero();
    assertThat(sessionObjects()).isEqualTo(before);
    assertThatThrownBy(() -> keys.borrow(Core.A, blob, KeyForm.EXPORT))
        .isInstanceOf(IllegalArgumentException.class);
  }

  @Test
  void theEndOfAnEpochForgetsEveryHandleAndTheNextOneLoadsAgain() {
    var blob = client.aes(32, Template.empty()).blob();
    var expected = client.sign(HMAC, blob, MESSAGE);
    assertThat(core.keys.isLoaded(Core.A, BlobDigest.of(blob).orElseThrow(), KeyForm.HMAC))
        .isTrue();
    long loads = core.keys.loads();
    var epoch = core.hsm.epoch();
    var held = core.keys.borrow(Core.A, blob, KeyForm.HMAC);

    answersOnce.put("C_SignInit", CKR_DEVICE_REMOVED);
    assertThatThrownBy(() -> client.sign(HMAC, blob, MESSAGE))
        .isInstanceOf(HsmUnavailableException.class)
        .isInstanceOfSatisfying(
            Pkcs11Exception.class, refusal -> assertThat(refusal.retry()).isTrue());
    await()
        .atMost(Duration.ofSeconds(10))
        .until(() -> core.hsm.epoch().live() && core.hsm.epoch().number() > epoch.number());

    assertThat(core.keys.isLoaded(Core.A, BlobDigest.of(blob).orElseThrow(), KeyForm.HMAC))
        .isFalse();
    assertThat(client.sign(HMAC, blob, MESSAGE)).isEqualTo(expected);
    assertThat(core.keys.loads()).isEqualTo(loads + 1);
    // What was borrowed before means nothing now, and giving it back destroys nothing.
    int before = sessionObjects();
    held.close();
    for (int i = 0; i < 3; i++) {
      var _ = client.sign(HMAC, client.aes(32, Template.empty()).blob(), MESSAGE);
    }
    assertThat(client.sign(HMAC, blob, MESSAGE)).isEqualTo(expected);
    assertThat(sessionObjects()).isEqualTo(before + 3);
    assertThat(core.keys.loads()).isEqualTo(loads + 4);
  }

  @Test
  void threadsThatMeetTheEndOfAnEpochGoOnInTheNext() throws Exception {
    var blob = client.aes(32, Template.empty()).blob();
    var expected = client.sign(HMAC, blob, MESSAGE);
    var lost = new CountDownLatch(1);
    together(
        6,
        number -> {
          for (int i = 0; i < 200; i++) {
            if (number == 0 && i == 50) {
              answersOnce.put("C_SignInit", CKR_DEVICE_REMOVED);
              lost.countDown();
            }
            try {
              assertThat(client.sign(HMAC, blob, MESSAGE)).isEqualTo(expected);
            } catch (HsmUnavailableException e) {
              await().atMost(Duration.ofSeconds(10)).until(() -> core.hsm.epoch().live());
            }
          }
        });
    assertThat(lost.getCount()).isZero();
    assertThat(core.hsm.epoch().number()).isEqualTo(2);
    assertThat(client.sign(HMAC, blob, MESSAGE)).isEqualTo(expected);
  }

  /** The token's loss is nobody's malformed key: whoever asks again is served. */
  @ParameterizedTest
  @ValueSource(strings = {"C_CreateObject", "C_DeriveKey", "C_SignInit", "C_Sign", "C_VerifyInit"})
  void anImportThatMeetsTheLossOfTheTokenMayBeRepeated(String function) throws Exception {
    var pkcs8 = jdkEc();
    client.importPrivate(Ckk.CKK_EC, pkcs8, Template.empty());
    var number = core.hsm.epoch().number();
    var kek = client.aes(32, flags(CKA_WRAP, CKA_UNWRAP, CKA_ENCRYPT, CKA_DECRYPT)).blob();
    var cbcPad = Mechanism.of(CKM_AES_CBC_PAD, new byte[16]);
    var wrapped = client.encrypt(cbcPad, kek, pkcs8);
    var template = Template.builder().put(CKA_KEY_TYPE, Ckk.CKK_EC).build();
    core.keys.borrow(Core.A, kek, KeyForm.USE).close();
    answersOnce.put(function, CKR_DEVICE_REMOVED);
    assertThatThrownBy(() -> client.unwrap(cbcPad, wrapped, kek, template))
        .isInstanceOf(HsmUnavailableException.class);
    await()
        .atMost(Duration.ofSeconds(10))
        .until(() -> core.hsm.epoch().live() && core.hsm.epoch().number() > number);
    client.unwrap(cbcPad, wrapped, kek, template);
  }

  /** Every call makes objects that pass; none may stay, neither after an answer nor a refusal. */
  @Test
  void noCallLeavesAnObjectBehind() throws Exception {
    var all = flags(CKA_WRAP, CKA_UNWRAP, CKA_ENCRYPT, CKA_DECRYPT, CKA_EXTRACTABLE, CKA_DERIVE);
    var kek = client.aes(32, all).blob();
    var rsa = client.rsa(2048, all, flags(CKA_UNWRAP, CKA_EXTRACTABLE, CKA_DECRYPT));
    var ec = client.ec(NamedCurve.P_256, all, flags(CKA_DERIVE, CKA_EXTRACTABLE));
    var short16 = client.generic(16, Template.empty()).blob();
    var edwards = client.ec(NamedCurve.ED25519, Template.empty(), flags(CKA_EXTRACTABLE));
    var cbcPad = Mechanism.of(CKM_AES_CBC_PAD, new byte[16]);
    var kwp = Mechanism.of(CKM_AES_KEY_WRAP_PAD);
    var pkcs = Mechanism.of(CKM_RSA_PKCS);
    var oaep =
        new Mechanism(
            CKM_RSA_PKCS_OAEP,
            new RsaOaep(Hash.SHA256.mechanism(), Hash.SHA256.mgf(), new byte[0]));
    var aes = Client.aesTemplate(32);
    var wrongLength = Client.aesTemplate(16);
    var ecTemplate = Template.builder().put(CKA_KEY_TYPE, Ckk.CKK_EC).build();
    var rsaTemplate = Template.builder().put(CKA_KEY_TYPE, Ckk.CKK_RSA).build();
    var wrappedAes = client.wrap(cbcPad, kek, kek);
    var wrappedEc = client.wrap(kwp, ec.privateKey().blob(), kek);
    var wrappedRsa = client.wrap(cbcPad, rsa.privateKey().blob(), kek);
    // A wrapping key whose value we know, to wrap what no gateway would.
    var known = new byte[32];
    var knownKek = client.importSecret(Ckk.CKK_AES, known, flags(CKA_WRAP, CKA_UNWRAP)).blob();
    var strangeCurve = wrapOutside(known, pairOnAnotherCurve());
    var wrappedWell = wrapOutside(known, jdkEc());
    var calls =
        List.<Runnable>of(
            () -> client.aes(32, Template.empty()),
            () -> client.generic(32, Template.empty()),
            () -> client.ec(NamedCurve.P_256, Template.empty(), Template.empty()),
            () -> client.ec(NamedCurve.ED25519, Template.empty(), Template.empty()),
            () -> client.wrap(cbcPad, kek, kek),
            () -> client.wrap(kwp, kek, kek),
            () -> client.wrap(kwp, edwards.privateKey().blob(), kek),
            () -> client.wrap(cbcPad, edwards.privateKey().blob(), kek),
            () -> client.wrap(pkcs, kek, rsa.publicKey().blob()),
            () -> client.wrap(oaep, kek, rsa.publicKey().blob()),
            () -> client.unwrap(cbcPad, wrappedAes, kek, aes),
            () -> client.unwrap(cbcPad, wrappedAes, kek, wrongLength),
            () -> client.unwrap(cbcPad, wrappedAes, kek, ecTemplate),
            () -> client.unwrap(cbcPad, wrappedRsa, kek, rsaTemplate),
            () -> client.unwrap(cbcPad, wrappedRsa, kek, ecTemplate),
            () -> client.unwrap(cbcPad, wrappedRsa, kek, aes),
            () -> client.unwrap(kwp, wrappedEc, kek, ecTemplate),
            () -> client.unwrap(kwp, wrappedEc, kek, rsaTemplate),
            () -> client.unwrap(kwp, wrappedEc, kek, aes),
            () -> client.unwrap(kwp, wrappedWell, knownKek, ecTemplate),
            () -> client.unwrap(kwp, strangeCurve, knownKek, ecTemplate),
            () -> client.unwrap(pkcs, new byte[256], rsa.privateKey().blob(), aes),
            () -> client.unwrap(oaep, new byte[256], rsa.privateKey().blob(), aes),
            () ->
                client.derive(
                    Mechanism.of(CKM_ECDH1_DERIVE, Client.spki(ec)), ec.privateKey().blob(), aes),
            () ->
                client.derive(
                    new Mechanism(
                        CKM_ECDH1_DERIVE, new Ecdh1Derive(6, new byte[0], Client.spki(ec))),
                    ec.privateKey().blob(),
                    aes),
            () ->
                client.derive(
                    Mechanism.of(CKM_ECDH1_DERIVE, new byte[65]), ec.privateKey().blob(), aes),
            () -> client.sign(HMAC, short16, MESSAGE),
            () -> client.importPublic(Client.spki(rsa), Template.empty()),
            () -> client.operations.setAttributes(client.by, kek, Client.without(CKA_EXTRACTABLE)));
    for (int round = 0; round < 2; round++) {
      for (int i = 0; i < calls.size(); i++) {
        // The first run may load keys into the cache; the ones after it may not leave anything.
        attempt(calls.get(i));
        int before = sessionObjects();
        attempt(calls.get(i));
        attempt(calls.get(i));
        assertThat(sessionObjects()).as("objects after call %d", i).isEqualTo(before);
      }
    }
  }

  private static void attempt(Runnable call) {
    try {
      call.run();
    } catch (Pkcs11Exception e) {
      assertThat(e.retry()).as(e.getMessage()).isFalse();
    }
  }

  private static byte[] wrapOutside(byte[] kek, byte[] payload) throws Exception {
    var cipher = Cipher.getInstance("AES/KWP/NoPadding");
    cipher.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(kek, "AES"));
    return cipher.doFinal(payload);
  }

  private static byte[] pairOnAnotherCurve() throws Exception {
    var generator = KeyPairGenerator.getInstance("EC", new BouncyCastleProvider());
    generator.initialize(new ECGenParameterSpec("secp224k1"));
    return generator.generateKeyPair().getPrivate().getEncoded();
  }

  private static byte[] jdkEc() throws Exception {
    var generator = KeyPairGenerator.getInstance("EC");
    generator.initialize(new ECGenParameterSpec("secp256r1"));
    return generator.generateKeyPair().getPrivate().getEncoded();
  }
}
