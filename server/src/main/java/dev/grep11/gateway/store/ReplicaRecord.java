package dev.grep11.gateway.store;

import java.time.Duration;
import java.time.Instant;
import java.util.Collections;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.UUID;

/**
 * What a running gateway says of itself, from time to time: which generations of sealing keys it
 * has shown to open. It refuses calls when it could not say so for as long as its lease.
 *
 * @param id of the process, drawn when it starts
 * @param name for people
 * @param seen when this was written; the epoch in a record that a command put in its place, until
 *     the gateway answers
 * @param until when its lease ends: a gateway that wrote nothing later serves nothing then
 * @param opens ids of the generations whose blobs it opens
 * @param rewrapsUnder ids of next generations under which it re-wraps blobs, because it has seen
 *     that every gateway opens them
 * @param seals ids of the generations that it seals under
 * @param rules what its operator decided; empty of a gateway from before this was said
 */
public record ReplicaRecord(
    UUID id,
    String name,
    Instant seen,
    Instant until,
    Set<String> opens,
    Set<String> rewrapsUnder,
    Set<String> seals,
    Optional<Rules> rules)
    implements Stored {
  /** For the time between the look at a clock and the write. */
  private static final Duration MARGIN = Duration.ofSeconds(1);

  /**
   * What should be the same in all gateways on a store.
   *
   * @param certificatesRequired whether the last client CA must stay
   * @param enrolment what a certificate administrator needs to register a first key
   */
  public record Rules(boolean certificatesRequired, String enrolment) {
    public Rules {
      Text.checked("enrolment", enrolment);
    }
  }

  public ReplicaRecord {
    Text.checked("replica name", name);
    if (until.isBefore(seen)) {
      throw new IllegalArgumentException("a lease that ends before it begins");
    }
    // Sorted, so that equal records have equal bytes.
    opens = Collections.unmodifiableSet(new TreeSet<>(opens));
    rewrapsUnder = Collections.unmodifiableSet(new TreeSet<>(rewrapsUnder));
    seals = Collections.unmodifiableSet(new TreeSet<>(seals));
  }

  /** Of a gateway that says nothing of its rules. */
  public ReplicaRecord(
      UUID id,
      String name,
      Instant seen,
      Instant until,
      Set<String> opens,
      Set<String> rewrapsUnder,
      Set<String> seals) {
    this(id, name, seen, until, opens, rewrapsUnder, seals, Optional.empty());
  }

  /** The same, asked to say all this again and to write what it used until then. */
  public ReplicaRecord asked() {
    return new ReplicaRecord(id, name, Instant.EPOCH, until, opens, rewrapsUnder, seals, rules);
  }

  /** Whether it was asked, and has not answered yet. */
  public boolean isAsked() {
    return seen.equals(Instant.EPOCH);
  }

  /** Whether it may be serving at this time. */
  public boolean live(Instant now) {
    return now.isBefore(until.plus(MARGIN));
  }
}
