package dev.grep11.gateway.trust;

import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.bouncycastle.asn1.ASN1IA5String;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x500.style.BCStyle;
import org.bouncycastle.asn1.x509.GeneralName;
import org.bouncycastle.asn1.x509.GeneralSubtree;
import org.bouncycastle.asn1.x509.NameConstraintValidatorException;
import org.bouncycastle.asn1.x509.NameConstraints;
import org.bouncycastle.asn1.x509.PKIXNameConstraintValidator;
import org.jspecify.annotations.Nullable;

/**
 * The name constraints of one CA (RFC 5280, 4.2.1.10). A name that every CA of a path permits by
 * itself is one that their intersection permits, so each CA is asked alone.
 *
 * <p>Anybody can send a certificate that has some, so reading them costs no more than their bytes.
 * What compares names is built when it is first asked, for a CA whose signature was verified. Safe
 * for use by several threads.
 */
final class NameRules {
  private static final Set<Integer> UNDERSTOOD =
      Set.of(
          GeneralName.directoryName,
          GeneralName.dNSName,
          GeneralName.rfc822Name,
          GeneralName.uniformResourceIdentifier,
          GeneralName.iPAddress);

  /**
   * Permitted and excluded together. A real CA has a handful; Bouncy Castle takes time with the
   * square of their number.
   */
  static final int MAX_SUBTREES = 64;

  private final List<GeneralSubtree> permitted;
  private final List<GeneralSubtree> excluded;
  private final Set<Integer> notUnderstood;
  private volatile @Nullable PKIXNameConstraintValidator built;

  /**
   * @throws IllegalArgumentException if they use what RFC 5280 does not allow, or are too many
   */
  NameRules(NameConstraints constraints) {
    permitted = subtrees(constraints.getPermittedSubtrees());
    excluded = subtrees(constraints.getExcludedSubtrees());
    int count = permitted.size() + excluded.size();
    if (count == 0) {
      throw new IllegalArgumentException("its name constraints are empty");
    }
    if (count > MAX_SUBTREES) {
      throw new IllegalArgumentException(
          "it has " + count + " name constraints; at most " + MAX_SUBTREES + " allowed");
    }
    notUnderstood =
        Stream.concat(permitted.stream(), excluded.stream())
            .map(subtree -> subtree.getBase().getTagNo())
            .filter(form -> !UNDERSTOOD.contains(form))
            .collect(Collectors.toUnmodifiableSet());
  }

  /** Whether it was ever asked about a name. */
  boolean isBuilt() {
    return built != null;
  }

  /**
   * Gets ready to be asked.
   *
   * @throws RuntimeException of any kind, if a constraint is not of the form that it says
   */
  PKIXNameConstraintValidator build() {
    // Two threads may both build it; either is good.
    var ready = built;
    if (ready == null) {
      ready = new PKIXNameConstraintValidator();
      var intersected =
          permitted.stream().filter(NameRules::understood).toArray(GeneralSubtree[]::new);
      if (intersected.length > 0) {
        ready.intersectPermittedSubtree(intersected);
      }
      excluded.stream().filter(NameRules::understood).forEach(ready::addExcludedSubtree);
      built = ready;
    }
    return ready;
  }

  private static boolean understood(GeneralSubtree subtree) {
    return UNDERSTOOD.contains(subtree.getBase().getTagNo());
  }

  private static List<GeneralSubtree> subtrees(GeneralSubtree @Nullable [] given) {
    if (given == null) {
      return List.of();
    }
    for (var subtree : given) {
      if (subtree.getMinimum().signum() != 0 || subtree.getMaximum() != null) {
        throw new IllegalArgumentException("its name constraints count levels");
      }
    }
    return Arrays.asList(given);
  }

  /** What of a certificate below they do not permit, in words. */
  Optional<String> violatedBy(X500Name subject, List<GeneralName> alternativeNames) {
    try {
      if (subject.size() > 0) {
        check(new GeneralName(subject));
      }
      boolean hasEmail = false;
      for (var name : alternativeNames) {
        hasEmail |= name.getTagNo() == GeneralName.rfc822Name;
        check(name);
      }
      if (!hasEmail) {
        // RFC 5280, 4.2.1.10: then the subject's emailAddress is the name that is constrained.
        for (var part : subject.getRDNs(BCStyle.EmailAddress)) {
          for (var attribute : part.getTypesAndValues()) {
            if (attribute.getType().equals(BCStyle.EmailAddress)) {
              var address = ASN1IA5String.getInstance(attribute.getValue().toASN1Primitive());
              check(new GeneralName(GeneralName.rfc822Name, address.getString()));
            }
          }
        }
      }
      return Optional.empty();
    } catch (NameConstraintValidatorException e) {
      return Optional.of(String.valueOf(e.getMessage()));
    } catch (RuntimeException e) {
      return Optional.of("a name that cannot be compared with the constraints");
    }
  }

  private void check(GeneralName name) throws NameConstraintValidatorException {
    if (notUnderstood.contains(name.getTagNo())) {
      throw new NameConstraintValidatorException(
          "a name of a form that is constrained and not understood here");
    }
    if (UNDERSTOOD.contains(name.getTagNo())) {
      build().checkPermitted(name);
      build().checkExcluded(name);
    }
  }
}
