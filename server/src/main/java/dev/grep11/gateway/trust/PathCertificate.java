package dev.grep11.gateway.trust;

import java.io.IOException;
import java.math.BigInteger;
import java.security.GeneralSecurityException;
import java.security.cert.CertificateEncodingException;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Collectors;
import javax.security.auth.x500.X500Principal;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.x509.AuthorityKeyIdentifier;
import org.bouncycastle.asn1.x509.BasicConstraints;
import org.bouncycastle.asn1.x509.Certificate;
import org.bouncycastle.asn1.x509.ExtendedKeyUsage;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.Extensions;
import org.bouncycastle.asn1.x509.GeneralName;
import org.bouncycastle.asn1.x509.GeneralNames;
import org.bouncycastle.asn1.x509.KeyPurposeId;
import org.bouncycastle.asn1.x509.KeyUsage;
import org.bouncycastle.asn1.x509.NameConstraints;
import org.bouncycastle.asn1.x509.SubjectKeyIdentifier;
import org.jspecify.annotations.Nullable;

/**
 * What a path needs to know of one certificate, read once and by one parser, whoever made the
 * object that carries it.
 */
final class PathCertificate {
  /** As much as an administrator may register; larger ones are no certificates of clients. */
  static final int MAX_BYTES = 16 * 1024;

  /** Each is compared with the constraints of every CA above it. */
  static final int MAX_ALTERNATIVE_NAMES = 128;

  private static final int VERSION_3 = 3;

  /** Those whose meaning is heeded here, so that they may be critical (RFC 5280, 4.2). */
  private static final Set<ASN1ObjectIdentifier> HEEDED =
      Set.of(
          Extension.basicConstraints,
          Extension.keyUsage,
          Extension.extendedKeyUsage,
          Extension.nameConstraints,
          // No name decides anything here; constraints are held against all of them.
          Extension.subjectAlternativeName,
          // Any policy is as good as any other: the any-policy of RFC 5280, 6.1.1. What would
          // demand one (policyConstraints, inhibitAnyPolicy, policyMappings) is not in this set.
          Extension.certificatePolicies);

  private static final Set<KeyPurposeId> FOR_CLIENTS =
      Set.of(KeyPurposeId.id_kp_clientAuth, KeyPurposeId.anyExtendedKeyUsage);

  private final X509Certificate certificate;
  private final String fingerprint;
  private final X500Principal subject;
  private final X500Principal issuer;
  private final BigInteger serial;
  private final Instant notBefore;
  private final Instant notAfter;
  private final SubjectKey key;
  private final Optional<SignatureScheme> scheme;
  private final boolean ca;
  private final @Nullable BigInteger pathLength;
  private final boolean purposeForClients;
  private final @Nullable KeyUsage keyUsage;
  private final List<GeneralName> alternativeNames;
  private final X500Name directoryName;
  private final Optional<NameRules> nameRules;
  private final Optional<String> notUnderstood;
  private final byte @Nullable [] keyIdentifier;
  private final byte @Nullable [] issuerKeyIdentifier;

  /**
   * @throws IllegalArgumentException saying why it is no X.509 certificate in DER
   */
  static PathCertificate of(X509Certificate certificate) {
    try {
      return new PathCertificate(certificate);
    } catch (CertificateEncodingException e) {
      throw new IllegalArgumentException("it cannot be encoded", e);
    }
  }

  private PathCertificate(X509Certificate certificate) throws CertificateEncodingException {
    var der = certificate.getEncoded();
    var structure = structure(der);
    var signed = structure.getTBSCertificate();
    this.certificate = certificate;
    fingerprint = Fingerprint.of(der);
    subject = principal(signed.getSubject());
    issuer = principal(signed.getIssuer());
    directoryName = signed.getSubject();
    serial = signed.getSerialNumber().getValue();
    notBefore = signed.getStartDate().getDate().toInstant();
    notAfter = signed.getEndDate().getDate().toInstant();
    key = SubjectKey.of(signed.getSubjectPublicKeyInfo());
    if (!signed.getSignature().equals(structure.getSignatureAlgorithm())) {
      // RFC 5280, 4.1.1.2
      throw new IllegalArgumentException("it names two different signature algorithms");
    }
    scheme = SignatureScheme.of(structure.getSignatureAlgorithm());

    var extensions = signed.getExtensions();
    if (extensions != null && signed.getVersionNumber() != VERSION_3) {
      throw new IllegalArgumentException("only X.509 v3 has extensions");
    }
    var constraints = value(extensions, Extension.basicConstraints, BasicConstraints::getInstance);
    ca = constraints != null && constraints.isCA();
    pathLength = ca && constraints != null ? constraints.getPathLenConstraint() : null;
    keyUsage = value(extensions, Extension.keyUsage, KeyUsage::getInstance);
    var purposes = value(extensions, Extension.extendedKeyUsage, ExtendedKeyUsage::getInstance);
    purposeForClients =
        purposes == null || Arrays.stream(purposes.getUsages()).anyMatch(FOR_CLIENTS::contains);
    var names = value(extensions, Extension.subjectAlternativeName, GeneralNames::getInstance);
    alternativeNames = names == null ? List.of() : List.of(names.getNames());
    if (alternativeNames.size() > MAX_ALTERNATIVE_NAMES) {
      throw new IllegalArgumentException(
          "it has "
              + alternativeNames.size()
              + " alternative names; at most "
              + MAX_ALTERNATIVE_NAMES
              + " allowed");
    }
    nameRules =
        Optional.ofNullable(
                value(extensions, Extension.nameConstraints, NameConstraints::getInstance))
            .map(NameRules::new);
    notUnderstood = firstNotUnderstood(extensions);
    var ownId =
        value(extensions, Extension.subjectKeyIdentifier, SubjectKeyIdentifier::getInstance);
    keyIdentifier = ownId == null ? null : ownId.getKeyIdentifier();
    var above =
        value(extensions, Extension.authorityKeyIdentifier, AuthorityKeyIdentifier::getInstance);
    issuerKeyIdentifier = above == null ? null : above.getKeyIdentifierOctets();
  }

