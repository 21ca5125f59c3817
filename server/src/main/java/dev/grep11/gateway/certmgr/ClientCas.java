package dev.grep11.gateway.certmgr;

import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.RegistryRecord;
import dev.grep11.gateway.store.Snapshot;
import dev.grep11.gateway.store.StoreFollower;
import dev.grep11.gateway.trust.TrustAnchors;
import java.io.ByteArrayInputStream;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The client CAs of every instance, from verified state of the store held in memory. No question
 * waits or touches the database. Safe for use by several threads.
 */
public final class ClientCas {
  private static final Logger LOG = LoggerFactory.getLogger(ClientCas.class);

  private final StoreFollower follower;
  private final boolean required;
  private final Function<List<X509Certificate>, TrustAnchors> trust;
  private final List<Runnable> listeners = new CopyOnWriteArrayList<>();
  private volatile State state = new State(Set.of(), Map.of(), Map.of());

  /**
   * What is registered in an instance. Immutable, and the same object for as long as nothing that
   * it says has changed: a judgement may be remembered with it.
   *
   * @param generation of the registry record
   * @param required whether a certificate is needed although no CA is registered
   */
  public record Registered(UUID instance, long generation, boolean required, TrustAnchors anchors) {
    /** Whether a client needs a certificate here. */
    public boolean locked() {
      return required || !anchors.isEmpty();
    }
  }

  private record State(
      Set<UUID> instances, Map<UUID, RegistryRecord> records, Map<UUID, Registered> registered) {}

  private ClientCas(
      StoreFollower follower,
      boolean required,
      Function<List<X509Certificate>, TrustAnchors> trust) {
    this.follower = follower;
    this.required = required;
    this.trust = trust;
  }

  /**
   * Begins to follow the store.
   *
   * @param required the operator's {@code clientCertificates: required}: every instance is locked,
   *     also one without a CA
   * @param trust makes anchors of certificates, with the revocations that are configured
   */
  public static ClientCas follow(
      StoreFollower follower,
      boolean required,
      Function<List<X509Certificate>, TrustAnchors> trust) {
    var cas = new ClientCas(follower, required, trust);
    follower.onChange(cas::take);
    return cas;
  }

  /**
   * What is registered in an instance. Empty means refuse, never that no CA is registered: there is
   * no record, the store could not be confirmed within the lease or was tampered with, or a
   * certificate in it does not parse.
   */
  public Optional<Registered> of(UUID instance) {
    return follower.current().flatMap(_ -> last(instance));
  }

  /**
   * What was last verified, however long ago: to ask clients for certificates by, not to judge by.
   */
  public Optional<Registered> last(UUID instance) {
    return Optional.ofNullable(state.registered().get(instance));
  }

  /** Instances that the store last held, those included that {@link #of} knows nothing of. */
  public Set<UUID> instances() {
    return state.instances();
  }

  /**
   * Runs the listener after every change, on the thread that found it. It must not wait, and must
   * not throw.
   */
  public void onChange(Runnable listener) {
    listeners.add(listener);
  }

  /** Makes every set of anchors anew, because something that they were made with has changed. */
  public synchronized void renew() {
    var before = state;
    var registered = new HashMap<UUID, Registered>();
    before.records().values().forEach(record -> parse(record, registered));
    state = new State(before.instances(), before.records(), Map.copyOf(registered));
    listeners.forEach(Runnable::run);
  }

  private synchronized void take(Snapshot snapshot) {
    var before = state;
    var records =
        snapshot.registries().stream()
            .collect(Collectors.toUnmodifiableMap(RegistryRecord::instance, record -> record));
    var registered = new HashMap<UUID, Registered>();
    for (var record : records.values()) {
      var known = before.registered().get(record.instance());
      if (known != null && record.equals(before.records().get(record.instance()))) {
        registered.put(record.instance(), known);
      } else {
        parse(record, registered);
      }
    }
    var instances =
        snapshot.instances().stream()
            .map(InstanceRecord::id)
            .collect(Collectors.toUnmodifiableSet());
    state = new State(instances, records, Map.copyOf(registered));
    if (!records.equals(before.records()) || !instances.equals(before.instances())) {
      listeners.forEach(Runnable::run);
    }
  }

  /**
   * A client CA as it was registered.
   *
   * @throws CertificateException when the registry holds something else
   */
  public static X509Certificate certificate(RegistryRecord.Entry entry)
      throws CertificateException {
    return (X509Certificate)
        CertificateFactory.getInstance("X.509")
            .generateCertificate(new ByteArrayInputStream(entry.certificate()));
  }

  private void parse(RegistryRecord registry, Map<UUID, Registered> into) {
    try {
      var certificates = new ArrayList<X509Certificate>();
      for (var entry : registry.entries()) {
        certificates.add(certificate(entry));
      }
      into.put(
          registry.instance(),
          new Registered(
              registry.instance(), registry.generation(), required, trust.apply(certificates)));
    } catch (CertificateException | RuntimeException e) {
      // One that is left out might be the last one, and the lock would be off.
      LOG.error(
          "instance {}: a registered client CA cannot be read, every call is refused: {}; delete it"
              + " with the certificate manager",
          registry.instance(),
          e.getMessage());
    }
  }
}
