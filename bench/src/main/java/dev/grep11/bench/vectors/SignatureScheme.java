package dev.grep11.bench.vectors;

import dev.grep11.client.Ckm;
import dev.grep11.client.EcdsaSignature;
import dev.grep11.client.Mechanisms;
import dev.grep11.client.PublicKeyBlob;
import dev.grep11.proto.Mechanism;
import java.math.BigInteger;
import java.util.Arrays;
import java.util.Optional;

/**
 * Verification, with the bare SubjectPublicKeyInfo and with the same key imported; both must judge
 * alike. DER signatures become {@code r ‖ s} in the client: one that is not exactly DER, or too
 * long for the group, does not reach the gateway and is rejected there.
 */
record SignatureScheme(Peer peer) implements Scheme {

  /** What is verified: a mechanism over the message, or over its digest. */
  private record Verification(Mechanism mechanism, Optional<Long> digest) {
    static Verification of(Mechanism mechanism) {
      return new Verification(mechanism, Optional.empty());
    }

    static Verification ofDigest(long mechanism, Hashes hash) {
      return new Verification(Mechanisms.of(mechanism), Optional.of(hash.digest()));
    }
  }

  @Override
  public Outcome run(Case vector) {
    var chosen =
        verification(vector)
            .filter(found -> peer.offers(found.mechanism().getMechanism()))
            .filter(found -> found.digest().map(peer::offers).orElse(true));
    if (chosen.isEmpty()) {
      return new Outcome.NotOffered(vector.algorithm());
    }
    byte[] signature = vector.bytes("sig");
    if (isDer(vector)) {
      try {
        signature = fromDer(signature, orderLength(vector));
      } catch (IllegalArgumentException malformed) {
        return new Outcome.Rejected("no DER signature of this group");
      }
    }
    var mechanism = chosen.get().mechanism();
    byte[] message = vector.bytes("msg");
    byte[] data =
        chosen
            .get()
            .digest()
            .map(digest -> peer.client().digest(Mechanisms.of(digest), message))
            .orElse(message);
    byte[] spki =
        vector.optionalBytes("publicKeyDer").orElseGet(() -> vector.bytes("publicKeyAsn"));
    boolean bare = peer.client().verify(mechanism, new PublicKeyBlob(spki), data, signature);
    boolean imported = peer.client().verify(mechanism, peer.publicKey(spki), data, signature);
    if (bare != imported) {
      return new Outcome.Different("the bare key and the imported one judge differently");
    }
    return bare ? Outcome.accepted() : new Outcome.Rejected("CKR_SIGNATURE_INVALID");
  }

  private static Optional<Verification> verification(Case vector) {
    return switch (vector.algorithm()) {
      case "EDDSA" -> Optional.of(Verification.of(Mechanisms.of(edwards(vector))));
      case "ECDSA" ->
          Hashes.named(vector.text("sha"))
              .map(hash ->
                  hash.ecdsa()
                      .map(mechanism -> Verification.of(Mechanisms.of(mechanism)))
                      .orElseGet(() -> Verification.ofDigest(Ckm.CKM_ECDSA, hash)));
      case "DSA" ->
          Hashes.named(vector.text("sha")).map(hash -> Verification.ofDigest(Ckm.CKM_DSA, hash));
      case "RSASSA-PKCS1-v1_5" ->
          Hashes.named(vector.text("sha"))
              .flatMap(Hashes::forRsa)
              .map(hash -> Verification.of(Mechanisms.rsaPkcs(hash)));
      case "RSASSA-PSS" -> pss(vector).map(Verification::of);
      default -> Optional.empty();
    };
  }

  private static long edwards(Case vector) {
    return vector
            .group()
            .getAsJsonObject("publicKey")
            .get("curve")
            .getAsString()
            .equals("edwards448")
        ? Ckm.CKM_IBM_ED448_SHA3
        : Ckm.CKM_IBM_ED25519_SHA512;
  }

  private static Optional<Mechanism> pss(Case vector) {
    var hash = Hashes.named(vector.text("sha")).flatMap(Hashes::forRsa);
    var mask = Hashes.named(vector.text("mgfSha")).flatMap(Hashes::forRsa);
    if (hash.isEmpty() || mask.isEmpty() || !vector.text("mgf").equals("MGF1")) {
      return Optional.empty();
    }
    var mechanism = Mechanisms.rsaPss(hash.get(), vector.number("sLen")).toBuilder();
    mechanism
        .getRSAPSSParameterBuilder()
        .setMgf(Mechanisms.rsaPss(mask.get(), 0).getRSAPSSParameter().getMgf());
    return Optional.of(mechanism.build());
  }

  // ---- DER signatures

  private static boolean isDer(Case vector) {
    return switch (vector.text("type")) {
      case "EcdsaVerify", "DsaVerify" -> true;
      default -> false;
    };
  }

  /** Bytes of the group order. */
  private static int orderLength(Case vector) {
    var key = vector.group().getAsJsonObject("publicKey");
    if (key.has("q")) {
      return (new BigInteger(key.get("q").getAsString(), 16).bitLength() + 7) / 8;
    }
    var curve =
        org.bouncycastle.asn1.x9.ECNamedCurveTable.getByName(key.get("curve").getAsString());
    return curve == null
        ? (key.get("keySize").getAsInt() + 7) / 8
        : (curve.getN().bitLength() + 7) / 8;
  }

  private static byte[] fromDer(byte[] der, int orderLength) {
    var raw = EcdsaSignature.fromDer(der, orderLength);
    if (!Arrays.equals(der, EcdsaSignature.toDer(raw))) {
      // BER that is not DER: the SDK reads it, but it must not count as the gateway's judgement.
      throw new IllegalArgumentException("not DER");
    }
    return raw;
  }
}
