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
 */
final class NameRules {
  private static final Set<Integer> UNDERSTOOD =
      Set.of(
          GeneralName.directoryName,
          GeneralName.dNSName,
          GeneralName.rfc822Name,
          GeneralName.uniformResourceIdentifier,
          GeneralName.iPAddress);

  /** Names times constraints, as in Go's crypto/x509: more is an attack, not a certificate. */
  private static final int MAX_COMPARISONS = 250_000;

  private final PKIXNameConstraintValidator validator = new PKIXNameConstraintValidator();
  private final Set<Integer> notUnderstood;
  private final int constraints;

  /**
   * @throws IllegalArgumentException if they use what RFC 5280 does not allow
   */
  NameRules(NameConstraints constraints) {
    var permitted = subtrees(constraints.getPermittedSubtrees());
    var excluded = subtrees(constraints.getExcludedSubtrees());
    this.constraints = permitted.size() + excluded.size();
    if (this.constraints == 0) {
      throw new IllegalArgumentException("its name constraints are empty");
    }
    notUnderstood =
        Stream.concat(permitted.stream(), excluded.stream())
            .map(subtree -> subtree.getBase().getTagNo())
            .filter(form -> !UNDERSTOOD.contains(form))
            .collect(Collectors.toUnmodifiableSet());
    var intersected =
        permitted.stream().filter(NameRules::understood).toArray(GeneralSubtree[]::new);
    if (intersected.length > 0) {
      validator.intersectPermittedSubtree(intersected);
    }
    excluded.stream().filter(NameRules::understood).forEach(validator::addExcludedSubtree);
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
    if ((long) (alternativeNames.size() + 1) * constraints > MAX_COMPARISONS) {
      return Optional.of("more names and name constraints than anybody compares");
    }
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
      validator.checkPermitted(name);
      validator.checkExcluded(name);
    }
  }
}
