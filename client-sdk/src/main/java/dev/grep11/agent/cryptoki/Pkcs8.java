package dev.grep11.agent.cryptoki;

import static dev.grep11.client.Cka.CKA_EC_PARAMS;
import static dev.grep11.client.Cka.CKA_KEY_TYPE;
import static dev.grep11.client.Cka.CKA_MODULUS;
import static dev.grep11.client.Cka.CKA_PUBLIC_EXPONENT;
import static dev.grep11.client.Cka.CKA_VALUE;
import static dev.grep11.client.Ckr.CKR_ATTRIBUTE_VALUE_INVALID;
import static dev.grep11.client.Ckr.CKR_TEMPLATE_INCOMPLETE;

import dev.grep11.agent.store.Attributes;
import dev.grep11.client.Ckk;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigInteger;
import org.bouncycastle.asn1.ASN1Encodable;
import org.bouncycastle.asn1.ASN1Encoding;
import org.bouncycastle.asn1.DERNull;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.asn1.pkcs.RSAPrivateKey;
import org.bouncycastle.asn1.sec.ECPrivateKey;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.x9.X9ObjectIdentifiers;

/** A private key as PKCS #8 (RFC 5958) of the attributes that an application creates it with. */
final class Pkcs8 {
  /**
   * @return the caller's to wipe
   * @throws Refusal when an attribute is missing or can be none of a key
   */
  static byte[] encoded(Attributes key) {
    long type =
        key.number(CKA_KEY_TYPE)
            .orElseThrow(() -> new Refusal(CKR_TEMPLATE_INCOMPLETE, "CKA_KEY_TYPE is missing"));
    if (type == Ckk.CKK_RSA) {
      return encoded(
          new AlgorithmIdentifier(PKCSObjectIdentifiers.rsaEncryption, DERNull.INSTANCE),
          new RSAPrivateKey(
              integer(key, CKA_MODULUS),
              integer(key, CKA_PUBLIC_EXPONENT),
              integer(key, ObjectTemplates.CKA_PRIVATE_EXPONENT),
              integer(key, ObjectTemplates.CKA_PRIME_1),
              integer(key, ObjectTemplates.CKA_PRIME_2),
              integer(key, ObjectTemplates.CKA_EXPONENT_1),
              integer(key, ObjectTemplates.CKA_EXPONENT_2),
              integer(key, ObjectTemplates.CKA_COEFFICIENT)));
    }
    if (type == Ckk.CKK_EC) {
      // RFC 5915 has the number in as many octets as the application has it in.
      int bits = 8 * SubjectPublicKey.required(key, CKA_VALUE).length;
      return encoded(
          new AlgorithmIdentifier(
              X9ObjectIdentifiers.id_ecPublicKey, SubjectPublicKey.parsed(key, CKA_EC_PARAMS)),
          new ECPrivateKey(bits, integer(key, CKA_VALUE)));
    }
    throw new Refusal(
        CKR_ATTRIBUTE_VALUE_INVALID, "private keys are imported for RSA and EC, not for this type");
  }

  private static byte[] encoded(AlgorithmIdentifier algorithm, ASN1Encodable key) {
    try {
      return new PrivateKeyInfo(algorithm, key).getEncoded(ASN1Encoding.DER);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static BigInteger integer(Attributes key, long type) {
    return new BigInteger(1, SubjectPublicKey.required(key, type));
  }

  private Pkcs8() {}
}
