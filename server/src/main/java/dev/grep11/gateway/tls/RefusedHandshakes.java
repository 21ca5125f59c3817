package dev.grep11.gateway.tls;

import dev.grep11.gateway.audit.AuditEvent;
import dev.grep11.gateway.audit.AuditLog;
import dev.grep11.gateway.audit.AuditUnavailableException;
import dev.grep11.gateway.tls.ChainJudge.RefusedChainException;
import java.net.InetSocketAddress;
import java.nio.channels.ClosedChannelException;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import javax.net.ssl.SSLException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Handshakes of the crypto port that ended because of the client's certificate, as events of the
 * audit log: {@code hs-crypto.ep11.connect}.
 *
 * <p>Event loops put them into a small queue, and a thread writes what has gathered twice a second.
 * What does not fit is counted and told as a number: who floods the port must not fill the disk.
 */
public final class RefusedHandshakes implements Consumer<FailedHandshake>, AutoCloseable {
  /** A TLS connection to the crypto port. */
  public static final String ACTION = "hs-crypto.ep11.connect";

  private static final Logger LOG = LoggerFactory.getLogger(RefusedHandshakes.class);

  /** What BoringSSL calls it when it refuses a client's certificate before, or after, our judge. */
  private static final List<String> BY_THE_LIBRARY =
      List.of(
          "KEY_USAGE_BIT_INCORRECT",
          "BAD_SIGNATURE",
          "MODULUS_TOO_LARGE",
          "WRONG_SIGNATURE_TYPE",
          "WRONG_CERTIFICATE_TYPE",
          "UNKNOWN_CERTIFICATE_TYPE",
          "CANNOT_PARSE_LEAF_CERT",
          "CERT_LENGTH_MISMATCH",
          "ECC_CERT_NOT_FOR_SIGNING",
          "PEER_ERROR_UNSUPPORTED_CERTIFICATE_TYPE");

  // Reasons of the second kind of refusal, and of failures.
  private static final String AFTER_A_CERTIFICATE = "handshake";
  private static final String OTHER = "other";

  private static final Duration GATHERING = Duration.ofMillis(500);
  private static final int EACH_TIME = 16;
  private static final int UNAUTHORIZED = 401;

  /** What became of a handshake that did not end well. */
  public enum Outcome {
    /** For the client's certificate, or for want of one. */
    REFUSED,
    /** For any other reason: an old version of TLS, a client that does not trust us, noise. */
    FAILED
  }

  private final AuditLog log;
  private final Optional<UUID> ofListener;
  private final BiConsumer<Outcome, String> counter;
  private final BlockingQueue<AuditEvent> gathered = new ArrayBlockingQueue<>(EACH_TIME);
  private final LongAdder more = new LongAdder();
  private final Thread writer;
  private volatile boolean closed;

  /**
   * Takes down what is refused from now on.
   *
   * @param ofListener the one instance of the port
   * @param counter told of every one at once, with the reason in one word
   */
  public RefusedHandshakes(
      AuditLog log, Optional<UUID> ofListener, BiConsumer<Outcome, String> counter) {
    this.log = log;
    this.ofListener = ofListener;
    this.counter = counter;
    writer = Thread.ofPlatform().daemon().name("handshake-audit").start(this::write);
  }

  /** Every reason that is counted, in one word, by the outcome that it belongs to. */
  public static Map<Outcome, Set<String>> reasons() {
    var refused = Refusal.words();
    refused.add(AFTER_A_CERTIFICATE);
    return Map.of(Outcome.REFUSED, refused, Outcome.FAILED, Set.of(OTHER));
  }

