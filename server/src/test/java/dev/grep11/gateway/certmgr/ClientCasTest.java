package dev.grep11.gateway.certmgr;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.grep11.gateway.certmgr.ClientCas.Registered;
import dev.grep11.gateway.store.Entitlement;
import dev.grep11.gateway.store.FollowSettings;
import dev.grep11.gateway.store.Grant;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.RegistryRecord;
import dev.grep11.gateway.store.SoftwareAnchor;
import dev.grep11.gateway.store.SoftwareEnvelope;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.store.StoreFollower;
import dev.grep11.gateway.store.StoreLocation;
import dev.grep11.gateway.store.StoreTamperedException;
import dev.grep11.gateway.store.Subject;
import dev.grep11.gateway.trust.TestCertificates;
import dev.grep11.gateway.trust.TestCertificates.Identity;
import dev.grep11.gateway.trust.TrustAnchors;
import java.nio.file.Path;
import java.sql.DriverManager;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ClientCasTest {
  private static final UUID INSTANCE = UUID.fromString("6f6a3f0e-52d5-4d1e-9d1c-0a7b1f0c2d3e");
  private static final Subject ADMINISTRATOR = new Subject("https://issuer.test", "admin");
  private static final Duration LEASE = Duration.ofMinutes(1);
  private static final Identity CA = TestCertificates.ca("CN=One CA").selfSigned();

  @TempDir Path parent;
  private final AtomicLong nanos = new AtomicLong();
  private Store store;
  private StoreFollower follower;

  @BeforeEach
  void start() {
    store =
        Store.create(
            new StoreLocation.Directory(parent.resolve("store")),
            new SoftwareEnvelope(),
            new SoftwareAnchor());
    store.createInstance(new InstanceRecord(INSTANCE, "one", "test", "local", List.of()));
    // Nothing happens between the looks that the test takes.
    follower =
        StoreFollower.start(store, new FollowSettings(Duration.ofSeconds(30), LEASE), nanos::get);
  }

  @AfterEach
  void stop() {
    follower.close();
    store.close();
  }

  private ClientCas follow(boolean required) {
    return ClientCas.follow(follower, required, TrustAnchors::of);
  }

  private void register(byte[]... certificates) {
    store.change(change -> {
      var entries = new ArrayList<RegistryRecord.Entry>();
      for (var certificate : certificates) {
        entries.add(
            new RegistryRecord.Entry(
                ADMINISTRATOR, "ca-" + entries.size(), certificate, Instant.EPOCH));
      }
      return change.replace(change.snapshot().registry(INSTANCE).orElseThrow().next(entries));
    });
    follower.refresh();
  }

  @Test
  void isOpenWithoutACaUnlessTheOperatorRequiresCertificates() {
    assertThat(follow(false).of(INSTANCE)).map(Registered::locked).contains(false);
    assertThat(follow(true).of(INSTANCE)).map(Registered::locked).contains(true);
  }

  @Test
  void followsTheRegistryAndTellsOfChanges() {
    var cas = follow(false);
    var told = new AtomicInteger();
    cas.onChange(told::incrementAndGet);

    register(CA.der());

    var registered = cas.of(INSTANCE).orElseThrow();
    assertThat(registered.locked()).isTrue();
    assertThat(registered.generation()).isEqualTo(1);
    assertThat(registered.anchors().certificates()).containsExactly(CA.certificate());
    assertThat(told).hasValue(1);

    register();
    assertThat(cas.of(INSTANCE)).map(Registered::locked).contains(false);
    assertThat(told).hasValue(2);
  }

  @Test
  void staysTheSameObjectWhileOtherThingsChange() {
    var cas = follow(false);
    register(CA.der());
    var before = cas.of(INSTANCE).orElseThrow();

    store.addGrant(
        new Grant(ADMINISTRATOR, INSTANCE, new Entitlement.Role("Reader"), Optional.empty()));
    follower.refresh();
    assertThat(cas.of(INSTANCE).orElseThrow()).isSameAs(before);

    cas.renew();
    assertThat(cas.of(INSTANCE).orElseThrow()).isNotSameAs(before);
    assertThat(cas.of(INSTANCE).orElseThrow().locked()).isTrue();
  }

  @Test
  void knowsNothingOfAnInstanceThatIsNotThere() {
    var cas = follow(false);

    assertThat(cas.of(UUID.randomUUID())).isEmpty();
    assertThat(cas.instances()).containsExactly(INSTANCE);
  }

  @Test
  void refusesAfterTheLeaseAndKeepsTheLastStateUntilThen() {
    var cas = follow(false);
    register(CA.der());

    nanos.addAndGet(LEASE.toNanos() - 1);
    assertThat(cas.of(INSTANCE)).map(Registered::locked).contains(true);

    nanos.incrementAndGet();
    assertThat(cas.of(INSTANCE)).isEmpty();
    assertThat(cas.last(INSTANCE)).map(Registered::locked).contains(true);

    follower.refresh();
    assertThat(cas.of(INSTANCE)).isPresent();
  }

  @Test
  void refusesWhenARegisteredCertificateDoesNotParse() {
    var cas = follow(false);
    for (var bad : Stream.of(new byte[0], new byte[] {1}, cut(CA.der())).toList()) {
      register(bad);
      assertThat(cas.of(INSTANCE)).isEmpty();
      assertThat(cas.last(INSTANCE)).isEmpty();
      assertThat(cas.instances()).contains(INSTANCE);

      register(CA.der());
      assertThat(cas.of(INSTANCE)).isPresent();
    }
  }

  private static byte[] cut(byte[] der) {
    return java.util.Arrays.copyOf(der, der.length - 1);
  }

  @Test
  void refusesWhenTheRegistryIsGoneFromTheStore() throws Exception {
    var cas = follow(false);
    try (var writer = DriverManager.getConnection("jdbc:sqlite:" + database());
        var statement = writer.createStatement()) {
      assertThat(statement.executeUpdate("DELETE FROM registry")).isEqualTo(1);
      // So that the next look reads everything, as it does every 30 s in any case.
      nanos.addAndGet(Duration.ofSeconds(31).toNanos());
    }

    assertThatThrownBy(follower::refresh).isInstanceOf(StoreTamperedException.class);

    assertThat(cas.of(INSTANCE)).isEmpty();
  }

  private Path database() throws Exception {
    try (var files = java.nio.file.Files.list(parent.resolve("store"))) {
      return files.filter(file -> file.toString().endsWith(".db")).findFirst().orElseThrow();
    }
  }
}
