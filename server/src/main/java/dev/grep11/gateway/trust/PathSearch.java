package dev.grep11.gateway.trust;

import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The search for one good path between a registered certificate and the client's own.
 *
 * <p>What the client sent is looked at twice. First upwards from its own certificate, by names
 * alone: that finds the certificates that may matter and costs nothing. Then downwards from the
 * registered ones, by signatures, so that a key is used only when a registered CA, or one that it
 * vouches for, certified it: what strangers bring is never computed with.
 *
 * <p>The second part is short by its nature. A certificate leads from one party (name and key) to
 * the one it is for, a path meets no party twice, and no step is taken whose signature did not
 * verify. So eight certificates make about a dozen paths at most, however they cross-sign each
 * other.
 */
final class PathSearch {
  /**
   * Spent on signatures that did not verify, counted as {@link SubjectKey#work} does: 128 by the
   * usual keys or 8 by the dearest. Those that verify cost nothing, as each certificate has but one
   * such. It takes many registered CAs of one name, and certificates that do not say which of their
   * keys signed, as the same answers at every prompt of {@code openssl req} make them, to get
   * there.
   */
  private static final int MAX_WASTED = 128;

  private final TrustAnchors anchors;
  private final ClientChain chain;
  private final Instant now;

  /** What names lead to from the leaf, the leaf first, with the number of steps. */
  private final Map<PathCertificate, Integer> within = new LinkedHashMap<>();

  /** From the registered certificate down. */
  private final ArrayDeque<PathCertificate> path = new ArrayDeque<>();

  private int wasteLeft = MAX_WASTED;
  private int telling = -1;
  private Verdict.Refused mostTelling;

