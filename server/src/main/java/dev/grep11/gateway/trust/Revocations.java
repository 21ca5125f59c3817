package dev.grep11.gateway.trust;

import java.math.BigInteger;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import javax.security.auth.x500.X500Principal;

/** What is known of revoked certificates at one time. Immutable. */
public final class Revocations {
  /** Nothing is configured: nothing is revoked, and nothing can be out of date. */
  public static final Revocations NONE =
      new Revocations(DenyList.EMPTY, Map.of(), Optional.empty());

  /** A certificate by its issuer's name and its number. */
  record Numbered(X500Principal issuer, BigInteger serial) {}

  /**
   * Certificates that are refused whoever issued them.
   *
   * @param fingerprints SHA-256 of the certificates, in lower-case hex
   */
  record DenyList(Set<String> fingerprints, Set<Numbered> numbers) {
    static final DenyList EMPTY = new DenyList(Set.of(), Set.of());
  }

  /** A CA by name and key, whichever of its certificates a path holds. */
  record Authority(X500Principal subject, String keyId) {
    static Authority of(PathCertificate ca) {
      return new Authority(ca.subject(), ca.key().id());
    }
  }

  /** What the file of one CA's revocation list gave. */
  sealed interface RevocationList {
    /** A list that its CA signed. It holds from {@code thisUpdate} until {@code nextUpdate}. */
    record Known(String file, Instant thisUpdate, Instant nextUpdate, Set<BigInteger> serials)
        implements RevocationList {}

    /** None, and why. */
    record Unknown(String why) implements RevocationList {}
  }

  private final DenyList denied;
  private final Map<Authority, List<RevocationList>> lists;
  private final Optional<String> unreadable;

  /**
   * @param unreadable why it is not even known whom the configuration is about
   */
  Revocations(
      DenyList denied, Map<Authority, List<RevocationList>> lists, Optional<String> unreadable) {
    this.denied = denied;
    this.lists = Map.copyOf(lists);
    this.unreadable = unreadable;
  }

  /** What is wrong now, for the log and for {@code doctor}: file, cause and remedy. */
  public List<String> problems(Instant now) {
    var problems = new ArrayList<String>();
    unreadable.ifPresent(problems::add);
    lists.values().stream()
        .flatMap(List::stream)
        .forEach(list -> unknown(list, now).ifPresent(problems::add));
    return List.copyOf(problems);
  }

  /**
   * For how long all is known that is configured: zero while something is not, and clients are
   * refused for it; empty where no list is to be out of date.
   */
  public Optional<Duration> left(Instant now) {
    if (unreadable.isPresent()) {
      return Optional.of(Duration.ZERO);
    }
    return lists.values().stream()
        .flatMap(List::stream)
        .map(list -> left(list, now))
        .min(Duration::compareTo);
  }

  private static Duration left(RevocationList list, Instant now) {
    return list instanceof RevocationList.Known known && unknown(known, now).isEmpty()
        ? Duration.between(now, known.nextUpdate())
        : Duration.ZERO;
  }

  /** Whether the deny list names it. */
  Optional<Verdict.Refused> denied(PathCertificate certificate) {
    if (unreadable.isPresent()) {
      // For the client, who has no business with the gateway's files.
      return Optional.of(
          new Verdict.Refused(
              Verdict.Reason.REVOCATION_UNKNOWN,
              "revoked certificates are configured and cannot be read"));
    }
    return denied.fingerprints().contains(certificate.fingerprint())
            || denied.numbers().contains(new Numbered(certificate.issuer(), certificate.serial()))
        ? Optional.of(certificate.of(Verdict.Reason.REVOKED, "is on the deny list"))
        : Optional.empty();
  }

  /** Whether its issuer revoked it, or cannot say. */
  Optional<Verdict.Refused> refused(
      PathCertificate certificate, PathCertificate issuer, Instant now) {
    for (var list : lists.getOrDefault(Authority.of(issuer), List.of())) {
      if (unknown(list, now).isPresent()) {
        return Optional.of(
            issuer.of(
                Verdict.Reason.REVOCATION_UNKNOWN,
                "has a revocation list that is missing, unusable or out of date"));
      }
      if (list instanceof RevocationList.Known known
          && known.serials().contains(certificate.serial())) {
        return Optional.of(certificate.of(Verdict.Reason.REVOKED, "was revoked by its CA"));
      }
    }
    return Optional.empty();
  }

  private static Optional<String> unknown(RevocationList list, Instant now) {
    return switch (list) {
      case RevocationList.Unknown(var why) -> Optional.of(why);
      case RevocationList.Known known when now.isBefore(known.thisUpdate()) ->
          Optional.of(
              known.file() + " is of the future, " + known.thisUpdate() + "; check both clocks");
      case RevocationList.Known known when !now.isBefore(known.nextUpdate()) ->
          Optional.of(
              known.file()
                  + " is out of date since "
                  + known.nextUpdate()
                  + "; put the CA's current list there");
      case RevocationList.Known _ -> Optional.empty();
    };
  }

  /** When the issuer's list is due to be replaced; far away if it has none. */
  Instant knownUntil(PathCertificate issuer) {
    return lists.getOrDefault(Authority.of(issuer), List.of()).stream()
        .filter(RevocationList.Known.class::isInstance)
        .map(list -> ((RevocationList.Known) list).nextUpdate())
        .min(Instant::compareTo)
        .orElse(Instant.MAX);
  }
}
