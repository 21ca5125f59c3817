package dev.grep11.jca;

import dev.grep11.client.Cka;
import dev.grep11.client.Curve;
import dev.grep11.client.Grep11Exception;
import dev.grep11.client.KeyPairTemplate;
import dev.grep11.client.PrivateKeyBlob;
import dev.grep11.client.Templates;
import java.io.IOException;
import java.math.BigInteger;
import java.security.AlgorithmParameters;
import java.security.InvalidAlgorithmParameterException;
import java.security.InvalidParameterException;
import java.security.KeyPair;
import java.security.KeyPairGeneratorSpi;
import java.security.NoSuchAlgorithmException;
import java.security.ProviderException;
import java.security.SecureRandom;
import java.security.spec.AlgorithmParameterSpec;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.InvalidParameterSpecException;
import java.security.spec.NamedParameterSpec;
import java.security.spec.RSAKeyGenParameterSpec;
import java.util.Arrays;

/**
 * Makes key pairs with the rights that JCA knows no words for: RSA signs and decrypts, EC signs and
 * agrees on keys, Ed25519 signs.
 */
final class KeyPairMaking extends KeyPairGeneratorSpi {
  private static final int RSA_BITS = 3072;

  enum Kind {
    RSA("RSA"),
    EC("EC"),
    EDDSA("EdDSA"),
    ED25519("Ed25519");

    private final String algorithm;

    Kind(String algorithm) {
      this.algorithm = algorithm;
    }

    String algorithm() {
      return algorithm;
    }
  }

  private final Grep11Provider provider;
  private final Kind kind;
  private KeyPairTemplate template;

  KeyPairMaking(Grep11Provider provider, Kind kind) {
    this.provider = provider;
    this.kind = kind;
    this.template =
        switch (kind) {
          case RSA -> rsa(RSA_BITS);
          case EC -> ec(Curve.P256);
          case EDDSA, ED25519 -> Templates.ed25519Pair();
        };
  }

  private static KeyPairTemplate rsa(int bits) {
    return Templates.rsaPair(bits)
        .withPrivate(Cka.CKA_DECRYPT, true)
        .withPublic(Cka.CKA_ENCRYPT, true);
  }

  private static KeyPairTemplate ec(Curve curve) {
    return Templates.ecPair(curve).withPrivate(Cka.CKA_DERIVE, true);
  }

  @Override
  public void initialize(int bits, SecureRandom random) {
    template =
        switch (kind) {
          case RSA -> rsa(bits);
          case EC ->
              ec(
                  switch (bits) {
                    case 224 -> Curve.P224;
                    case 256 -> Curve.P256;
                    case 384 -> Curve.P384;
                    case 521 -> Curve.P521;
                    default ->
                        throw new InvalidParameterException(
                            bits + " bits; name the curve by an ECGenParameterSpec");
                  });
          case EDDSA, ED25519 -> {
            if (bits != 255 && bits != 256) {
              throw new InvalidParameterException(bits + " bits; Ed25519 has 255");
            }
            yield Templates.ed25519Pair();
          }
        };
  }

  @Override
  public void initialize(AlgorithmParameterSpec parameters, SecureRandom random)
      throws InvalidAlgorithmParameterException {
    if (parameters instanceof KeyPairTemplateParameterSpec spec) {
      template = spec.template();
      return;
    }
    template =
        switch (kind) {
          case RSA -> {
            if (!(parameters instanceof RSAKeyGenParameterSpec spec)
                || !spec.getPublicExponent().equals(BigInteger.valueOf(65537))) {
              throw new InvalidAlgorithmParameterException(
                  "an RSAKeyGenParameterSpec with the exponent 65537 is expected, or a"
                      + " KeyPairTemplateParameterSpec");
            }
            yield rsa(spec.getKeysize());
          }
          case EC -> ec(curve(parameters));
          case EDDSA, ED25519 -> {
            if (!(parameters instanceof NamedParameterSpec spec)
                || !spec.getName().equalsIgnoreCase("Ed25519")) {
              throw new InvalidAlgorithmParameterException(
                  "NamedParameterSpec.ED25519 is expected");
            }
            yield Templates.ed25519Pair();
          }
        };
  }

  private static Curve curve(AlgorithmParameterSpec parameters)
      throws InvalidAlgorithmParameterException {
    if (!(parameters instanceof ECGenParameterSpec || parameters instanceof ECParameterSpec)) {
      throw new InvalidAlgorithmParameterException(
          "an ECGenParameterSpec or an ECParameterSpec is expected, or a"
              + " KeyPairTemplateParameterSpec");
    }
    try {
      var named = AlgorithmParameters.getInstance("EC");
      named.init(parameters);
      byte[] identifier = named.getEncoded();
      for (var curve : Curve.values()) {
        if (Arrays.equals(curve.parameters(), identifier)) {
          return curve;
        }
      }
      throw new InvalidAlgorithmParameterException(named + " is not offered");
    } catch (NoSuchAlgorithmException | InvalidParameterSpecException | IOException e) {
      throw new InvalidAlgorithmParameterException(
          "no provider here knows this curve: " + e.getMessage(), e);
    }
  }

  @Override
  public KeyPair generateKeyPair() {
    var reach = provider.current().reach();
    try {
      var made = reach.ask(client -> client.generateKeyPair(template));
      var publicKey =
          PublicKeys.of(made.publicKey())
              .orElseThrow(() ->
                  new ProviderException("no provider here knows the public half of this key"));
      var handle = KeyHandle.unsaved(reach, made.privateKey(), PrivateKeyBlob::new);
      return new KeyPair(
          publicKey,
          GatewayPrivateKey.of(handle, publicKey, kind.algorithm())
              .orElseThrow(() -> new ProviderException("a key of another kind was made")));
    } catch (Grep11Exception e) {
      throw new ProviderException(Remedy.of(e), e);
    }
  }
}
