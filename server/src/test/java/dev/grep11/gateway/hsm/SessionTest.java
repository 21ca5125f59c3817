package dev.grep11.gateway.hsm;

import static dev.grep11.gateway.pkcs11.Cka.*;
import static dev.grep11.gateway.pkcs11.Ckk.*;
import static dev.grep11.gateway.pkcs11.Ckm.*;
import static dev.grep11.gateway.pkcs11.Cko.*;
import static dev.grep11.gateway.pkcs11.Ckr.*;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismParameters.AesCtr;
import dev.grep11.gateway.pkcs11.MechanismParameters.AesGcm;
import dev.grep11.gateway.pkcs11.MechanismParameters.Ecdh1Derive;
import dev.grep11.gateway.pkcs11.MechanismParameters.RsaOaep;
import dev.grep11.gateway.pkcs11.MechanismParameters.RsaPss;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.softhsm.SoftHsmExtension;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.security.KeyFactory;
import java.security.MessageDigest;
import java.security.Signature;
import java.security.spec.AlgorithmParameterSpec;
import java.security.spec.MGF1ParameterSpec;
import java.security.spec.PSSParameterSpec;
import java.security.spec.RSAPublicKeySpec;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Random;
import java.util.stream.Stream;
import javax.crypto.Cipher;
import javax.crypto.Mac;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.IvParameterSpec;
import javax.crypto.spec.SecretKeySpec;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Every function of a session against a real token, with the JDK as the second opinion. */
class SessionTest {
  @RegisterExtension static final SoftHsmExtension SOFTHSM = new SoftHsmExtension();

  private static final byte[] MESSAGE = "the message, thirty-two bytes...".getBytes(UTF_8);
  private static final byte[] KEY = HexFormat.of().parseHex("0123456789abcdef".repeat(4));
  private static final byte[] IV = HexFormat.of().parseHex("000102030405060708090a0b0c0d0e0f");
  private static final byte[] P256 = HexFormat.of().parseHex("06082a8648ce3d030107");
  private static final byte[] ED25519 = HexFormat.of().parseHex("06032b6570");
  private static final long CKG_MGF1_SHA1 = 1;
  private static final long CKG_MGF1_SHA256 = 2;

  private static Hsm hsm;
  private static Session session;

  @BeforeAll
  static void open() {
    hsm = Hsm.open(Tokens.settings(SOFTHSM.token()));
    hsm.adoptCurrentThread();
    session = hsm.session();
  }

  @AfterAll
  static void close() {
    hsm.close();
  }

  @Test
  void countsWhatTheTokenRefuses() {
    long before = hsm.failures().getOrDefault("CKR_OBJECT_HANDLE_INVALID", 0L);

    assertThatThrownBy(
            () -> session.encrypt(Mechanism.of(CKM_AES_ECB), 1L << 40, ByteBuffer.wrap(MESSAGE)))
        .isInstanceOf(Pkcs11Exception.class);

    assertThat(hsm.failures())
        .containsEntry("CKR_OBJECT_HANDLE_INVALID", before + 1)
        .containsEntry("vendor", 0L);
    assertThat(hsm.sessionsInUse()).isZero();
  }

  // Symmetric

  static Stream<Arguments> ciphers() {
    return Stream.of(
        arguments(Mechanism.of(CKM_AES_ECB), "AES/ECB/NoPadding", null),
        arguments(Mechanism.of(CKM_AES_CBC, IV), "AES/CBC/NoPadding", new IvParameterSpec(IV)),
        arguments(
            Mechanism.of(CKM_AES_CBC_PAD, IV), "AES/CBC/PKCS5Padding", new IvParameterSpec(IV)),
        arguments(
            new Mechanism(CKM_AES_CTR, new AesCtr(128, IV)),
            "AES/CTR/NoPadding",
            new IvParameterSpec(IV)),
        arguments(gcm(new byte[0]), "AES/GCM/NoPadding", new GCMParameterSpec(128, IV, 0, 12)));
  }

  private static Mechanism gcm(byte[] aad) {
    return new Mechanism(CKM_AES_GCM, new AesGcm(Arrays.copyOf(IV, 12), aad, 128));
  }

