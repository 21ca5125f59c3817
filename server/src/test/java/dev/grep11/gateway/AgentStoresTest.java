package dev.grep11.gateway;

import static dev.grep11.gateway.AgentApplication.SO;
import static dev.grep11.gateway.AgentApplication.USER;
import static dev.grep11.gateway.AgentApplication.assertRefused;
import static dev.grep11.gateway.AgentApplication.flag;
import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.grep11.agent.config.ClientConfig.Storage;
import dev.grep11.agent.config.ClientConfig.Token;
import dev.grep11.agent.config.ClientConfigFile;
import dev.grep11.agent.store.Attributes;
import dev.grep11.agent.store.FileStore;
import dev.grep11.agent.store.PostgresStore;
import dev.grep11.agent.store.RemoteStore;
import dev.grep11.agent.store.StoredObject;
import dev.grep11.client.Cka;
import dev.grep11.client.Cko;
import dev.grep11.client.Ckr;
import dev.grep11.client.Grep11Client;
import dev.grep11.client.StoredKey;
import dev.grep11.client.Template;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.host.MasterKeys;
import dev.grep11.gateway.store.PostgresServer;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.function.Function;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Token objects of the agent wherever its configuration keeps them, with a whole gateway behind
 * them: rotations of the master key, and passwords.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class AgentStoresTest {
  private static final Duration PATIENCE = Duration.ofSeconds(30);
  private static final Duration LOOKS = Duration.ofMillis(200);
  private static final String REMOTE = "remotestore: { enabled: true }";
  private static final String OLD = "k3yst0re";
  private static final String NEW = "n3wpass";

  private Path directory;
  private RunningGateway running;
  private String demoConfiguration;
  private String pin;
  private Grep11Client client;

  @BeforeAll
  void start(@TempDir Path directory) throws Exception {
    this.directory = directory;
    running = RunningGateway.start(Files.createDirectory(directory.resolve("gateway")));
    demoConfiguration =
        Files.readString(
            running.demo.writeClientConfiguration(running.config, running.gateway).orElseThrow());
    pin = running.demoApiKey().strip();
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

  /** The demo's configuration with keystores of its own. */
  private Path configuration(String storage, Optional<String> password) throws IOException {
    var users = demoConfiguration.indexOf("users:");
    var ids = java.util.regex.Pattern.compile("tokenspaceID: [-0-9a-f]+");
    var yaml =
        demoConfiguration.substring(0, users).replace(REMOTE, storage)
            + ids.matcher(demoConfiguration.substring(users))
                .replaceAll(id ->
                    "tokenspaceID: "
                        + UUID.randomUUID()
                        + password
                            .map(text ->
                                ", sessionauth: { enabled: true, tokenspaceIDPassword: %s }"
                                    .formatted(text))
                            .orElse(""));
    return write(yaml);
  }

  private Path write(String yaml) throws IOException {
    var file =
        Files.createTempFile(
            directory,
            "grep11client",
            ".yaml",
            PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
    return Files.writeString(file, yaml);
  }

  private String files() {
    return "filestore: { enabled: true, storagepath: '%s' }".formatted(directory.resolve("files"));
  }

  /** Of the configuration, where keystores are. */
  private String storage(String kind) {
    return switch (kind) {
      case "remotestore" -> REMOTE;
      case "filestore" -> files();
      case "localpostgres" ->
          "localpostgres: { enabled: true, connectionstring: \"%s\" }"
              .formatted(PostgresServer.shared().connectionString());
      default -> throw new AssertionError(kind);
    };
  }

  private AgentApplication agent(Path configuration) {
    return new AgentApplication(configuration, LOOKS);
  }

  private void initialize(Path configuration) {
    try (var officer = agent(configuration)) {
      officer.calls.closeSession(officer.session);
      officer.calls.initToken(0, pin.getBytes(UTF_8), "fresh");
    }
  }

  private static Token slot(Path configuration) {
    return requireNonNull(ClientConfigFile.read(configuration).tokens().get(0L));
  }

  /** What another agent sees in the private keystore. */
  private static List<StoredObject> local(Token token) {
    var id = token.normal().keystore().orElseThrow();
    try (var store =
        token.storage() instanceof Storage.LocalPostgres postgres
            ? PostgresStore.open(
                new String(postgres.connection().chars()),
                id,
                null,
                problem -> {
                  throw new AssertionError(problem);
                })
            : FileStore.open(((Storage.Files) token.storage()).directory(), id, null)) {
      return store.find(Attributes.empty());
    }
  }

  // ---- Rotation of the master key

  /** Of each object of the private keystore. */
  private List<List<byte[]>> blobs(Path configuration) {
    var token = slot(configuration);
    return token.storage() instanceof Storage.Remote
        ? client
            .keystores()
            .open(token.normal().keystore().orElseThrow())
            .find(Template.empty())
            .stream()
            .map(StoredKey::blobs)
            .toList()
        : local(token).stream().map(StoredObject::blobs).toList();
  }

  private static void activateNext(MasterKeys keys, RunningGateway running) {
    var next = keys.createNext(running.instance).generation().id();
    await()
        .atMost(PATIENCE)
        .untilAsserted(() -> keys.activate(running.instance, Optional.of(next)));
  }

  private static void retireOld(MasterKeys keys, RunningGateway running) {
    await()
        .atMost(PATIENCE)
        .untilAsserted(() -> keys.retire(running.instance, Optional.empty(), Duration.ZERO, true));
  }

  /** An application that runs for months holds the handles that it found when it started. */
  @ParameterizedTest
  @ValueSource(strings = {"remotestore", "filestore", "localpostgres"})
  void everyUseOfAHandleOutlivesARotation(String storage) throws Exception {
    boolean remote = storage.equals("remotestore");
    var configuration = configuration(storage(storage), Optional.empty());
    initialize(configuration);
    try (var user = agent(configuration).loggedIn(USER, pin);
        var other = agent(configuration).loggedIn(USER, pin);
        var host = Host.open(running.config)) {
      var pair = user.pair("signer");
      long kek = user.wrappingKey("wrapper");
      long key = user.wrappingKey("wrapped");
      byte[] wrapped = user.wrap(kek, key);
      byte[] signature = user.sign(pair.get(1));
      assertThat(other.find(Cko.CKO_PRIVATE_KEY, "signer")).containsExactly(pair.get(1));

      var keys = host.masterKeys();
      activateNext(keys, running);
      await()
          .atMost(PATIENCE)
          .until(() -> blobs(configuration).stream().allMatch(blobs -> blobs.size() == 2));
      if (!remote) {
        assertThat(user.log() + other.log()).contains("keys of keystore");
      }
      retireOld(keys, running);

      for (var agent : List.of(user, other)) {
        agent.verify(pair.get(0), agent.sign(pair.get(1)));
        agent.verify(pair.get(0), signature);
        assertThat(agent.wrap(kek, key)).isEqualTo(wrapped);
        assertThat(agent.wrap(kek, agent.unwrap(kek, wrapped))).isNotEmpty();
        assertThat(agent.derive(pair)).isPositive();
      }
      // To applications nothing has changed: both still have the version that they read.
      user.set(pair.get(1), flag(Cka.CKA_DERIVE, false));
      assertRefused(Ckr.CKR_KEY_FUNCTION_NOT_PERMITTED, () -> user.derive(pair));
      assertThat(user.sign(pair.get(1))).isNotEmpty();
      assertRefused(
          Ckr.CKR_IBM_GREP11_CONFLICT, () -> other.set(pair.get(1), flag(Cka.CKA_SIGN, false)));
      try (var fresh = agent(configuration).loggedIn(USER, pin)) {
        assertThat(fresh.sign(fresh.find(Cko.CKO_PRIVATE_KEY, "signer").getFirst())).isNotEmpty();
      }
    }
  }

  @Test
  void keysOfAFilestoreComeBackFromAMasterKeyThatIsWithdrawn() throws Exception {
    var configuration = configuration(files(), Optional.empty());
    initialize(configuration);
    try (var user = agent(configuration).loggedIn(USER, pin);
        var host = Host.open(running.config)) {
      var pair = user.pair("kept");
      byte[] before = masterKey(privateKey(configuration).blobs().getFirst());
      var keys = host.masterKeys();
      var next = keys.createNext(running.instance).generation().id();
      await().atMost(PATIENCE).until(() -> privateKey(configuration).blobs().size() == 2);

      await()
          .atMost(PATIENCE)
          .untilAsserted(
              () -> keys.retire(running.instance, Optional.of(next), Duration.ZERO, true));

      await()
          .atMost(PATIENCE)
          .untilAsserted(() ->
              assertThat(masterKey(privateKey(configuration).blobs().getFirst()))
                  .isEqualTo(before));
      // One gateway that is behind says the same as all do after a withdrawal.
      assertThat(privateKey(configuration).blobs()).hasSize(2);
      user.verify(pair.get(0), user.sign(pair.get(1)));
      assertThat(user.log()).doesNotContain("opens no more");
    }
  }

  /** The agent asks again where a connection broke: the gateway may have done it already. */
  @Test
  void aChangeWhoseAnswerWasLostIsCarriedOutOnce() {
    var id = UUID.randomUUID();
    client.keystores().create(id, "asked twice");
    var reach =
        new RemoteStore.Reach() {
          @Override
          public <T> T ask(Function<Grep11Client, T> call) {
            var _ = call.apply(client);
            return call.apply(client);
          }
        };
    try (var store = new RemoteStore(reach, id, Optional.empty())) {
      var data =
          Attributes.empty()
              .with(Cka.CKA_CLASS, 0)
              .with(Cka.CKA_LABEL, "once".getBytes(StandardCharsets.UTF_8));

      var made = store.create(data, List.of());

      assertThat(store.find(Attributes.empty())).containsExactly(made);
      var renamed = data.with(Cka.CKA_LABEL, "twice".getBytes(StandardCharsets.UTF_8));
      var changed = store.update(made.id(), made.version(), renamed, List.of());
      assertThat(changed.version()).isEqualTo(1);
      assertThat(store.find(renamed)).containsExactly(changed);
      assertThatThrownBy(() -> store.update(made.id(), made.version(), data, List.of()))
          .hasMessageContaining("of version 1 by now");
    }
    client.keystores().delete(id);
  }

  /** docs/key-blob.md. */
  private static byte[] masterKey(byte[] blob) {
    return Arrays.copyOfRange(blob, 24, 40);
  }

  private static StoredObject privateKey(Path configuration) {
    var isPrivateKey = Attributes.empty().with(Cka.CKA_CLASS, Cko.CKO_PRIVATE_KEY);
    return local(slot(configuration)).stream()
        .filter(object -> object.attributes().match(isPrivateKey))
        .findFirst()
        .orElseThrow();
  }

  // ---- Passwords

  @ParameterizedTest
  @Tag("load")
  @ValueSource(strings = {"remotestore", "filestore", "localpostgres"})
  void thePasswordOfBothKeystoresIsChanged(String storage) throws Exception {
    var configuration = configuration(storage(storage), Optional.of(OLD));
    initialize(configuration);
    var withNew = write(Files.readString(configuration).replace(OLD, NEW));
    try (var user = agent(configuration);
        var other = agent(configuration).loggedIn(USER, pin)) {
      assertRefused(Ckr.CKR_USER_NOT_LOGGED_IN, () -> change(user, OLD, NEW));
      user.loggedIn(USER, pin);
      var pair = user.pair("kept");
      assertRefused(Ckr.CKR_PIN_INCORRECT, () -> change(user, pin, NEW));
      assertRefused(Ckr.CKR_PIN_INCORRECT, () -> change(user, "wr0ngpw", NEW));
      assertRefused(Ckr.CKR_PIN_LEN_RANGE, () -> change(user, OLD, "short"));

      change(user, OLD, NEW);

      user.verify(pair.get(0), user.sign(pair.get(1)));
      user.pair("more");
      other.calls.logout(other.session);
      assertRefused(Ckr.CKR_PIN_INCORRECT, () -> other.loggedIn(USER, pin));
      assertThat(other.log()).contains("write the new one to tokenspaceIDPassword");
      try (var late = agent(configuration)) {
        assertRefused(Ckr.CKR_PIN_INCORRECT, () -> late.loggedIn(USER, pin));
      }
      try (var restarted = agent(withNew).loggedIn(USER, pin)) {
        assertThat(restarted.sign(restarted.find(Cko.CKO_PRIVATE_KEY, "kept").getFirst()))
            .isNotEmpty();
        restarted.calls.logout(restarted.session);
        assertRefused(
            Ckr.CKR_USER_NOT_LOGGED_IN,
            () -> restarted.calls.initPin(restarted.session, OLD.getBytes(UTF_8)));
        restarted.loggedIn(SO, pin);
        restarted.calls.initPin(restarted.session, OLD.getBytes(UTF_8));
      }
      try (var again = agent(configuration).loggedIn(USER, pin)) {
        assertThat(again.find(Cko.CKO_PRIVATE_KEY, "kept")).hasSize(1);
      }
      assertThat(user.log() + other.log())
          .doesNotContain(pin, OLD, NEW, "wr0ngpw", PostgresServer.PASSWORD);
    }
  }

  private static void change(AgentApplication application, String before, String password) {
    application.calls.setPin(application.session, before.getBytes(UTF_8), password.getBytes(UTF_8));
  }

  @Test
  void aPinThatIsAnApiKeyIsNotChangedHere() throws Exception {
    var configuration = configuration(files(), Optional.empty());
    try (var user = agent(configuration).loggedIn(USER, pin)) {
      assertRefused(Ckr.CKR_FUNCTION_NOT_SUPPORTED, () -> change(user, pin, NEW));
    }
    try (var officer = agent(configuration).loggedIn(SO, pin)) {
      assertRefused(
          Ckr.CKR_FUNCTION_NOT_SUPPORTED,
          () -> officer.calls.initPin(officer.session, NEW.getBytes(UTF_8)));
    }
  }
}
