package dev.grep11.gateway;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import dev.grep11.client.Cka;
import dev.grep11.client.Ckk;
import dev.grep11.client.Cko;
import dev.grep11.client.Curve;
import dev.grep11.client.Grep11Client;
import dev.grep11.client.StoredKey;
import dev.grep11.client.Template;
import dev.grep11.client.Templates;
import dev.grep11.gateway.command.DemoData;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.host.Backups;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.host.Restore;
import dev.grep11.gateway.iam.ApiKeys;
import dev.grep11.gateway.iam.GrantRegister;
import dev.grep11.gateway.iam.Roles;
import dev.grep11.gateway.key.SealingKeyIds;
import dev.grep11.gateway.key.SealingKeys;
import dev.grep11.gateway.store.AdministratorRecord;
import dev.grep11.gateway.store.ApiKeyRecord;
import dev.grep11.gateway.store.BackupFile;
import dev.grep11.gateway.store.BackupManifest;
import dev.grep11.gateway.store.EnrolmentRecord;
import dev.grep11.gateway.store.Grant;
import dev.grep11.gateway.store.PostgresServer;
import dev.grep11.gateway.store.Restoration.InPlace;
import dev.grep11.gateway.store.Restoration.Leave;
import dev.grep11.gateway.store.SealingKeyGeneration;
import dev.grep11.gateway.store.SealingKeyGeneration.State;
import dev.grep11.gateway.store.Setback;
import dev.grep11.gateway.store.StoreException;
import dev.grep11.gateway.store.Subject;
import dev.grep11.gateway.store.TestBackups;
import dev.grep11.gateway.store.UpkeepRecord;
import dev.grep11.gateway.token.HsmCalls;
import dev.grep11.gateway.token.HsmEnvelope;
import dev.grep11.gateway.token.KeyringFollower;
import dev.grep11.gateway.token.StartException;
import dev.grep11.gateway.token.TokenKeys;
import dev.grep11.gateway.trust.TestCertificates;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.DecryptSingleRequest;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** The store of a gateway that served is lost, and comes back with what clients had of it. */
class BackupAndRestoreTest {
  private static final ByteString PLAIN = ByteString.copyFromUtf8("sealed before the loss");
  private static final Leave REPLACE = new Leave(true, Set.of(), Set.of(), Set.of());
  private static final Duration PATIENCE = Duration.ofSeconds(20);

  enum Database {
    SQLITE,
    POSTGRESQL
  }

  @TempDir private Path parent;

  /** Where a store of the demo is; a database server's is begun. */
  private Map<String, Object> settings(Path directory, Database database, String host)
      throws Exception {
    if (database == Database.SQLITE) {
      return Map.of("/store/directory", host);
    }
    var server = PostgresServer.shared().createDatabase();
    var settings = new HashMap<String, Object>();
    settings.put("/store/directory", host);
    settings.put(
        "/store/postgresql",
        Map.of(
            "url",
            server.url(),
            "user",
            server.user(),
            "passwordFile",
            server.passwordFile().toString()));
    assertThat(directory).isDirectory();
    return settings;
  }