  /** That one certificate may have been issued by the other. */
  private record Step(PathCertificate issuer, PathCertificate issued) {}

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
    // Every path ends here, so what is wrong with it decides.
    var refused =
        leaf.refusedAsLeaf(now)
            .or(() -> anchors.revocations().denied(leaf))
            .map(Verdict.class::cast);
    if (refused.isPresent()) {
      return refused.get();
    }
    var tops = followNames(leaf);
    tops.sort(Comparator.comparingInt(this::doubt));
    for (var top : tops) {
      path.addLast(top.issuer());
      var accepted = descend(top);
      path.removeLast();
      if (accepted.isPresent()) {
        return accepted.get();
      }
    }
    return mostTelling;
  }

  // ---- Upwards, by names

  /** Finds what may matter, and returns the steps from registered certificates into it. */
  private List<Step> followNames(PathCertificate leaf) {
    var tops = new ArrayList<Step>();
    var ahead = new ArrayDeque<PathCertificate>();
    within.put(leaf, 1);
    ahead.add(leaf);
    while (!ahead.isEmpty()) {
      var issued = ahead.remove();
      int depth = within.getOrDefault(issued, 0);
      boolean named = false;
      for (var anchor : anchors.named(issued.issuer())) {
        if (!anchor.isSameParty(issued)) {
          named = true;
          if (isUsable(anchor, true, depth)) {
            tops.add(new Step(anchor, issued));
          }
        }
      }
      for (var sent : chain.certificates()) {
        if (sent.subject().equals(issued.issuer())
            && !isKnown(sent)
            && !anchors.isRegistered(sent)
            && isUsable(sent, false, depth)) {
          within.put(sent, depth + 1);
          ahead.add(sent);
        }
      }
      if (!named) {
        noteGap(issued, depth);
      }
    }
    return tops;
  }

  private boolean isKnown(PathCertificate sent) {
    return within.keySet().stream()
        .anyMatch(known -> known.fingerprint().equals(sent.fingerprint()));
  }

  private boolean isUsable(PathCertificate issuer, boolean anchor, int depth) {
    var refused =
        issuer.refusedAsIssuer(now, anchor).or(() -> anchors.revocations().denied(issuer));
    refused.ifPresent(why -> note(why, anchor, depth));
    return refused.isEmpty();
  }

  private void noteGap(PathCertificate issued, int depth) {
    note(
        issued.of(
            Verdict.Reason.UNKNOWN_CA,
            issued.isSelfIssued() && depth == 1
                ? "is signed by itself or by a CA of the same name that is not registered"
                : "was issued by no registered CA, nor is its issuer among the certificates sent"),
        false,
        depth);
  }

  // ---- Downwards, by signatures

  private Optional<Verdict.Accepted> descend(Step step) {
    var issued = step.issued();
    boolean anchor = path.size() == 1;
    int depth = within.getOrDefault(issued, 0);
    if (path.stream().anyMatch(issued::isSameParty)) {
      return Optional.empty();
    }
    if (!isSigned(step)) {
      if (anchor) {
        note(
            issued.of(
                Verdict.Reason.UNKNOWN_CA,
                "names a registered CA as its issuer, but that CA's key did not sign it"),
            true,
            depth);
      }
      return Optional.empty();
    }
    var revoked = anchors.revocations().refused(issued, step.issuer(), now);
    if (revoked.isPresent()) {
      note(revoked.get(), anchor, depth);
      return Optional.empty();
    }
    path.addLast(issued);
    var accepted = depth == 1 ? accept() : below(issued);
    path.removeLast();
    return accepted;
  }

  private Optional<Verdict.Accepted> below(PathCertificate issuer) {
    var steps =
        within.keySet().stream()
            .filter(issued -> issued.issuer().equals(issuer.subject()))
            .map(issued -> new Step(issuer, issued))
            .sorted(Comparator.comparingInt(this::doubt))
            .toList();
    for (var step : steps) {
      var accepted = descend(step);
      if (accepted.isPresent()) {
        return accepted;
      }
    }
    return Optional.empty();
  }

  /**
   * Most promising first, so that a path found before is found again without a signature, and that
   * the registered CA which a certificate says signed it is tried before others of its name.
   */
  private int doubt(Step step) {
    var known = chain.isSigned(step.issuer(), step.issued());
    if (known.isPresent()) {
      return known.get() ? 0 : 3;
    }
    return step.issued().namesKeyOf(step.issuer()) ? 1 : 2;
  }

  private boolean isSigned(Step step) {
    var known = chain.isSigned(step.issuer(), step.issued());
    if (known.isPresent()) {
      return known.get();
    }
    int work = step.issuer().key().work();
    if (work > wasteLeft) {
      return false;
    }
    boolean signed = chain.verify(step.issuer(), step.issued());
    if (!signed) {
      wasteLeft -= work;
    }
    return signed;
  }

  /**
   * What depends on the whole path. Name constraints last, when all above them is known to be
   * signed by a registered CA: only then do they come from somebody who is trusted with them.
   */
  private Optional<Verdict.Accepted> accept() {
    var upwards = List.copyOf(path.reversed());
    var anchor = upwards.getLast();
    var until = upwards.getFirst().notAfter();
    for (int i = 1; i < upwards.size(); i++) {
      var issuer = upwards.get(i);
      until = earlier(until, issuer.notAfter());
      until = earlier(until, anchors.revocations().knownUntil(issuer));
      var refused =
          issuer
              .refusedPathLength(
                  (int) upwards.subList(1, i).stream().filter(ca -> !ca.isSelfIssued()).count())
              .or(() -> refusedNames(issuer, upwards));
      if (refused.isPresent()) {
        note(refused.get(), issuer == anchor, i);
        return Optional.empty();
      }
    }
    return Optional.of(new Verdict.Accepted(anchor.certificate(), until));
  }

  private static Optional<Verdict.Refused> refusedNames(
      PathCertificate issuer, List<PathCertificate> upwards) {
    var leaf = upwards.getFirst();
    return upwards.stream()
        .takeWhile(below -> below != issuer)
        // RFC 5280, 6.1.3 (b): not those a CA issued to itself, unless it is the last.
        .filter(below -> below == leaf || !below.isSelfIssued())
        .map(issuer::refusedNames)
        .flatMap(Optional::stream)
        .findFirst();
  }

  private static Instant earlier(Instant one, Instant other) {
    return one.isBefore(other) ? one : other;
  }

  /**
   * A registered CA says more than one sent, a named fault more than a gap, a long path more.
   *
   * @param depth steps from the leaf to what was looked at
   */
  private void note(Verdict.Refused refused, boolean anchor, int depth) {
    int weight =
        (refused.reason() == Verdict.Reason.UNKNOWN_CA ? 0 : 1000) + (anchor ? 100 : 0) + depth;
    if (weight > telling) {
      telling = weight;
      mostTelling = refused;
    }
  }
}
