package dev.grep11.gateway.trust;

import dev.grep11.gateway.trust.SubjectKey.Kind;
import java.security.GeneralSecurityException;
import java.security.PublicKey;
import java.security.Signature;
import java.security.spec.MGF1ParameterSpec;
import java.security.spec.PSSParameterSpec;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.bouncycastle.asn1.ASN1Encodable;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.DERNull;
import org.bouncycastle.asn1.edec.EdECObjectIdentifiers;
import org.bouncycastle.asn1.nist.NISTObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.RSASSAPSSparams;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.x9.X9ObjectIdentifiers;
import org.jspecify.annotations.Nullable;

/**
 * A signature algorithm that certificates and revocation lists may be signed with. What is not
 * listed here is not verified at all.
 */
record SignatureScheme(String name, Set<Kind> keys, Optional<PSSParameterSpec> pss) {
  private static final Map<ASN1ObjectIdentifier, SignatureScheme> LISTED =
      Map.of(
          PKCSObjectIdentifiers.sha256WithRSAEncryption, rsa("SHA256withRSA"),
          PKCSObjectIdentifiers.sha384WithRSAEncryption, rsa("SHA384withRSA"),
          PKCSObjectIdentifiers.sha512WithRSAEncryption, rsa("SHA512withRSA"),
          X9ObjectIdentifiers.ecdsa_with_SHA256, ecdsa("SHA256withECDSA"),
          X9ObjectIdentifiers.ecdsa_with_SHA384, ecdsa("SHA384withECDSA"),
          X9ObjectIdentifiers.ecdsa_with_SHA512, ecdsa("SHA512withECDSA"),
          EdECObjectIdentifiers.id_Ed25519, edwards("Ed25519", Kind.ED25519),
          EdECObjectIdentifiers.id_Ed448, edwards("Ed448", Kind.ED448));

  private static final Map<ASN1ObjectIdentifier, String> HASHES =
      Map.of(
          NISTObjectIdentifiers.id_sha256, "SHA-256",
          NISTObjectIdentifiers.id_sha384, "SHA-384",
          NISTObjectIdentifiers.id_sha512, "SHA-512");

  private static SignatureScheme rsa(String name) {
    return new SignatureScheme(name, Set.of(Kind.RSA), Optional.empty());
  }

  private static SignatureScheme ecdsa(String name) {
    return new SignatureScheme(name, Set.of(Kind.EC), Optional.empty());
  }

  private static SignatureScheme edwards(String name, Kind kind) {
    return new SignatureScheme(name, Set.of(kind), Optional.empty());
  }

  /** Empty if it is not on the list: SHA-1, MD5 and everything unknown. */
  static Optional<SignatureScheme> of(AlgorithmIdentifier algorithm) {
    var parameters = algorithm.getParameters();
    if (algorithm.getAlgorithm().equals(PKCSObjectIdentifiers.id_RSASSA_PSS)) {
      return pss(parameters);
    }
    var scheme = Optional.ofNullable(LISTED.get(algorithm.getAlgorithm()));
    // RFC 4055, 5: NULL with RSA, which some leave out. RFC 5758, 3.2 and RFC 8410, 3: absent.
    return scheme.filter(found ->
        parameters == null
            || (found.keys.contains(Kind.RSA) && DERNull.INSTANCE.equals(parameters)));
  }

  /** One hash for message and mask, none of them by default, which would be SHA-1. */
  private static Optional<SignatureScheme> pss(@Nullable ASN1Encodable parameters) {
    if (parameters == null) {
      return Optional.empty();
    }
    var given = RSASSAPSSparams.getInstance(parameters);
    var hash = HASHES.get(given.getHashAlgorithm().getAlgorithm());
    var mask = given.getMaskGenAlgorithm();
    if (hash == null
        || !mask.getAlgorithm().equals(PKCSObjectIdentifiers.id_mgf1)
        || !given
            .getHashAlgorithm()
            .getAlgorithm()
            .equals(AlgorithmIdentifier.getInstance(mask.getParameters()).getAlgorithm())
        || given.getTrailerField().intValueExact() != 1) {
      return Optional.empty();
    }
    int salt = given.getSaltLength().intValueExact();
    if (salt < 0 || salt > SubjectKey.MAX_MODULUS_BITS / 8) {
      return Optional.empty();
    }
    return Optional.of(
        new SignatureScheme(
            "RSASSA-PSS",
            Set.of(Kind.RSA, Kind.RSA_PSS),
            Optional.of(
                new PSSParameterSpec(
                    hash,
                    "MGF1",
                    new MGF1ParameterSpec(hash),
                    salt,
                    PSSParameterSpec.TRAILER_FIELD_BC))));
  }

  boolean verifies(byte[] signed, byte[] signature, PublicKey key) throws GeneralSecurityException {
    var verifier = Signature.getInstance(name);
    if (pss.isPresent()) {
      verifier.setParameter(pss.get());
    }
    verifier.initVerify(key);
    verifier.update(signed);
    return verifier.verify(signature);
  }
}
