package dev.grep11.gateway.trust;

import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import javax.security.auth.x500.X500Principal;

/** The client CAs of one instance, each a trust anchor by itself, intermediates too. Immutable. */
public final class TrustAnchors {
  private final List<X509Certificate> certificates;
  private final Revocations revocations;
  private final Map<X500Principal, List<PathCertificate>> bySubject = new HashMap<>();
  private final Set<String> fingerprints = new HashSet<>();

  private TrustAnchors(List<X509Certificate> certificates, Revocations revocations) {
    this.certificates = List.copyOf(certificates);
    this.revocations = revocations;
    var distinct = new LinkedHashMap<String, PathCertificate>();
    for (var certificate : this.certificates) {
      try {
        var anchor = PathCertificate.of(certificate);
        distinct.put(anchor.fingerprint(), anchor);
      } catch (RuntimeException e) {
        // It stays registered, so the lock stays closed; it vouches for nobody.
      }
    }
    for (var anchor : distinct.values()) {
      fingerprints.add(anchor.fingerprint());
      bySubject.computeIfAbsent(anchor.subject(), _ -> new ArrayList<>()).add(anchor);
    }
  }

  /** With nothing known of revocations. */
  public static TrustAnchors of(List<X509Certificate> certificates) {
    return new TrustAnchors(certificates, Revocations.NONE);
  }

  /**
   * With what is known of revocations.
   *
   * @param revocations as they are now; make another value when they change
   */
  public static TrustAnchors of(List<X509Certificate> certificates, Revocations revocations) {
    return new TrustAnchors(certificates, revocations);
  }

  /** Without any, nobody needs a certificate: that is for the caller to know. */
  public boolean isEmpty() {
    return certificates.isEmpty();
  }

  public List<X509Certificate> certificates() {
    return certificates;
  }

  /**
   * Judges a chain as a client sends it: leaf first, then whatever else, in any order.
   *
   * @param now at which everything on the path must be valid
   */
  public Verdict judge(List<X509Certificate> chain, Instant now) {
    return judge(ClientChain.of(chain), now);
  }

  /**
   * The same for a chain that may have been judged before, by these CAs or by others: signatures
   * that it remembers are not verified again. Costs microseconds when the CA that vouched for it is
   * still here or when no CA of that name is.
   */
  public Verdict judge(ClientChain chain, Instant now) {
    return new PathSearch(this, chain, now).run();
  }

  Revocations revocations() {
    return revocations;
  }

  List<PathCertificate> named(X500Principal subject) {
    return bySubject.getOrDefault(subject, List.of());
  }

  boolean isRegistered(PathCertificate certificate) {
    return fingerprints.contains(certificate.fingerprint());
  }

  /** Whether it is for the name and key of a registered CA, perhaps in another certificate. */
  boolean isParty(PathCertificate certificate) {
    return named(certificate.subject()).stream().anyMatch(certificate::isSameParty);
  }
}
