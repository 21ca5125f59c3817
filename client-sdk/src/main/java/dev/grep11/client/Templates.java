package dev.grep11.client;

import static dev.grep11.client.Cka.CKA_CLASS;
import static dev.grep11.client.Cka.CKA_DECRYPT;
import static dev.grep11.client.Cka.CKA_DERIVE;
import static dev.grep11.client.Cka.CKA_EC_PARAMS;
import static dev.grep11.client.Cka.CKA_ENCRYPT;
import static dev.grep11.client.Cka.CKA_EXTRACTABLE;
import static dev.grep11.client.Cka.CKA_KEY_TYPE;
import static dev.grep11.client.Cka.CKA_MODULUS_BITS;
import static dev.grep11.client.Cka.CKA_PUBLIC_EXPONENT;
import static dev.grep11.client.Cka.CKA_SIGN;
import static dev.grep11.client.Cka.CKA_UNWRAP;
import static dev.grep11.client.Cka.CKA_VALUE_LEN;
import static dev.grep11.client.Cka.CKA_VERIFY;
import static dev.grep11.client.Cka.CKA_WRAP;
import static dev.grep11.client.Ckk.CKK_AES;
import static dev.grep11.client.Ckk.CKK_EC;
import static dev.grep11.client.Ckk.CKK_GENERIC_SECRET;
import static dev.grep11.client.Ckk.CKK_RSA;
import static dev.grep11.client.Cko.CKO_PRIVATE_KEY;
import static dev.grep11.client.Cko.CKO_SECRET_KEY;

/**
 * Ready-made templates, each for one purpose (NIST SP 800-57 part 1, 5.2).
 *
 * <p>Every usage is named, also those refused, since the service switches some on where a template
 * is silent. All keys are non-extractable; add {@code .with(CKA_EXTRACTABLE, true)} for one that
 * shall be wrapped.
 */
public final class Templates {
  private static final long F4 = 65537;

  /** An AES key that encrypts and decrypts; {@code bits} is 128, 192 or 256. */
  public static Template aes(int bits) {
    return secret(aesBytes(bits)).with(CKA_ENCRYPT, true).with(CKA_DECRYPT, true);
  }

  /** An AES key that wraps and unwraps others; {@code bits} is 128, 192 or 256. */
  public static Template aesWrapping(int bits) {
    return secret(aesBytes(bits)).with(CKA_WRAP, true).with(CKA_UNWRAP, true);
  }

  /** An AES key for {@link Mechanisms#aesCmac()}; {@code bits} is 128, 192 or 256. */
  public static Template aesMac(int bits) {
    return secret(aesBytes(bits)).with(CKA_SIGN, true).with(CKA_VERIFY, true);
  }

  /** A generic secret for HMAC. */
  public static Template hmac(int bytes) {
    return secret(bytes).with(CKA_SIGN, true).with(CKA_VERIFY, true);
  }

  /**
   * An AES key as the result of an unwrap, for encryption. Its length comes with the wrapped key.
   */
  public static Template unwrappedAes() {
    return usages()
        .with(CKA_CLASS, CKO_SECRET_KEY)
        .with(CKA_KEY_TYPE, CKK_AES)
        .with(CKA_ENCRYPT, true)
        .with(CKA_DECRYPT, true);
  }

  /** An AES key as the result of a derivation, for encryption. */
  public static Template derivedAes(int bits) {
    return unwrappedAes().with(CKA_VALUE_LEN, aesBytes(bits));
  }

  /** A generic secret as the result of a derivation, to derive further keys from. */
  public static Template derivedSecret(int bytes) {
    return usages()
        .with(CKA_CLASS, CKO_SECRET_KEY)
        .with(CKA_KEY_TYPE, CKK_GENERIC_SECRET)
        .with(CKA_VALUE_LEN, bytes)
        .with(CKA_DERIVE, true);
  }

  /** A signing EC key as the result of an unwrap of PKCS #8. */
  public static Template unwrappedEcPrivateKey() {
    return usages()
        .with(CKA_CLASS, CKO_PRIVATE_KEY)
        .with(CKA_KEY_TYPE, CKK_EC)
        .with(CKA_SIGN, true);
  }

  /** A signing RSA key as the result of an unwrap of PKCS #8. */
  public static Template unwrappedRsaPrivateKey() {
    return usages()
        .with(CKA_CLASS, CKO_PRIVATE_KEY)
        .with(CKA_KEY_TYPE, CKK_RSA)
        .with(CKA_SIGN, true);
  }

  /** An EC pair that signs and verifies. */
  public static KeyPairTemplate ecPair(Curve curve) {
    return ec(curve).withPrivate(CKA_SIGN, true).withPublic(CKA_VERIFY, true);
  }

  /** An EC pair for key agreement. */
  public static KeyPairTemplate ecdhPair(Curve curve) {
    return ec(curve).withPrivate(CKA_DERIVE, true);
  }

  /** An Edwards pair that signs and verifies. */
  public static KeyPairTemplate ed25519Pair() {
    return ecPair(Curve.ED25519);
  }

  /** An RSA pair that signs and verifies; public exponent 65537. */
  public static KeyPairTemplate rsaPair(int bits) {
    return rsa(bits).withPrivate(CKA_SIGN, true).withPublic(CKA_VERIFY, true);
  }

  /** An RSA pair that encrypts and decrypts; public exponent 65537. */
  public static KeyPairTemplate rsaEncryptionPair(int bits) {
    return rsa(bits).withPrivate(CKA_DECRYPT, true).withPublic(CKA_ENCRYPT, true);
  }

  /** An RSA pair that wraps and unwraps keys; public exponent 65537. */
  public static KeyPairTemplate rsaWrappingPair(int bits) {
    return rsa(bits).withPrivate(CKA_UNWRAP, true).withPublic(CKA_WRAP, true);
  }

  private static KeyPairTemplate ec(Curve curve) {
    return new KeyPairTemplate(
        Mechanisms.ecKeyPairGen(),
        publicUsages().with(CKA_EC_PARAMS, curve.parameters()),
        privateUsages());
  }

  private static KeyPairTemplate rsa(int bits) {
    return new KeyPairTemplate(
        Mechanisms.rsaKeyPairGen(),
        publicUsages().with(CKA_MODULUS_BITS, bits).with(CKA_PUBLIC_EXPONENT, F4),
        privateUsages());
  }

  private static Template secret(int bytes) {
    return usages().with(CKA_VALUE_LEN, bytes);
  }

  private static int aesBytes(int bits) {
    if (bits != 128 && bits != 192 && bits != 256) {
      throw new IllegalArgumentException("AES key of " + bits + " bits");
    }
    return bits / 8;
  }

  private static Template usages() {
    return Template.empty()
        .with(CKA_ENCRYPT, false)
        .with(CKA_DECRYPT, false)
        .with(CKA_SIGN, false)
        .with(CKA_VERIFY, false)
        .with(CKA_WRAP, false)
        .with(CKA_UNWRAP, false)
        .with(CKA_DERIVE, false)
        .with(CKA_EXTRACTABLE, false);
  }

  private static Template publicUsages() {
    return Template.empty().with(CKA_ENCRYPT, false).with(CKA_VERIFY, false).with(CKA_WRAP, false);
  }

  private static Template privateUsages() {
    return Template.empty()
        .with(CKA_DECRYPT, false)
        .with(CKA_SIGN, false)
        .with(CKA_UNWRAP, false)
        .with(CKA_DERIVE, false)
        .with(CKA_EXTRACTABLE, false);
  }

  private Templates() {}
}
