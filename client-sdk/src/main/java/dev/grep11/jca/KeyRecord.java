package dev.grep11.jca;

import static dev.grep11.client.Cka.*;

import dev.grep11.agent.cryptoki.ObjectTemplates;
import dev.grep11.agent.store.Attributes;
import dev.grep11.client.Ckk;
import dev.grep11.client.Cko;
import dev.grep11.client.KeyBlob;
import dev.grep11.client.PrivateKeyBlob;
import dev.grep11.client.PublicKeyBlob;
import dev.grep11.client.Template;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.PublicKey;
import java.security.cert.CertificateEncodingException;
import java.security.cert.X509Certificate;
import java.security.interfaces.EdECPublicKey;
import java.security.interfaces.RSAPublicKey;
import java.util.Arrays;

/**
 * What a keystore records of an object that is made here, so that PKCS #11 applications find all
 * that they look for: the same attributes that the agent gives its own.
 */
final class KeyRecord {
  private static final long UNAVAILABLE = -1;

  /** Of a private key. */
  static Attributes ofPrivateKey(KeyHandle<PrivateKeyBlob> key, PublicKey half, Attributes named) {
    return ofKey(key, Cko.CKO_PRIVATE_KEY, named).with(half(half, false)).with(keyType(half));
  }

  static Attributes ofPublicKey(KeyHandle<PublicKeyBlob> key, PublicKey half, Attributes named) {
    return ofKey(key, Cko.CKO_PUBLIC_KEY, named).with(half(half, true)).with(keyType(half));
  }

  private static Attributes keyType(PublicKey half) {
    return half instanceof EdECPublicKey
        ? Attributes.empty().with(CKA_KEY_TYPE, ObjectTemplates.CKK_EC_EDWARDS)
        : Attributes.empty();
  }

  static Attributes ofSecretKey(KeyHandle<?> key, Attributes named) {
    var attributes = ofKey(key, Cko.CKO_SECRET_KEY, named);
    byte[] checkSum = key.blob().checkSum();
    return checkSum.length < 3
        ? attributes
        : attributes.with(CKA_CHECK_VALUE, Arrays.copyOf(checkSum, 3));
  }

  private static Attributes ofKey(KeyHandle<?> key, long objectClass, Attributes named) {
    var attributes =
        ObjectTemplates.withKeyDefaults(named, objectClass)
            .with(CKA_CLASS, objectClass)
            .with(CKA_KEY_GEN_MECHANISM, UNAVAILABLE)
            .with(flags(key, objectClass));
    return attributes.number(CKA_KEY_TYPE).orElse(UNAVAILABLE) == Ckk.CKK_GENERIC_SECRET
        ? attributes.with(CKA_VALUE_LEN, asked(key, CKA_VALUE_LEN).number(CKA_VALUE_LEN))
        : attributes;
  }

  /** What the HSM says of the key's rights. */
  private static Attributes flags(KeyHandle<?> key, long objectClass) {
    var types = ObjectTemplates.FLAGS.getOrDefault(objectClass, java.util.List.of());
    long[] asked = new long[types.size() + 1];
    for (int i = 0; i < types.size(); i++) {
      asked[i] = types.get(i);
    }
    asked[types.size()] = CKA_KEY_TYPE;
    var answer = asked(key, asked);
    var attributes = Attributes.empty().with(CKA_KEY_TYPE, answer.number(CKA_KEY_TYPE));
    for (long type : types) {
      attributes = attributes.with(type, answer.flag(type));
    }
    return attributes;
  }

  private static <K extends KeyBlob> Template asked(KeyHandle<K> key, long... types) {
    return key.use((client, blob) -> client.attributes(blob, types));
  }

  /**
   * What follows from the public half (PKCS #11 v2.40, 2.1.3 and 2.3.4).
   *
   * @param wholly of a public key; of a private one its curve or modulus alone
   */
  private static Attributes half(PublicKey key, boolean wholly) {
    var info = new PublicKeyBlob(key.getEncoded());
    var attributes = Attributes.empty().with(CKA_PUBLIC_KEY_INFO, info.subjectPublicKeyInfo());
    if (key instanceof RSAPublicKey rsa) {
      attributes =
          attributes
              .with(CKA_MODULUS, unsigned(rsa.getModulus()))
              .with(CKA_PUBLIC_EXPONENT, unsigned(rsa.getPublicExponent()));
      return wholly
          ? attributes.with(CKA_MODULUS_BITS, (long) rsa.getModulus().bitLength())
          : attributes;
    }
    attributes = attributes.with(CKA_EC_PARAMS, info.curveIdentifier());
    return wholly ? attributes.with(CKA_EC_POINT, info.point()) : attributes;
  }

  private static byte[] unsigned(BigInteger value) {
    byte[] signed = value.toByteArray();
    return signed[0] == 0 ? Arrays.copyOfRange(signed, 1, signed.length) : signed;
  }

  /** Of a certificate (PKCS #11 v2.40, 4.6.3). */
  static Attributes ofCertificate(X509Certificate certificate, boolean trusted, Attributes named)
      throws CertificateEncodingException {
    return named
        .with(CKA_CLASS, Cko.CKO_CERTIFICATE)
        .with(CKA_CERTIFICATE_TYPE, 0L)
        .with(CKA_CERTIFICATE_CATEGORY, 0L)
        .with(CKA_TRUSTED, trusted)
        .with(CKA_SUBJECT, certificate.getSubjectX500Principal().getEncoded())
        .with(CKA_ISSUER, certificate.getIssuerX500Principal().getEncoded())
        .with(CKA_SERIAL_NUMBER, serial(certificate))
        .with(CKA_VALUE, certificate.getEncoded());
  }

  /** DER of the INTEGER. */
  private static byte[] serial(X509Certificate certificate) throws CertificateEncodingException {
    byte[] value = certificate.getSerialNumber().toByteArray();
    // At most 20 octets by RFC 5280, 4.1.2.2; beyond 127 its length would take another form.
    if (value.length > 127) {
      throw new CertificateEncodingException("a serial number of " + value.length + " octets");
    }
    byte[] der = new byte[2 + value.length];
    der[0] = 0x02;
    der[1] = (byte) value.length;
    System.arraycopy(value, 0, der, 2, value.length);
    return der;
  }

  /** What every object here has: a name, a place, and an ID that ties a key to its certificate. */
  static Attributes named(String label, byte[] id, boolean isPrivate) {
    return ObjectTemplates.withDefaults(
        Attributes.empty()
            .with(CKA_LABEL, label.getBytes(StandardCharsets.UTF_8))
            .with(CKA_ID, id)
            .with(CKA_TOKEN, true)
            .with(CKA_PRIVATE, isPrivate),
        isPrivate);
  }

  /** The SHA-1 of the key's bits, as subject key identifiers mostly are (RFC 5280, 4.2.1.2). */
  static byte[] idOf(PublicKey key) {
    try {
      return MessageDigest.getInstance("SHA-1")
          .digest(new PublicKeyBlob(key.getEncoded()).subjectPublicKey());
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }

  private KeyRecord() {}
}
