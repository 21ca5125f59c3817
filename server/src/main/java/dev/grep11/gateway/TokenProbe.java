package dev.grep11.gateway;

import dev.grep11.gateway.iam.TokenSigner;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import java.time.Duration;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Signs a little every few seconds, with a key that stays in the token: a session that answers says
 * less than a signature. One thread.
 */
final class TokenProbe implements AutoCloseable {
  static final Duration EVERY = Duration.ofSeconds(5);

  /** Two that are late or fail may be an overload. */
  private static final Duration RECENT = EVERY.multipliedBy(3);

  private static final byte[] SIGNED = new byte[32];
  private static final Logger LOG = LoggerFactory.getLogger(TokenProbe.class);

  private final TokenSigner signer;
  private final ScheduledExecutorService thread =
      Executors.newSingleThreadScheduledExecutor(
          task -> Thread.ofPlatform().name("token-probe").daemon().unstarted(task));
  private volatile long succeeded;
  private boolean failing;

  private TokenProbe(TokenSigner signer) {
    this.signer = signer;
    // It tried its key when it was made.
    succeeded = System.nanoTime();
  }

  static TokenProbe start(TokenSigner signer) {
    var probe = new TokenProbe(signer);
    var _ =
        probe.thread.scheduleWithFixedDelay(
            probe::sign, EVERY.toMillis(), EVERY.toMillis(), TimeUnit.MILLISECONDS);
    return probe;
  }

  private void sign() {
    try {
      var _ = signer.sign(SIGNED);
      succeeded = System.nanoTime();
      failing = false;
    } catch (Pkcs11Exception e) {
      if (!failing) {
        LOG.warn("the token does not sign: {}", e.getMessage());
      }
      failing = true;
    } catch (RuntimeException | Error e) {
      // Thrown on, it would be the last try.
      LOG.error("the token could not be tried", e);
    }
  }

  /** Since the last signature. */
  Duration age() {
    return Duration.ofNanos(System.nanoTime() - succeeded);
  }

  boolean succeededOfLate() {
    return age().compareTo(RECENT) < 0;
  }

  @Override
  public void close() {
    thread.shutdownNow();
  }
}