  /** Those that failed for other reasons are not recorded: nobody tried a door. */
  @Override
  public void accept(FailedHandshake failed) {
    var refused = cause(failed.cause(), RefusedChainException.class);
    if (refused != null) {
      add(failed, refused.chain(), refused.refusal().word(), refused.refusal().text());
    } else if (says(failed.cause(), "PEER_DID_NOT_RETURN_A_CERTIFICATE")) {
      add(failed, List.of(), Refusal.NO_CERTIFICATE.word(), Refusal.NO_CERTIFICATE.text());
    } else if (failed.cause() instanceof SSLException
        && cause(failed.cause(), ClosedChannelException.class) == null
        && (!failed.chain().isEmpty()
            || BY_THE_LIBRARY.stream().anyMatch(word -> says(failed.cause(), word)))) {
      add(
          failed,
          failed.chain(),
          AFTER_A_CERTIFICATE,
          "the handshake failed after a certificate was shown: %s; %s"
              .formatted(failed.cause().getMessage(), ShownCertificate.of(failed.chain())));
    } else {
      counter.accept(Outcome.FAILED, OTHER);
    }
  }

  private void add(FailedHandshake failed, List<X509Certificate> chain, String word, String text) {
    counter.accept(Outcome.REFUSED, word);
    var shown = ShownCertificate.of(chain);
    var initiator =
        new AuditEvent.Initiator(
            chain.isEmpty() ? "unknown" : shown.subject(),
            Optional.empty(),
            AuditEvent.Initiator.UNKNOWN,
            chain.isEmpty() ? "none" : "certificate",
            failed.remote() instanceof InetSocketAddress internet
                ? Optional.of(internet.getAddress().getHostAddress())
                : Optional.empty(),
            Optional.empty());
    if (!gathered.offer(event(initiator, word, text))) {
      more.increment();
    }
  }

  private AuditEvent event(AuditEvent.Initiator initiator, String word, String text) {
    return new AuditEvent(
        ACTION,
        Instant.now(),
        AuditEvent.Outcome.FAILURE,
        AuditEvent.Reason.failure(UNAUTHORIZED, word, text),
        initiator,
        new AuditEvent.Target(
            ofListener.map(UUID::toString).orElse("unknown"), Optional.empty(), "hs-crypto/ep11"),
        // There is no call, so no id of one.
        UUID.randomUUID().toString(),
        new AuditEvent.RequestData("/", ofListener));
  }

  private static <T extends Throwable> @Nullable T cause(Throwable thrown, Class<T> type) {
    for (Throwable at = thrown; at != null; at = at.getCause()) {
      if (type.isInstance(at)) {
        return type.cast(at);
      }
    }
    return null;
  }

  private static boolean says(Throwable thrown, String word) {
    for (Throwable at = thrown; at != null; at = at.getCause()) {
      if (at.getMessage() != null && at.getMessage().contains(word)) {
        return true;
      }
    }
    return false;
  }

  private void write() {
    while (!closed) {
      try {
        Thread.sleep(GATHERING);
      } catch (InterruptedException e) {
        // Only close() interrupts; what has gathered is still written.
        closed = true;
      }
      flush();
    }
  }

  private void flush() {
    for (var event = gathered.poll(); event != null; event = gathered.poll()) {
      record(event, 1);
    }
    long uncounted = more.sumThenReset();
    if (uncounted > 0) {
      record(
          event(
              new AuditEvent.Initiator(
                  "unknown",
                  Optional.empty(),
                  AuditEvent.Initiator.UNKNOWN,
                  "none",
                  Optional.empty(),
                  Optional.empty()),
              "many",
              "%d more handshakes were refused within %d ms"
                  .formatted(uncounted, GATHERING.toMillis())),
          uncounted);
    }
  }

  private void record(AuditEvent event, long handshakes) {
    try {
      log.record(event);
    } catch (AuditUnavailableException e) {
      // A refusal releases nothing; it is told of when that is possible again.
      more.add(handshakes);
      LOG.warn("{} refused handshakes are not in the audit log yet", handshakes);
    }
  }

  /** Writes what has gathered. */
  @Override
  public void close() {
    closed = true;
    writer.interrupt();
    try {
      writer.join();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
