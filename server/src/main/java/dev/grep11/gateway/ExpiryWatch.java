package dev.grep11.gateway;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.grep11.gateway.audit.AuditEvent;
import dev.grep11.gateway.audit.AuditUnavailableException;
import dev.grep11.gateway.certmgr.AdministrativeEvents;
import dev.grep11.gateway.certmgr.ClientCas;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.RegistryRecord;
import dev.grep11.gateway.store.Snapshot;
import dev.grep11.gateway.store.StoreFollower;
import dev.grep11.gateway.trust.Fingerprint;
import java.nio.file.Path;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Tells in the audit file and in the log when a registered client CA or the server's own chain has
 * come within 30, 7 and 1 days of its end, and when it has ended (seed row A14).
 *
 * <p>Nothing is kept for it: at the start it tells what stands, later what has become nearer since
 * the look before. So a restart tells again, and so does every replica in its own file; the {@code
 * id} of the event is made of what it says, and equal ones are the same event. One thread.
 */
final class ExpiryWatch implements AutoCloseable {
  static final String ACTION = "grep11.certificate.expiry";

  private static final Logger LOG = LoggerFactory.getLogger(ExpiryWatch.class);

  /** Nearest first; zero is the end itself. */
  private static final List<Duration> THRESHOLDS =
      List.of(Duration.ZERO, Duration.ofDays(1), Duration.ofDays(7), Duration.ofDays(30));

  private static final Duration LOOK = Duration.ofMinutes(1);

  private final StoreFollower follower;
  private final Optional<UUID> ofListener;
  private final Supplier<List<X509Certificate>> serverChain;
  private final Path serverFile;
  private final AdministrativeEvents events;
  private final InstantSource clock;
  private final ScheduledExecutorService watcher =
      Executors.newSingleThreadScheduledExecutor(
          task -> Thread.ofPlatform().name("expiry").daemon().unstarted(task));

  /** What was told of, and the nearest threshold that it was within then. */
  private final Map<Watched, Duration> told = new HashMap<>();

  /**
   * A certificate in its place: the same one registered anew is another.
   *
   * @param what for people
   * @param consequence of its end, and what to do before
   */
  private record Watched(
      String what,
      String consequence,
      String fingerprint,
      Instant ends,
      AuditEvent.Target target,
      AuditEvent.RequestData request,
      Instant since) {}

  /** Begun with {@link #start}; by itself it never looks. */
  ExpiryWatch(
      StoreFollower follower,
      Optional<UUID> ofListener,
      Supplier<List<X509Certificate>> serverChain,
      Path serverFile,
      AdministrativeEvents events,
      InstantSource clock) {
    this.follower = follower;
    this.ofListener = ofListener;
    this.serverChain = serverChain;
    this.serverFile = serverFile;
    this.events = events;
    this.clock = clock;
  }

  /**
   * Looks now and every minute.
   *
   * @param ofListener the one instance that is served; empty for all of the store
   * @param serverChain what the server shows at the moment
   * @param serverFile where that came from, for people
   */
  static ExpiryWatch start(
      StoreFollower follower,
      Optional<UUID> ofListener,
      Supplier<List<X509Certificate>> serverChain,
      Path serverFile,
      AdministrativeEvents events,
      InstantSource clock) {
    var watch = new ExpiryWatch(follower, ofListener, serverChain, serverFile, events, clock);
    var _ =
        watch.watcher.scheduleWithFixedDelay(
            watch::lookQuietly, 0, LOOK.toMillis(), TimeUnit.MILLISECONDS);
    return watch;
  }

  private void lookQuietly() {
    try {
      look();
    } catch (RuntimeException e) {
      LOG.error("it is not known which certificates expire soon", e);
    }
  }

  /** What cannot be looked at or told now is left to the next look. */
  void look() {
    var snapshot = follower.current();
    if (snapshot.isEmpty()) {
      return;
    }
    var now = clock.instant();
    var standing = new HashMap<Watched, Duration>();
    for (var each : watched(snapshot.get())) {
      THRESHOLDS.stream()
          .filter(threshold -> !now.isBefore(each.ends().minus(threshold)))
          .findFirst()
          .ifPresent(threshold -> standing.put(each, threshold));
    }
    told.keySet().retainAll(standing.keySet());
    for (var each : standing.entrySet()) {
      var before = told.get(each.getKey());
      boolean nearer = before == null || each.getValue().compareTo(before) < 0;
      if (!nearer || tell(each.getKey(), each.getValue(), now)) {
        told.put(each.getKey(), each.getValue());
      }
    }
  }