  private static Certificate structure(byte[] der) {
    if (der.length > MAX_BYTES) {
      throw new IllegalArgumentException(
          "it has " + der.length + " bytes; at most " + MAX_BYTES + " allowed");
    }
    return Certificate.getInstance(Der.read(der));
  }

  private static X500Principal principal(X500Name name) {
    try {
      return new X500Principal(name.getEncoded());
    } catch (IOException e) {
      throw new IllegalArgumentException("a name in it cannot be read", e);
    }
  }

  private static <T> @Nullable T value(
      @Nullable Extensions extensions, ASN1ObjectIdentifier name, Function<Object, T> reader) {
    var extension = extensions == null ? null : extensions.getExtension(name);
    return extension == null ? null : reader.apply(Der.read(extension.getExtnValue().getOctets()));
  }

  private static Optional<String> firstNotUnderstood(@Nullable Extensions extensions) {
    return extensions == null
        ? Optional.empty()
        : Arrays.stream(extensions.getCriticalExtensionOIDs())
            .filter(oid -> !HEEDED.contains(oid))
            .map(ASN1ObjectIdentifier::getId)
            .findFirst();
  }

  X509Certificate certificate() {
    return certificate;
  }

  /** SHA-256 of the encoded certificate, in hex. */
  String fingerprint() {
    return fingerprint;
  }

  X500Principal subject() {
    return subject;
  }

  X500Principal issuer() {
    return issuer;
  }

  BigInteger serial() {
    return serial;
  }

  Instant notBefore() {
    return notBefore;
  }

  Instant notAfter() {
    return notAfter;
  }

  SubjectKey key() {
    return key;
  }

  boolean isCa() {
    return ca;
  }

  /** Issued by and for the same name, as when a CA changes its key (RFC 5280, 6.1). */
  boolean isSelfIssued() {
    return subject.equals(issuer);
  }

  /** The same party: a path that meets it twice went in a circle (RFC 4158, 2.4.2). */
  boolean isSameParty(PathCertificate other) {
    return key.id().equals(other.key.id()) && subject.equals(other.subject);
  }

  /** Whether the two say so themselves. It orders the search; only a signature decides. */
  boolean namesKeyOf(PathCertificate candidate) {
    return issuerKeyIdentifier != null
        && Arrays.equals(issuerKeyIdentifier, candidate.keyIdentifier);
  }

  /** Verifies the signature that this certificate carries; the costly part. */
  boolean isSignedBy(PathCertificate candidate) {
    try {
      var own = structure(certificate.getEncoded());
      return candidate.signed(
          own.getSignatureAlgorithm(),
          own.getTBSCertificate().getEncoded(),
          own.getSignature().getOctets());
    } catch (GeneralSecurityException | IOException e) {
      throw new IllegalStateException("it was encoded before", e);
    }
  }

  /** Whether its key may sign revocation lists (RFC 5280, 4.2.1.3), and is one to rely on. */
  boolean maySignRevocations() {
    return key.problem().isEmpty() && (keyUsage == null || keyUsage.hasUsages(KeyUsage.cRLSign));
  }

  /** Verifies what it signed besides certificates. */
  boolean signed(AlgorithmIdentifier algorithm, byte[] signed, byte[] signature) {
    var used = SignatureScheme.of(algorithm);
    if (used.isEmpty() || !used.get().keys().contains(key.kind())) {
      return false;
    }
    try {
      var info = structure(certificate.getEncoded()).getSubjectPublicKeyInfo();
      return used.get().verifies(signed, signature, key.publicKey(info));
    } catch (GeneralSecurityException | IllegalArgumentException e) {
      // A key or a signature that cannot even be tried has not verified.
      return false;
    }
  }

