package dev.grep11.gateway;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.grep11.agent.config.ClientConfig.LogLevel;
import dev.grep11.agent.config.ClientConfigFile;
import dev.grep11.agent.cryptoki.Application;
import dev.grep11.agent.cryptoki.Cryptoki;
import dev.grep11.agent.cryptoki.Output;
import dev.grep11.agent.log.Log;
import dev.grep11.agent.rpc.RequestedMechanism;
import dev.grep11.agent.rpc.Room;
import dev.grep11.agent.rpc.WireAttribute;
import dev.grep11.client.Cka;
import dev.grep11.client.Ckm;
import dev.grep11.client.Cko;
import dev.grep11.client.Curve;
import dev.grep11.client.Grep11Client;
import dev.grep11.gateway.host.Host;
import dev.grep11.jca.Grep11PrivateKey;
import dev.grep11.jca.Grep11Provider;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.KeyStoreException;
import java.security.PrivateKey;
import java.security.SecureRandom;
import java.security.Security;
import java.security.Signature;
import java.security.UnrecoverableEntryException;
import java.security.UnrecoverableKeyException;
import java.security.cert.Certificate;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Date;
import java.util.List;
import java.util.Optional;
import java.util.jar.JarFile;
import java.util.regex.Pattern;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import javax.crypto.Cipher;
import javax.crypto.KeyGenerator;
import javax.crypto.SecretKey;
import javax.security.auth.callback.PasswordCallback;
import javax.security.auth.login.FailedLoginException;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.BasicConstraints;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cert.jcajce.JcaX509v3CertificateBuilder;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * The KeyStore of the JCA provider and PKCS #11 applications over the same keystores of a gateway.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class JcaKeyStoreTest {
  private static final Duration PATIENCE = Duration.ofSeconds(30);
  private static final byte[] MESSAGE = "found by its alias".getBytes(UTF_8);
  private static final long READ_WRITE = 6;
  private static final long USER = 1;

  private Path directory;
  private RunningGateway running;
  private Path configuration;
  private Grep11Provider provider;

  @BeforeAll
  void start(@TempDir Path directory) throws Exception {
    this.directory = directory;
    running = RunningGateway.start(directory);
    configuration =
        running.demo.writeClientConfiguration(running.config, running.gateway).orElseThrow();
    provider = provider();
    Security.addProvider(provider);
  }

  @AfterAll
  void stop() {
    Security.removeProvider(Grep11Provider.NAME);
    provider.logout();
    running.close();
  }

  private Grep11Provider provider() {
    return (Grep11Provider) new Grep11Provider().configure(configuration.toString());
  }

  private String apiKey() throws IOException {
    return running.demoApiKey().strip();
  }

  private KeyStore keys() throws Exception {
    return keys(provider);
  }

  private KeyStore keys(Grep11Provider of) throws Exception {
    var keys = KeyStore.getInstance("GREP11", of);
    keys.load(null, apiKey().toCharArray());
    return keys;
  }

  private KeyPair pair(String algorithm) throws Exception {
    // A key generator belongs to who is logged in.
    keys();
    var generator = KeyPairGenerator.getInstance(algorithm, provider);
    if (algorithm.equals("RSA")) {
      generator.initialize(2048);
    }
    return generator.generateKeyPair();
  }

  private static X509Certificate certificate(
      KeyPair of, String name, PrivateKey issuer, String issuerName) throws Exception {
    var now = Instant.now();
    var builder =
        new JcaX509v3CertificateBuilder(
            new X500Name(issuerName),
            new BigInteger(64, new SecureRandom()),
            Date.from(now.minusSeconds(60)),
            Date.from(now.plus(Duration.ofDays(1))),
            new X500Name(name),
            of.getPublic());
    builder.addExtension(Extension.basicConstraints, true, new BasicConstraints(true));
    var algorithm = issuer.getAlgorithm().equals("EC") ? "SHA256withECDSA" : "SHA256withRSA";
    return new JcaX509CertificateConverter()
        .getCertificate(builder.build(new JcaContentSignerBuilder(algorithm).build(issuer)));
  }

  private static X509Certificate selfSigned(KeyPair pair, String name) throws Exception {
    return certificate(pair, name, pair.getPrivate(), name);
  }

  private static void assertSigns(PrivateKey key, java.security.PublicKey by) throws Exception {
    var algorithm = key.getAlgorithm().equals("EC") ? "SHA256withECDSA" : "SHA256withRSA";
    var signature = Signature.getInstance(algorithm);
    signature.initSign(key);
    signature.update(MESSAGE);
    byte[] signed = signature.sign();
    var verification = Signature.getInstance(algorithm);
    verification.initVerify(by);
    verification.update(MESSAGE);
    assertThat(verification.verify(signed)).isTrue();
  }

  // ---- Entries

  @Test
  void aKeyIsKeptWithItsChainFoundByAnotherProcessAndDeleted() throws Exception {
    var root = pair("RSA");
    var rootCertificate = selfSigned(root, "CN=root");
    var middle = pair("EC");
    var middleCertificate = certificate(middle, "CN=middle", root.getPrivate(), "CN=root");
    var leaf = pair("EC");
    var leafCertificate = certificate(leaf, "CN=leaf", middle.getPrivate(), "CN=middle");
    var chain = new Certificate[] {leafCertificate, middleCertificate, rootCertificate};
    var keys = keys();
    int before = keys.size();
    keys.setKeyEntry("orders", leaf.getPrivate(), null, chain);
    assertThat(keys.size()).isEqualTo(before + 1);

    var other = provider();
    try {
      var found = keys(other);
      assertThat(Collections.list(found.aliases())).contains("orders");
      assertThat(found.isKeyEntry("orders")).isTrue();
      assertThat(found.isCertificateEntry("orders")).isFalse();
      assertThat(found.getCertificateChain("orders")).isEqualTo(chain);
      assertThat(found.getCertificateAlias(leafCertificate)).isEqualTo("orders");
      // Certificates of a chain are not trusted by that.
      assertThat(found.getCertificateAlias(rootCertificate)).isNull();
      var entry = (KeyStore.PrivateKeyEntry) found.getEntry("orders", null);
      assertThat(entry.getPrivateKey()).isEqualTo(leaf.getPrivate());
      assertThat(entry.getPrivateKey().toString()).contains("object ").doesNotContain("blob");
      assertSigns((PrivateKey) found.getKey("orders", null), leaf.getPublic());

      found.deleteEntry("orders");
      assertThat(found.containsAlias("orders")).isFalse();
      assertThat(found.getKey("orders", null)).isNull();
      // As with the JDK's types.
      found.deleteEntry("orders");
    } finally {
      other.logout();
    }
    assertThat(keys().containsAlias("orders")).isFalse();
  }

  @Test
  void aRenewedCertificateTakesThePlaceOfTheOldOne() throws Exception {
    var pair = pair("EC");
    var keys = keys();
    keys.setKeyEntry("renewed", pair.getPrivate(), null, chain(selfSigned(pair, "CN=old")));
    var renewed = selfSigned(pair, "CN=new");
    keys.setKeyEntry("renewed", keys.getKey("renewed", null), null, chain(renewed));
    var found = keys();
    assertThat(found.getCertificate("renewed")).isEqualTo(renewed);
    // Under another alias the same key is renamed, and stays one.
    found.setKeyEntry("renamed", found.getKey("renewed", null), null, chain(renewed));
    assertThat(keys().containsAlias("renewed")).isFalse();
    assertThat(keys().getCertificateChain("renamed")).containsExactly(renewed);
    found.deleteEntry("renamed");
  }

  private static Certificate[] chain(X509Certificate... certificates) {
    return certificates;
  }

  /** Who overwrites an alias by mistake would lose a key that no backup of his has. */
  @Test
  void noKeyIsOverwritten() throws Exception {
    var one = pair("EC");
    var other = pair("EC");
    var keys = keys();
    keys.setKeyEntry("only", one.getPrivate(), null, chain(selfSigned(one, "CN=one")));
    var certificate = selfSigned(other, "CN=other");
    assertThatThrownBy(() -> keys.setKeyEntry("only", other.getPrivate(), null, chain(certificate)))
        .isInstanceOf(KeyStoreException.class)
        .hasMessageContaining("delete that entry first");
    assertThatThrownBy(() -> keys.setCertificateEntry("only", certificate))
        .isInstanceOf(KeyStoreException.class);
    assertThatThrownBy(
            () -> keys.setKeyEntry("mismatched", one.getPrivate(), null, chain(certificate)))
        .hasMessageContaining("not that of this key");
    var software = KeyPairGenerator.getInstance("EC", "SunEC").generateKeyPair();
    assertThatThrownBy(() ->
            keys.setKeyEntry(
                "software", software.getPrivate(), null, chain(selfSigned(software, "CN=x"))))
        .hasMessageContaining("KeyPairGenerator");
    assertSigns((PrivateKey) keys().getKey("only", null), one.getPublic());
    keys().deleteEntry("only");
  }

  @Test
  void aSecretKeyIsKeptUnderItsAlias() throws Exception {
    var keys = keys();
    var key = KeyGenerator.getInstance("AES", provider).generateKey();
    keys.setKeyEntry("data", key, null, null);
    var cipher = Cipher.getInstance("AES/CBC/PKCS5Padding");
    cipher.init(Cipher.ENCRYPT_MODE, key);
    byte[] ciphered = cipher.doFinal(MESSAGE);
    var found = (SecretKey) keys().getKey("data", null);
    cipher.init(Cipher.DECRYPT_MODE, found, cipher.getParameters());
    assertThat(cipher.doFinal(ciphered)).isEqualTo(MESSAGE);
    var mac = KeyGenerator.getInstance("HmacSHA256", provider).generateKey();
    keys.setKeyEntry("mac", mac, null, null);
    var again = javax.crypto.Mac.getInstance("HmacSHA256");
    again.init(keys().getKey("mac", null));
    assertThat(again.doFinal(MESSAGE)).hasSize(32);
    keys().deleteEntry("data");
    keys().deleteEntry("mac");
  }

  @Test
  void aSecretKeyGetsAnotherAliasAndStaysOne() throws Exception {
    var keys = keys();
    var key = KeyGenerator.getInstance("AES", provider).generateKey();
    keys.setKeyEntry("first name", key, null, null);
    int before = keys.size();
    keys.setKeyEntry("second name", key, null, null);
    assertThat(keys.size()).isEqualTo(before);
    assertThat(keys.containsAlias("first name")).isFalse();
    assertThat(keys().getKey("second name", null)).isEqualTo(key);
    // It deletes the old alias afterwards.
    tool(
        "keytool",
        withProvider("-changealias", "-alias", "second name", "-destalias", "third name"));
    assertThat(keys().getKey("third name", null)).isEqualTo(key);
    assertThat(keys().containsAlias("second name")).isFalse();
    keys().deleteEntry("third name");
  }

  @Test
  void aRenamedKeyIsFoundByItsLabelWithWhatBelongsToIt() throws Exception {
    var pair = pair("EC");
    var chain = chain(selfSigned(pair, "CN=x"));
    keys().setKeyEntry("old label", pair.getPrivate(), null, chain);
    keys().setKeyEntry("new label", pair.getPrivate(), null, chain);
    try (var agent = new Agent(true)) {
      for (var objectClass :
          List.of(Cko.CKO_PRIVATE_KEY, Cko.CKO_PUBLIC_KEY, Cko.CKO_CERTIFICATE)) {
        assertThat(agent.find(objectClass, "new label")).hasSize(1);
        assertThat(agent.find(objectClass, "old label")).isEmpty();
      }
    }
    keys().deleteEntry("new label");
  }

  /** Who renamed one of them so would keep its alias, and keytool then deletes that. */
  @Test
  void aLabelOfSeveralIsNoAliasToRenameTo() throws Exception {
    try (var agent = new Agent(true)) {
      agent.makePair("several", new byte[] {1}, true);
      agent.makePair("several", new byte[] {2}, true);
      var keys = keys();
      var alias = aliases(keys, "several#").getFirst();
      var key = (Grep11PrivateKey) keys.getKey(alias, null);
      var chain = chain(selfSigned(new KeyPair(key.publicKey().orElseThrow(), key), "CN=several"));
      assertThatThrownBy(() -> keys.setKeyEntry("several", key, null, chain))
          .isInstanceOf(KeyStoreException.class)
          .hasMessageContaining("label of other entries");
      // A certificate under its own alias leaves its label as it is.
      keys.setKeyEntry(alias, key, null, chain);
      assertThat(keys.getCertificateChain(alias)).isEqualTo(chain);
      assertThat(agent.find(Cko.CKO_PRIVATE_KEY, "several")).hasSize(2);
      keys.deleteEntry(alias);
      keys.deleteEntry("several");
      assertThat(agent.find(Cko.CKO_PRIVATE_KEY, "several")).isEmpty();
    }
  }

  /** As keytool goes on: its deletion of the old alias is not to be that of somebody else's key. */
  @Test
  void anAliasThatARenamingSetsFreePassesToNoOtherKey() throws Exception {
    var key = KeyGenerator.getInstance("AES", provider).generateKey();
    keys().setKeyEntry("shadowing", key, null, null);
    try (var guest = new Agent(false)) {
      guest.makePair("shadowing", new byte[] {3}, false);
      var keys = keys();
      var theirs = aliases(keys, "shadowing#").getFirst();
      keys.setKeyEntry("moved", keys.getKey("shadowing", null), null, null);
      keys.deleteEntry("shadowing");
      assertThat(keys.containsAlias(theirs)).isTrue();
      assertThat(guest.find(Cko.CKO_PRIVATE_KEY, "shadowing")).hasSize(1);
      keys.deleteEntry(theirs);
      keys.deleteEntry("moved");
    }
  }

  private static List<String> aliases(KeyStore of, String prefix) throws KeyStoreException {
    return Collections.list(of.aliases()).stream()
        .filter(alias -> alias.startsWith(prefix))
        .toList();
  }

  @Test
  void onlyADeclaredCertificateIsTrusted() throws Exception {
    var pair = pair("EC");
    var keys = keys();
    var first = selfSigned(pair, "CN=first");
    keys.setCertificateEntry("anchor", first);
    assertThat(keys().isCertificateEntry("anchor")).isTrue();
    var second = selfSigned(pair, "CN=second");
    keys.setCertificateEntry("anchor", second);
    assertThat(keys().getCertificate("anchor")).isEqualTo(second);
    assertThat(keys().getCertificateAlias(first)).isNull();
    keys.deleteEntry("anchor");
    assertThat(keys().containsAlias("anchor")).isFalse();
  }

  /** Who may only write the public keystore would choose whom everybody's TLS believes. */
  @Test
  void nobodyPlantsATrustedCertificateInThePublicKeystore() throws Exception {
    var certificate = selfSigned(pair("EC"), "CN=planted");
    var template = new ArrayList<>(template(Cko.CKO_CERTIFICATE, "planted", new byte[0], false));
    template.add(number(Cka.CKA_CERTIFICATE_TYPE, 0));
    template.add(new WireAttribute(Cka.CKA_VALUE, certificate.getEncoded()));
    var untrusted = List.copyOf(template);
    template.add(flag(Cka.CKA_TRUSTED, true));
    for (boolean loggedIn : new boolean[] {false, true}) {
      try (var agent = new Agent(loggedIn)) {
        assertThatThrownBy(() -> agent.application.createObject(agent.session, template))
            .hasMessageContaining("security officer");
        long made = agent.application.createObject(agent.session, untrusted);
        assertThatThrownBy(() ->
                agent.application.setAttributes(
                    agent.session, made, List.of(flag(Cka.CKA_TRUSTED, true))))
            .isInstanceOf(RuntimeException.class);
        assertThat(keys().getCertificateAlias(certificate)).isNull();
        agent.application.destroyObject(agent.session, made);
      }
    }
    // Past the agent, straight into the keystore.
    try (var client =
        Grep11Client.builder("localhost:" + running.gateway.cryptoPort())
            .trustedCa(running.demo.ca())
            .token(() -> running.token(RunningGateway.MANAGER))
            .build()) {
      var everybodys =
          client
              .keystores()
              .open(
                  ClientConfigFile.read(configuration)
                      .tokens()
                      .values()
                      .iterator()
                      .next()
                      .anonymous()
                      .keystore()
                      .orElseThrow());
      var planted =
          everybodys.store(
              dev.grep11.client.Template.empty()
                  .with(Cka.CKA_CLASS, Cko.CKO_CERTIFICATE)
                  .with(Cka.CKA_CERTIFICATE_TYPE, 0)
                  .with(Cka.CKA_LABEL, "planted")
                  .with(Cka.CKA_TRUSTED, true)
                  .with(Cka.CKA_VALUE, certificate.getEncoded()));
      assertThat(keys().containsAlias("planted")).isFalse();
      assertThat(keys().getCertificateAlias(certificate)).isNull();
      everybodys.delete(planted);
    }
    var guest = provider();
    try {
      var keys = KeyStore.getInstance("GREP11", guest);
      keys.load(null, null);
      assertThatThrownBy(() -> keys.setCertificateEntry("planted", certificate))
          .isInstanceOf(KeyStoreException.class)
          .hasMessageContaining("log in");
    } finally {
      guest.logout();
    }
  }

  // ---- Logging in

  @Test
  void aWrongApiKeyIsAWrongPassword() throws Exception {
    var other = provider();
    var keys = KeyStore.getInstance("GREP11", other);
    assertThatThrownBy(() -> keys.load(null, "no such key".toCharArray()))
        .isInstanceOf(IOException.class)
        .hasCauseInstanceOf(UnrecoverableKeyException.class)
        .message()
        .doesNotContain("no such key");
    assertThatThrownBy(keys::size).isInstanceOf(KeyStoreException.class);
    var guest =
        ClientConfigFile.read(configuration)
            .tokens()
            .values()
            .iterator()
            .next()
            .anonymous()
            .iam()
            .orElseThrow();
    assertThatThrownBy(() -> keys.load(null, guest.apiKey().orElseThrow().chars()))
        .hasMessageContaining("anonymous");
    assertThatThrownBy(() -> keys.load(Files.newInputStream(configuration), apiKey().toCharArray()))
        .hasMessageContaining("-keystore NONE");
    other.logout();
  }

  @Test
  void whoDoesNotLogInSeesThePublicKeystoreAlone() throws Exception {
    var pair = pair("EC");
    keys().setKeyEntry("private", pair.getPrivate(), null, chain(selfSigned(pair, "CN=x")));
    var other = provider();
    try (var guest = new Agent(false)) {
      guest.makePair("of everybody", new byte[] {9}, false);
      var keys = KeyStore.getInstance("GREP11", other);
      keys.load(null, null);
      assertThat(Collections.list(keys.aliases()))
          .contains("of everybody")
          .doesNotContain("private");
      // Nor can he leave anything in the private one.
      assertThat(keys().containsAlias("of everybody")).isTrue();
      keys.deleteEntry("of everybody");
    } finally {
      other.logout();
    }
    keys().deleteEntry("private");
  }

  @Test
  void logsInByACallbackHandlerAndOutAgain() throws Exception {
    var other = provider();
    assertThatThrownBy(() -> other.login(null, null)).hasMessageContaining("CallbackHandler");
    other.setCallbackHandler(
        callbacks -> ((PasswordCallback) callbacks[0]).setPassword(apiKey().toCharArray()));
    var keys = KeyStore.getInstance("GREP11", other);
    keys.load(null, null);
    var pair = KeyPairGenerator.getInstance("EC", other).generateKeyPair();
    keys.setKeyEntry("by handler", pair.getPrivate(), null, chain(selfSigned(pair, "CN=x")));
    keys.deleteEntry("by handler");
    other.logout();
    var signature = Signature.getInstance("SHA256withECDSA");
    signature.initSign(pair.getPrivate());
    signature.update(MESSAGE);
    assertThatThrownBy(signature::sign).isInstanceOf(java.security.SignatureException.class);
    other.setCallbackHandler(
        callbacks -> ((PasswordCallback) callbacks[0]).setPassword("wrong".toCharArray()));
    assertThatThrownBy(() -> other.login(null, null)).isInstanceOf(FailedLoginException.class);
  }

  // ---- Beside PKCS #11 applications

  /** A PKCS #11 application with a session. */
  private final class Agent implements AutoCloseable {
    private final Cryptoki cryptoki =
        new Cryptoki(
            ClientConfigFile.read(configuration),
            new Log(new PrintStream(new ByteArrayOutputStream(), true, UTF_8), LogLevel.TRACE));
    private final Application application = cryptoki.application("somebody");
    private final long session;

    Agent(boolean loggedIn) throws Exception {
      application.initialize();
      session = application.openSession(0, READ_WRITE);
      if (loggedIn) {
        application.login(session, USER, apiKey().getBytes(UTF_8));
      }
    }

    List<Long> makePair(String label, byte[] id, boolean isPrivate) {
      var publicTemplate = new ArrayList<>(template(Cko.CKO_PUBLIC_KEY, label, id, false));
      publicTemplate.add(new WireAttribute(Cka.CKA_EC_PARAMS, Curve.P256.parameters()));
      publicTemplate.add(flag(Cka.CKA_VERIFY, true));
      var privateTemplate = new ArrayList<>(template(Cko.CKO_PRIVATE_KEY, label, id, isPrivate));
      privateTemplate.add(flag(Cka.CKA_SIGN, true));
      return application.generateKeyPair(
          session, mechanism(Ckm.CKM_EC_KEY_PAIR_GEN), publicTemplate, privateTemplate);
    }

    List<Long> find(long objectClass, String label) {
      application.findInit(
          session,
          List.of(
              number(Cka.CKA_CLASS, objectClass),
              new WireAttribute(Cka.CKA_LABEL, label.getBytes(UTF_8))));
      var found = application.find(session, 100);
      application.findFinal(session);
      return found;
    }

    byte[] sign(long key) {
      application.signInit(session, mechanism(Ckm.CKM_ECDSA_SHA256), key);
      return ((Output.Bytes) application.sign(session, MESSAGE, new Room(512, true))).value();
    }

    void verify(long key, byte[] signature) {
      application.verifyInit(session, mechanism(Ckm.CKM_ECDSA_SHA256), key);
      application.verify(session, MESSAGE, signature);
    }

    @Override
    public void close() {
      application.close();
      cryptoki.close();
    }
  }

  private static RequestedMechanism mechanism(long number) {
    return new RequestedMechanism(
        dev.grep11.proto.Mechanism.newBuilder().setMechanism(number).build(), 0);
  }

  private static WireAttribute flag(long type, boolean value) {
    return new WireAttribute(type, new byte[] {(byte) (value ? 1 : 0)});
  }

  private static WireAttribute number(long type, long value) {
    return new WireAttribute(type, ByteBuffer.allocate(8).putLong(value).array());
  }

  private static List<WireAttribute> template(
      long objectClass, String label, byte[] id, boolean isPrivate) {
    return List.of(
        number(Cka.CKA_CLASS, objectClass),
        new WireAttribute(Cka.CKA_LABEL, label.getBytes(UTF_8)),
        new WireAttribute(Cka.CKA_ID, id),
        flag(Cka.CKA_TOKEN, true),
        flag(Cka.CKA_PRIVATE, isPrivate));
  }

  @Test
  void aKeyOfAPkcs11ApplicationIsAnEntryAndGetsItsCertificate() throws Exception {
    try (var agent = new Agent(true)) {
      agent.makePair("from pkcs11", new byte[] {1, 2}, true);
      var keys = keys();
      var key = (Grep11PrivateKey) keys.getKey("from pkcs11", null);
      assertSigns(key, key.publicKey().orElseThrow());
      // Without a certificate it is a key all the same, which a request can be signed with.
      assertThat(keys.getCertificateChain("from pkcs11")).isNull();
      assertThatThrownBy(() -> keys.getEntry("from pkcs11", null))
          .isInstanceOf(UnrecoverableEntryException.class)
          .hasMessageContaining("no certificate");
      var certificate = selfSigned(new KeyPair(key.publicKey().orElseThrow(), key), "CN=pkcs11");
      keys.setKeyEntry("from pkcs11", key, null, chain(certificate));
      assertThat(keys().getCertificate("from pkcs11")).isEqualTo(certificate);

      var object = agent.find(Cko.CKO_CERTIFICATE, "from pkcs11");
      assertThat(object).hasSize(1);
      keys().deleteEntry("from pkcs11");
      for (var objectClass :
          List.of(Cko.CKO_PRIVATE_KEY, Cko.CKO_PUBLIC_KEY, Cko.CKO_CERTIFICATE)) {
        assertThat(agent.find(objectClass, "from pkcs11")).isEmpty();
      }
    }
  }

  @Test
  void aKeyOfTheKeyStoreIsAnObjectOfPkcs11Applications() throws Exception {
    var pair = pair("EC");
    keys().setKeyEntry("from java", pair.getPrivate(), null, chain(selfSigned(pair, "CN=java")));
    try (var agent = new Agent(true)) {
      var key = agent.find(Cko.CKO_PRIVATE_KEY, "from java");
      var publicKey = agent.find(Cko.CKO_PUBLIC_KEY, "from java");
      assertThat(key).hasSize(1);
      assertThat(publicKey).hasSize(1);
      assertThat(agent.find(Cko.CKO_CERTIFICATE, "from java")).hasSize(1);
      agent.verify(publicKey.getFirst(), agent.sign(key.getFirst()));
    }
    keys().deleteEntry("from java");
  }

  /** As SunPKCS11 leaves them: the certificate has the label, the key has its CKA_ID alone. */
  @Test
  void aKeyWithoutALabelHasTheNameOfItsCertificateOrItsId() throws Exception {
    try (var agent = new Agent(true)) {
      byte[] id = {0x0a, 0x0b};
      agent.makePair("", id, true);
      var keys = keys();
      var key = (Grep11PrivateKey) keys.getKey("0a0b", null);
      var certificate = selfSigned(new KeyPair(key.publicKey().orElseThrow(), key), "CN=sun");
      var template = new ArrayList<>(template(Cko.CKO_CERTIFICATE, "sun", id, true));
      template.add(number(Cka.CKA_CERTIFICATE_TYPE, 0));
      template.add(new WireAttribute(Cka.CKA_VALUE, certificate.getEncoded()));
      agent.application.createObject(agent.session, template);
      assertThat(keys().getKey("sun", null)).isEqualTo(key);
      assertThat(keys().getCertificate("sun")).isEqualTo(certificate);
      assertThat(keys().isCertificateEntry("sun")).isFalse();
      keys().deleteEntry("sun");
    }
  }

  @Test
  void equalLabelsGiveDifferentAliasesThatStay() throws Exception {
    try (var agent = new Agent(true)) {
      agent.makePair("twin", new byte[] {1}, true);
      agent.makePair("twin", new byte[] {2}, true);
      var aliases =
          Collections.list(keys().aliases()).stream().filter(a -> a.startsWith("twin")).toList();
      assertThat(aliases).hasSize(2).allMatch(alias -> alias.matches("twin#[0-9a-f]{8}"));
      var again =
          Collections.list(keys().aliases()).stream().filter(a -> a.startsWith("twin")).toList();
      assertThat(again).isEqualTo(aliases);
      var first = keys().getKey(aliases.get(0), null);
      keys().deleteEntry(aliases.get(1));
      assertThat(keys().getKey("twin", null)).isEqualTo(first);
      keys().deleteEntry("twin");
    }
  }

  /** Who may only write the public keystore takes no alias, and no certificate, from a user. */
  @Test
  void anObjectOfThePublicKeystoreTakesNoNameFromThePrivateOne() throws Exception {
    var pair = pair("EC");
    var certificate = selfSigned(pair, "CN=user");
    keys().setKeyEntry("contended", pair.getPrivate(), null, chain(certificate));
    try (var guest = new Agent(false)) {
      guest.makePair("contended", new byte[] {1}, false);
      var keys = keys();
      assertThat(keys.getKey("contended", null)).isEqualTo(pair.getPrivate());
      assertThat(keys.getCertificate("contended")).isEqualTo(certificate);
      var theirs =
          Collections.list(keys.aliases()).stream()
              .filter(alias -> alias.startsWith("contended#"))
              .toList();
      assertThat(theirs).hasSize(1);
      keys.deleteEntry(theirs.getFirst());
      keys.deleteEntry("contended");
    }
  }

  /** A server that loaded its key months ago. */
  @Test
  void aLoadedKeyStaysGoodThroughARotationOfTheMasterKey() throws Exception {
    try (var agent = new Agent(true);
        var host = Host.open(running.config);
        var client =
            Grep11Client.builder("localhost:" + running.gateway.cryptoPort())
                .trustedCa(running.demo.ca())
                .token(() -> running.token(RunningGateway.MANAGER))
                .build()) {
      agent.makePair("rotated", new byte[] {7}, true);
      var key = (Grep11PrivateKey) keys().getKey("rotated", null);
      var rotation = host.masterKeys();
      var next = rotation.createNext(running.instance).generation().id();
      await()
          .atMost(PATIENCE)
          .untilAsserted(() -> rotation.activate(running.instance, Optional.of(next)));
      var keystore =
          client
              .keystores()
              .open(
                  ClientConfigFile.read(configuration)
                      .tokens()
                      .values()
                      .iterator()
                      .next()
                      .normal()
                      .keystore()
                      .orElseThrow());
      var label = dev.grep11.client.Template.empty().with(Cka.CKA_LABEL, "rotated");
      await().atMost(PATIENCE).until(() -> keystore.find(label).getFirst().blobs().size() == 2);
      await()
          .atMost(PATIENCE)
          .untilAsserted(
              () -> rotation.retire(running.instance, Optional.empty(), Duration.ZERO, true));
      await().atMost(PATIENCE).until(() -> keystore.find(label).getFirst().blobs().size() == 1);
      assertSigns(key, key.publicKey().orElseThrow());
      keys().deleteEntry("rotated");
    }
  }

  // ---- Programs of the JDK

  private String tool(String name, String... arguments) throws Exception {
    var command = new ArrayList<String>();
    command.add(Path.of(System.getProperty("java.home"), "bin", name).toString());
    command.addAll(List.of(arguments));
    var process = new ProcessBuilder(command).redirectErrorStream(true);
    process.environment().put("GREP11_APIKEY", apiKey());
    return run(process);
  }

  /** What it prints; it has nothing to read, and succeeds. */
  private static String run(ProcessBuilder program) throws Exception {
    var process = program.start();
    process.getOutputStream().close();
    var output = new String(process.getInputStream().readAllBytes(), UTF_8);
    assertThat(process.waitFor()).as(output).isZero();
    return output;
  }

  private String[] withProvider(String... arguments) {
    var all = new ArrayList<String>();
    all.addAll(
        List.of(
            "-J-cp",
            "-J" + System.getProperty("java.class.path"),
            "-J--add-modules=ALL-SYSTEM",
            "-J--enable-native-access=ALL-UNNAMED",
            "-J-XX:TieredStopAtLevel=1",
            "-J-XX:+UseSerialGC",
            "-keystore",
            "NONE",
            "-storetype",
            "GREP11",
            "-storepass:env",
            "GREP11_APIKEY",
            "-providerClass",
            "dev.grep11.jca.Grep11Provider",
            "-providerArg",
            configuration.toString()));
    all.addAll(List.of(arguments));
    return all.toArray(String[]::new);
  }

  /** By the JDK alone. */
  private static void assertSigned(Path jar, Certificate by) throws Exception {
    try (var signed = new JarFile(jar.toFile())) {
      var entry = signed.getJarEntry("message");
      signed.getInputStream(entry).readAllBytes();
      assertThat(entry.getCodeSigners()).hasSize(1);
      assertThat(entry.getCodeSigners()[0].getSignerCertPath().getCertificates().get(0))
          .isEqualTo(by);
    }
  }

  @ParameterizedTest
  @CsvSource({"RSA,-keysize,2048,SHA256withRSA", "RSA,-keysize,2048,RSASSA-PSS"})
  void keytoolMakesAKeyAndJarsignerSignsWithIt(
      String algorithm, String sizeOption, String size, String signature) throws Exception {
    var alias = "signer-" + signature.toLowerCase(java.util.Locale.ROOT);
    tool(
        "keytool",
        withProvider(
            "-providerName",
            "Grep11",
            "-genkeypair",
            "-alias",
            alias,
            "-keyalg",
            algorithm,
            sizeOption,
            size,
            "-sigalg",
            signature,
            "-dname",
            "CN=signer",
            "-validity",
            "30"));
    var keys = keys();
    assertThat(keys.getKey(alias, null)).isInstanceOf(Grep11PrivateKey.class);
    var jar = directory.resolve(alias + ".jar");
    try (var out = new ZipOutputStream(Files.newOutputStream(jar))) {
      out.putNextEntry(new ZipEntry("message"));
      out.write(MESSAGE);
    }
    tool("jarsigner", withProvider("-sigalg", signature, jar.toString(), alias));
    assertSigned(jar, keys.getCertificate(alias));
    keys.deleteEntry(alias);
  }

  /** The block of the page, with the class path of this test in the place of its first line. */
  @Test
  void theCommandsOfThePageWork() throws Exception {
    var page = Files.readString(Path.of("../docs/java.md"));
    var block =
        Pattern.compile("<!-- JcaKeyStoreTest runs this block -->\n```bash\nSDK=.*\n((?s:.*?))```")
            .matcher(page);
    assertThat(block.find()).isTrue();
    var work = Files.createDirectory(directory.resolve("page"));
    try (var out = new ZipOutputStream(Files.newOutputStream(work.resolve("application.jar")))) {
      out.putNextEntry(new ZipEntry("message"));
      out.write(MESSAGE);
    }
    var shell = new ProcessBuilder("bash", "-euo", "pipefail", "-c", block.group(1));
    shell.directory(work.toFile()).redirectErrorStream(true);
    var environment = shell.environment();
    environment.put("SDK", System.getProperty("java.class.path"));
    environment.put("EP11CLIENT_CFG", configuration.toString());
    environment.put("GREP11_APIKEY", apiKey());
    environment.put(
        "PATH", Path.of(System.getProperty("java.home"), "bin") + ":" + System.getenv("PATH"));
    var output = run(shell);
    assertThat(output).contains("signer, ").contains("jar verified");
    assertThat(
            run(
                new ProcessBuilder(
                        "openssl",
                        "req",
                        "-verify",
                        "-noout",
                        "-in",
                        work.resolve("signer.csr").toString())
                    .redirectErrorStream(true)))
        .contains("verify OK");
    tool("keytool", withProvider("-changealias", "-alias", "signer", "-destalias", "renamed"));
    assertThat(Collections.list(keys().aliases())).contains("renamed").doesNotContain("signer");
    tool("keytool", withProvider("-delete", "-alias", "renamed"));
    assertThat(keys().containsAlias("renamed")).isFalse();
  }

  @Test
  void theServerOfThePageShowsItsCertificateToOpenssl() throws Exception {
    var pair = pair("EC");
    var keys = keys();
    keys.setKeyEntry(
        "server", pair.getPrivate(), null, chain(selfSigned(pair, "CN=behind the gateway")));
    var program =
        new ProcessBuilder(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "--enable-native-access=ALL-UNNAMED",
            "-cp",
            System.getProperty("java.class.path"),
            JcaExample.class.getName(),
            "0");
    program.environment().put("EP11CLIENT_CFG", configuration.toString());
    program.environment().put("GREP11_APIKEY", apiKey());
    var server = program.redirectErrorStream(true).start();
    try (var lines = server.inputReader()) {
      String line = lines.readLine();
      while (line != null && !line.startsWith("ready port=")) {
        line = lines.readLine();
      }
      assertThat(line).isNotNull();
      var client =
          new ProcessBuilder(
                  "openssl",
                  "s_client",
                  "-connect",
                  "localhost:" + line.substring("ready port=".length()),
                  "-ign_eof")
              .redirectErrorStream(true);
      assertThat(run(client)).contains("CN = behind the gateway").contains("the key is in the HSM");
    } finally {
      server.destroy();
      server.waitFor();
      keys.deleteEntry("server");
    }
  }

  @Test
  void theJarSignerOfTheJdkSignsInProcess() throws Exception {
    var pair = pair("RSA");
    var keys = keys();
    keys.setKeyEntry("in process", pair.getPrivate(), null, chain(selfSigned(pair, "CN=x")));
    var jar = directory.resolve("in-process.jar");
    try (var out = new ZipOutputStream(Files.newOutputStream(jar))) {
      out.putNextEntry(new ZipEntry("message"));
      out.write(MESSAGE);
    }
    var signed = directory.resolve("in-process-signed.jar");
    try (var in = new java.util.zip.ZipFile(jar.toFile());
        var out = Files.newOutputStream(signed)) {
      new jdk.security.jarsigner.JarSigner.Builder(
              (KeyStore.PrivateKeyEntry) keys.getEntry("in process", null))
          .build()
          .sign(in, out);
    }
    assertSigned(signed, keys.getCertificate("in process"));
    keys.deleteEntry("in process");
  }
}