  private boolean tell(Watched watched, Duration threshold, Instant now) {
    var when = when(threshold);
    var text =
        "%s %s, %s; %s".formatted(watched.what(), when, watched.ends(), watched.consequence());
    try {
      if (events.available()) {
        events.record(event(watched, threshold, when, now));
        LOG.warn("{}", text);
        return true;
      }
      LOG.warn("{} (not in the audit log yet)", text);
    } catch (AuditUnavailableException e) {
      LOG.warn("{} (not in the audit log yet: {})", text, e.getMessage());
    }
    return false;
  }

  private static String when(Duration threshold) {
    if (threshold.isZero()) {
      return "has expired";
    }
    long days = threshold.toDays();
    return "expires within %d day%s".formatted(days, days == 1 ? "" : "s");
  }

  private static AuditEvent event(Watched watched, Duration threshold, String when, Instant now) {
    var id =
        String.join(
            "\n",
            ACTION,
            watched.target().id(),
            watched.request().accountId().orElse(""),
            watched.request().certificateId().orElse(""),
            watched.fingerprint(),
            watched.since().toString(),
            threshold.toString());
    return new AuditEvent(
        ACTION,
        now,
        AuditEvent.Outcome.SUCCESS,
        AuditEvent.Reason.OK,
        new AuditEvent.Initiator(
            "grep11-gateway",
            Optional.empty(),
            AuditEvent.Initiator.SERVICE,
            "none",
            Optional.empty(),
            Optional.empty()),
        watched.target(),
        UUID.randomUUID().toString(),
        watched.request(),
        Optional.of(
            new AuditEvent.ResponseData(
                when + ", " + watched.ends(), Optional.of(watched.consequence()))),
        Optional.of(UUID.nameUUIDFromBytes(id.getBytes(UTF_8))));
  }

  private List<Watched> watched(Snapshot snapshot) {
    var all = new ArrayList<Watched>();
    for (var certificate : serverChain.get()) {
      all.add(ofServer(certificate));
    }
    for (var registry : snapshot.registries()) {
      if (ofListener.isEmpty() || ofListener.get().equals(registry.instance())) {
        snapshot
            .instance(registry.instance())
            .ifPresent(instance ->
                registry
                    .entries()
                    .forEach(entry ->
                        parsed(entry).ifPresent(ca -> all.add(ofCa(instance, entry, ca)))));
      }
    }
    return all;
  }

  private Watched ofServer(X509Certificate certificate) {
    var name = certificate.getSubjectX500Principal().getName();
    return new Watched(
        "the server's certificate \"%s\" in %s".formatted(name, serverFile),
        "clients refuse to connect from then on: put a new pair in its place",
        Fingerprint.of(certificate),
        certificate.getNotAfter().toInstant(),
        new AuditEvent.Target(
            serverFile.toString(), Optional.of(name), "grep11/server-certificate"),
        new AuditEvent.RequestData("expiry", ofListener),
        certificate.getNotBefore().toInstant());
  }

  private static Watched ofCa(
      InstanceRecord instance, RegistryRecord.Entry entry, X509Certificate certificate) {
    return new Watched(
        "client CA \"%s\" of %s in instance %s"
            .formatted(entry.id(), entry.owner().id(), instance.id()),
        "its clients are refused from then on and the lock stays closed: register its successor, then delete it",
        Fingerprint.of(certificate),
        certificate.getNotAfter().toInstant(),
        new AuditEvent.Target(
            instance.crn(), Optional.of("mtlscert-cert"), "hs-crypto/mtlscert-cert"),
        new AuditEvent.RequestData("expiry", Optional.of(instance.id()))
            .withAccountId(entry.owner().id())
            .withCertificateId(entry.id()),
        entry.registered());
  }

  /** Empty for what is no certificate: that every call is refused then is told elsewhere. */
  private static Optional<X509Certificate> parsed(RegistryRecord.Entry entry) {
    try {
      return Optional.of(ClientCas.certificate(entry));
    } catch (CertificateException e) {
      return Optional.empty();
    }
  }

  @Override
  public void close() {
    watcher.shutdownNow();
  }
}
