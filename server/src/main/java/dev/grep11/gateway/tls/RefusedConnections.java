package dev.grep11.gateway.tls;

import dev.grep11.gateway.audit.AuditEvent;
import dev.grep11.gateway.audit.AuditLog;
import dev.grep11.gateway.audit.AuditUnavailableException;
import dev.grep11.gateway.tls.RefusedConnection.Reason;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Connections that were closed because there were too many, as events of the audit log: {@value
 * #ACTION}. A port tells of the first at once and of those that follow once a minute, with their
 * number and the last of them: who floods a port must not fill the disk.
 */
public final class RefusedConnections implements AutoCloseable {
  /** Connections were closed to keep a limit. */
  public static final String ACTION = "grep11.connection.refused";

  private static final Logger LOG = LoggerFactory.getLogger(RefusedConnections.class);
  private static final Duration LOOK = Duration.ofSeconds(1);
  private static final Duration BETWEEN_EVENTS = Duration.ofMinutes(1);
  private static final int TOO_MANY_REQUESTS = 429;

  private final AuditLog log;
  private final Optional<UUID> instance;
  private final BiConsumer<String, Reason> counter;
  private final Map<String, Port> ports = new ConcurrentHashMap<>();
  private final Thread writer;
  private volatile boolean closed;

  /** What a port has not told of yet. */
  private record Untold(long number, RefusedConnection last) {}

  private static final class Port {
    private final AtomicReference<@Nullable Untold> untold = new AtomicReference<>();

    /** When it may tell again; of the writer. */
    private Instant next = Instant.MIN;
  }

  /**
   * Takes down what is refused from now on.
   *
   * @param instance that this gateway serves alone
   * @param counter told of every one at once, with the name of its port
   */
  public RefusedConnections(
      AuditLog log, Optional<UUID> instance, BiConsumer<String, Reason> counter) {
    this.log = log;
    this.instance = instance;
    this.counter = counter;
    writer = Thread.ofPlatform().daemon().name("connection-audit").start(this::write);
  }

  /** Where a port puts its own; never waits. */
  public Consumer<RefusedConnection> of(String port) {
    var own = ports.computeIfAbsent(port, _ -> new Port());
    return refused -> {
      counter.accept(port, refused.reason());
      own.untold.accumulateAndGet(
          new Untold(1, refused),
          (before, one) ->
              before == null || one == null
                  ? one
                  : new Untold(before.number() + one.number(), one.last()));
    };
  }

  private void write() {
    while (!closed) {
      try {
        Thread.sleep(LOOK);
      } catch (InterruptedException e) {
        // Only close() interrupts; what has gathered is still written.
        closed = true;
      }
      var now = Instant.now();
      ports.forEach((name, port) -> {
        if (closed || !now.isBefore(port.next)) {
          tell(name, port, now);
        }
      });
    }
  }

  private void tell(String name, Port port, Instant now) {
    var untold = port.untold.getAndSet(null);
    if (untold == null) {
      return;
    }
    try {
      log.record(event(name, untold, now));
      port.next = now.plus(BETWEEN_EVENTS);
    } catch (AuditUnavailableException e) {
      // A refusal releases nothing; it is told of when that is possible again.
      port.untold.accumulateAndGet(
          untold,
          (since, earlier) ->
              since == null || earlier == null
                  ? earlier
                  : new Untold(since.number() + earlier.number(), since.last()));
      LOG.warn("{} refused connections are not in the audit log yet", untold.number());
    }
  }

  private AuditEvent event(String port, Untold untold, Instant now) {
    var last = untold.last();
    return new AuditEvent(
        ACTION,
        now,
        AuditEvent.Outcome.FAILURE,
        AuditEvent.Reason.failure(
            TOO_MANY_REQUESTS,
            last.reason().word(),
            "%d connections to the port \"%s\" were closed, this one the last: %s"
                .formatted(untold.number(), port, text(last.reason()))),
        new AuditEvent.Initiator(
            "unknown",
            Optional.empty(),
            AuditEvent.Initiator.UNKNOWN,
            "none",
            last.remote() instanceof InetSocketAddress internet
                ? Optional.of(internet.getAddress().getHostAddress())
                : Optional.empty(),
            Optional.empty()),
        new AuditEvent.Target(
            instance.map(UUID::toString).orElse("unknown"), Optional.empty(), "hs-crypto/ep11"),
        // There is no call, so no id of one.
        UUID.randomUUID().toString(),
        new AuditEvent.RequestData("/", instance));
  }

  private static String text(Reason reason) {
    return switch (reason) {
      case CONNECTIONS -> "too many are open";
      case CONNECTIONS_OF_ADDRESS -> "too many of its address are open";
      case HANDSHAKES -> "too many handshakes were not finished, and it was the oldest";
      case HANDSHAKES_OF_ADDRESS ->
          "too many handshakes of its address were not finished, and it was the oldest";
      case RATE -> "too many come in a second";
      case RATE_OF_ADDRESS -> "too many of its address come in a second";
      case FRAMES -> "it sent more HTTP/2 frames than a client has a use for";
      case FRAMES_OF_ADDRESS ->
          "its address sent more resets, pings and other frames that do no work than one may";
      case REQUESTS_OF_ADDRESS -> "its address asked more often than anybody needs to";
      case UNREAD -> "it left its answers unread";
    };
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
