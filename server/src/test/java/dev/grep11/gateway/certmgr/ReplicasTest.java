package dev.grep11.gateway.certmgr;

import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.gateway.store.FollowSettings;
import dev.grep11.gateway.store.ReplicaRecord;
import dev.grep11.gateway.store.SoftwareAnchor;
import dev.grep11.gateway.store.SoftwareEnvelope;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.store.StoreFollower;
import dev.grep11.gateway.store.StoreLocation;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ReplicasTest {
  private static final Instant NOON = Instant.parse("2026-11-21T12:00:00Z");
  private static final Duration LEASE = Duration.ofSeconds(60);
  private static final ReplicaRecord OTHER =
      new ReplicaRecord(
          UUID.randomUUID(),
          "other",
          NOON.minusSeconds(1),
          NOON.plusSeconds(30),
          Set.of(),
          Set.of(),
          Set.of());

  private final AtomicReference<Instant> now = new AtomicReference<>(NOON);
  private final InstantSource clock = now::get;
  @TempDir Path parent;
  private Store store;
  private StoreFollower follower;
  private Replicas replicas;

  @BeforeEach
  void start() {
    store =
        Store.create(
            new StoreLocation.Directory(parent.resolve("store")),
            new SoftwareEnvelope(),
            new SoftwareAnchor());
    follower =
        StoreFollower.start(store, new FollowSettings(Duration.ofSeconds(30), LEASE), () -> 0);
    replicas = new Replicas(follower, UUID.randomUUID(), "this", LEASE, clock);
    put(OTHER);
  }

  @AfterEach
  void stop() {
    follower.close();
    store.close();
  }

  private void put(ReplicaRecord replica) {
    store.change(change -> {
      change.put(replica);
      return true;
    });
  }

  private Replicas.Asked asked() {
    return store.change(replicas::ask);
  }

  private void forget() {
    assertThat(store.<Boolean>change(change -> change.remove(OTHER))).isTrue();
  }

  @Test
  void oneThatSaysItAgainActsOnTheChange() {
    var asked = asked();
    put(OTHER);

    assertThat(replicas.await(asked, NOON))
        .isEqualTo(new Replicas.Standing(List.of("this", "other"), List.of(), NOON));
  }

  @Test
  void oneThatIsSilentIsBoundWhenTheLastLeaseEnds() {
    assertThat(replicas.await(asked(), NOON))
        .isEqualTo(new Replicas.Standing(List.of("this"), List.of("other"), NOON.plus(LEASE)));
  }

  @Test
  void oneWithALongerLeaseIsBoundWhenThatEnds() {
    var until = NOON.plus(LEASE).plusSeconds(1);
    put(
        new ReplicaRecord(
            OTHER.id(), "other", NOON, until, Set.of(), Set.of(), Set.of(), Optional.empty()));

    assertThat(replicas.await(asked(), NOON).binding()).isEqualTo(until);
  }

  @Test
  void oneWhoseRecordIsGoneIsOutstandingWhileItsLeaseLastsAndNotLater() {
    var asked = asked();
    forget();

    assertThat(replicas.await(asked, NOON).outstanding()).containsExactly("other");
    now.set(OTHER.until().plusSeconds(1));
    assertThat(replicas.await(asked, NOON))
        .isEqualTo(new Replicas.Standing(List.of("this"), List.of(), now.get()));
  }
}