  @ParameterizedTest
  @MethodSource("ciphers")
  void encryptsAsTheJdkDoes(Mechanism mechanism, String jdk, AlgorithmParameterSpec parameters)
      throws Exception {
    long key = session.createObject(aesKey(KEY));
    var cipher = Cipher.getInstance(jdk);
    cipher.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(KEY, "AES"), parameters);

    var encrypted = session.encrypt(mechanism, key, ByteBuffer.wrap(MESSAGE));

    assertThat(encrypted).isEqualTo(cipher.doFinal(MESSAGE));
    assertThat(session.decrypt(mechanism, key, ByteBuffer.wrap(encrypted))).isEqualTo(MESSAGE);
    assertThat(session.decrypt(mechanism, key, direct(encrypted))).isEqualTo(MESSAGE);
    try (var secret = session.decryptSecret(mechanism, key, ByteBuffer.wrap(encrypted))) {
      assertThat(bytes(secret)).isEqualTo(MESSAGE);
      assertThat(session.encryptSecret(mechanism, key, secret)).isEqualTo(encrypted);
    }
  }

  @ParameterizedTest
  @MethodSource("ciphers")
  void carriesEightMebibytes(Mechanism mechanism, String jdk, AlgorithmParameterSpec parameters) {
    long key = session.createObject(aesKey(KEY));
    var data = new byte[8 << 20];
    new Random(1).nextBytes(data);

    var encrypted = session.encrypt(mechanism, key, direct(data));

    assertThat(encrypted.length).isBetween(data.length, data.length + 16);
    assertThat(Arrays.equals(session.decrypt(mechanism, key, ByteBuffer.wrap(encrypted)), data))
        .isTrue();
  }

  @Test
  void refusesAChangedTagAssociatedDataOrCiphertext() {
    long key = session.createObject(aesKey(KEY));
    var aad = "aad".getBytes(UTF_8);
    var encrypted = session.encrypt(gcm(aad), key, ByteBuffer.wrap(MESSAGE));

    for (int at : new int[] {0, encrypted.length - 1}) {
      var changed = encrypted.clone();
      changed[at] ^= 1;
      assertRefused(
          CKR_ENCRYPTED_DATA_INVALID,
          () -> session.decrypt(gcm(aad), key, ByteBuffer.wrap(changed)));
    }
    assertRefused(
        CKR_ENCRYPTED_DATA_INVALID,
        () -> session.decrypt(gcm(new byte[0]), key, ByteBuffer.wrap(encrypted)));
    assertThat(session.decrypt(gcm(aad), key, ByteBuffer.wrap(encrypted))).isEqualTo(MESSAGE);
    assertThat(hsm.epoch().live()).isTrue();
  }

  @Test
  void readsOnlyWhatRemainsOfABuffer() {
    long key = session.createObject(aesKey(KEY));
    var whole = session.encrypt(Mechanism.of(CKM_AES_ECB), key, ByteBuffer.wrap(MESSAGE, 16, 16));
    var direct = direct(MESSAGE).position(16);

    assertThat(session.encrypt(Mechanism.of(CKM_AES_ECB), key, direct)).isEqualTo(whole);
    assertThat(direct.remaining()).isEqualTo(16);
    assertThat(
            session.encrypt(
                Mechanism.of(CKM_AES_ECB), key, ByteBuffer.wrap(MESSAGE).asReadOnlyBuffer()))
        .hasSize(32)
        .endsWith(whole);
  }

  // Digests and MACs

  static Stream<Arguments> digests() {
    return Stream.of(
        arguments(CKM_SHA_1, "SHA-1"),
        arguments(CKM_SHA224, "SHA-224"),
        arguments(CKM_SHA256, "SHA-256"),
        arguments(CKM_SHA384, "SHA-384"),
        arguments(CKM_SHA512, "SHA-512"));
  }

  @ParameterizedTest
  @MethodSource("digests")
  void digestsAsTheJdkDoes(long mechanism, String jdk) throws Exception {
    var digest = MessageDigest.getInstance(jdk);
    var big = new byte[8 << 20];

    assertThat(session.digest(Mechanism.of(mechanism), ByteBuffer.wrap(MESSAGE)))
        .isEqualTo(digest.digest(MESSAGE));
    assertThat(session.digest(Mechanism.of(mechanism), ByteBuffer.allocate(0)))
        .isEqualTo(digest.digest());
    assertThat(session.digest(Mechanism.of(mechanism), direct(big))).isEqualTo(digest.digest(big));
  }

  static Stream<Arguments> hmacs() {
    return Stream.of(
        arguments(CKM_SHA_1_HMAC, "HmacSHA1"),
        arguments(CKM_SHA256_HMAC, "HmacSHA256"),
        arguments(CKM_SHA512_HMAC, "HmacSHA512"));
  }

  @ParameterizedTest
  @MethodSource("hmacs")
  void authenticatesAsTheJdkDoes(long mechanism, String jdk) throws Exception {
    var value = new byte[64];
    new Random(2).nextBytes(value);
    long key = session.createObject(secretKey(CKK_GENERIC_SECRET, value));
    var mac = Mac.getInstance(jdk);
    mac.init(new SecretKeySpec(value, jdk));

    var signature = session.sign(Mechanism.of(mechanism), key, ByteBuffer.wrap(MESSAGE));

    assertThat(signature).isEqualTo(mac.doFinal(MESSAGE));
    verifiesOnlyThis(Mechanism.of(mechanism), key, signature);
  }

  @Test
  void makesTheCmacOfRfc4493() {
    long key =
        session.createObject(aesKey(HexFormat.of().parseHex("2b7e151628aed2a6abf7158809cf4f3c")));
    var message = HexFormat.of().parseHex("6bc1bee22e409f96e93d7e117393172a");

    var mac = session.sign(Mechanism.of(CKM_AES_CMAC), key, ByteBuffer.wrap(message));

    assertThat(mac).asHexString().isEqualToIgnoringCase("070a16b46b4d4144f79bdd9dd04a287c");
    session.verify(Mechanism.of(CKM_AES_CMAC), key, ByteBuffer.wrap(message), mac);
  }

  // Asymmetric

  @Test
  void signsWithRsaWhatTheJdkVerifies() throws Exception {
    var pair = rsaPair(2048);
    var values = session.attributes(pair.publicKey(), CKA_MODULUS, CKA_PUBLIC_EXPONENT);
    var publicKey =
        KeyFactory.getInstance("RSA")
            .generatePublic(
                new RSAPublicKeySpec(
                    new BigInteger(1, values.bytes(CKA_MODULUS).orElseThrow()),
                    new BigInteger(1, values.bytes(CKA_PUBLIC_EXPONENT).orElseThrow())));
    var pss = new Mechanism(CKM_SHA256_RSA_PKCS_PSS, new RsaPss(CKM_SHA256, CKG_MGF1_SHA256, 32));

    var pkcs1 =
        session.sign(
            Mechanism.of(CKM_SHA256_RSA_PKCS), pair.privateKey(), ByteBuffer.wrap(MESSAGE));
    var probabilistic = session.sign(pss, pair.privateKey(), ByteBuffer.wrap(MESSAGE));

    var jdk = Signature.getInstance("SHA256withRSA");
    jdk.initVerify(publicKey);
    jdk.update(MESSAGE);
    assertThat(jdk.verify(pkcs1)).isTrue();
    jdk = Signature.getInstance("RSASSA-PSS");
    jdk.setParameter(new PSSParameterSpec("SHA-256", "MGF1", MGF1ParameterSpec.SHA256, 32, 1));
    jdk.initVerify(publicKey);
    jdk.update(MESSAGE);
    assertThat(jdk.verify(probabilistic)).isTrue();
    verifiesOnlyThis(Mechanism.of(CKM_SHA256_RSA_PKCS), pair.publicKey(), pkcs1);
    verifiesOnlyThis(pss, pair.publicKey(), probabilistic);
  }

  static Stream<Mechanism> rsaEncryption() {
    return Stream.of(
        Mechanism.of(CKM_RSA_PKCS),
        new Mechanism(CKM_RSA_PKCS_OAEP, new RsaOaep(CKM_SHA_1, CKG_MGF1_SHA1, new byte[0])));
  }

  @ParameterizedTest
  @MethodSource("rsaEncryption")
  void decryptsWhatItEncryptedWithRsa(Mechanism mechanism) {
    var pair = rsaPair(2048);

    var encrypted = session.encrypt(mechanism, pair.publicKey(), ByteBuffer.wrap(MESSAGE));

    assertThat(encrypted).hasSize(256);
    assertThat(session.decrypt(mechanism, pair.privateKey(), ByteBuffer.wrap(encrypted)))
        .isEqualTo(MESSAGE);
    try (var secret =
        session.decryptSecret(mechanism, pair.privateKey(), ByteBuffer.wrap(encrypted))) {
      assertThat(bytes(secret)).isEqualTo(MESSAGE);
    }
  }

  @Test
  void asksAgainWhenASignatureIsLongerThanExpected() {
    // Answers as a token whose signatures are longer than any RSA key's.
    long[] asked = new long[1];
    var tested =
        Faults.decorate((function, arguments, real) -> {
          if (function.equals("C_Sign")) {
            long length = Faults.ulongAt(arguments[4]);
            asked[0]++;
            Faults.setUlongAt(arguments[4], 5000);
            return length < 5000 ? CKR_BUFFER_TOO_SMALL : CKR_OK;
          }
          return function.equals("C_SignInit") ? CKR_OK : real.call();
        });
    try (var other = Hsm.open(tested, Tokens.settings(SOFTHSM.token()))) {
      other.adoptCurrentThread();
      assertThat(other.session().sign(Mechanism.of(CKM_RSA_PKCS), 1, ByteBuffer.wrap(MESSAGE)))
          .hasSize(5000);
    }
    assertThat(asked[0]).isEqualTo(2);
  }

  @Test
  void signsWithAnEllipticCurve() {
    var pair = ecPair(CKM_EC_KEY_PAIR_GEN, P256);
    var hash = Arrays.copyOf(MESSAGE, 32);

    var signature = session.sign(Mechanism.of(CKM_ECDSA), pair.privateKey(), ByteBuffer.wrap(hash));

    assertThat(signature).hasSize(64);
    verifiesOnlyThis(Mechanism.of(CKM_ECDSA), pair.publicKey(), signature);
  }

  @Test
  void signsWithAnEdwardsCurve() {
    var pair = ecPair(CKM_EC_EDWARDS_KEY_PAIR_GEN, ED25519);

    var signature =
        session.sign(Mechanism.of(CKM_EDDSA), pair.privateKey(), ByteBuffer.wrap(MESSAGE));

    assertThat(signature).hasSize(64);
    verifiesOnlyThis(Mechanism.of(CKM_EDDSA), pair.publicKey(), signature);
  }

  @Test
  void derivesTheSameSecretOnBothSidesOfEcdh() {
    var one = ecPair(CKM_EC_KEY_PAIR_GEN, P256);
    var two = ecPair(CKM_EC_KEY_PAIR_GEN, P256);

    assertThat(ecdh(one, two)).hasSize(32).isEqualTo(ecdh(two, one));
  }

  private static byte[] ecdh(KeyPairHandles own, KeyPairHandles peer) {
    var point =
        session.attributes(peer.publicKey(), CKA_EC_POINT).bytes(CKA_EC_POINT).orElseThrow();
    var parameters = new Ecdh1Derive(Ecdh1Derive.CKD_NULL, new byte[0], point);
    return derived(new Mechanism(CKM_ECDH1_DERIVE, parameters), own.privateKey(), 32);
  }

  @Test
  void derivesTheSameSecretOnBothSidesOfDiffieHellman() {
    long parameters =
        session.generateKey(
            Mechanism.of(CKM_DH_PKCS_PARAMETER_GEN),
            Template.builder().put(CKA_TOKEN, false).put(CKA_PRIME_BITS, 512).build());
    var domain = session.attributes(parameters, CKA_PRIME, CKA_BASE);
    var one = dhPair(domain);
    var two = dhPair(domain);

    assertThat(diffieHellman(one, two)).hasSize(64).isEqualTo(diffieHellman(two, one));
  }

  private static KeyPairHandles dhPair(Template domain) {
    return session.generateKeyPair(
        Mechanism.of(CKM_DH_PKCS_KEY_PAIR_GEN),
        domain.toBuilder().put(CKA_TOKEN, false).build(),
        Template.builder().put(CKA_TOKEN, false).put(CKA_DERIVE, true).build());
  }

  private static byte[] diffieHellman(KeyPairHandles own, KeyPairHandles peer) {
    var value = session.attributes(peer.publicKey(), CKA_VALUE).bytes(CKA_VALUE).orElseThrow();
    return derived(Mechanism.of(CKM_DH_PKCS_DERIVE, value), own.privateKey(), 64);
  }

  private static byte[] derived(Mechanism mechanism, long key, long length) {
    var template =
        Template.builder()
            .put(CKA_CLASS, CKO_SECRET_KEY)
            .put(CKA_KEY_TYPE, CKK_GENERIC_SECRET)
            .put(CKA_TOKEN, false)
            .put(CKA_SENSITIVE, false)
            .put(CKA_EXTRACTABLE, true)
            .put(CKA_VALUE_LEN, length)
            .build();
    long derived = session.deriveKey(mechanism, key, template);
    try (var secret = session.secretAttribute(derived, CKA_VALUE)) {
      return bytes(secret);
    }
  }

  // Wrapping

  @Test
  void enforcesTheUnwrapTemplateOfTheWrappingKey() {
    var kek =
        session.generateKey(
            Mechanism.of(CKM_AES_KEY_GEN),
            Template.builder()
                .put(CKA_TOKEN, false)
                .put(CKA_VALUE_LEN, 32)
                .put(CKA_WRAP, true)
                .put(CKA_UNWRAP, true)
                .put(CKA_UNWRAP_TEMPLATE, Template.builder().put(CKA_SENSITIVE, true).build())
                .build());
    long key = session.createObject(aesKey(KEY));
    var wrapped = session.wrapKey(Mechanism.of(CKM_AES_KEY_WRAP_PAD), kek, key);

    var good =
        session.unwrapKey(
            Mechanism.of(CKM_AES_KEY_WRAP_PAD), kek, wrapped, unwrapped(CKK_AES, true));

    assertThat(wrapped).hasSize(40);
    assertThat(session.attributes(good, CKA_SENSITIVE).isTrue(CKA_SENSITIVE)).isTrue();
    assertThat(session.encrypt(Mechanism.of(CKM_AES_ECB), good, ByteBuffer.wrap(MESSAGE)))
        .isEqualTo(session.encrypt(Mechanism.of(CKM_AES_ECB), key, ByteBuffer.wrap(MESSAGE)));
    assertThatThrownBy(() ->
            session.unwrapKey(
                Mechanism.of(CKM_AES_KEY_WRAP_PAD), kek, wrapped, unwrapped(CKK_AES, false)))
        .isInstanceOf(Pkcs11Exception.class);
    wrapped[7] ^= 1;
    assertRefused(
        CKR_WRAPPED_KEY_INVALID,
        () ->
            session.unwrapKey(
                Mechanism.of(CKM_AES_KEY_WRAP_PAD), kek, wrapped, unwrapped(CKK_AES, true)));
  }

  @Test
  void wrapsAPrivateKeyAndGetsItBack() {
    var kek = kek();
    var pair = rsaPair(2048);

    var wrapped = session.wrapKey(Mechanism.of(CKM_AES_KEY_WRAP_PAD), kek, pair.privateKey());
    long copy =
        session.unwrapKey(
            Mechanism.of(CKM_AES_KEY_WRAP_PAD),
            kek,
            wrapped,
            Template.builder()
                .put(CKA_CLASS, CKO_PRIVATE_KEY)
                .put(CKA_KEY_TYPE, CKK_RSA)
                .put(CKA_TOKEN, false)
                .put(CKA_SENSITIVE, true)
                .put(CKA_SIGN, true)
                .build());

    assertThat(session.sign(Mechanism.of(CKM_SHA256_RSA_PKCS), copy, ByteBuffer.wrap(MESSAGE)))
        .isEqualTo(
            session.sign(
                Mechanism.of(CKM_SHA256_RSA_PKCS), pair.privateKey(), ByteBuffer.wrap(MESSAGE)));
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 7, 8, 9, 15, 16, 17, 24, 32, 33, 64, 1219})
  void opensOutsideTheHeapWhatKeyWrapWithPaddingClosed(int length) throws Exception {
    long kek = session.createObject(aesKey(KEY));
    var value = new byte[length];
    new Random(length).nextBytes(value);
    var jdk = Cipher.getInstance("AES/KWP/NoPadding");
    jdk.init(Cipher.WRAP_MODE, new SecretKeySpec(KEY, "AES"));
    var wrapped = jdk.wrap(new SecretKeySpec(value, "any"));

    try (var secret = session.openKeyWrapPad(kek, wrapped)) {
      assertThat(bytes(secret)).isEqualTo(value);
    }
    for (int i = 0; i < wrapped.length; i += Math.max(1, wrapped.length / 24)) {
      var changed = wrapped.clone();
      changed[i] ^= 0x20;
      assertRefused(CKR_WRAPPED_KEY_INVALID, () -> session.openKeyWrapPad(kek, changed).close());
    }
  }

  /** PKCS #11 v2.40 section 2.14 asks for the zeros with key wrap; SoftHSM adds them here too. */
  @Test
  void getsAKeyBackWithZerosUpToEightBytesFromSoftHsm() {
    var kek = kek();
    long key = session.createObject(secretKey(CKK_GENERIC_SECRET, new byte[] {1, 2, 3}));

    var wrapped = session.wrapKey(Mechanism.of(CKM_AES_KEY_WRAP_PAD), kek, key);

    try (var secret = session.openKeyWrapPad(kek, wrapped)) {
      assertThat(bytes(secret)).isEqualTo(new byte[] {1, 2, 3, 0, 0, 0, 0, 0});
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 8, 15, 17})
  void refusesAWrappedKeyOfAnImpossibleLength(int length) {
    var kek = kek();
    assertRefused(
        CKR_WRAPPED_KEY_LEN_RANGE, () -> session.openKeyWrapPad(kek, new byte[length]).close());
  }

  // Vector of RFC 5649 section 6.
  @Test
  void opensTheVectorsOfRfc5649() {
    long kek =
        session.createObject(
            aesKey(HexFormat.of().parseHex("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8")));

    try (var twenty =
            session.openKeyWrapPad(
                kek,
                HexFormat.of()
                    .parseHex("138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a"));
        var seven =
            session.openKeyWrapPad(
                kek, HexFormat.of().parseHex("afbeb0f07dfbf5419200f2ccb50bb24f"))) {
      assertThat(bytes(twenty))
          .asHexString()
          .isEqualToIgnoringCase("c37b7e6492584340bed12207808941155068f738");
      assertThat(bytes(seven)).asHexString().isEqualToIgnoringCase("466f7250617369");
    }
  }

  // Objects

  @Test
  void findsMoreObjectsThanFitOneAnswer() {
    var label = "many".getBytes(UTF_8);
    var template = aesKey(KEY).toBuilder().put(CKA_LABEL, label).put(CKA_TOKEN, false).build();
    for (int i = 0; i < 300; i++) {
      session.createObject(template);
    }
    var search = Template.builder().put(CKA_LABEL, label).build();

    var found = session.findObjects(search);
    found.forEach(session::destroyObject);

    assertThat(found).hasSize(300).doesNotHaveDuplicates();
    assertThat(session.findObjects(search)).isEmpty();
  }

  @Test
  void readsAndWritesAttributesOfAnyLength() {
    long key = session.createObject(aesKey(KEY));
    var label = "l".repeat(3000).getBytes(UTF_8);

    session.setAttributes(key, Template.builder().put(CKA_LABEL, label).build());

    var read = session.attributes(key, CKA_LABEL, CKA_ENCRYPT, CKA_VALUE_LEN, CKA_ID);
    assertThat(read)
        .isEqualTo(
            Template.builder()
                .put(CKA_LABEL, label)
                .put(CKA_ENCRYPT, true)
                .put(CKA_VALUE_LEN, 32)
                .put(CKA_ID, new byte[0])
                .build());
  }

  @Test
  void namesTheAttributeThatTheTokenKeeps() {
    long key = session.generateKey(Mechanism.of(CKM_AES_KEY_GEN), sensitiveAes());

    var refusal =
        catchThrowableOfType(
            Pkcs11Exception.class, () -> session.attributes(key, CKA_LABEL, CKA_VALUE));

    assertThat(refusal.returnValue()).isEqualTo(CKR_ATTRIBUTE_SENSITIVE);
    assertThat(refusal.detail()).isEqualTo("CKA_VALUE");
    assertRefused(CKR_ATTRIBUTE_SENSITIVE, () -> session.secretAttribute(key, CKA_VALUE).close());
    assertThat(hsm.epoch().live()).isTrue();
  }

  @Test
  void takesAValueFromOutsideTheHeap() {
    try (var secret = SecretBuffer.allocate(32)) {
      secret.buffer().put(KEY);
      long key =
          session.createObject(
              aesKey(KEY).toBuilder()
                  .remove(CKA_VALUE)
                  .putOffHeap(CKA_VALUE, secret.readOnly())
                  .build());

      try (var read = session.secretAttribute(key, CKA_VALUE)) {
        assertThat(bytes(read)).isEqualTo(KEY);
      }
    }
  }

  @Test
  void drawsRandomBytes() {
    assertThat(session.random(32)).hasSize(32).isNotEqualTo(session.random(32));
    assertThat(session.random(1 << 20)).hasSize(1 << 20);
  }

  // After errors

  static Stream<Arguments> failures() {
    return Stream.of(
        arguments("CBC of half a block", Mechanism.of(CKM_AES_CBC, IV), new byte[15]),
        arguments("ECB of half a block", Mechanism.of(CKM_AES_ECB), new byte[17]),
        arguments("unknown mechanism", Mechanism.of(0x7fffffffL), new byte[16]),
        arguments("IV of the wrong size", Mechanism.of(CKM_AES_CBC, new byte[3]), new byte[16]));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("failures")
  void worksAfterAnError(String what, Mechanism mechanism, byte[] data) {
    long key = session.createObject(aesKey(KEY));

    assertThatThrownBy(() -> session.encrypt(mechanism, key, ByteBuffer.wrap(data)))
        .as(what)
        .isInstanceOf(Pkcs11Exception.class);
    assertThatThrownBy(() -> session.decrypt(mechanism, key, ByteBuffer.wrap(data)))
        .isInstanceOf(Pkcs11Exception.class);

    assertThat(session.encrypt(Mechanism.of(CKM_AES_ECB), key, ByteBuffer.wrap(MESSAGE)))
        .hasSize(32);
    assertThat(session.sign(Mechanism.of(CKM_AES_CMAC), key, ByteBuffer.wrap(MESSAGE))).hasSize(16);
  }

  @Test
  void opensAnotherNativeSessionWhenOneIsStuckInAnOperation() {
    var cryptoki = NativeCryptoki.load(SOFTHSM.token().module());
    hsm.adoptCurrentThread();
    long stuck = session.handle();
    long key = hsm.withHolder(holder -> holder.createObject(aesKey(KEY)));
    assertThat(Faults.mechanism(CKM_SHA256, m -> cryptoki.C_DigestInit(stuck, m)))
        .isEqualTo(CKR_OK);

    assertThat(session.encrypt(Mechanism.of(CKM_AES_ECB), key, ByteBuffer.wrap(MESSAGE)))
        .hasSize(32);
    assertThat(session.handle()).isNotEqualTo(stuck);
    assertThat(hsm.epoch().live()).isTrue();
  }

  @Test
  void keepsSecretsOutOfItsText() {
    var secret = SecretBuffer.allocate(4);
    secret.buffer().put(new byte[] {1, 2, 3, 4});
    var view = secret.buffer();

    assertThat(secret.toString()).isEqualTo("SecretBuffer[redacted]");
    secret.truncate(2);
    assertThat(secret.size()).isEqualTo(2);
    secret.close();
    secret.close();
    assertThatThrownBy(() -> view.get(0)).isInstanceOf(IllegalStateException.class);
  }

  // Helpers

  private static void verifiesOnlyThis(Mechanism mechanism, long key, byte[] signature) {
    session.verify(mechanism, key, ByteBuffer.wrap(MESSAGE), signature);
    var changed = signature.clone();
    changed[signature.length / 2] ^= 1;
    assertRefused(
        CKR_SIGNATURE_INVALID,
        () -> session.verify(mechanism, key, ByteBuffer.wrap(MESSAGE), changed));
    assertRefused(
        CKR_SIGNATURE_LEN_RANGE,
        () ->
            session.verify(mechanism, key, ByteBuffer.wrap(MESSAGE), Arrays.copyOf(signature, 3)));
    session.verify(mechanism, key, ByteBuffer.wrap(MESSAGE), signature);
  }

  private static void assertRefused(
      long returnValue, org.assertj.core.api.ThrowableAssert.ThrowingCallable call) {
    var refusal = catchThrowableOfType(Pkcs11Exception.class, call);
    assertThat(refusal).as("refusal").isNotNull();
    assertThat(Ckr.name(refusal.returnValue())).isEqualTo(Ckr.name(returnValue));
  }

  private static byte[] bytes(SecretBuffer secret) {
    var bytes = new byte[secret.size()];
    secret.readOnly().get(bytes);
    return bytes;
  }

  private static ByteBuffer direct(byte[] bytes) {
    return ByteBuffer.allocateDirect(bytes.length).put(bytes).flip();
  }

  private static Template secretKey(long type, byte[] value) {
    return Template.builder()
        .put(CKA_CLASS, CKO_SECRET_KEY)
        .put(CKA_KEY_TYPE, type)
        .put(CKA_TOKEN, false)
        .put(CKA_SENSITIVE, false)
        .put(CKA_EXTRACTABLE, true)
        .put(CKA_SIGN, true)
        .put(CKA_VERIFY, true)
        .put(CKA_VALUE, value)
        .build();
  }

  private static Template aesKey(byte[] value) {
    return secretKey(CKK_AES, value).toBuilder()
        .put(CKA_ENCRYPT, true)
        .put(CKA_DECRYPT, true)
        .build();
  }

  private static Template sensitiveAes() {
    return Template.builder()
        .put(CKA_TOKEN, false)
        .put(CKA_SENSITIVE, true)
        .put(CKA_EXTRACTABLE, false)
        .put(CKA_ENCRYPT, true)
        .put(CKA_VALUE_LEN, 32)
        .build();
  }

  private static Template unwrapped(long type, boolean sensitive) {
    return Template.builder()
        .put(CKA_CLASS, CKO_SECRET_KEY)
        .put(CKA_KEY_TYPE, type)
        .put(CKA_TOKEN, false)
        .put(CKA_SENSITIVE, sensitive)
        .put(CKA_ENCRYPT, true)
        .build();
  }

  private static long kek() {
    return session.generateKey(
        Mechanism.of(CKM_AES_KEY_GEN),
        sensitiveAes().toBuilder()
            .put(CKA_WRAP, true)
            .put(CKA_UNWRAP, true)
            .put(CKA_DECRYPT, true)
            .build());
  }

  private static KeyPairHandles rsaPair(long bits) {
    return session.generateKeyPair(
        Mechanism.of(CKM_RSA_PKCS_KEY_PAIR_GEN),
        Template.builder()
            .put(CKA_TOKEN, false)
            .put(CKA_MODULUS_BITS, bits)
            .put(CKA_PUBLIC_EXPONENT, new byte[] {1, 0, 1})
            .put(CKA_ENCRYPT, true)
            .put(CKA_VERIFY, true)
            .build(),
        Template.builder()
            .put(CKA_TOKEN, false)
            .put(CKA_SENSITIVE, true)
            .put(CKA_EXTRACTABLE, true)
            .put(CKA_DECRYPT, true)
            .put(CKA_SIGN, true)
            .build());
  }

  private static KeyPairHandles ecPair(long mechanism, byte[] curve) {
    return session.generateKeyPair(
        Mechanism.of(mechanism),
        Template.builder()
            .put(CKA_TOKEN, false)
            .put(CKA_EC_PARAMS, curve)
            .put(CKA_VERIFY, true)
            .build(),
        Template.builder()
            .put(CKA_TOKEN, false)
            .put(CKA_SENSITIVE, true)
            .put(CKA_SIGN, true)
            .put(CKA_DERIVE, true)
            .build());
  }
}
