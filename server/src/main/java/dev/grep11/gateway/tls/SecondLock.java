package dev.grep11.gateway.tls;

import dev.grep11.gateway.certmgr.ClientCas;
import dev.grep11.gateway.certmgr.ClientCas.Registered;
import dev.grep11.gateway.trust.ClientChain;
import dev.grep11.gateway.trust.Verdict;
import io.netty.handler.ssl.ClientAuth;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The second lock of a port: whether the certificate that a connection showed opens an instance,
 * decided anew for every call from the registry of that moment.
 *
 * <p>Handshakes ask for certificates as the registry wants it, but nothing rests on that: one may
 * have begun under the registry before. A thread follows the registry and the time. It switches
 * what handshakes ask for and, on a port of one instance, closes connections that no longer open
 * it. On a port of several instances a connection stays open, because what one instance refuses
 * another may accept, and each of its calls is judged. Safe for use by several threads.
 */
public final class SecondLock implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(SecondLock.class);

  /** How late a connection whose certificate expires is closed; its calls end at once. */
  private static final Duration LOOK = Duration.ofSeconds(1);

  /** With poll of the store and look this keeps within the 5 s that are promised. */
  private static final Duration GRACE = Duration.ofSeconds(2);

  private static final Duration GRACE_OF_SEVERAL = Duration.ofMinutes(10);

  /** A client that insists costs no more judgements than this; a new registry counts at once. */
  private static final Duration REFUSAL_HOLDS = Duration.ofSeconds(1);

  private final ClientCas cas;
  private final Optional<UUID> ofListener;
  private final Connections connections;
  private final ServerTls tls;
  private final InstantSource clock;
  private final Semaphore changes = new Semaphore(0);
  private final Thread keeper;
  private ClientTrust asked = ClientTrust.NOT_ASKED;
  private boolean unswitched;
  private volatile boolean closed;

  private SecondLock(
      ClientCas cas,
      Optional<UUID> ofListener,
      Connections connections,
      ServerTls tls,
      InstantSource clock)
      throws IdentityException {
    this.cas = cas;
    this.ofListener = ofListener;
    this.connections = connections;
    this.tls = tls;
    this.clock = clock;
    // On the thread that found the change: who is told that it binds, finds handshakes that ask for
    // what it wants. Open connections are for the keeper.
    cas.onChange(() -> {
      switchHandshakes();
      changes.release();
    });
    synchronized (this) {
      askClients();
    }
    keeper = Thread.ofPlatform().daemon().name("second-lock").start(this::keep);
  }

  /**
   * Sets what the crypto port asks for, and keeps it so. On return no handshake asks for less than
   * the registry wants.
   *
   * @param ofListener the one instance of the port; empty when it serves all that there are
   * @param connections of the port
   * @param clock wall clock, by which certificates expire
   * @throws IdentityException when the TLS library does not take what the registry wants
   */
  public static SecondLock start(
      ClientCas cas,
      Optional<UUID> ofListener,
      Connections connections,
      ServerTls tls,
      InstantSource clock)
      throws IdentityException {
    return new SecondLock(cas, ofListener, connections, tls, clock);
  }

  /**
   * Why a connection does not open an instance now; empty when it does. Never blocks. One that was
   * not asked for a certificate, and needs one by now, is told to go away before it is refused, so
   * that what its client repeats comes by a new one.
   */
  public Optional<Refusal> refusal(UUID instance, Connection connection) {
    var registered = cas.of(instance);
    if (registered.isEmpty()) {
      return Optional.of(
          cas.instances().contains(instance) ? Refusal.UNCONFIRMED : Refusal.NO_INSTANCE);
    }
    if (!registered.get().locked()) {
      return Optional.empty();
    }
    if (connection.clientChain().isEmpty()) {
      if (connection.wasAsked()) {
        return Optional.of(Refusal.NO_CERTIFICATE);
      }
      // Where there are several instances, calls of others may run, and are judged by themselves.
      connection.close(ofListener.isPresent() ? GRACE : GRACE_OF_SEVERAL);
      return Optional.of(Refusal.NEVER_ASKED);
    }
    return switch (verdict(registered.get(), connection)) {
      case Verdict.Accepted _ -> Optional.empty();
      case Verdict.Refused refused -> Optional.of(Refusal.of(refused, connection.clientChain()));
    };
  }

  private Verdict verdict(Registered registered, Connection connection) {
    var now = clock.instant();
    var before = connection.judgement(registered.instance());
    if (before.isPresent() && before.get().holds(registered, now)) {
      return before.get().verdict();
    }
    var verdict = registered.anchors().judge(connection.judged(), now);
    var until =
        switch (verdict) {
          case Verdict.Accepted(_, var end) -> end;
          case Verdict.Refused _ -> now.plus(REFUSAL_HOLDS);
        };
    connection.remember(registered.instance(), new Judgement(registered, verdict, now, until));
    return verdict;
  }

  // ---- Handshakes

  private Set<UUID> instances() {
    return ofListener.map(Set::of).orElseGet(cas::instances);
  }

  /**
   * Ends a handshake only when no instance of the port would serve the connection: the instance of
   * a call is not known yet.
   */
  private Optional<Refusal> refusalOfHandshake(ClientChain chain) {
    var now = clock.instant();
    var refusal = Refusal.UNCONFIRMED;
    for (var instance : instances()) {
      var registered = cas.of(instance);
      if (registered.isEmpty()) {
        continue;
      }
      if (!registered.get().locked()) {
        return Optional.empty();
      }
      switch (registered.get().anchors().judge(chain, now)) {
        case Verdict.Accepted _ -> {
          return Optional.empty();
        }
        case Verdict.Refused refused -> {
          // Most instances have never heard of the client; the one that has knows more.
          if (refusal.equals(Refusal.UNCONFIRMED)
              || refused.reason() != Verdict.Reason.UNKNOWN_CA) {
            refusal = Refusal.of(refused, chain.shown());
          }
        }
      }
    }
    return Optional.of(refusal);
  }

  /** What the registry wants of handshakes. What was never read counts as locked. */
  private ClientTrust wanted() {
    var anchors = new ArrayList<X509Certificate>();
    boolean locked = false;
    for (var instance : instances()) {
      var registered = cas.last(instance);
      locked |= registered.isEmpty() || registered.get().locked();
      registered.ifPresent(known -> anchors.addAll(known.anchors().certificates()));
    }
    return locked
        ? new ClientTrust(
            ofListener.isPresent() ? ClientAuth.REQUIRE : ClientAuth.OPTIONAL,
            ClientTrust.named(anchors),
            this::refusalOfHandshake)
        : ClientTrust.NOT_ASKED;
  }

  private void askClients() throws IdentityException {
    var wanted = wanted();
    if (!wanted.asksAs(asked)) {
      tls.askClients(wanted);
      asked = wanted;
      LOG.info(
          "client certificates: {}, {} CA names in the request",
          wanted.ask(),
          wanted.named().size());
    }
  }

  // ---- Open connections

  private void keep() {
    while (!closed) {
      try {
        if (changes.tryAcquire(LOOK.toMillis(), TimeUnit.MILLISECONDS)) {
          changes.drainPermits();
        }
        switchHandshakes();
        closeRefused();
      } catch (InterruptedException e) {
        return;
      }
    }
  }

  private synchronized void switchHandshakes() {
    try {
      askClients();
      unswitched = false;
    } catch (IdentityException | RuntimeException e) {
      // Calls are judged without it; tried again at the next look.
      if (!unswitched) {
        unswitched = true;
        LOG.error("handshakes go on asking for what they asked for before", e);
      }
    }
  }

  private void closeRefused() {
    if (ofListener.isEmpty()) {
      return;
    }
    int refused = 0;
    for (var connection : connections.live()) {
      if (closeIfRefused(ofListener.get(), connection)) {
        refused++;
      }
    }
    if (refused > 0) {
      LOG.info("closing {} connections that no client CA vouches for", refused);
    }
  }

  private boolean closeIfRefused(UUID instance, Connection connection) {
    try {
      boolean wasOpen = !connection.isClosing();
      var refusal = refusal(instance, connection);
      if (refusal.isPresent()
          && switch (refusal.get().cause()) {
            case Refusal.Cause.Certificate _, Refusal.Cause.NeverAsked _ -> true;
            // The gateway itself is at a loss: its clients would all come back at once.
            case Refusal.Cause.Unconfirmed _, Refusal.Cause.NoInstance _ -> false;
          }) {
        connection.close(GRACE);
      }
      return wasOpen && connection.isClosing();
    } catch (RuntimeException e) {
      LOG.error("a connection could not be judged; its calls are refused", e);
      return false;
    }
  }

  /** Stops following; calls are judged as before. */
  @Override
  public void close() {
    closed = true;
    keeper.interrupt();
    try {
      keeper.join();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
