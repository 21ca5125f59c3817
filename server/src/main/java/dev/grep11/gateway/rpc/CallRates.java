package dev.grep11.gateway.rpc;

import com.github.benmanes.caffeine.cache.Caffeine;
import com.github.benmanes.caffeine.cache.LoadingCache;
import dev.grep11.gateway.operation.Requester;
import dev.grep11.gateway.pkcs11.OverloadedException;
import dev.grep11.gateway.tls.RateLimit;
import java.time.Duration;
import java.util.Optional;
import java.util.UUID;
import java.util.function.LongSupplier;

/**
 * How many calls a second a caller may make, and all callers of an instance together. Safe for use
 * by several threads.
 */
final class CallRates {
  /** No limit. */
  static final CallRates ANY = new CallRates(0, 0, System::nanoTime);

  /** After a pause, so much of it at once. */
  private static final int BURST_SECONDS = 2;

  /** As long as it takes to be full again, and more. */
  private static final Duration REMEMBERED = Duration.ofMinutes(1);

  private static final int MOST_REMEMBERED = 100_000;

  private final LongSupplier nanoClock;
  private final Optional<LoadingCache<Requester, RateLimit>> callers;
  private final Optional<LoadingCache<UUID, RateLimit>> instances;

  /**
   * @param perCaller of an instance; 0 for any number
   * @param perInstance 0 for any number
   */
  CallRates(int perCaller, int perInstance, LongSupplier nanoClock) {
    this.nanoClock = nanoClock;
    callers = limits(perCaller);
    instances = limits(perInstance);
  }

  private <K> Optional<LoadingCache<K, RateLimit>> limits(int perSecond) {
    return perSecond == 0
        ? Optional.empty()
        : Optional.of(
            Caffeine.newBuilder()
                .expireAfterAccess(REMEMBERED)
                .maximumSize(MOST_REMEMBERED)
                .build(_ -> new RateLimit(perSecond, BURST_SECONDS, nanoClock.getAsLong())));
  }

  /**
   * Takes one call of an admitted caller.
   *
   * @throws OverloadedException when there are too many
   */
  void spend(Requester by) {
    // The caller first: what is refused to him is not taken from the others of his instance.
    if (callers.isPresent() && !callers.get().get(by).take(nanoClock.getAsLong())) {
      throw new OverloadedException("too many calls of this caller in a second");
    }
    if (instances.isPresent() && !instances.get().get(by.instance()).take(nanoClock.getAsLong())) {
      throw new OverloadedException("too many calls to this instance in a second");
    }
  }
}