  private static void begin(DemoData demo, Map<String, Object> settings) {
    var config = GatewayConfig.read(demo.config(), settings);
    try (var host = Host.openOrBegin(config)) {
      host.createInstance(config.instance().orElseThrow(), "begun", "account", "local");
      var keys =
          new ApiKeys(host.store(), Roles.standard(), config.tokenService().orElseThrow().issuer());
      try (var created = keys.create("app", config.instance().orElseThrow(), "Writer").secret()) {
        Files.writeString(demo.config().resolveSibling("apikey"), new String(created.chars()));
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
  }

  private static ByteString decrypt(
      CryptoGrpc.CryptoBlockingStub client, ByteString key, ByteString sealed) {
    return client
        .decryptSingle(
            DecryptSingleRequest.newBuilder()
                .setMech(RunningGateway.cbcPad())
                .setKeyBytes(key)
                .setCiphered(sealed)
                .build())
        .getPlain();
  }

  private static long tokenObjects(GatewayConfig config) {
    try (var hsm = Host.openToken(config)) {
      return new HsmCalls(hsm)
          .call(session ->
              (long)
                  session
                      .findObjects(
                          dev.grep11.gateway.pkcs11.Template.builder()
                              .put(dev.grep11.gateway.pkcs11.Cka.CKA_TOKEN, true)
                              .build())
                      .size());
    }
  }

  private static double metric(RunningGateway running, String name) {
    try {
      var scraped =
          running
              .web()
              .send(
                  HttpRequest.newBuilder(
                          URI.create(
                              "https://localhost:" + running.gateway.healthPort() + "/metrics"))
                      .build(),
                  HttpResponse.BodyHandlers.ofString())
              .body();
      return scraped
          .lines()
          .filter(line -> line.startsWith(name + " "))
          .mapToDouble(line -> Double.parseDouble(line.split(" ", -1)[1]))
          .findFirst()
          .orElse(Double.NaN);
    } catch (Exception e) {
      throw new AssertionError(e);
    }
  }

  private static void lose(GatewayConfig config) throws IOException {
    try (Stream<Path> files = Files.list(config.store())) {
      for (var file : files.toList()) {
        Files.delete(file);
      }
    }
  }

  @ParameterizedTest
  @CsvSource({"SQLITE, SQLITE", "SQLITE, POSTGRESQL", "POSTGRESQL, POSTGRESQL"})
  void blobsKeystoresAndTheLockOutliveTheStoreAndApiKeysWait(Database from, Database to)
      throws Exception {
    var directory = parent.resolve("demo");
    var demo = DemoData.open(directory);
    var before = settings(directory, from, "first");
    begin(demo, before);
    var file = parent.resolve("backup");
    ByteString blob;
    ByteString sealed;
    var keystoreId = UUID.randomUUID();
    GatewayConfig config;
    var running = RunningGateway.start(directory, before);
    try {
      config = running.config;
      blob = RunningGateway.aesKey(running.client());
      sealed = RunningGateway.encrypt(running.client(), blob, PLAIN);
      try (var client = sdk(running)) {
        await().atMost(PATIENCE).ignoreExceptions().until(() -> client.keystores().list() != null);
        client
            .keystores()
            .create(keystoreId, "kept")
            .store(
                Template.empty()
                    .with(Cka.CKA_LABEL, "orders")
                    .with(Cka.CKA_CLASS, Cko.CKO_PRIVATE_KEY)
                    .with(Cka.CKA_KEY_TYPE, Ckk.CKK_EC)
                    .with(Cka.CKA_TOKEN, true),
                client.generateKeyPair(Templates.ecPair(Curve.P256)).privateKey());
      }
      assertThat(running.identityToken(running.demoApiKey()).statusCode()).isEqualTo(200);
      running.registerClientCas(
          running.instance, List.of(TestCertificates.ca("CN=registered").selfSigned().der()));
      assertThat(metric(running, "grep11_backup_age_seconds")).isNaN();

      try (var host = Host.open(config)) {
        var made = host.backups().backUp(file, false);
        assertThat(made.manifest().instances())
            .singleElement()
            .satisfies(each -> assertThat(each.id()).isEqualTo(running.instance));
      }
      long objects = tokenObjects(config);
      try (var host = Host.open(config)) {
        var blobFile = blob.toByteArray();
        var done = host.backups().rehearse(file, Optional.of(blobFile), Optional.empty());
        assertThat(done.findings().keys()).isEqualTo(1);
        assertThat(done.samples()).as("by each way to seal").hasValue(3);
        assertThat(done.uncounted()).isEmpty();
        assertThat(done.findings().worked())
            .singleElement()
            .satisfies(worked -> assertThat(worked.use()).isEqualTo("CKM_ECDSA"));
        assertThat(done.blob())
            .hasValueSatisfying(worked -> assertThat(worked.use()).isEqualTo("CKM_AES_CBC_PAD"));
        assertThatThrownBy(
                () -> host.backups().rehearse(file, Optional.of(new byte[300]), Optional.empty()))
            .isInstanceOf(StartException.class)
            .hasMessageContaining("the blob does not work");
        requireNoTrialWithoutRoom(host.backups(), file);
        assertThat(scratchStores(config.store())).as("left behind").isEmpty();
      }
      assertThat(tokenObjects(config)).isEqualTo(objects);
      await()
          .atMost(PATIENCE)
          .untilAsserted(() -> {
            assertThat(metric(running, "grep11_backup_age_seconds")).isBetween(0.0, 120.0);
            assertThat(metric(running, "grep11_backup_rehearsal_age_seconds"))
                .isBetween(0.0, 120.0);
          });
      // Removed after the backup: comes back, and is told.
      assertThat(running.grant("somebody", "Reader")).isTrue();
    } finally {
      running.close();
    }

    lose(config);
    var after = settings(directory, to, to == from && from == Database.SQLITE ? "first" : "other");
    var replaced = GatewayConfig.read(demo.config(), after);
    long accepted;
    try (var restore = Restore.open(replaced, file)) {
      var listing = restore.listing();
      assertThat(listing.inPlace()).isInstanceOf(InPlace.Nothing.class);
      assertThat(listing.remembered()).isGreaterThan(listing.manifest().granted());
      assertThat(listing.missing()).isEmpty();
      assertThat(listing.comesBack().apiKeys()).extracting(ApiKeyRecord::name).contains("app");
      assertThat(listing.comesBack().registries())
          .singleElement()
          .satisfies(registry -> assertThat(registry.entries()).hasSize(1));
      accepted = listing.manifest().generation();
      assertThat(TokenKeys.exist(replaced.store())).isFalse();

      assertThatThrownBy(() ->
              restore.restore(accepted + 1, Leave.NONE, new Restore.Confirmed.Named(Set.of())))
          .isInstanceOf(StoreException.class);
      assertThatThrownBy(() ->
              restore.restore(
                  accepted, Leave.NONE, new Restore.Confirmed.Named(Set.of("nobody's"))))
          .hasMessageContaining("there is no API key \"nobody's\" in the backup");
      assertThat(TokenKeys.exist(replaced.store())).isFalse();

      var restored = restore.restore(accepted, Leave.NONE, new Restore.Confirmed.Named(Set.of()));
      assertThat(restored.generation()).isGreaterThan(listing.remembered());
      assertThat(restored.disabled()).extracting(ApiKeyRecord::name).containsExactly("app");
    }
    assertThat(commandsOf(replaced))
        .filteredOn(line -> line.contains("grep11.store.restore"))
        .satisfiesExactly(
            refused -> assertThat(refused).contains("\"failure\"", "the backup is of generation"),
            refused -> assertThat(refused).contains("\"failure\"", "there is no API key"),
            done ->
                assertThat(done).contains("\"success\"", "\"critical\"", "the token remembers as"));

    var again = RunningGateway.start(directory, after);
    try {
      assertThat(refusal(again, blob)).as("without a client certificate").isNotNull();
      assertThat(again.identityToken(again.demoApiKey()).statusCode())
          .as("an API key that is not confirmed")
          .isEqualTo(400);
      try (var host = Host.open(replaced)) {
        var keys =
            new ApiKeys(
                host.store(), Roles.standard(), replaced.tokenService().orElseThrow().issuer());
        assertThat(keys.confirm("app")).isPresent();
        assertThat(keys.confirm("nobody's")).isEmpty();
      }
      await()
          .atMost(PATIENCE)
          .until(() -> again.identityToken(again.demoApiKey()).statusCode() == 200);
      again.registerClientCas(again.instance, List.of());
      await().atMost(PATIENCE).until(() -> refusal(again, blob) == null);
      assertThat(decrypt(again.client(), blob, sealed)).isEqualTo(PLAIN);
      try (var client = sdk(again)) {
        assertThat(
                client
                    .keystores()
                    .open(keystoreId)
                    .find(Template.empty().with(Cka.CKA_LABEL, "orders")))
            .hasSize(1);
      }
    } finally {
      again.close();
    }
  }

  /** A blob and what its key encrypted. */
  private record Sealed(ByteString blob, ByteString ciphertext) {}

  /** What callers and operators were told is done, in their order. */
  private static final class Acknowledged {
    final List<UUID> keys = new CopyOnWriteArrayList<>();
    final List<Sealed> blobs = new CopyOnWriteArrayList<>();
    final List<String> grants = new CopyOnWriteArrayList<>();
    final List<String> apiKeys = new CopyOnWriteArrayList<>();

    List<Integer> counts() {
      return List.of(keys.size(), blobs.size(), grants.size(), apiKeys.size());
    }

    boolean hasMoreOfEachThan(List<Integer> counts) {
      var now = counts();
      return IntStream.range(0, now.size()).allMatch(i -> now.get(i) > counts.get(i));
    }
  }

  private interface Step {
    void run(int number) throws Exception;
  }

  private static Thread over(AtomicBoolean stop, List<Throwable> failures, Step step) {
    return Thread.ofVirtual()
        .start(() -> {
          try {
            for (int i = 0; !stop.get(); i++) {
              step.run(i);
            }
          } catch (Exception | AssertionError e) {
            failures.add(e);
          }
        });
  }

  @ParameterizedTest
  @EnumSource
  void whatWasAcknowledgedBeforeABackupUnderLoadComesBackToAGateway(Database database)
      throws Exception {
    var directory = parent.resolve("demo");
    var demo = DemoData.open(directory);
    var settings = settings(directory, database, "first");
    begin(demo, settings);
    var file = parent.resolve("backup");
    var keystore = UUID.randomUUID();
    var done = new Acknowledged();
    List<Integer> before;
    GatewayConfig config;
    var stop = new AtomicBoolean();
    var failures = new CopyOnWriteArrayList<Throwable>();
    var running = RunningGateway.start(directory, settings);
    try (running;
        var client = sdk(running);
        var administration = Host.open(running.config);
        var host = Host.open(running.config)) {
      config = running.config;
      var register = new GrantRegister(administration.store(), Roles.standard());
      var issuer = config.tokenService().orElseThrow().issuer();
      var apiKeys = new ApiKeys(administration.store(), Roles.standard(), issuer);
      await().atMost(PATIENCE).ignoreExceptions().until(() -> client.keystores().list() != null);
      var open = client.keystores().create(keystore, "busy");
      var pair = client.generateKeyPair(Templates.ecPair(Curve.P256));
      var stub = running.client();
      var load =
          List.of(
              over(
                  stop,
                  failures,
                  i ->
                      done.keys.add(
                          open.store(
                                  Template.empty()
                                      .with(Cka.CKA_LABEL, "key" + i)
                                      .with(Cka.CKA_CLASS, Cko.CKO_PRIVATE_KEY)
                                      .with(Cka.CKA_KEY_TYPE, Ckk.CKK_EC)
                                      .with(Cka.CKA_TOKEN, true),
                                  pair.privateKey())
                              .id())),
              over(
                  stop,
                  failures,
                  _ -> {
                    var blob = RunningGateway.aesKey(stub);
                    done.blobs.add(new Sealed(blob, RunningGateway.encrypt(stub, blob, PLAIN)));
                  }),
              over(
                  stop,
                  failures,
                  i -> {
                    assertThat(register.add(grant("granted" + i, running.instance))).isTrue();
                    done.grants.add("granted" + i);
                    try (var made =
                        apiKeys.create("made" + i, running.instance, "Reader").secret()) {
                      done.apiKeys.add(new String(made.chars()));
                    }
                  }));
      try {
        // Until one was made while all of it went on.
        var patience = System.nanoTime() + 3 * PATIENCE.toNanos();
        do {
          before = done.counts();
          host.backups().backUp(file, true);
          assertThat(failures).isEmpty();
          assertThat(System.nanoTime()).isLessThan(patience);
        } while (before.contains(0) || !done.hasMoreOfEachThan(before));
      } finally {
        stop.set(true);
        for (var each : load) {
          each.join();
        }
      }
      assertThat(failures).isEmpty();
    }

    lose(config);
    var after = database == Database.SQLITE ? settings : settings(directory, database, "other");
    var replaced = GatewayConfig.read(demo.config(), after);
    try (var restore = Restore.open(replaced, file)) {
      restore.restore(
          restore.listing().manifest().generation(), Leave.NONE, new Restore.Confirmed.All());
    }
    var again = RunningGateway.start(directory, after);
    try (again;
        var client = sdk(again)) {
      await().atMost(PATIENCE).ignoreExceptions().until(() -> client.keystores().list() != null);
      var kept = client.keystores().open(keystore);
      assertThat(kept.find(Template.empty()))
          .extracting(StoredKey::id)
          .containsAll(done.keys.subList(0, before.get(0)));
      for (var each : done.blobs) {
        assertThat(decrypt(again.client(), each.blob(), each.ciphertext())).isEqualTo(PLAIN);
      }
      try (var host = Host.open(replaced)) {
        assertThat(host.store().snapshot().grants())
            .containsAll(
                done.grants.subList(0, before.get(2)).stream()
                    .map(each -> grant(each, again.instance))
                    .toList());
        assertThat(host.store().snapshot().apiKeys())
            .filteredOn(key -> key.disabled().isEmpty())
            .extracting(ApiKeyRecord::name)
            .containsAll(
                IntStream.range(0, before.get(3)).mapToObj(each -> "made" + each).toList());
      }
      for (var each : done.apiKeys.subList(0, Math.min(3, before.get(3)))) {
        assertThat(again.identityToken(each).statusCode()).isEqualTo(200);
      }
    }
  }

  private static Grant grant(String subject, UUID instance) {
    return Grant.ofRole(new Subject(RunningGateway.ISSUER, subject), instance, "Reader");
  }

  private static Path commandsFile(GatewayConfig config) {
    var file = config.audit().file().orElseThrow();
    return file.resolveSibling(file.getFileName() + ".commands");
  }

  /** Events alone, without checkpoints. */
  private static List<String> commandsOf(GatewayConfig config) throws IOException {
    try (Stream<String> lines = Files.lines(commandsFile(config), UTF_8)) {
      return lines.filter(line -> line.contains("grep11.store.")).toList();
    }
  }

  @Test
  void aBackupStaysWhenItIsNotKnownWhetherItsRecordWasCommitted() throws Exception {
    var demo = DemoData.open(parent.resolve("demo"));
    var server = PostgresServer.shared();
    var database = server.createDatabase();
    var settings = DemoOnPostgres.settings("first", database);
    begin(demo, settings);
    var config = GatewayConfig.read(demo.config(), settings);
    var file = parent.resolve("backup");
    // Fails in the commit, and then all that a client can tell is that it failed.
    server.execute(
        PostgresServer.nameOf(database),
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS"
            + " $$ BEGIN RAISE EXCEPTION 'canary-commit'; END $$;"
            + " CREATE CONSTRAINT TRIGGER fail AFTER INSERT OR UPDATE ON upkeep"
            + " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail()");
    try (var host = Host.open(config)) {
      assertThatThrownBy(() -> host.backups().backUp(file, false))
          .isInstanceOf(StartException.class)
          .hasMessageContaining("is a whole backup and stays there")
          .hasMessageContaining("it is not known whether the change was made");
    }
    assertThat(commandsOf(config)).last().asString().contains("\"failure\"", "it is not known");
    try (var restore = Restore.open(config, file)) {
      assertThat(restore.listing().comesBack().instances()).hasSize(1);
    }
  }

  @Test
  void aBackupThatCannotBeRecordedReplacesNothing() throws Exception {
    var demo = DemoData.open(parent.resolve("demo"));
    var config = GatewayConfig.read(demo.config());
    var file = parent.resolve("backup");
    try (var host = Host.open(config)) {
      host.backups().backUp(file, false);
      var before = Files.readAllBytes(file);
      // Where a directory is, no file is written.
      Files.deleteIfExists(commandsFile(config));
      Files.createDirectory(commandsFile(config));

      assertThatThrownBy(() -> host.backups().backUp(file, true))
          .isInstanceOf(StartException.class)
          .hasMessageContaining("cannot be recorded");
      assertThat(file).hasBinaryContent(before);
      var other = parent.resolve("other");
      assertThatThrownBy(() -> host.backups().backUp(other, false))
          .isInstanceOf(StartException.class)
          .hasMessageContaining("cannot be recorded");
      assertThat(other).doesNotExist();

      Files.delete(commandsFile(config));
      host.backups().backUp(file, true);
      assertThat(Files.readAllBytes(file)).isNotEqualTo(before);
    }
  }

  private static StatusRuntimeException refusal(RunningGateway running, ByteString blob) {
    return catchThrowableOfType(
        StatusRuntimeException.class, () -> RunningGateway.encrypt(running.client(), blob, PLAIN));
  }

  private static Grep11Client sdk(RunningGateway running) {
    return Grep11Client.builder("localhost:" + running.gateway.cryptoPort())
        .trustedCa(running.demo.ca())
        .token(() -> running.token(RunningGateway.MANAGER))
        .build();
  }

  @Test
  void aGatewayThatServesAnotherTokenAndAnotherInstanceAreInTheWay() throws Exception {
    var directory = parent.resolve("demo");
    var file = parent.resolve("backup");
    try (var running = RunningGateway.start(directory)) {
      try (var host = Host.open(running.config)) {
        host.backups().backUp(file, false);
      }
      try (var restore = Restore.open(running.config, file)) {
        long generation = restore.listing().manifest().generation();
        assertThatThrownBy(() -> restore.restore(generation, REPLACE, new Restore.Confirmed.All()))
            .isInstanceOf(StoreException.class)
            .hasMessageContaining("a gateway is serving by the store");
      }
      assertThat(RunningGateway.aesKey(running.client())).isNotEmpty();
      var other =
          GatewayConfig.read(
              running.demo.config(),
              Map.of("/instance", UUID.randomUUID().toString(), "/store/directory", "none"));
      assertThatThrownBy(() -> Restore.open(other, file).close())
          .isInstanceOf(StartException.class)
          .hasMessageContaining("is of another instance")
          .hasMessageContaining(running.instance.toString());
    }
    var second = DemoData.open(parent.resolve("second"));
    var elsewhere = GatewayConfig.read(second.config());
    assertThatThrownBy(() -> Restore.open(elsewhere, file).close())
        .isInstanceOf(StartException.class)
        .hasMessageContaining("the backup is of another store");
    var empty = GatewayConfig.read(second.config(), Map.of("/store/directory", "none"));
    assertThatThrownBy(() -> Restore.open(empty, file).close())
        .isInstanceOf(StartException.class)
        .hasMessageContaining("needs the token")
        .hasMessageContaining("0 objects in the token");
  }

  private static AdministratorRecord administrator(UUID instance, byte[] key) {
    return new AdministratorRecord(
        instance, new Subject("https://issuer.example", "alice"), key, 0, Instant.EPOCH);
  }

  private static String fingerprint(byte[] key) throws GeneralSecurityException {
    return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(key));
  }

  @Test
  void whatCouldBeUsedOnceMoreOrDoesNotOpenDoesNotComeBack() throws Exception {
    var demo = DemoData.open(parent.resolve("demo"));
    var config = GatewayConfig.read(demo.config());
    var instance = config.instance().orElseThrow();
    var file = parent.resolve("backup");
    var stolen = new byte[] {1};
    SealingKeyGeneration next;
    try (var host = Host.open(config)) {
      next = host.masterKeys().createNext(instance).generation();
      var leave =
          new EnrolmentRecord(
              instance,
              new Subject("https://issuer.example", "invited"),
              EnrolmentRecord.Kind.INVITATION,
              new byte[32],
              Instant.now().plusSeconds(3600),
              Optional.empty());
      host.store()
          .<Boolean>change(change -> {
            change.put(leave);
            change.put(administrator(instance, stolen));
            return true;
          });
      host.backups().backUp(file, false);
      host.store()
          .<Boolean>change(change -> {
            change.put(administrator(instance, new byte[] {2}));
            return true;
          });
    }
    destroy(config, next);

    long generation;
    try (var restore = Restore.open(config, file)) {
      assertThat(restore.listing().missing())
          .singleElement()
          .satisfies(each -> assertThat(each.generation()).isEqualTo(next));
      assertThat(restore.listing().comesBack().enrolments()).hasSize(1);
      var accepted = restore.listing().manifest().generation();
      assertThat(restore.listing().setbacks())
          .containsExactly(
              new Setback.Reverted(instance, next, State.RETIRED),
              new Setback.Readmitted(
                  Optional.of(administrator(instance, new byte[] {2})),
                  administrator(instance, stolen)));
      assertThatThrownBy(() -> restore.restore(accepted, REPLACE, new Restore.Confirmed.All()))
          .isInstanceOf(StoreException.class)
          .hasMessageContaining("--revert-masterkey " + next.id());
      var leave = new Leave(true, Set.of(), Set.of(next.id()), Set.of(fingerprint(stolen)));
      generation = restore.restore(accepted, leave, new Restore.Confirmed.All()).generation();
      assertThat(commandsOf(config))
          .anySatisfy(event ->
              assertThat(event)
                  .contains("\"success\"")
                  .contains("master key " + next.id() + " comes back RETIRED, was NEXT"))
          .anySatisfy(event ->
              assertThat(event)
                  .contains(fingerprint(stolen) + " that comes back for alice of instance ")
                  .contains(fingerprint(new byte[] {2})))
          .anySatisfy(event ->
              assertThat(event)
                  .contains("administrator alice of instance " + instance)
                  .contains("comes back with key " + fingerprint(stolen)));
    }
    SealingKeyGeneration active;
    try (var host = Host.open(config)) {
      var snapshot = host.store().snapshot();
      assertThat(snapshot.enrolments()).isEmpty();
      assertThat(snapshot.apiKeys()).isNotEmpty().allMatch(key -> key.disabled().isEmpty());
      assertThat(snapshot.registry(instance).orElseThrow().generation())
          .as("above all that a command was ever signed for")
          .isEqualTo(generation);
      var generations = snapshot.instance(instance).orElseThrow().generations();
      assertThat(generations)
          .extracting(SealingKeyGeneration::state)
          .containsExactly(State.ACTIVE, State.RETIRED);
      active = generations.getFirst();
      assertThat(snapshot.use(instance, active.id()).orElseThrow().lastUsed())
          .isAfter(Instant.now().minusSeconds(600));
    }
    destroy(config, active);
    try (var restore = Restore.open(config, file)) {
      var accepted = restore.listing().manifest().generation();
      assertThatThrownBy(() -> restore.restore(accepted, REPLACE, new Restore.Confirmed.All()))
          .isInstanceOf(StartException.class)
          .hasMessageContaining("lacks keys of the active master key " + active.id());
      assertThat(commandsOf(config))
          .last()
          .asString()
          .contains("grep11.store.restore", "\"failure\"", "lacks keys of the active master key");
    }
    try (var host = Host.open(config)) {
      assertThat(host.store().generation()).isGreaterThanOrEqualTo(generation);
      assertThatThrownBy(() -> host.backups().rehearse(file, Optional.empty(), Optional.empty()))
          .isInstanceOf(StartException.class)
          .hasMessageContaining("does not open with this token");
      assertThat(host.store().snapshot().last(UpkeepRecord.Kind.REHEARSAL)).isEmpty();
    }
  }

  @Test
  void theBackupThatWasMadeLastIsTriedAndTheTrialOfAnOlderOneDoesNotCount() throws Exception {
    var demo = DemoData.open(parent.resolve("demo"));
    var config = GatewayConfig.read(demo.config());
    var older = parent.resolve("older");
    var last = parent.resolve("last");
    try (var host = Host.open(config)) {
      var backups = host.backups();
      refusesLatest(backups, "no backup of this store is recorded");
      backups.backUp(older, false);
      backups.backUp(last, false);

      var done = backups.rehearseLatest(Optional.empty(), Optional.empty());
      assertThat(done.file()).isEqualTo(last);
      assertThat(done.uncounted()).isEmpty();
      var counted = host.store().snapshot().last(UpkeepRecord.Kind.REHEARSAL).orElseThrow();
      assertThat(counted.generation()).isEqualTo(done.manifest().generation());
      var old = backups.rehearse(older, Optional.empty(), Optional.empty());
      assertThat(old.uncounted().orElseThrow()).startsWith("there is a later backup, " + last);
      assertThat(host.store().snapshot().last(UpkeepRecord.Kind.REHEARSAL)).hasValue(counted);
      assertThat(commandsOf(config))
          .last()
          .asString()
          .contains("grep11.store.rehearse", "\"success\"", "it is not the last rehearsal");
      backups.rehearse(last, Optional.empty(), Optional.empty());
      assertThat(host.store().snapshot().last(UpkeepRecord.Kind.REHEARSAL).orElseThrow().time())
          .isAfter(counted.time());

      Files.copy(older, last, StandardCopyOption.REPLACE_EXISTING);
      refusesLatest(backups, last + " is not the last backup that is recorded");
      Files.delete(last);
      refusesLatest(backups, "there is no backup " + last);
      // As a program recorded it that kept the name alone.
      host.store()
          .<Boolean>change(change -> {
            change.put(new UpkeepRecord(UpkeepRecord.Kind.BACKUP, Instant.now(), "last", 1));
            return true;
          });
      refusesLatest(backups, "the name \"last\" is recorded and no directory");
    }
  }

  private static void refusesLatest(Backups backups, String why) {
    assertThatThrownBy(() -> backups.rehearseLatest(Optional.empty(), Optional.empty()))
        .hasMessageContaining(why)
        .hasMessageContaining("--from");
  }

  enum Replaced {
    KEK_N,
    KEK_X,
    MAC_KEY,
    VALUE_KEY;

    byte[] id(SealingKeyIds of) {
      return switch (this) {
        case KEK_N -> of.kekN();
        case KEK_X -> of.kekX();
        case MAC_KEY -> of.macKey();
        case VALUE_KEY -> of.valueKey();
      };
    }
  }

  /** Every key is there by its id, and yet clients' blobs would not open. */
  @ParameterizedTest
  @EnumSource
  void aRehearsalNamesTheMasterKeyUnderWhichNoBlobOpens(Replaced replaced) throws Exception {
    var demo = DemoData.open(parent.resolve("demo"));
    var config = GatewayConfig.read(demo.config());
    var instance = config.instance().orElseThrow();
    var file = parent.resolve("backup");
    SealingKeyGeneration next;
    try (var host = Host.open(config)) {
      next = host.masterKeys().createNext(instance).generation();
      assertThat(host.backups().backUp(file, false).samples()).isEqualTo(6);
    }
    long objects = tokenObjects(config);
    try (var host = Host.open(config)) {
      var done = host.backups().rehearse(file, Optional.empty(), Optional.empty());
      assertThat(done.samples()).hasValue(6);
      assertThat(done.findings().masterKeys()).isEqualTo(2);
    }
    assertThat(tokenObjects(config)).isEqualTo(objects);
    replace(config, instance, replaced.id(KeyringFollower.ids(next)), replaced);

    try (var host = Host.open(config)) {
      var before = host.store().snapshot().last(UpkeepRecord.Kind.REHEARSAL);
      assertThatThrownBy(() -> host.backups().rehearse(file, Optional.empty(), Optional.empty()))
          .isInstanceOf(StartException.class)
          .hasMessageStartingWith("a sample under master key " + next.id())
          .hasMessageContaining("does not open with this token");
      assertThat(host.store().snapshot().last(UpkeepRecord.Kind.REHEARSAL)).isEqualTo(before);
    }
  }

  private static void replace(GatewayConfig config, UUID instance, byte[] id, Replaced replaced) {
    try (var hsm = Host.openToken(config)) {
      var done =
          new HsmCalls(hsm)
              .call(session -> {
                var others = SealingKeys.create(session, instance);
                session.destroyObject(SealingKeys.find(session, instance, "key", id));
                session.setAttributes(
                    SealingKeys.find(session, instance, "key", replaced.id(others)),
                    dev.grep11.gateway.pkcs11.Template.builder()
                        .put(dev.grep11.gateway.pkcs11.Cka.CKA_ID, id)
                        .build());
                return true;
              });
      assertThat(done).isTrue();
    }
  }

  @Test
  void aBackupIsMadeOfAMasterKeyWhoseKeysAreGoneAndItsTrialNamesIt() throws Exception {
    var demo = DemoData.open(parent.resolve("demo"));
    var config = GatewayConfig.read(demo.config());
    var file = parent.resolve("backup");
    SealingKeyGeneration next;
    try (var host = Host.open(config)) {
      next = host.masterKeys().createNext(config.instance().orElseThrow()).generation();
    }
    destroy(config, next);
    try (var host = Host.open(config)) {
      assertThat(host.backups().backUp(file, false).samples()).isEqualTo(3);
      assertThatThrownBy(() -> host.backups().rehearse(file, Optional.empty(), Optional.empty()))
          .isInstanceOf(StartException.class)
          .hasMessageContaining(next.id());
    }
  }

  @Test
  void aBackupOfBeforeSamplesIsTriedAndRestoredAndItsTrialDoesNotCount() throws Exception {
    var demo = DemoData.open(parent.resolve("demo"));
    var config = GatewayConfig.read(demo.config());
    var old = parent.resolve("old");
    var none = parent.resolve("none");
    try (var host = Host.open(config);
        var hsm = Host.openToken(config)) {
      host.backups().backUp(parent.resolve("new"), false);
      BackupManifest.Token token;
      try (var made = BackupFile.open(parent.resolve("new"))) {
        token = made.manifest().token();
      }
      var envelope = new HsmEnvelope(new HsmCalls(hsm), TokenKeys.read(config.store()));
      TestBackups.write(1, host.store(), old, envelope, token);
      TestBackups.write(2, host.store(), none, envelope, token);

      var done = host.backups().rehearse(old, Optional.empty(), Optional.empty());
      assertThat(done.samples()).isEmpty();
      assertThat(done.uncounted().orElseThrow()).contains("the backup holds no samples");
      assertThat(host.store().snapshot().last(UpkeepRecord.Kind.REHEARSAL)).isEmpty();
      assertThat(commandsOf(config))
          .last()
          .asString()
          .contains("grep11.store.rehearse", "\"success\"", "it is not the last rehearsal");
      assertThatThrownBy(() -> host.backups().rehearse(none, Optional.empty(), Optional.empty()))
          .isInstanceOf(StartException.class)
          .hasMessageContaining("the backup holds no sample under master key");
    }
    try (var restore = Restore.open(config, old)) {
      restore.restore(
          restore.listing().manifest().generation(), REPLACE, new Restore.Confirmed.All());
    }
    try (var host = Host.open(config)) {
      assertThat(host.store().snapshot().instances()).hasSize(1);
    }
  }

  /** Nor is it said of the backup that it is not good. */
  private static void requireNoTrialWithoutRoom(Backups backups, Path file) throws IOException {
    var missing = file.resolveSibling("missing");
    // SQLite opens no file whose name has more than 512 characters.
    var deep = file.resolveSibling("deep").resolve("d".repeat(250)).resolve("d".repeat(250));
    Files.createDirectories(deep);

    for (var place : List.of(missing, deep)) {
      assertThatThrownBy(() -> backups.rehearse(file, Optional.empty(), Optional.of(place)))
          .isInstanceOf(StartException.class)
          .hasMessageStartingWith("no backup can be restored on trial in " + place + ": ")
          .hasMessageEndingWith("or name another directory by --scratch");
    }
    assertThat(scratchStores(deep)).isEmpty();
  }

  private static List<Path> scratchStores(Path directory) throws IOException {
    try (var found = Files.list(directory)) {
      return found.filter(path -> path.getFileName().toString().startsWith("rehearsal-")).toList();
    }
  }

  private static void destroy(GatewayConfig config, SealingKeyGeneration generation) {
    try (var hsm = Host.openToken(config)) {
      var done =
          new HsmCalls(hsm)
              .call(session -> {
                SealingKeys.destroy(session, KeyringFollower.ids(generation), true);
                return true;
              });
      assertThat(done).isTrue();
    }
  }
}