  /** What forbids it as a client's own certificate, whoever issued it. */
  Optional<Verdict.Refused> refusedAsLeaf(Instant now) {
    if (ca) {
      return refused(Verdict.Reason.CA_AS_LEAF, "is a CA's own, not a client's");
    }
    if (keyUsage != null
        && !keyUsage.hasUsages(KeyUsage.digitalSignature)
        && !keyUsage.hasUsages(KeyUsage.keyAgreement)) {
      return refused(Verdict.Reason.KEY_USAGE, "has a key usage without digitalSignature");
    }
    return refusedAnywhere(now).or(this::refusedSignature);
  }

  /** What forbids it as a CA of a path, whatever is below it. */
  Optional<Verdict.Refused> refusedAsIssuer(Instant now, boolean anchor) {
    if (!ca) {
      return refused(
          Verdict.Reason.NOT_A_CA, "is used as a CA and has no basic constraints with CA:TRUE");
    }
    if (keyUsage != null && !keyUsage.hasUsages(KeyUsage.keyCertSign)) {
      return refused(
          Verdict.Reason.KEY_USAGE, "is used as a CA and its key usage lacks keyCertSign");
    }
    var refused = refusedAnywhere(now);
    // Nobody relies on the signature under an anchor: it was trusted by being registered.
    return anchor ? refused : refused.or(this::refusedSignature);
  }

  private Optional<Verdict.Refused> refusedAnywhere(Instant now) {
    if (now.isBefore(notBefore)) {
      return refused(Verdict.Reason.NOT_YET_VALID, "is not valid before " + notBefore);
    }
    // At the very second RFC 5280 still calls it valid. Here a verdict ends at its `until`.
    if (!now.isBefore(notAfter)) {
      return refused(Verdict.Reason.EXPIRED, "expired " + notAfter);
    }
    if (!purposeForClients) {
      return refused(
          Verdict.Reason.NOT_FOR_CLIENTS, "has an extended key usage without clientAuth");
    }
    if (notUnderstood.isPresent()) {
      return refused(
          Verdict.Reason.CRITICAL_EXTENSION,
          "has the critical extension " + notUnderstood.get() + ", which is not understood here");
    }
    return key.problem().map(problem -> of(problem.reason(), problem.text()));
  }

  private Optional<Verdict.Refused> refusedSignature() {
    return scheme.isPresent()
        ? Optional.empty()
        : refused(
            Verdict.Reason.WEAK,
            "is signed with an algorithm that is not accepted, such as SHA-1; sign it with"
                + " SHA-256");
  }

  /**
   * @param intermediates how many certificates that are not self-issued lie between this CA and the
   *     leaf
   */
  Optional<Verdict.Refused> refusedPathLength(int intermediates) {
    return pathLength != null && pathLength.compareTo(BigInteger.valueOf(intermediates)) < 0
        ? refused(
            Verdict.Reason.PATH_TOO_LONG,
            "allows " + pathLength + " CAs below it, and the path has " + intermediates)
        : Optional.empty();
  }

  /** Its name constraints; empty if it has none. */
  Optional<NameRules> nameRules() {
    return nameRules;
  }

  /** Only for a certificate whose signature, and all above it, is known to be good. */
  Optional<Verdict.Refused> refusedNames(PathCertificate below) {
    return nameRules
        .flatMap(rules -> rules.violatedBy(below.directoryName, below.alternativeNames))
        .map(violation ->
            of(
                Verdict.Reason.NAME_CONSTRAINTS,
                "does not permit the names of " + below.name() + ": " + printable(violation)));
  }

  private Optional<Verdict.Refused> refused(Verdict.Reason reason, String what) {
    return Optional.of(of(reason, what));
  }

  Verdict.Refused of(Verdict.Reason reason, String what) {
    return new Verdict.Refused(reason, "certificate " + name() + " " + what);
  }

  /** The subject in quotes, fit for a log line. */
  String name() {
    var text = printable(subject.getName());
    return '"' + (text.isEmpty() ? "serial " + serial.toString(16) : text) + '"';
  }

  private static String printable(String text) {
    return text.codePoints()
        .limit(128)
        .mapToObj(c -> isPrintable(c) ? Character.toString(c) : "?")
        .collect(Collectors.joining());
  }

  /** Format characters show a reader another order or another name than is there (U+202E). */
  private static boolean isPrintable(int c) {
    return switch (Character.getType(c)) {
      case Character.CONTROL,
          Character.FORMAT,
          Character.LINE_SEPARATOR,
          Character.PARAGRAPH_SEPARATOR,
          Character.PRIVATE_USE,
          Character.SURROGATE,
          Character.UNASSIGNED ->
          false;
      default -> true;
    };
  }
}
