package dev.grep11.gateway.store;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.grep11.gateway.keystore.Access;
import dev.grep11.gateway.keystore.KeyBlobs;
import dev.grep11.gateway.keystore.KeystoreKeeper;
import dev.grep11.gateway.keystore.Keystores;
import dev.grep11.gateway.keystore.StoredKey;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.HsmUnavailableException;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.gateway.store.SealingKeyGeneration.State;
import java.nio.file.Path;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What the keeper of keystores does with blobs while master keys come and go. */
class KeystoreRotationTest {
  private static final UUID INSTANCE = UUID.randomUUID();
  private static final Instant NOON = Instant.parse("2026-11-21T12:00:00Z");
  private static final Duration PATIENCE = Duration.ofSeconds(20);
  private static final String G1 = id(1);
  private static final String G2 = id(2);
  private static final String G3 = id(3);

  @TempDir Path temporary;
  private Store store;
  private KeystoreTables tables;
  private Keystores keystores;
  private KeystoreKeeper keeper;
  private final Blobs blobs = new Blobs();
  private volatile List<State> states = List.of(State.ACTIVE);

  @BeforeEach
  void start() {
    store =
        Store.create(
            new StoreLocation.Directory(temporary.resolve("store")),
            new SoftwareEnvelope(),
            new SoftwareAnchor());
    tables = store.keystores();
    keystores = new Keystores(tables, blobs, this::snapshot, () -> NOON);
    keeper = KeystoreKeeper.start(keystores, tables, this::snapshot);
  }

  @AfterEach
  void stop() {
    keeper.close();
    store.close();
  }

  private static String id(int number) {
    return "%02x".formatted(number).repeat(16);
  }

  private Optional<Snapshot> snapshot() {
    var generations = new SealingKeyGeneration[states.size()];
    for (int i = 0; i < generations.length; i++) {
      generations[i] =
          new SealingKeyGeneration(
              part(i + 1),
              states.get(i),
              part(101),
              part(102),
              part(103),
              part(104),
              part(105),
              NOON);
    }
    var instance = new InstanceRecord(INSTANCE, "one", "test", "local", List.of(generations));
    return Optional.of(
        new Snapshot(
            1,
            List.of(instance),
            List.of(),
            List.of(),
            List.of(),
            List.of(),
            List.of(),
            List.of(),
            List.of(),
            List.of(),
            List.of(),
            List.of()));
  }

  private static byte[] part(int number) {
    var bytes = new byte[16];
    Arrays.fill(bytes, (byte) number);
    return bytes;
  }

  private boolean opens(String generation) {
    int index = List.of(G1, G2, G3).indexOf(generation);
    return states.get(index).opens();
  }

  private List<String> opening() {
    return List.of(G1, G2, G3).stream().limit(states.size()).filter(this::opens).toList();
  }

  /** Says of a key, in words, under which generation it is. */
  private final class Blobs implements KeyBlobs {
    private volatile boolean away;
    private final AtomicInteger asked = new AtomicInteger();

    @Override
    public Proven prove(UUID instance, String caller, byte[] blob) {
      var generation = new String(blob, UTF_8);
      if (!opens(generation)) {
        throw new Pkcs11Exception(Ckr.CKR_IBM_BLOB_ERROR, "not of these sealing keys");
      }
      return new Proven(blob, generation, Cko.CKO_SECRET_KEY);
    }

    @Override
    public Optional<Proven> reseal(UUID instance, String caller, byte[] blob) {
      asked.incrementAndGet();
      if (away) {
        throw new HsmUnavailableException("on purpose");
      }
      var old = prove(instance, caller, blob);
      var active = List.of(G1, G2, G3).get(states.indexOf(State.ACTIVE));
      return active.equals(old.generation())
          ? Optional.empty()
          : Optional.of(new Proven(active.getBytes(UTF_8), active, Cko.CKO_SECRET_KEY));
    }
  }

  private Access keystore() {
    var id = UUID.randomUUID();
    var _ = keystores.create(INSTANCE, id, "rotated", new byte[0]);
    return new Access(INSTANCE, id, "caller", new byte[0]);
  }

  private UUID stored(Access in, String generation) {
    var attributes = Template.builder().put(Cka.CKA_CLASS, Cko.CKO_SECRET_KEY).build();
    var key =
        new StoredKey(
            UUID.randomUUID(),
            0,
            UUID.randomUUID(),
            attributes,
            List.of(generation.getBytes(UTF_8)));
    return keystores.store(in, key).id();
  }

  private List<String> blobs(Access in, UUID key) {
    return keystores.byIds(in, List.of(key)).getFirst().blobs().stream()
        .map(blob -> new String(blob, UTF_8))
        .toList();
  }

