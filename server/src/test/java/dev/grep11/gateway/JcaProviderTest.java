package dev.grep11.gateway;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.grep11.client.Cka;
import dev.grep11.client.Ckr;
import dev.grep11.client.Curve;
import dev.grep11.client.Grep11Client;
import dev.grep11.client.Grep11Exception;
import dev.grep11.client.Templates;
import dev.grep11.jca.Grep11PrivateKey;
import dev.grep11.jca.Grep11Provider;
import dev.grep11.jca.KeyPairTemplateParameterSpec;
import dev.grep11.jca.TemplateParameterSpec;
import java.io.ByteArrayOutputStream;
import java.io.NotSerializableException;
import java.io.ObjectOutputStream;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.InvalidKeyException;
import java.security.Key;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.ProviderException;
import java.security.PublicKey;
import java.security.SecureRandom;
import java.security.Security;
import java.security.Signature;
import java.security.cert.Certificate;
import java.security.cert.X509Certificate;
import java.security.interfaces.ECKey;
import java.security.interfaces.RSAKey;
import java.security.spec.AlgorithmParameterSpec;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.MGF1ParameterSpec;
import java.security.spec.PSSParameterSpec;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import javax.crypto.AEADBadTagException;
import javax.crypto.Cipher;
import javax.crypto.KeyAgreement;
import javax.crypto.KeyGenerator;
import javax.crypto.Mac;
import javax.crypto.SecretKey;
import javax.crypto.ShortBufferException;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.IvParameterSpec;
import javax.crypto.spec.OAEPParameterSpec;
import javax.crypto.spec.PSource;
import javax.crypto.spec.SecretKeySpec;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.BasicConstraints;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.GeneralName;
import org.bouncycastle.asn1.x509.GeneralNames;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cert.jcajce.JcaX509v3CertificateBuilder;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The JCA provider with keys of a whole gateway, by the YAML that {@code up} makes. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class JcaProviderTest {
  private static final byte[] MESSAGE = "signed behind the gateway".getBytes(UTF_8);

  private Path directory;
  private RunningGateway running;
  private Path configuration;
  private Grep11Provider provider;
  private final Map<String, KeyPair> pairs = new java.util.HashMap<>();

  @BeforeAll
  void start(@TempDir Path directory) throws Exception {
    this.directory = directory;
    running = RunningGateway.start(directory);
    configuration =
        running.demo.writeClientConfiguration(running.config, running.gateway).orElseThrow();
    provider = (Grep11Provider) new Grep11Provider().configure(configuration.toString());
    Security.addProvider(provider);
    keys();
    pairs.put("RSA", pair("RSA", null));
    pairs.put("EC", pair("EC", new ECGenParameterSpec("secp256r1")));
    pairs.put("Ed25519", pair("Ed25519", null));
  }

  @AfterAll
  void stop() {
    Security.removeProvider(Grep11Provider.NAME);
    provider.logout();
    running.close();
  }

  private char[] apiKey() throws Exception {
    return running.demoApiKey().strip().toCharArray();
  }

  /** Read anew. */
  private KeyStore keys() throws Exception {
    var keys = KeyStore.getInstance("GREP11", provider);
    keys.load(null, apiKey());
    return keys;
  }

  private KeyPair pair(String algorithm, @Nullable AlgorithmParameterSpec parameters)
      throws Exception {
    var generator = KeyPairGenerator.getInstance(algorithm, provider);
    if (parameters != null) {
      generator.initialize(parameters);
    } else if (algorithm.equals("RSA")) {
      generator.initialize(2048);
    }
    return generator.generateKeyPair();
  }

  private KeyPair known(String name) {
    return java.util.Objects.requireNonNull(pairs.get(name));
  }

  private static SecretKey secret(String algorithm, int bits, Grep11Provider provider)
      throws Exception {
    var generator = KeyGenerator.getInstance(algorithm, provider);
    generator.init(bits);
    return generator.generateKey();
  }

  // ---- Signatures

  static Stream<Arguments> signatures() {
    var rows = new ArrayList<Arguments>();
    for (var hash : List.of("SHA1", "SHA224", "SHA256", "SHA384", "SHA512")) {
      rows.add(Arguments.of(hash + "withECDSA", "EC"));
      rows.add(Arguments.of(hash + "withECDSAinP1363Format", "EC"));
      rows.add(Arguments.of(hash + "withRSA", "RSA"));
    }
    rows.add(Arguments.of("NONEwithECDSA", "EC"));
    rows.add(Arguments.of("NONEwithECDSAinP1363Format", "EC"));
    rows.add(Arguments.of("NONEwithRSA", "RSA"));
    rows.add(Arguments.of("Ed25519", "Ed25519"));
    rows.add(Arguments.of("EdDSA", "Ed25519"));
    return rows.stream();
  }

  /** Without its name: JCA finds it, behind all others, by the class of the key. */
  @ParameterizedTest
  @MethodSource("signatures")
  void signsByAlgorithmAloneWhatTheJdkVerifies(String algorithm, String name) throws Exception {
    var pair = known(name);
    var signature = Signature.getInstance(algorithm);
    signature.initSign(pair.getPrivate());
    assertThat(signature.getProvider()).isSameAs(provider);
    signature.update(MESSAGE, 0, 10);
    signature.update(MESSAGE[10]);
    signature.update(MESSAGE, 11, MESSAGE.length - 11);
    byte[] signed = signature.sign();

    var verification = Signature.getInstance(algorithm);
    verification.initVerify(pair.getPublic());
    assertThat(verification.getProvider()).isNotSameAs(provider);
    verification.update(MESSAGE);
    assertThat(verification.verify(signed)).isTrue();

    // The same object once more, without init; and verifying by this provider.
    signature.update(MESSAGE);
    byte[] again = signature.sign();
    var here = Signature.getInstance(algorithm, provider);
    here.initVerify(pair.getPublic());
    here.update(MESSAGE);
    assertThat(here.verify(again)).isTrue();
    here.update("another message".getBytes(UTF_8));
    assertThat(here.verify(again)).isFalse();
  }

  @ParameterizedTest
  @CsvSource({"SHA-1,20", "SHA-224,28", "SHA-256,32", "SHA-384,48", "SHA-512,64", "SHA-256,0"})
  void signsRsaPssWithItsParameters(String hash, int salt) throws Exception {
    var spec = new PSSParameterSpec(hash, "MGF1", new MGF1ParameterSpec(hash), salt, 1);
    var signature = Signature.getInstance("RSASSA-PSS");
    // JSSE and jarsigner name the parameters after the key, others before.
    signature.initSign(known("RSA").getPrivate());
    signature.setParameter(spec);
    signature.update(MESSAGE);
    byte[] signed = signature.sign();
    assertThat(signature.getParameters().getParameterSpec(PSSParameterSpec.class).getSaltLength())
        .isEqualTo(salt);
    var verification = Signature.getInstance("RSASSA-PSS");
    verification.setParameter(spec);
    verification.initVerify(known("RSA").getPublic());
    verification.update(MESSAGE);
    assertThat(verification.verify(signed)).isTrue();
    assertThat(signature.getProvider()).isSameAs(provider);
  }

  @Test
  void rsaPssWithoutParametersIsRefused() throws Exception {
    var signature = Signature.getInstance("RSASSA-PSS", provider);
    signature.initSign(known("RSA").getPrivate());
    assertThatThrownBy(() -> signature.update(MESSAGE)).hasMessageContaining("needs parameters");
    var spec = new PSSParameterSpec("SHA-256", "MGF1", MGF1ParameterSpec.SHA256, 32, 1);
    signature.setParameter(spec);
    signature.update(MESSAGE);
    // It would lose the data so far.
    assertThatThrownBy(() -> signature.setParameter(spec)).hasMessageContaining("before the data");
  }

  /** As the JDK's have it; a public key, with which the JDK's do the work, loses none. */
  @Test
  void parametersOfPssHoldForTheNextKey() throws Exception {
    var sha256 = new PSSParameterSpec("SHA-256", "MGF1", MGF1ParameterSpec.SHA256, 32, 1);
    var sha512 = new PSSParameterSpec("SHA-512", "MGF1", MGF1ParameterSpec.SHA512, 64, 1);
    var signature = Signature.getInstance("RSASSA-PSS", provider);
    signature.setParameter(sha256);
    signature.initVerify(known("RSA").getPublic());
    signature.setParameter(sha512);
    signature.initSign(known("RSA").getPrivate());
    signature.update(MESSAGE);
    byte[] signed = signature.sign();
    var verification = Signature.getInstance("RSASSA-PSS");
    verification.setParameter(sha512);
    verification.initVerify(known("RSA").getPublic());
    verification.update(MESSAGE);
    assertThat(verification.verify(signed)).isTrue();

    signature.initVerify(known("RSA").getPublic());
    signature.setParameter(
        new PSSParameterSpec("SHA-512", "MGF1", MGF1ParameterSpec.SHA256, 32, 1));
    assertThatThrownBy(() -> signature.initSign(known("RSA").getPrivate()))
        .isInstanceOf(InvalidKeyException.class)
        .hasMessageContaining("MGF1 of the same hash");
  }

  @ParameterizedTest
  @ValueSource(strings = {"secp384r1", "secp521r1"})
  void makesEcKeysOfOtherCurvesThatSignWithEveryHash(String curve) throws Exception {
    var pair = pair("EC", new ECGenParameterSpec(curve));
    for (var algorithm : List.of("SHA1withECDSA", "SHA512withECDSA")) {
      var signature = Signature.getInstance(algorithm);
      signature.initSign(pair.getPrivate());
      signature.update(MESSAGE);
      byte[] signed = signature.sign();
      signature.initVerify(pair.getPublic());
      signature.update(MESSAGE);
      assertThat(signature.verify(signed)).isTrue();
    }
  }

  @ParameterizedTest
  @CsvSource({"SHA256withECDSA,EC,-sha256", "SHA384withRSA,RSA,-sha384", "Ed25519,Ed25519,-rawin"})
  void opensslVerifies(String algorithm, String name, String option) throws Exception {
    var pair = known(name);
    var signature = Signature.getInstance(algorithm);
    signature.initSign(pair.getPrivate());
    signature.update(MESSAGE);
    var publicKey = Files.writeString(directory.resolve(name + ".pem"), pem(pair.getPublic()));
    var signed = Files.write(directory.resolve(name + ".sig"), signature.sign());
    var message = Files.write(directory.resolve("message"), MESSAGE);
    var command =
        option.equals("-rawin")
            ? List.of(
                "openssl",
                "pkeyutl",
                "-verify",
                "-pubin",
                "-inkey",
                publicKey.toString(),
                "-rawin",
                "-in",
                message.toString(),
                "-sigfile",
                signed.toString())
            : List.of(
                "openssl",
                "dgst",
                option,
                "-verify",
                publicKey.toString(),
                "-signature",
                signed.toString(),
                message.toString());
    assertThat(run(command)).matches("(?s).*(Verified OK|Verified Successfully).*");
  }

  private static String pem(PublicKey key) {
    return "-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----\n"
        .formatted(Base64.getMimeEncoder().encodeToString(key.getEncoded()));
  }

  private static String run(List<String> command) throws Exception {
    var process = new ProcessBuilder(command).redirectErrorStream(true).start();
    var output = new String(process.getInputStream().readAllBytes(), UTF_8);
    assertThat(process.waitFor()).as(output).isZero();
    return output;
  }

  // ---- Keys

  @Test
  void keysShowNothingAndAreNotSerialized() throws Exception {
    var aes = secret("AES", 256, provider);
    for (Key key : List.of(known("EC").getPrivate(), known("RSA").getPrivate(), aes)) {
      assertThat(key.getEncoded()).isNull();
      assertThat(key.getFormat()).isNull();
      assertThat(key.toString()).contains("not in a keystore").hasSizeLessThan(60);
      assertThatThrownBy(() -> new ObjectOutputStream(new ByteArrayOutputStream()).writeObject(key))
          .isInstanceOf(NotSerializableException.class);
    }
    assertThat(((RSAKey) known("RSA").getPrivate()).getModulus().bitLength()).isEqualTo(2048);
    assertThat(((ECKey) known("EC").getPrivate()).getParams().getOrder().bitLength())
        .isEqualTo(256);
  }

  @Test
  void keysOfOthersGoToTheirOwnProvidersAndAreRefusedHere() throws Exception {
    var software = KeyPairGenerator.getInstance("EC", "SunEC").generateKeyPair();
    var signature = Signature.getInstance("SHA256withECDSA");
    signature.initSign(software.getPrivate());
    assertThat(signature.getProvider()).isNotSameAs(provider);
    var here = Signature.getInstance("SHA256withECDSA", provider);
    assertThatThrownBy(() -> here.initSign(software.getPrivate()))
        .isInstanceOf(InvalidKeyException.class);
    assertThatThrownBy(() -> here.initSign(known("RSA").getPrivate()))
        .isInstanceOf(InvalidKeyException.class)
        .hasMessageContaining("SHA256withECDSA is not for a key of RSA");
    assertThatThrownBy(() ->
            Cipher.getInstance("AES/GCM/NoPadding", provider)
                .init(Cipher.ENCRYPT_MODE, new SecretKeySpec(new byte[16], "AES")))
        .isInstanceOf(InvalidKeyException.class);
  }

  @Test
  void aRefusalOfTheGatewayHasItsReturnValueAndARemedy() throws Exception {
    var generator = KeyPairGenerator.getInstance("EC", provider);
    generator.initialize(new KeyPairTemplateParameterSpec(Templates.ecdhPair(Curve.P256)));
    var signature = Signature.getInstance("SHA256withECDSA");
    signature.initSign(generator.generateKeyPair().getPrivate());
    signature.update(MESSAGE);
    assertThatThrownBy(signature::sign)
        .isInstanceOf(java.security.SignatureException.class)
        .hasMessageContaining("make a key whose template does")
        .cause()
        .isInstanceOfSatisfying(
            Grep11Exception.class,
            e -> assertThat(e.returnValue()).isEqualTo(Ckr.CKR_KEY_FUNCTION_NOT_PERMITTED));
  }

  // ---- Ciphers

  @Test
  void theHsmDrawsTheIvOfGcm() throws Exception {
    var key = secret("AES", 256, provider);
    var cipher = Cipher.getInstance("AES/GCM/NoPadding");
    cipher.init(Cipher.ENCRYPT_MODE, key);
    assertThat(cipher.getIV()).isNull();
    cipher.updateAAD("header".getBytes(UTF_8));
    assertThat(cipher.update(MESSAGE, 0, 5)).isNullOrEmpty();
    byte[] ciphered = cipher.doFinal(MESSAGE, 5, MESSAGE.length - 5);
    byte[] iv = cipher.getIV();
    assertThat(iv).hasSize(12);
    assertThat(ciphered).hasSize(MESSAGE.length + 16);
    assertThat(cipher.getProvider()).isSameAs(provider);
    // The next message has another IV by itself.
    cipher.doFinal(MESSAGE);
    assertThat(cipher.getIV()).isNotEqualTo(iv);

    var back = Cipher.getInstance("AES/GCM/NoPadding");
    back.init(Cipher.DECRYPT_MODE, key, new GCMParameterSpec(128, iv));
    back.updateAAD("header".getBytes(UTF_8));
    assertThat(back.doFinal(ciphered)).isEqualTo(MESSAGE);
    back.updateAAD("another".getBytes(UTF_8));
    assertThatThrownBy(() -> back.doFinal(ciphered)).isInstanceOf(AEADBadTagException.class);
    // Nothing of the refused message is left in the next one.
    back.updateAAD("header".getBytes(UTF_8));
    assertThat(back.doFinal(ciphered)).isEqualTo(MESSAGE);
    assertThatThrownBy(() -> back.init(Cipher.DECRYPT_MODE, key))
        .isInstanceOf(InvalidKeyException.class);
  }

  @Test
  void anIvOfTheApplicationIsUsedOnce() throws Exception {
    var key = secret("AES", 128, provider);
    byte[] iv = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    var cipher = Cipher.getInstance("AES/GCM/NoPadding");
    cipher.init(Cipher.ENCRYPT_MODE, key, new GCMParameterSpec(96, iv));
    byte[] ciphered = cipher.doFinal(MESSAGE);
    assertThat(ciphered).hasSize(MESSAGE.length + 12);
    assertThat(cipher.getIV()).isEqualTo(iv);
    assertThatThrownBy(() -> cipher.doFinal(MESSAGE)).isInstanceOf(IllegalStateException.class);
    cipher.init(Cipher.DECRYPT_MODE, key, cipher.getParameters());
    assertThat(cipher.doFinal(ciphered)).isEqualTo(MESSAGE);
  }

  @ParameterizedTest
  @CsvSource({
    "AES/CBC/PKCS5Padding,25",
    "AES/CBC/NoPadding,32",
    "AES/ECB/NoPadding,32",
    "AES/CTR/NoPadding,25"
  })
  void encryptsAndDecryptsAsTheJdkDoes(String transformation, int length) throws Exception {
    var key = secret("AES", 256, provider);
    byte[] plain = new byte[length];
    new SecureRandom().nextBytes(plain);
    var cipher = Cipher.getInstance(transformation);
    cipher.init(Cipher.ENCRYPT_MODE, key);
    assertThat(cipher.getProvider()).isSameAs(provider);
    byte[] room = new byte[cipher.getOutputSize(length)];
    assertThatThrownBy(() -> cipher.doFinal(plain, 0, length, new byte[room.length - 1]))
        .isInstanceOf(ShortBufferException.class);
    assertThat(cipher.doFinal(plain, 0, length, room)).isEqualTo(room.length);
    byte[] iv = cipher.getIV();
    assertThat(room).isNotEqualTo(plain);
    var back = Cipher.getInstance(transformation);
    if (iv == null) {
      back.init(Cipher.DECRYPT_MODE, key);
    } else {
      back.init(Cipher.DECRYPT_MODE, key, new IvParameterSpec(iv));
    }
    assertThat(back.doFinal(room)).isEqualTo(plain);
  }

  /** Who has both messages' ciphertexts has the exclusive-or of the messages. */
  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void ctrEncryptsOneMessageUnderAnIv(boolean given) throws Exception {
    var key = secret("AES", 256, provider);
    var cipher = Cipher.getInstance("AES/CTR/NoPadding");
    cipher.init(Cipher.ENCRYPT_MODE, key, given ? new IvParameterSpec(new byte[16]) : null);
    byte[] ciphered = cipher.doFinal(MESSAGE);
    assertThatThrownBy(() -> cipher.doFinal(MESSAGE))
        .isInstanceOf(IllegalStateException.class)
        .hasMessageContaining("init again");
    assertThatThrownBy(() -> cipher.update(MESSAGE)).isInstanceOf(IllegalStateException.class);
    var back = Cipher.getInstance("AES/CTR/NoPadding");
    back.init(Cipher.DECRYPT_MODE, key, new IvParameterSpec(cipher.getIV()));
    assertThat(back.doFinal(ciphered)).isEqualTo(MESSAGE);
    assertThat(back.doFinal(ciphered)).isEqualTo(MESSAGE);
    cipher.init(Cipher.ENCRYPT_MODE, key);
    assertThat(cipher.doFinal(MESSAGE)).isNotEqualTo(ciphered);
  }

  @Test
  void decryptsWhatTheJdkEncryptedByThePublicKey() throws Exception {
    for (var transformation :
        List.of(
            "RSA/ECB/PKCS1Padding",
            "RSA/ECB/OAEPWithSHA-1AndMGF1Padding",
            "RSA/ECB/OAEPWithSHA-256AndMGF1Padding")) {
      var cipher = Cipher.getInstance(transformation);
      cipher.init(Cipher.ENCRYPT_MODE, known("RSA").getPublic());
      byte[] ciphered = cipher.doFinal(MESSAGE);
      var back = Cipher.getInstance(transformation);
      back.init(Cipher.DECRYPT_MODE, known("RSA").getPrivate());
      assertThat(back.getProvider()).isSameAs(provider);
      assertThat(back.doFinal(ciphered)).as(transformation).isEqualTo(MESSAGE);
    }
    var spec =
        new OAEPParameterSpec(
            "SHA-384", "MGF1", MGF1ParameterSpec.SHA256, new PSource.PSpecified(MESSAGE));
    // By this provider's name a public key works too.
    var cipher = Cipher.getInstance("RSA/ECB/OAEPPadding", provider);
    cipher.init(Cipher.ENCRYPT_MODE, known("RSA").getPublic(), spec);
    byte[] ciphered = cipher.doFinal(MESSAGE);
    cipher.init(Cipher.DECRYPT_MODE, known("RSA").getPrivate(), spec);
    assertThat(cipher.doFinal(ciphered)).isEqualTo(MESSAGE);
  }

  /** Without parameters it has those of its name, whatever the init before had. */
  @Test
  void oaepHasTheParametersOfTheLastInit() throws Exception {
    var cipher = Cipher.getInstance("RSA/ECB/OAEPPadding");
    var jdk = Cipher.getInstance("RSA/ECB/OAEPPadding", "SunJCE");
    var sha512 =
        new OAEPParameterSpec(
            "SHA-512", "MGF1", MGF1ParameterSpec.SHA512, PSource.PSpecified.DEFAULT);
    for (AlgorithmParameterSpec parameters : new AlgorithmParameterSpec[] {sha512, null}) {
      jdk.init(Cipher.ENCRYPT_MODE, known("RSA").getPublic(), parameters);
      byte[] ciphered = jdk.doFinal(MESSAGE);
      cipher.init(Cipher.DECRYPT_MODE, known("RSA").getPrivate(), parameters);
      assertThat(cipher.getProvider()).isSameAs(provider);
      assertThat(cipher.doFinal(ciphered)).isEqualTo(MESSAGE);
    }
    var specification = cipher.getParameters().getParameterSpec(OAEPParameterSpec.class);
    assertThat(specification.getDigestAlgorithm()).isEqualTo("SHA-1");
  }

  @ParameterizedTest
  @ValueSource(strings = {"AES/KW/NoPadding", "AESWrapPad"})
  void wrapsAndUnwrapsKeysInTheHsm(String transformation) throws Exception {
    var generator = KeyGenerator.getInstance("AES", provider);
    generator.init(new TemplateParameterSpec(Templates.aesWrapping(256)));
    var kek = generator.generateKey();
    generator.init(new TemplateParameterSpec(Templates.aes(128).with(Cka.CKA_EXTRACTABLE, true)));
    var key = generator.generateKey();

    var wrap = Cipher.getInstance(transformation, provider);
    wrap.init(Cipher.WRAP_MODE, kek);
    byte[] wrapped = wrap.wrap(key);
    wrap.init(Cipher.UNWRAP_MODE, kek);
    var back = (SecretKey) wrap.unwrap(wrapped, "AES", Cipher.SECRET_KEY);

    var cipher = Cipher.getInstance("AES/ECB/NoPadding");
    cipher.init(Cipher.ENCRYPT_MODE, key);
    byte[] block = cipher.doFinal(new byte[16]);
    cipher.init(Cipher.DECRYPT_MODE, back);
    assertThat(cipher.doFinal(block)).isEqualTo(new byte[16]);
    wrap.init(Cipher.WRAP_MODE, kek);
    assertThatThrownBy(() -> wrap.wrap(secret("AES", 128, provider)))
        .isInstanceOf(InvalidKeyException.class)
        .hasMessageContaining("CKR_KEY_UNEXTRACTABLE");
  }

  @Test
  void takesInAKeyThatSomebodyElseWrappedUnderItsPublicKey() throws Exception {
    var generator = KeyPairGenerator.getInstance("RSA", provider);
    generator.initialize(new KeyPairTemplateParameterSpec(Templates.rsaWrappingPair(2048)));
    var pair = generator.generateKeyPair();
    byte[] value = new byte[16];
    new SecureRandom().nextBytes(value);
    var software = new SecretKeySpec(value, "AES");
    var wrap = Cipher.getInstance("RSA/ECB/OAEPWithSHA-1AndMGF1Padding");
    wrap.init(Cipher.WRAP_MODE, pair.getPublic());
    byte[] wrapped = wrap.wrap(software);
    // Another object: one that was initialized stays with its provider.
    var unwrap = Cipher.getInstance("RSA/ECB/OAEPWithSHA-1AndMGF1Padding");
    unwrap.init(Cipher.UNWRAP_MODE, pair.getPrivate());
    var key = (SecretKey) unwrap.unwrap(wrapped, "AES", Cipher.SECRET_KEY);
    var cipher = Cipher.getInstance("AES/ECB/NoPadding");
    cipher.init(Cipher.ENCRYPT_MODE, key);
    byte[] here = cipher.doFinal(new byte[16]);
    var jdk = Cipher.getInstance("AES/ECB/NoPadding");
    jdk.init(Cipher.ENCRYPT_MODE, software);
    assertThat(jdk.doFinal(new byte[16])).isEqualTo(here);
  }

  // ---- Mac, agreement, random

  @ParameterizedTest
  @CsvSource({"HmacSHA1,20", "HmacSHA224,28", "HmacSHA256,32", "HmacSHA384,48", "HmacSHA512,64"})
  void authenticates(String algorithm, int length) throws Exception {
    var key = KeyGenerator.getInstance(algorithm, provider).generateKey();
    var mac = Mac.getInstance(algorithm);
    mac.init(key);
    assertThat(mac.getProvider()).isSameAs(provider);
    byte[] whole = mac.doFinal(MESSAGE);
    mac.update(MESSAGE, 0, 7);
    mac.update(MESSAGE, 7, MESSAGE.length - 7);
    assertThat(mac.doFinal()).isEqualTo(whole).hasSize(length);
    assertThat(mac.doFinal("another".getBytes(UTF_8))).isNotEqualTo(whole);
  }

  @Test
  void agreesOnAKeyThatStaysInTheHsm() throws Exception {
    var one = pair("EC", null);
    var other = pair("EC", null);
    var cipher = Cipher.getInstance("AES/ECB/NoPadding");
    cipher.init(Cipher.ENCRYPT_MODE, agreed(one.getPrivate(), other.getPublic(), "AES"));
    byte[] block = cipher.doFinal(new byte[16]);
    cipher.init(Cipher.DECRYPT_MODE, agreed(other.getPrivate(), one.getPublic(), "AES"));
    assertThat(cipher.doFinal(block)).isEqualTo(new byte[16]);
    // With the JDK on the other side.
    var software = KeyPairGenerator.getInstance("EC", "SunEC");
    software.initialize(new ECGenParameterSpec("secp256r1"));
    var theirs = software.generateKeyPair();
    var jdk = KeyAgreement.getInstance("ECDH");
    jdk.init(theirs.getPrivate());
    jdk.doPhase(one.getPublic(), true);
    var mac = Mac.getInstance("HmacSHA256");
    mac.init(new SecretKeySpec(jdk.generateSecret(), "HmacSHA256"));
    byte[] expected = mac.doFinal(MESSAGE);
    var here = Mac.getInstance("HmacSHA256");
    here.init(agreed(one.getPrivate(), theirs.getPublic(), "HmacSHA256"));
    assertThat(here.doFinal(MESSAGE)).isEqualTo(expected);
    var agreement = KeyAgreement.getInstance("ECDH", provider);
    agreement.init(one.getPrivate());
    agreement.doPhase(other.getPublic(), true);
    assertThatThrownBy(agreement::generateSecret)
        .isInstanceOf(ProviderException.class)
        .hasMessageContaining("stays in the HSM");
  }

  private static SecretKey agreed(PrivateKey key, PublicKey peer, String algorithm)
      throws Exception {
    var agreement = KeyAgreement.getInstance("ECDH");
    agreement.init(key);
    agreement.doPhase(peer, true);
    return agreement.generateSecret(algorithm);
  }

  @Test
  void randomBytesAreTheHsmsWhereTheyAreAskedForByNameOnly() throws Exception {
    var random = SecureRandom.getInstance("GREP11", provider);
    byte[] some = new byte[48];
    random.nextBytes(some);
    assertThat(some).isNotEqualTo(new byte[48]);
    assertThat(random.nextLong()).isNotEqualTo(random.nextLong());
    assertThat(provider.getServices())
        .extracting(java.security.Provider.Service::getType)
        .contains("KeyStore", "Signature", "Cipher", "Mac", "KeyAgreement")
        .doesNotContain("SecureRandom");
  }

  // ---- Over a client of the application

  @Test
  void aProviderOverAClientNeedsNoConfiguration() throws Exception {
    try (var client =
        Grep11Client.builder("localhost:" + running.gateway.cryptoPort())
            .trustedCa(running.demo.ca())
            .token(() -> running.token(RunningGateway.MANAGER))
            .build()) {
      var over = new Grep11Provider(client);
      var generator = KeyPairGenerator.getInstance("EC", over);
      var pair = generator.generateKeyPair();
      var signature = Signature.getInstance("SHA256withECDSA", over);
      signature.initSign(pair.getPrivate());
      signature.update(MESSAGE);
      byte[] signed = signature.sign();
      signature.initVerify(pair.getPublic());
      signature.update(MESSAGE);
      assertThat(signature.verify(signed)).isTrue();
      var empty = KeyStore.getInstance("GREP11", over);
      empty.load(null, null);
      assertThat(empty.size()).isZero();
      assertThatThrownBy(() -> empty.load(null, "key".toCharArray()))
          .hasMessageContaining("use load(null, null)");

      var id = java.util.UUID.randomUUID();
      client.keystores().create(id, "jca", "k3yst0re".toCharArray());
      var with = new Grep11Provider(client, id, "k3yst0re".toCharArray());
      var keys = KeyStore.getInstance("GREP11", with);
      keys.load(null, null);
      keys.setKeyEntry("kept", pair.getPrivate(), null, chain(pair, "SHA256withECDSA"));
      keys.load(null, null);
      assertThat(keys.getKey("kept", null)).isEqualTo(pair.getPrivate());
      var wrong =
          KeyStore.getInstance("GREP11", new Grep11Provider(client, id, "wr0ngpw".toCharArray()));
      assertThatThrownBy(() -> wrong.load(null, null)).hasMessageContaining("password");
    }
  }

  @Test
  void withoutALoginOrAGatewayItSaysWhatIsMissing() {
    assertThatThrownBy(
            () -> KeyPairGenerator.getInstance("EC", new Grep11Provider()).generateKeyPair())
        .hasMessageContaining("configure");
    assertThatThrownBy(() ->
            KeyPairGenerator.getInstance(
                    "EC", new Grep11Provider().configure(configuration.toString()))
                .generateKeyPair())
        .hasMessageContaining("nobody is logged in");
    assertThatThrownBy(() -> new Grep11Provider().configure("/nowhere/grep11client.yaml"))
        .hasMessageContaining("/nowhere/grep11client.yaml");
  }

  @Test
  void beforeTheJdksProvidersItRefusesToLogIn() throws Exception {
    var first = new Grep11Provider().configure(configuration.toString());
    Security.removeProvider(Grep11Provider.NAME);
    try {
      Security.insertProviderAt(first, 1);
      var keys = KeyStore.getInstance("GREP11", first);
      assertThatThrownBy(() -> keys.load(null, apiKey()))
          .hasMessageContaining("Security.addProvider");
      Security.removeProvider(Grep11Provider.NAME);
      try (var client =
          Grep11Client.builder("localhost:" + running.gateway.cryptoPort())
              .trustedCa(running.demo.ca())
              .token(() -> running.token(RunningGateway.MANAGER))
              .build()) {
        var given = new Grep11Provider(client);
        Security.insertProviderAt(given, 1);
        var ofClient = KeyStore.getInstance("GREP11", given);
        assertThatThrownBy(() -> ofClient.load(null, null))
            .hasMessageContaining("Security.addProvider");
      }
    } finally {
      Security.removeProvider(Grep11Provider.NAME);
      Security.addProvider(provider);
    }
  }

  /** Parameters that come before the key make JCA choose the first provider there is. */
  @Test
  void rsaPssOfOthersKeysWorksWhereTheProviderStandsFirstAndParametersCome() throws Exception {
    var generator = KeyPairGenerator.getInstance("RSA", "SunRsaSign");
    generator.initialize(2048);
    var pair = generator.generateKeyPair();
    var spec = new PSSParameterSpec("SHA-256", "MGF1", MGF1ParameterSpec.SHA256, 32, 1);
    Security.removeProvider(Grep11Provider.NAME);
    try {
      Security.insertProviderAt(new Grep11Provider(), 1);
      var signature = Signature.getInstance("RSASSA-PSS");
      signature.setParameter(spec);
      assertThat(signature.getProvider()).isInstanceOf(Grep11Provider.class);
      signature.initSign(pair.getPrivate());
      signature.update(MESSAGE);
      byte[] signed = signature.sign();
      var verification = Signature.getInstance("RSASSA-PSS");
      verification.setParameter(spec);
      verification.initVerify(pair.getPublic());
      verification.update(MESSAGE);
      assertThat(verification.verify(signed)).isTrue();
      verification.update(MESSAGE);
      verification.update((byte) 1);
      assertThat(verification.verify(signed)).isFalse();
      assertThatThrownBy(() -> verification.initVerify(known("EC").getPublic()))
          .isInstanceOf(InvalidKeyException.class);
    } finally {
      Security.removeProvider(Grep11Provider.NAME);
      Security.addProvider(provider);
    }
  }

  // ---- TLS

  private static Certificate[] chain(KeyPair pair, String algorithm) throws Exception {
    return new Certificate[] {certificate(pair, algorithm, "CN=localhost")};
  }

  private static X509Certificate certificate(KeyPair pair, String algorithm, String name)
      throws Exception {
    var now = Instant.now();
    var builder =
        new JcaX509v3CertificateBuilder(
            new X500Name(name),
            new BigInteger(64, new SecureRandom()),
            Date.from(now.minusSeconds(60)),
            Date.from(now.plus(Duration.ofDays(1))),
            new X500Name(name),
            pair.getPublic());
    builder.addExtension(Extension.basicConstraints, true, new BasicConstraints(true));
    builder.addExtension(
        Extension.subjectAlternativeName,
        false,
        new GeneralNames(new GeneralName(GeneralName.dNSName, "localhost")));
    return new JcaX509CertificateConverter()
        .getCertificate(
            builder.build(new JcaContentSignerBuilder(algorithm).build(pair.getPrivate())));
  }

  @ParameterizedTest
  @CsvSource({
    "EC,SHA256withECDSA,TLSv1.3",
    "EC,SHA256withECDSA,TLSv1.2",
    "RSA,SHA256withRSA,TLSv1.3",
    "RSA,SHA256withRSA,TLSv1.2",
    "Ed25519,Ed25519,TLSv1.3"
  })
  void aTlsServerOfTheJdkHasItsKeyBehindTheGateway(String name, String algorithm, String protocol)
      throws Exception {
    var pair = pair(name, null);
    var all = keys();
    all.setKeyEntry("tls", pair.getPrivate(), null, chain(pair, algorithm));
    try {
      serve(protocol, pair.getPublic());
    } finally {
      all.deleteEntry("tls");
    }
  }

  private void serve(String protocol, PublicKey publicKey) throws Exception {
    // As another process finds it.
    var keys = keys();
    assertThat(((Grep11PrivateKey) keys.getKey("tls", null)).publicKey()).contains(publicKey);
    var managers = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
    managers.init(keys, null);
    var server = SSLContext.getInstance("TLS");
    server.init(managers.getKeyManagers(), null, null);
    var trusted = KeyStore.getInstance("PKCS12");
    trusted.load(null, null);
    trusted.setCertificateEntry("server", keys.getCertificate("tls"));
    var trust = TrustManagerFactory.getInstance("PKIX");
    trust.init(trusted);
    var client = SSLContext.getInstance("TLS");
    client.init(null, trust.getTrustManagers(), null);

    try (var listening =
        (SSLServerSocket)
            server
                .getServerSocketFactory()
                .createServerSocket(0, 1, java.net.InetAddress.getLoopbackAddress())) {
      var serving =
          new Thread(() -> {
            try (var accepted = listening.accept()) {
              accepted.getOutputStream().write(MESSAGE);
            } catch (java.io.IOException e) {
              // The client tells.
            }
          });
      serving.start();
      try (var socket =
          (SSLSocket)
              client.getSocketFactory().createSocket("localhost", listening.getLocalPort())) {
        socket.setEnabledProtocols(new String[] {protocol});
        assertThat(socket.getInputStream().readNBytes(MESSAGE.length)).isEqualTo(MESSAGE);
        assertThat(socket.getSession().getProtocol()).isEqualTo(protocol);
        assertThat(socket.getSession().getPeerCertificates()[0])
            .isEqualTo(keys.getCertificate("tls"));
      }
      serving.join();
    }
  }
}
