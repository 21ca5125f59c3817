package dev.grep11.gateway;

import static dev.grep11.gateway.KeystoreBehaviour.MESSAGE;
import static dev.grep11.gateway.KeystoreBehaviour.PASSWORD;
import static dev.grep11.gateway.KeystoreBehaviour.assertRefused;
import static dev.grep11.gateway.KeystoreBehaviour.data;
import static dev.grep11.gateway.KeystoreBehaviour.named;
import static dev.grep11.gateway.KeystoreBehaviour.privateKey;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.grep11.client.Cka;
import dev.grep11.client.Ckr;
import dev.grep11.client.Curve;
import dev.grep11.client.Grep11Client;
import dev.grep11.client.Grep11Exception;
import dev.grep11.client.KeyPair;
import dev.grep11.client.Keystore;
import dev.grep11.client.Mechanisms;
import dev.grep11.client.StoredKey;
import dev.grep11.client.Template;
import dev.grep11.client.Templates;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.token.StartException;
import dev.grep11.gateway.trust.TestCertificates;
import dev.grep11.gateway.trust.TestCertificates.Identity;
import io.grpc.Status;
import java.nio.file.Path;
import java.sql.DriverManager;
import java.time.Duration;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Keystores through a restart, a rotation of master keys, the second lock, and a bad database. */
class KeystoreGuardTest {
  private static final Duration PATIENCE = Duration.ofSeconds(30);
  private static final Optional<String> ANY = Optional.empty();
  private static final Identity CA = TestCertificates.ca("CN=CA of keystores").selfSigned();
  private static final Identity APP = TestCertificates.client("CN=application").signedBy(CA);

  @TempDir Path directory;

  private static Grep11Client client(RunningGateway running) {
    return Grep11Client.builder("localhost:" + running.gateway.cryptoPort())
        .trustedCa(running.demo.ca())
        .token(() -> running.token(RunningGateway.MANAGER))
        .build();
  }

  private static void awaitServing(Grep11Client client) {
    await().atMost(PATIENCE).ignoreExceptions().until(() -> client.keystores().list() != null);
  }

  private static void assertSigns(Grep11Client client, StoredKey key, KeyPair pair) {
    var signature = client.sign(Mechanisms.ecdsaSha256(), key.privateKey(), MESSAGE);
    assertThat(client.verify(Mechanisms.ecdsaSha256(), pair.publicKey(), MESSAGE, signature))
        .isTrue();
  }

  @Test
  void keepsKeysThroughARestart() throws Exception {
    var open = UUID.randomUUID();
    var guarded = UUID.randomUUID();
    KeyPair pair;
    try (var running = RunningGateway.start(directory);
        var client = client(running)) {
      awaitServing(client);
      pair = client.generateKeyPair(Templates.ecPair(Curve.P256));
      client.keystores().create(open, "open").store(privateKey("kept"), pair.privateKey());
      client
          .keystores()
          .create(guarded, "guarded", PASSWORD)
          .store(privateKey("kept"), pair.privateKey());
    }
    try (var running = RunningGateway.start(directory);
        var client = client(running)) {
      awaitServing(client);
      for (var keystore :
          List.of(client.keystores().open(open), client.keystores().open(guarded, PASSWORD))) {
        assertSigns(client, keystore.find(named("kept")).getFirst(), pair);
      }
    }
  }

  @Test
  void aKeyThatTheDatabaseChangedIsNotServed() throws Exception {
    try (var running = RunningGateway.start(directory);
        var client = client(running)) {
      awaitServing(client);
      var keystore = client.keystores().create(UUID.randomUUID(), "changed");
      var beside = client.keystores().create(UUID.randomUUID(), "beside");
      var key = keystore.store(data("changed"));
      try (var connection =
              DriverManager.getConnection(
                  "jdbc:sqlite:" + running.config.store().resolve("store.db"));
          var statement = connection.createStatement()) {
        statement.execute("UPDATE keystore_key SET version = 7");
      }
      assertRefused(Ckr.CKR_IBM_GREP11_DBINTERNAL, () -> keystore.get(key.id()));
      assertRefused(Ckr.CKR_IBM_GREP11_DBINTERNAL, () -> keystore.find(Template.empty()));
      assertThat(beside.find(Template.empty())).isEmpty();
    }
  }

