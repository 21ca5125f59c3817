package dev.grep11.gateway.certmgr;

import dev.grep11.gateway.store.ReplicaRecord;
import dev.grep11.gateway.store.Snapshot;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.store.StoreFollower;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The other gateways on the store, asked whether they act on a change. Each answers by writing its
 * record anew once it has read the store again; one that is cut off from the store refuses
 * everything when its lease ends, so that a bound can be told for it too (interfaces 7).
 */
public final class Replicas {
  private static final Logger LOG = LoggerFactory.getLogger(Replicas.class);
  private static final Duration LONGEST_WAIT = Duration.ofSeconds(2);
  private static final Duration LOOK = Duration.ofMillis(25);

  private final StoreFollower follower;
  private final UUID self;
  private final String name;
  private final Duration lease;
  private final InstantSource clock;

  /**
   * @param follower of this gateway
   * @param self id of this gateway's own {@link ReplicaRecord}
   * @param name of this gateway for people
   * @param lease of all gateways on this store
   */
  public Replicas(
      StoreFollower follower, UUID self, String name, Duration lease, InstantSource clock) {
    this.follower = follower;
    this.self = self;
    this.name = name;
    this.lease = lease;
    this.clock = clock;
  }

  /** Who acts on a change, and by when all do. */
  record Standing(List<String> confirmed, List<String> outstanding, Instant binding) {}

  /**
   * Gateways that were asked.
   *
   * @param generation of the store, in which they are
   */
  record Asked(long generation, List<ReplicaRecord> replicas) {}

  /** Has the others say again what they act on; in the transaction of the change, as its last. */
  Asked ask(Store.Change change) {
    var others =
        change.snapshot().live(clock.instant()).stream()
            .filter(replica -> !replica.id().equals(self))
            .map(ReplicaRecord::asked)
            .toList();
    others.forEach(change::put);
    return new Asked(change.snapshot().generation(), others);
  }

  /**
   * Acts on a committed change here, and waits a little for those that were asked.
   *
   * @param committed when it was
   */
  Standing await(Asked asked, Instant committed) {
    var confirmed = new ArrayList<String>();
    var outstanding = new ArrayList<String>();
    (followedHere() ? confirmed : outstanding).add(name);
    long limit = System.nanoTime() + LONGEST_WAIT.toNanos();
    var others = lookAt(asked);
    while (others.stream().anyMatch(ReplicaRecord::isAsked) && System.nanoTime() - limit < 0) {
      try {
        Thread.sleep(LOOK);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        break;
      }
      others = lookAt(asked);
    }
    var binding = committed.plus(lease);
    for (var replica : others) {
      if (replica.isAsked()) {
        outstanding.add(replica.name());
        // It may go by another lease than this one.
        binding = later(binding, replica.until());
      } else {
        confirmed.add(replica.name());
      }
    }
    return new Standing(confirmed, outstanding, outstanding.isEmpty() ? clock.instant() : binding);
  }

  private static Instant later(Instant one, Instant other) {
    return one.isBefore(other) ? other : one;
  }

  private boolean followedHere() {
    try {
      follower.refresh();
      return true;
    } catch (RuntimeException e) {
      // The change stands: whatever it is, it must not look like a refusal.
      LOG.error("a change is committed and cannot be read back", e);
      return false;
    }
  }

  /** Without a look at the store after the change, nobody has answered. */
  private List<ReplicaRecord> lookAt(Asked asked) {
    var _ = followedHere();
    var now = follower.current().filter(state -> state.generation() >= asked.generation());
    if (now.isEmpty()) {
      return asked.replicas();
    }
    return asked.replicas().stream()
        .flatMap(replica -> answered(replica, now.get()).stream())
        .toList();
  }

  /**
   * A record that is gone is no answer while its lease lasts: it does not tell whether its gateway
   * ended, or was taken for dead by a clock that runs ahead. Later nothing is served by it.
   */
  private Optional<ReplicaRecord> answered(ReplicaRecord asked, Snapshot now) {
    return now.replicas().stream()
        .filter(replica -> replica.id().equals(asked.id()))
        .findFirst()
        .or(() -> Optional.of(asked).filter(gone -> gone.live(clock.instant())));
  }
}
