package dev.grep11.bench.vectors;

import static dev.grep11.client.Cka.CKA_DERIVE;
import static dev.grep11.client.Cka.CKA_EXTRACTABLE;

import dev.grep11.client.Ckk;
import dev.grep11.client.Ckm;
import dev.grep11.client.Mechanisms;
import dev.grep11.client.Templates;
import java.io.IOException;
import java.math.BigInteger;
import org.bouncycastle.asn1.ASN1Encodable;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.DEROctetString;
import org.bouncycastle.asn1.edec.EdECObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.asn1.sec.ECPrivateKey;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.x9.ECNamedCurveTable;
import org.bouncycastle.asn1.x9.X9ObjectIdentifiers;

/**
 * ECDH over Weierstrass curves, X25519 and X448: the shared value itself becomes a secret, which is
 * read by wrapping it.
 */
record AgreementScheme(Peer peer) implements Scheme {

  @Override
  public Outcome run(Case vector) {
    var curve = vector.text("curve");
    return switch (curve) {
      case "curve25519" ->
          montgomery(vector, Ckm.CKM_IBM_EC_X25519, EdECObjectIdentifiers.id_X25519);
      case "curve448" -> montgomery(vector, Ckm.CKM_IBM_EC_X448, EdECObjectIdentifiers.id_X448);
      default -> weierstrass(vector, curve);
    };
  }

  private Outcome montgomery(Case vector, long mechanism, ASN1ObjectIdentifier curve) {
    var value = new DEROctetString(vector.bytes("private"));
    return agree(vector, mechanism, pkcs8(new AlgorithmIdentifier(curve), value));
  }

  private Outcome weierstrass(Case vector, String curve) {
    var domain = ECNamedCurveTable.getByName(curve);
    if (domain == null) {
      return new Outcome.NotOffered(curve);
    }
    var value =
        new ECPrivateKey(domain.getN().bitLength(), new BigInteger(1, vector.bytes("private")));
    var algorithm =
        new AlgorithmIdentifier(
            X9ObjectIdentifiers.id_ecPublicKey, ECNamedCurveTable.getOID(curve));
    return agree(vector, Ckm.CKM_ECDH1_DERIVE, pkcs8(algorithm, value));
  }

  private Outcome agree(Case vector, long mechanism, byte[] pkcs8) {
    if (!peer.offers(mechanism)) {
      return new Outcome.NotOffered(vector.algorithm());
    }
    var key = peer.privateKey(Ckk.CKK_EC, pkcs8, CKA_DERIVE);
    var shared = vector.bytes("shared");
    var secret =
        peer.client()
            .deriveKey(
                Mechanisms.ecdh1Derive(vector.bytes("public")).toBuilder()
                    .setMechanism(mechanism)
                    .build(),
                key,
                Templates.derivedSecret(shared.length).with(CKA_EXTRACTABLE, true));
    return Outcome.compared("agrees on another secret", shared, peer.value(secret));
  }

  private static byte[] pkcs8(AlgorithmIdentifier algorithm, ASN1Encodable value) {
    try {
      return new PrivateKeyInfo(algorithm, value).getEncoded("DER");
    } catch (IOException e) {
      throw new IllegalStateException("writing to memory", e);
    }
  }
}