  @Test
  void withoutAClientCertificateALockedInstanceHasNoKeystores() throws Exception {
    try (var running = RunningGateway.start(directory);
        var before = client(running)) {
      awaitServing(before);
      var keystore = before.keystores().create(UUID.randomUUID(), "locked");
      keystore.store(data("locked"));
      APP.write(directory, "app");
      running.registerClientCas(running.instance, List.of(CA.der()));
      await()
          .atMost(PATIENCE)
          .untilAsserted(() ->
              assertThatThrownBy(() -> keystore.find(Template.empty()))
                  .isInstanceOfSatisfying(
                      Grep11Exception.class,
                      e ->
                          assertThat(e.status())
                              .isIn(Status.Code.UNAUTHENTICATED, Status.Code.UNAVAILABLE)));
      try (var without = client(running);
          var with =
              Grep11Client.builder("localhost:" + running.gateway.cryptoPort())
                  .trustedCa(running.demo.ca())
                  .clientCertificate(directory.resolve("app.pem"), directory.resolve("app.key"))
                  .token(() -> running.token(RunningGateway.MANAGER))
                  .build()) {
        assertThatThrownBy(() -> without.keystores().list()).isInstanceOf(Grep11Exception.class);
        assertThat(with.keystores().open(keystore.id()).find(named("locked"))).hasSize(1);
      }
    }
  }

  /** Of a private or secret key. */
  private static String masterKeyOf(byte[] blob) {
    return HexFormat.of().formatHex(blob, 24, 40);
  }

  @Test
  void aRotationOfTheMasterKeyTakesEveryKeyAlong() throws Exception {
    try (var running = RunningGateway.start(directory, Map.of("/masterKey/quarantineSeconds", 0));
        var client = client(running);
        var host = Host.open(running.config)) {
      awaitServing(client);
      var keys = host.masterKeys();
      var pair = client.generateKeyPair(Templates.ecPair(Curve.P256));
      var open = client.keystores().create(UUID.randomUUID(), "open");
      var guarded = client.keystores().create(UUID.randomUUID(), "guarded", PASSWORD);
      var inOpen = open.store(privateKey("rotated"), pair.privateKey());
      var inGuarded = guarded.store(privateKey("rotated"), pair.privateKey());
      var old = masterKeyOf(inOpen.blobs().getFirst());

      var next = keys.createNext(running.instance).generation().id();
      await()
          .atMost(PATIENCE)
          .untilAsserted(() -> keys.activate(running.instance, Optional.of(next)));
      await()
          .atMost(PATIENCE)
          .untilAsserted(() -> assertThat(open.get(inOpen.id()).blobs()).hasSize(2));
      assertRotated(client, open, inOpen, next, old, pair);

      // Nobody has given the password since.
      assertThatThrownBy(() -> keys.retire(running.instance, ANY, Duration.ZERO, false))
          .isInstanceOf(StartException.class)
          .hasMessageContaining("1 keys in keystores");
      guarded.get(inGuarded.id());
      assertRotated(client, guarded, inGuarded, next, old, pair);

      // The application's own blob is its own to re-wrap.
      var after = new KeyPair(client.rewrap(pair.publicKey()), pair.privateKey());
      keys.retire(running.instance, ANY, Duration.ZERO, false);
      await()
          .atMost(PATIENCE)
          .untilAsserted(() -> assertThat(open.get(inOpen.id()).blobs()).hasSize(1));
      await()
          .atMost(PATIENCE)
          .untilAsserted(() -> assertThat(guarded.get(inGuarded.id()).blobs()).hasSize(1));
      for (var keystore : List.of(open, guarded)) {
        var found = keystore.find(named("rotated")).getFirst();
        assertThat(found.attributes().has(Cka.CKA_GREP11_KEYBLOB_HAS_ROTATION)).isFalse();
        assertSigns(client, found, after);
      }
    }
  }

  private static void assertRotated(
      Grep11Client client,
      Keystore keystore,
      StoredKey before,
      String next,
      String old,
      KeyPair pair) {
    var now = keystore.get(before.id());
    assertThat(now.blobs()).extracting(KeystoreGuardTest::masterKeyOf).containsExactly(next, old);
    assertThat(now.attributes().flag(Cka.CKA_GREP11_KEYBLOB_HAS_ROTATION)).isTrue();
    assertThat(now.version()).isEqualTo(before.version());
    assertSigns(client, now, pair);
    // What was read may be written back.
    assertThat(keystore.update(now).version()).isEqualTo(before.version() + 1);
  }

  @Test
  void aKeyStoredUnderAnOlderMasterKeyIsReWrappedAtOnce() throws Exception {
    try (var running = RunningGateway.start(directory);
        var client = client(running);
        var host = Host.open(running.config)) {
      awaitServing(client);
      var pair = client.generateKeyPair(Templates.ecPair(Curve.P256));
      var keystore = client.keystores().create(UUID.randomUUID(), "late");
      var keys = host.masterKeys();
      var next = keys.createNext(running.instance).generation().id();
      await()
          .atMost(PATIENCE)
          .untilAsserted(() -> keys.activate(running.instance, Optional.of(next)));
      await()
          .atMost(PATIENCE)
          .until(() ->
              keys.list(running.instance).stream().allMatch(each -> each.waiting().isEmpty()));
      var stored = keystore.store(privateKey("late"), pair.privateKey());
      assertThat(stored.blobs())
          .extracting(KeystoreGuardTest::masterKeyOf)
          .containsExactly(next, masterKeyOf(pair.privateKey().bytes()));
      assertSigns(client, stored, pair);
    }
  }
}
