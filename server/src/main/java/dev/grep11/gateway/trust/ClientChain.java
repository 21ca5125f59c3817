package dev.grep11.gateway.trust;

import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;

/**
 * The certificates that one client showed, with what has been found out about their signatures.
 *
 * <p>A connection keeps one and has it judged whenever the registered CAs or the time change. No
 * signature is verified twice, whichever set of CAs it is judged by, and a chain whose CA is still
 * registered needs none. Safe for use by several threads.
 */
public final class ClientChain {
  /** More than any real chain; each one more is work that a stranger can cause (rules 5.3). */
  public static final int MAX_CERTIFICATES = 8;

  /** That the certificate with this fingerprint was tried under the key with this id. */
  private record Link(String fingerprint, String keyId) {}

  private final List<X509Certificate> shown;
  private final List<PathCertificate> certificates;
  private final Optional<Verdict.Refused> problem;
  private final Map<Link, Boolean> signatures = new ConcurrentHashMap<>(4);

  private ClientChain(
      List<X509Certificate> shown,
      List<PathCertificate> certificates,
      Optional<Verdict.Refused> problem) {
    this.shown = List.copyOf(shown);
    this.certificates = List.copyOf(certificates);
    this.problem = problem;
  }

  /**
   * As the client sent them: its own first, the others in any order. Certificates that cannot be
   * read make a chain that is always refused; none at all makes one that is refused wherever a
   * certificate is needed.
   */
  public static ClientChain of(List<X509Certificate> sent) {
    if (sent.isEmpty()) {
      return unusable(sent, Verdict.Reason.NO_CERTIFICATE, "the client showed no certificate");
    }
    if (sent.size() > MAX_CERTIFICATES) {
      return unusable(
          sent,
          Verdict.Reason.MALFORMED,
          "the client sent " + sent.size() + " certificates; at most 8 are looked at");
    }
    var read = new ArrayList<PathCertificate>();
    for (var certificate : sent) {
      try {
        read.add(PathCertificate.of(certificate));
      } catch (RuntimeException e) {
        // Parsers say by many exceptions that they were given something else.
        return unusable(
            sent,
            Verdict.Reason.MALFORMED,
            "certificate "
                + (read.size() + 1)
                + " of the client cannot be read: "
                + e.getMessage());
      }
    }
    return new ClientChain(sent, read, Optional.empty());
  }

  private static ClientChain unusable(
      List<X509Certificate> sent, Verdict.Reason reason, String text) {
    return new ClientChain(sent, List.of(), Optional.of(new Verdict.Refused(reason, text)));
  }

  /** As it was sent, whatever can be made of it. */
  public List<X509Certificate> shown() {
    return shown;
  }

  Optional<Verdict.Refused> problem() {
    return problem;
  }

  List<PathCertificate> certificates() {
    return certificates;
  }

  /** What is known of a signature; empty if it was never verified. */
  Optional<Boolean> isSigned(PathCertificate by, PathCertificate child) {
    return Optional.ofNullable(signatures.get(new Link(child.fingerprint(), by.key().id())));
  }

  boolean verify(PathCertificate by, PathCertificate child) {
    boolean signed = child.isSignedBy(by);
    signatures.put(new Link(child.fingerprint(), by.key().id()), signed);
    return signed;
  }

  /** How many signatures were verified for this chain so far. */
  int verified() {
    return signatures.size();
  }
}