  private void awaitBlobs(Access in, UUID key, String... generations) {
    await()
        .atMost(PATIENCE)
        .untilAsserted(() -> assertThat(blobs(in, key)).containsExactly(generations));
  }

  private long dependents(String generation) {
    return tables.dependents(INSTANCE, generation, opening());
  }

  @Test
  void theOnlyBlobThatOpensStaysWhateverIsRetiredByForce() {
    var keystore = keystore();
    var key = stored(keystore, G1);
    states = List.of(State.PREVIOUS, State.ACTIVE);
    awaitBlobs(keystore, key, G2, G1);
    assertThat(dependents(G1)).isZero();

    keeper.close();
    states = List.of(State.PREVIOUS, State.RETIRED, State.ACTIVE);
    assertThat(dependents(G1)).as("which an ordinary retirement refuses").isEqualTo(1);
    assertThat(dependents(G2)).as("which a destruction refuses").isEqualTo(1);

    states = List.of(State.RETIRED, State.RETIRED, State.ACTIVE);
    keeper = KeystoreKeeper.start(keystores, tables, this::snapshot);
    // A key beside it shows that the keeper was there.
    var beside = stored(keystore, G3);
    states = List.of(State.RETIRED, State.PREVIOUS, State.ACTIVE);
    awaitBlobs(keystore, key, G3, G2);
    assertThat(blobs(keystore, beside)).containsExactly(G3);
  }

  @Test
  void aBlobBehindOneThatIsClosedGoesNowhereAndIsWhatTheNewOneIsMadeFrom() throws Exception {
    var keystore = keystore();
    var key = stored(keystore, G1);
    states = List.of(State.PREVIOUS, State.ACTIVE);
    awaitBlobs(keystore, key, G2, G1);

    states = List.of(State.RETIRED, State.RETIRED, State.ACTIVE);
    await()
        .during(Duration.ofSeconds(3))
        .atMost(PATIENCE)
        .untilAsserted(() -> assertThat(blobs(keystore, key)).containsExactly(G2, G1));

    states = List.of(State.PREVIOUS, State.RETIRED, State.ACTIVE);
    awaitBlobs(keystore, key, G3, G1);
    assertThat(dependents(G1)).isZero();
    states = List.of(State.RETIRED, State.RETIRED, State.ACTIVE);
    awaitBlobs(keystore, key, G3);
  }

  @Test
  void aRowThatNoGatewayWroteKeepsNoOtherKeystoreFromAnything() throws SQLException {
    var keystore = keystore();
    var key = stored(keystore, G1);
    var garbage = keystore();
    try (var connection =
            DriverManager.getConnection(
                "jdbc:sqlite:" + temporary.resolve("store").resolve("store.db"));
        var statement = connection.createStatement()) {
      var latest = "(SELECT MAX(rowid) FROM keystore)";
      assertThat(
              statement.executeUpdate("UPDATE keystore SET sealed = x'00' WHERE rowid = " + latest))
          .isEqualTo(1);
    }
    assertThatThrownBy(() -> keystores.find(INSTANCE, garbage.keystore()))
        .isInstanceOf(Pkcs11Exception.class);
    assertThat(keystores.all(INSTANCE)).hasSize(1);
    var another = keystore();
    var _ = stored(another, G1);
    assertThat(keystores.all(INSTANCE)).hasSize(2);
    states = List.of(State.PREVIOUS, State.ACTIVE);
    awaitBlobs(keystore, key, G2, G1);
  }

  @Test
  void aTokenThatIsAwayIsAskedOnceInAPass() throws Exception {
    var keystore = keystore();
    for (int i = 0; i < 150; i++) {
      var _ = stored(keystore, G1);
    }
    var key = stored(keystore, G1);
    blobs.away = true;
    states = List.of(State.PREVIOUS, State.ACTIVE);
    await().atMost(PATIENCE).until(() -> blobs.asked.get() > 0);
    await().during(Duration.ofSeconds(1)).atMost(PATIENCE).until(() -> blobs.asked.get() < 5);
    blobs.away = false;
    awaitBlobs(keystore, key, G2, G1);
  }

  @Test
  @Tag("long") // It takes the minute after which such keys are looked for.
  void aKeyThatCameUnderOlderSealingKeysLateIsReWrappedToo() throws Exception {
    var keystore = keystore();
    states = List.of(State.PREVIOUS, State.ACTIVE);
    Thread.sleep(Duration.ofSeconds(5));
    blobs.away = true;
    var key = stored(keystore, G1);
    assertThat(blobs(keystore, key)).containsExactly(G1);
    blobs.away = false;
    await()
        .atMost(Duration.ofSeconds(90))
        .untilAsserted(() -> assertThat(blobs(keystore, key)).containsExactly(G2, G1));
  }
}
