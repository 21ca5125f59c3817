package dev.grep11.gateway.trust;

import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;

/**
 * The search for one good path from a client's own certificate up to a registered one, depth first
 * and by the cheap checks before the dear ones.
 *
 * <p>It is short by its nature: a certificate leads from one party (name and key) to the one that
 * signed it, a path meets no party twice, and no step is taken whose signature did not verify. So
 * eight certificates make about a dozen paths at most, however they cross-sign each other.
 */
final class PathSearch {
  /**
   * In one judgement. It takes a hundred registered CAs of one name without key identifiers, as the
   * same answers at every prompt of {@code openssl req} make them, to get there.
   */
  private static final int MAX_SIGNATURES = 128;

  private final TrustAnchors anchors;
  private final ClientChain chain;
  private final Instant now;
  private final List<PathCertificate> path = new ArrayList<>();
  private int signaturesLeft = MAX_SIGNATURES;
  private int telling = -1;
  private Verdict.Refused mostTelling;

  PathSearch(TrustAnchors anchors, ClientChain chain, Instant now) {
    this.anchors = anchors;
    this.chain = chain;
    this.now = now;
    mostTelling = new Verdict.Refused(Verdict.Reason.UNKNOWN_CA, "no registered CA issued it");
  }

  Verdict run() {
    if (chain.problem().isPresent()) {
      return chain.problem().get();
    }
    var leaf = chain.certificates().getFirst();
    if (anchors.isParty(leaf)) {
      return leaf.of(Verdict.Reason.CA_AS_LEAF, "is a registered CA, not a client's");
    }
    // Every path starts here, so what is wrong with it decides.
    var refused =
        leaf.refusedAsLeaf(now)
            .or(() -> anchors.revocations().denied(leaf))
            .map(Verdict.class::cast);
    if (refused.isPresent()) {
      return refused.get();
    }
    path.add(leaf);
    return extend().map(Verdict.class::cast).orElse(mostTelling);
  }

  private Optional<Verdict.Accepted> extend() {
    var last = path.getLast();
    boolean found = false;
    for (var candidate : candidates(last)) {
      boolean anchor = anchors.isRegistered(candidate);
      found |= anchor;
      var refused = refusedCheaply(candidate, anchor);
      if (refused.isPresent()) {
        note(refused.get(), anchor);
        continue;
      }
      if (!isSigned(candidate, last)) {
        if (anchor) {
          note(
              last.of(
                  Verdict.Reason.UNKNOWN_CA,
                  "names a registered CA as its issuer, but that CA's key did not sign it"),
              true);
        }
        continue;
      }
      refused = anchors.revocations().refused(last, candidate, now);
      if (refused.isPresent()) {
        note(refused.get(), anchor);
        continue;
      }
      path.add(candidate);
      var accepted = anchor ? accept() : extend();
      if (accepted.isPresent()) {
        return accepted;
      }
      path.removeLast();
    }
    if (!found) {
      note(
          last.of(
              Verdict.Reason.UNKNOWN_CA,
              last.isSelfIssued() && path.size() == 1
                  ? "is signed by itself or by a CA of the same name that is not registered"
                  : "was issued by no registered CA, nor is its issuer among the certificates"
                      + " sent"),
          false);
    }
    return Optional.empty();
  }

  private Optional<Verdict.Refused> refusedCheaply(PathCertificate candidate, boolean anchor) {
    return candidate
        .refusedAsIssuer(now, anchor)
        .or(() -> anchors.revocations().denied(candidate))
        .or(() ->
            candidate.refusedPathLength(
                (int) path.stream().skip(1).filter(ca -> !ca.isSelfIssued()).count()));
  }

  /**
   * Names last, when all above them is known to be signed by a registered CA: only then do their
   * constraints come from somebody trusted to keep them few.
   */
  private Optional<Verdict.Accepted> accept() {
    var until = Instant.MAX;
    for (int i = 0; i < path.size(); i++) {
      var issuer = path.get(i);
      until = earlier(until, issuer.notAfter());
      if (i == 0) {
        continue;
      }
      until = earlier(until, anchors.revocations().knownUntil(issuer));
      for (int below = 0; below < i; below++) {
        // RFC 5280, 6.1.3 (b): not those a CA issued to itself, unless it is the last.
        if (below > 0 && path.get(below).isSelfIssued()) {
          continue;
        }
        var refused = issuer.refusedNames(path.get(below));
        if (refused.isPresent()) {
          note(refused.get(), true);
          return Optional.empty();
        }
      }
    }
    return Optional.of(new Verdict.Accepted(path.getLast().certificate(), until));
  }

  private static Instant earlier(Instant one, Instant other) {
    return one.isBefore(other) ? one : other;
  }

  /** Most promising first, so that a path found before is found again without a signature. */
  private List<PathCertificate> candidates(PathCertificate child) {
    var found = new ArrayList<>(anchors.named(child.issuer()));
    for (var sent : chain.certificates()) {
      if (sent.subject().equals(child.issuer())
          && found.stream().noneMatch(other -> other.fingerprint().equals(sent.fingerprint()))) {
        found.add(sent);
      }
    }
    found.removeIf(candidate -> path.stream().anyMatch(candidate::isSameParty));
    found.sort(Comparator.comparingInt(candidate -> doubt(candidate, child)));
    return found;
  }

  private int doubt(PathCertificate candidate, PathCertificate child) {
    var known = chain.isSigned(candidate, child);
    if (known.isPresent()) {
      return known.get() ? 0 : 3;
    }
    return child.namesKeyOf(candidate) ? 1 : 2;
  }

  private boolean isSigned(PathCertificate by, PathCertificate child) {
    var known = chain.isSigned(by, child);
    if (known.isPresent()) {
      return known.get();
    }
    return signaturesLeft-- > 0 && chain.verify(by, child);
  }

  /** A registered CA says more than one sent, a named fault more than a gap, a long path more. */
  private void note(Verdict.Refused refused, boolean anchor) {
    int weight =
        (refused.reason() == Verdict.Reason.UNKNOWN_CA ? 0 : 1000)
            + (anchor ? 100 : 0)
            + path.size();
    if (weight > telling) {
      telling = weight;
      mostTelling = refused;
    }
  }
}
