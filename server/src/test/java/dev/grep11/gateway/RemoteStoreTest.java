package dev.grep11.gateway;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.grep11.agent.config.ClientConfig.LogLevel;
import dev.grep11.agent.config.ClientConfigFile;
import dev.grep11.agent.config.Secret;
import dev.grep11.agent.cryptoki.Application;
import dev.grep11.agent.cryptoki.Cryptoki;
import dev.grep11.agent.cryptoki.Output;
import dev.grep11.agent.cryptoki.Refusal;
import dev.grep11.agent.log.Log;
import dev.grep11.agent.rpc.RequestedMechanism;
import dev.grep11.agent.rpc.Room;
import dev.grep11.agent.rpc.WireAttribute;
import dev.grep11.agent.store.Attributes;
import dev.grep11.agent.store.RemoteStore;
import dev.grep11.agent.store.StoreException;
import dev.grep11.agent.store.StoreException.Reason;
import dev.grep11.agent.store.StoredObject;
import dev.grep11.client.Cka;
import dev.grep11.client.Ckk;
import dev.grep11.client.Ckm;
import dev.grep11.client.Cko;
import dev.grep11.client.Ckr;
import dev.grep11.client.Curve;
import dev.grep11.client.Grep11Client;
import dev.grep11.client.KeyPair;
import dev.grep11.client.Mechanisms;
import dev.grep11.client.PrivateKeyBlob;
import dev.grep11.client.Template;
import dev.grep11.client.Templates;
import dev.grep11.gateway.host.Host;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.function.Function;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/**
 * Token objects of the agent in keystores of a whole gateway, by the YAML that {@code up} makes.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class RemoteStoreTest {
  private static final Duration PATIENCE = Duration.ofSeconds(30);
  private static final byte[] MESSAGE = "found by another agent".getBytes(UTF_8);
  private static final Optional<String> ANY = Optional.empty();
  private static final long READ_WRITE = 6;
  private static final long SO = 0;
  private static final long USER = 1;

  private RunningGateway running;
  private Path configuration;
  private Grep11Client client;

  @BeforeAll
  void start(@TempDir Path directory) throws Exception {
    running = RunningGateway.start(directory);
    configuration =
        running.demo.writeClientConfiguration(running.config, running.gateway).orElseThrow();
    client =
        Grep11Client.builder("localhost:" + running.gateway.cryptoPort())
            .trustedCa(running.demo.ca())
            .token(() -> running.token(RunningGateway.MANAGER))
            .build();
    await().atMost(PATIENCE).ignoreExceptions().until(() -> client.keystores().list() != null);
  }

  @AfterAll
  void stop() {
    client.close();
    running.close();
  }

  // ---- The store itself

  private RemoteStore store(UUID keystore, Optional<Secret> password) {
    return new RemoteStore(
        new RemoteStore.Reach() {
          @Override
          public <T> T ask(Function<Grep11Client, T> call) {
            return call.apply(client);
          }
        },
        keystore,
        password);
  }

  private RemoteStore fresh() {
    var id = UUID.randomUUID();
    client.keystores().create(id, "a test's");
    return store(id, Optional.empty());
  }

  private KeyPair pair() {
    return client.generateKeyPair(Templates.ecPair(Curve.P256));
  }

  private static Attributes named(String label) {
    return Attributes.empty().with(Cka.CKA_LABEL, label.getBytes(UTF_8));
  }

  private static Attributes privateKey(String label) {
    return named(label)
        .with(Cka.CKA_CLASS, Cko.CKO_PRIVATE_KEY)
        .with(Cka.CKA_KEY_TYPE, Ckk.CKK_EC)
        .with(Cka.CKA_SIGN, true)
        .with(Cka.CKA_START_DATE, new byte[0])
        // CKA_ALWAYS_AUTHENTICATE, which the SDK's list does not have.
        .with(0x202, false)
        .with(Cka.CKA_KEY_GEN_MECHANISM, -1L);
  }

  private static void assertReason(Reason reason, ThrowingCallable call) {
    assertThatThrownBy(call)
        .isInstanceOfSatisfying(
            StoreException.class, e -> assertThat(e.reason()).isEqualTo(reason));
  }

  @Test
  void anObjectComesBackAsItWasStored() {
    var store = fresh();
    var key = pair().privateKey();
    var made = store.create(privateKey("orders"), List.of(key.bytes()));
    assertThat(made.version()).isZero();
    var read = store.read(made.id()).orElseThrow();
    assertThat(read.attributes()).isEqualTo(privateKey("orders"));
    assertThat(read.blobs()).containsExactly(key.bytes());
    var certificate =
        named("a certificate")
            .with(Cka.CKA_CLASS, 1L)
            .with(Cka.CKA_CERTIFICATE_TYPE, 0L)
            .with(Cka.CKA_VALUE, new byte[] {0x30, 0})
            .with(0x8a, new byte[] {1, 2, 3});
    assertThat(store.create(certificate, List.of()).attributes()).isEqualTo(certificate);
  }

  @Test
  void findsByAnyAttributeAndNothingByOneThatNoKeystoreHas() {
    var store = fresh();
    var made = store.create(privateKey("orders"), List.of(pair().privateKey().bytes())).id();
    store.create(privateKey("invoices"), List.of(pair().privateKey().bytes()));
    for (var template :
        List.of(
            named("orders"),
            named("orders").with(Cka.CKA_SIGN, true),
            named("orders").with(Cka.CKA_KEY_GEN_MECHANISM, -1L),
            named("orders").with(0x202, false))) {
      assertThat(store.find(template)).extracting(StoredObject::id).containsExactly(made);
    }
    assertThat(store.find(Attributes.empty())).hasSize(2);
    for (var template :
        List.of(
            named("orders").with(Cka.CKA_SIGN, false),
            named("orders").with(Cka.CKA_CLASS, -1L),
            Attributes.empty().with(0xce534351L, new byte[] {1}),
            Attributes.empty().with(Cka.CKA_VALUE, new byte[10_000]))) {
      assertThat(store.find(template)).isEmpty();
    }
  }

  @Test
  void findsObjectsOfMoreThanOnePage() {
    var store = fresh();
    var data = Attributes.empty().with(Cka.CKA_CLASS, 0L).with(Cka.CKA_LABEL, new byte[] {'x'});
    for (int i = 0; i < 120; i++) {
      store.create(data, List.of());
    }
    assertThat(store.find(data)).extracting(StoredObject::id).doesNotHaveDuplicates().hasSize(120);
  }

  @Test
  void theSecondOfTwoChangesIsRefusedAndWhatIsGoneIsMissing() {
    var store = fresh();
    var key = pair().privateKey();
    var made = store.create(privateKey("before"), List.of(key.bytes()));
    var changed = store.update(made.id(), 0, privateKey("after"), made.blobs());
    assertThat(changed.version()).isEqualTo(1);
    assertThat(changed.attributes()).isEqualTo(privateKey("after"));
    var other = pair().privateKey();
    assertReason(
        Reason.CONFLICT,
        () -> store.update(made.id(), 0, privateKey("late"), List.of(other.bytes())));
    assertThat(store.update(made.id(), 1, privateKey("new"), List.of(other.bytes())).blobs())
        .containsExactly(other.bytes());
    store.delete(made.id());
    assertThat(store.read(made.id())).isEmpty();
    assertReason(Reason.MISSING, () -> store.delete(made.id()));
    assertReason(Reason.MISSING, () -> store.update(made.id(), 2, privateKey("x"), made.blobs()));
  }

  @Test
  void aWrongPasswordOfTheKeystoreOpensNothingAndAMissingOneIsMadeByItsInitialization() {
    var id = UUID.randomUUID();
    var store = store(id, Optional.of(new Secret("k3yst0re")));
    try {
      store.requirePassword();
      assertReason(Reason.NO_KEYSTORE, () -> store.find(Attributes.empty()));
      assertReason(
          Reason.NO_KEYSTORE, () -> store.create(named("x").with(Cka.CKA_CLASS, 0L), List.of()));
      assertThat(store.label()).isEmpty();

      store.initialize("orders");
      store.requirePassword();
      assertThat(store.label()).contains("orders");
      store.create(named("kept").with(Cka.CKA_CLASS, 0L), List.of());

      for (var other : List.of(Optional.of(new Secret("wr0ngpw")), Optional.<Secret>empty())) {
        var wrong = store(id, other);
        assertReason(Reason.PASSWORD, wrong::requirePassword);
        assertReason(Reason.PASSWORD, () -> wrong.find(Attributes.empty()));
      }
      assertThat(store.find(Attributes.empty())).hasSize(1);

      // The old password is not needed to begin anew.
      var again = store(id, Optional.of(new Secret("an0ther")));
      again.initialize(" ");
      assertThat(again.find(Attributes.empty())).isEmpty();
      assertThat(again.label()).contains("grep11");
    } finally {
      client.keystores().delete(id);
    }
  }

  // ---- Agents

  /** An agent with one application, which has a session. */
  private final class Agent implements AutoCloseable {
    private final ByteArrayOutputStream log = new ByteArrayOutputStream();
    private final Cryptoki cryptoki =
        new Cryptoki(
            ClientConfigFile.read(configuration),
            new Log(new PrintStream(log, true, UTF_8), LogLevel.TRACE));
    private final Application application = cryptoki.application("somebody");
    private final long session;

    Agent() {
      application.initialize();
      session = application.openSession(0, READ_WRITE);
    }

    Agent loggedIn(long user) throws Exception {
      application.login(session, user, pin());
      return this;
    }

    List<Long> find(long objectClass, String label) {
      application.findInit(session, template(objectClass, label, false, false).subList(0, 2));
      var found = application.find(session, 100);
      application.findFinal(session);
      return found;
    }

    List<Long> makePair(String label, boolean isPrivate) {
      var publicTemplate = new ArrayList<>(template(Cko.CKO_PUBLIC_KEY, label, true, false));
      publicTemplate.add(new WireAttribute(Cka.CKA_EC_PARAMS, Curve.P256.parameters()));
      publicTemplate.add(flag(Cka.CKA_VERIFY, true));
      var privateTemplate = new ArrayList<>(template(Cko.CKO_PRIVATE_KEY, label, true, isPrivate));
      privateTemplate.add(flag(Cka.CKA_SIGN, true));
      return application.generateKeyPair(
          session, mechanism(Ckm.CKM_EC_KEY_PAIR_GEN), publicTemplate, privateTemplate);
    }

    byte[] sign(long key) {
      application.signInit(session, mechanism(Ckm.CKM_ECDSA_SHA256), key);
      var signature = application.sign(session, MESSAGE, new Room(512, true));
      assertThat(signature).isInstanceOf(Output.Bytes.class);
      return ((Output.Bytes) signature).value();
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

  private byte[] pin() throws Exception {
    return running.demoApiKey().strip().getBytes(UTF_8);
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
      long objectClass, String label, boolean token, boolean isPrivate) {
    return List.of(
        number(Cka.CKA_CLASS, objectClass),
        new WireAttribute(Cka.CKA_LABEL, label.getBytes(UTF_8)),
        flag(Cka.CKA_TOKEN, token),
        flag(Cka.CKA_PRIVATE, isPrivate));
  }

  private static void assertRefused(long returnValue, ThrowingCallable call) {
    assertThatThrownBy(call)
        .isInstanceOfSatisfying(
            Refusal.class,
            e -> assertThat(Ckr.nameOf(e.returnValue())).isEqualTo(Ckr.nameOf(returnValue)));
  }

  @Test
  void aKeyOfOneAgentIsListedUsedAndDeletedThroughAnother() throws Exception {
    try (var one = new Agent().loggedIn(USER);
        var other = new Agent().loggedIn(USER)) {
      one.makePair("shared", true);
      var key = other.find(Cko.CKO_PRIVATE_KEY, "shared");
      var publicKey = other.find(Cko.CKO_PUBLIC_KEY, "shared");
      assertThat(key).hasSize(1).isEqualTo(one.find(Cko.CKO_PRIVATE_KEY, "shared"));
      one.verify(one.find(Cko.CKO_PUBLIC_KEY, "shared").getFirst(), other.sign(key.getFirst()));

      other.application.destroyObject(other.session, key.getFirst());
      other.application.destroyObject(other.session, publicKey.getFirst());
      assertThat(one.find(Cko.CKO_PRIVATE_KEY, "shared")).isEmpty();
      assertThat(one.find(Cko.CKO_PUBLIC_KEY, "shared")).isEmpty();
      assertRefused(
          Ckr.CKR_OBJECT_HANDLE_INVALID,
          () -> one.application.destroyObject(one.session, publicKey.getFirst()));
    }
  }

  @Test
  void twoAgentsThatChangeOneObjectDoNotOverwriteEachOther() throws Exception {
    try (var one = new Agent().loggedIn(USER);
        var other = new Agent().loggedIn(USER)) {
      long key = one.makePair("contended", true).get(1);
      assertThat(other.find(Cko.CKO_PRIVATE_KEY, "contended")).containsExactly(key);
      var id = List.of(new WireAttribute(Cka.CKA_ID, new byte[] {1}));
      one.application.setAttributes(one.session, key, id);
      assertRefused(
          Ckr.CKR_IBM_GREP11_CONFLICT,
          () -> other.application.setAttributes(other.session, key, id));
      assertThat(other.find(Cko.CKO_PRIVATE_KEY, "contended")).containsExactly(key);
      other.application.setAttributes(other.session, key, id);
      // Nothing but the flags of the key itself makes another blob.
      other.application.setAttributes(
          other.session, key, List.of(flag(Cka.CKA_WRAP_WITH_TRUSTED, true)));
      assertThat(other.sign(key)).isNotEmpty();
    }
  }

  @Test
  void onlyTheNormalUserReachesThePrivateKeystore() throws Exception {
    try (var user = new Agent().loggedIn(USER);
        var guest = new Agent();
        var officer = new Agent().loggedIn(SO)) {
      user.makePair("private", true);
      long key = user.find(Cko.CKO_PRIVATE_KEY, "private").getFirst();
      for (var other : List.of(guest, officer)) {
        assertThat(other.find(Cko.CKO_PRIVATE_KEY, "private")).isEmpty();
        assertThat(other.find(Cko.CKO_PUBLIC_KEY, "private")).hasSize(1);
        assertRefused(
            Ckr.CKR_KEY_HANDLE_INVALID,
            () -> other.application.signInit(other.session, mechanism(Ckm.CKM_ECDSA_SHA256), key));
        assertRefused(Ckr.CKR_USER_NOT_LOGGED_IN, () -> other.makePair("refused", true));
      }
      // The gateway itself refuses the guest's key, whatever an agent asks.
      var config = ClientConfigFile.read(configuration).tokens().values().iterator().next();
      var iam = config.anonymous().iam().orElseThrow();
      try (var guests =
          Grep11Client.builder(config.address())
              .trustedCa(running.demo.ca())
              .apiKey(iam.apiKey().orElseThrow().chars(), iam.endpoint())
              .build()) {
        assertThat(
                guests
                    .keystores()
                    .open(config.anonymous().keystore().orElseThrow())
                    .find(Template.empty()))
            .isNotEmpty();
        assertThatThrownBy(() ->
                guests
                    .keystores()
                    .open(config.normal().keystore().orElseThrow())
                    .find(Template.empty()))
            .hasMessageContaining("CKR_IBM_GREP11_MISSING");
      }
      guest.makePair("of a guest", false);
      assertThat(user.find(Cko.CKO_PRIVATE_KEY, "of a guest")).hasSize(1);
      // An object of another client, which has said nothing of where it is.
      client
          .keystores()
          .open(config.normal().keystore().orElseThrow())
          .store(Template.empty().with(Cka.CKA_CLASS, Cko.CKO_DATA).with(Cka.CKA_LABEL, "unsaid"));
      assertThat(user.find(Cko.CKO_DATA, "unsaid")).hasSize(1);
      assertThat(guest.find(Cko.CKO_DATA, "unsaid")).isEmpty();
      user.application.logout(user.session);
      assertThat(user.find(Cko.CKO_DATA, "unsaid")).isEmpty();
    }
  }

  @Test
  void anInitializedTokenIsEmptyAndHasItsLabel() throws Exception {
    try (var user = new Agent().loggedIn(USER)) {
      user.makePair("wiped", true);
      try (var officer = new Agent()) {
        officer.application.closeSession(officer.session);
        assertRefused(
            Ckr.CKR_PIN_INCORRECT,
            () -> officer.application.initToken(0, "no such key".getBytes(UTF_8), "orders"));
        assertThat(user.find(Cko.CKO_PRIVATE_KEY, "wiped")).hasSize(1);
        officer.application.initToken(0, pin(), "orders");
        assertThat(officer.application.tokenInfo(0).label()).isEqualTo("orders");
      }
      assertThat(user.find(Cko.CKO_PRIVATE_KEY, "wiped")).isEmpty();
      assertThat(user.find(Cko.CKO_PUBLIC_KEY, "wiped")).isEmpty();
      user.makePair("after", true);
      assertThat(user.find(Cko.CKO_PRIVATE_KEY, "after")).hasSize(1);
    }
  }

  /** An application that runs for months holds the handle that it found when it started. */
  @Test
  void aHandleStaysGoodThroughARotationOfTheMasterKey() throws Exception {
    try (var user = new Agent().loggedIn(USER);
        var host = Host.open(running.config)) {
      var pair = user.makePair("rotated", true);
      var keys = host.masterKeys();
      var id =
          ClientConfigFile.read(configuration)
              .tokens()
              .values()
              .iterator()
              .next()
              .normal()
              .keystore();
      var keystore = client.keystores().open(id.orElseThrow());
      var label = Template.empty().with(Cka.CKA_LABEL, "rotated");
      var before = keystore.find(label).getFirst().blobs().getFirst();

      var next = keys.createNext(running.instance).generation().id();
      await()
          .atMost(PATIENCE)
          .untilAsserted(() -> keys.activate(running.instance, Optional.of(next)));
      await().atMost(PATIENCE).until(() -> keystore.find(label).getFirst().blobs().size() == 2);
      user.verify(pair.get(0), user.sign(pair.get(1)));
      await()
          .atMost(PATIENCE)
          .untilAsserted(() -> keys.retire(running.instance, ANY, Duration.ZERO, true));
      await()
          .atMost(PATIENCE)
          .untilAsserted(() ->
              assertThatThrownBy(() ->
                      client.sign(Mechanisms.ecdsaSha256(), new PrivateKeyBlob(before), MESSAGE))
                  .hasMessageContaining("CKR_IBM_WKID_MISMATCH"));

      assertThat(user.sign(pair.get(1))).isNotEmpty();
      user.verify(pair.get(0), user.sign(pair.get(1)));
    }
  }

  @Test
  void noPinOrApiKeyIsLogged() throws Exception {
    try (var user = new Agent().loggedIn(USER)) {
      user.makePair("logged", true);
      assertThat(user.log.toString(UTF_8))
          .contains("logged in")
          .doesNotContain(running.demoApiKey().strip());
    }
  }
}
