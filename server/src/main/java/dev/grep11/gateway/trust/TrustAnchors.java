package dev.grep11.gateway.trust;

import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.List;

/** The client CAs of one instance, each a trust anchor by itself, intermediates too. Immutable. */
public final class TrustAnchors {
  private final List<X509Certificate> certificates;

  private TrustAnchors(List<X509Certificate> certificates) {
    this.certificates = List.copyOf(certificates);
  }

  public static TrustAnchors of(List<X509Certificate> certificates) {
    return new TrustAnchors(certificates);
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
    return new Verdict.Refused(Verdict.Reason.UNKNOWN_CA, "no path is built yet");
  }
}
