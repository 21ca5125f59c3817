package dev.grep11.gateway.token;

import static dev.grep11.gateway.pkcs11.Cka.CKA_ALWAYS_SENSITIVE;
import static dev.grep11.gateway.pkcs11.Cka.CKA_EC_POINT;
import static dev.grep11.gateway.pkcs11.Cka.CKA_LOCAL;
import static dev.grep11.gateway.pkcs11.Cka.CKA_NEVER_EXTRACTABLE;

import dev.grep11.gateway.hsm.Session;
import dev.grep11.gateway.iam.TokenSigner;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Hash;
import dev.grep11.gateway.pkcs11.Mechanism;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.security.AlgorithmParameters;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PublicKey;
import java.security.Signature;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;
import java.security.spec.ECPublicKeySpec;
import java.util.Arrays;
import java.util.HexFormat;

/** Signs tokens with a key that never leaves the token. */
public final class HsmTokenSigner implements TokenSigner {
  private static final int COORDINATE = 32;
  private static final int POINT = 1 + 2 * COORDINATE;
  private static final byte UNCOMPRESSED = 4;

  private final HsmCalls hsm;
  private final TokenKeys keys;
  private final PublicKey publicKey;
  private final String keyId;

  /**
   * Finds the key and tries it.
   *
   * @throws StartException when it is missing, could have left the token, or is no pair
   */
  public HsmTokenSigner(HsmCalls hsm, TokenKeys keys) {
    this.hsm = hsm;
    this.keys = keys;
    this.publicKey = hsm.call(this::readPublicKey);
    this.keyId =
        HexFormat.of().formatHex(Hash.SHA256.newDigest().digest(publicKey.getEncoded()), 0, 8);
    hsm.call(session -> {
      var made =
          session.attributes(
              privateKey(session), CKA_LOCAL, CKA_NEVER_EXTRACTABLE, CKA_ALWAYS_SENSITIVE);
      if (!made.isTrue(CKA_LOCAL)
          || !made.isTrue(CKA_NEVER_EXTRACTABLE)
          || !made.isTrue(CKA_ALWAYS_SENSITIVE)) {
        throw new StartException(
            "the token-signing key was not generated in this token, or could have left it");
      }
      return made;
    });
    if (!signsFor(publicKey)) {
      throw new StartException("the halves of the token-signing key are no pair");
    }
  }

  private boolean signsFor(PublicKey key) {
    var probe =
        "grep11 token-signing key check".getBytes(java.nio.charset.StandardCharsets.US_ASCII);
    try {
      var verifier = Signature.getInstance("SHA256withECDSAinP1363Format");
      verifier.initVerify(key);
      verifier.update(probe);
      return verifier.verify(sign(probe));
    } catch (GeneralSecurityException e) {
      return false;
    }
  }

  @Override
  public String keyId() {
    return keyId;
  }

  @Override
  public PublicKey publicKey() {
    return publicKey;
  }

  @Override
  public byte[] sign(byte[] signingInput) {
    var digest = ByteBuffer.wrap(Hash.SHA256.newDigest().digest(signingInput));
    return hsm.call(
        session -> session.sign(Mechanism.of(Ckm.CKM_ECDSA), privateKey(session), digest));
  }

  private long privateKey(Session session) {
    return keys.findSigningKey(session, Cko.CKO_PRIVATE_KEY);
  }

  private PublicKey readPublicKey(Session session) {
    var object = keys.findSigningKey(session, Cko.CKO_PUBLIC_KEY);
    var encoded = session.attributes(object, CKA_EC_POINT).bytes(CKA_EC_POINT).orElse(new byte[0]);
    // A DER OCTET STRING around the point (PKCS #11 v2.40, 2.3.3); some tokens leave it out.
    var point = Arrays.copyOfRange(encoded, Math.max(0, encoded.length - POINT), encoded.length);
    if (point.length != POINT || point[0] != UNCOMPRESSED) {
      throw new StartException("the token-signing key is not on P-256");
    }
    try {
      var curve = AlgorithmParameters.getInstance("EC");
      curve.init(new ECGenParameterSpec("secp256r1"));
      return KeyFactory.getInstance("EC")
          .generatePublic(
              new ECPublicKeySpec(
                  new ECPoint(coordinate(point, 1), coordinate(point, 1 + COORDINATE)),
                  curve.getParameterSpec(ECParameterSpec.class)));
    } catch (GeneralSecurityException e) {
      throw new StartException("the token-signing key is not on P-256", e);
    }
  }

  private static BigInteger coordinate(byte[] point, int from) {
    return new BigInteger(1, Arrays.copyOfRange(point, from, from + COORDINATE));
  }
}
