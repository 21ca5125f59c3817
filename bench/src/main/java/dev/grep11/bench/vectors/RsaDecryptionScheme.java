package dev.grep11.bench.vectors;

import static dev.grep11.client.Cka.CKA_DECRYPT;

import dev.grep11.client.Ckk;
import dev.grep11.client.Ckm;
import dev.grep11.client.Mechanisms;
import dev.grep11.proto.Mechanism;
import java.util.Optional;

/** RSAES-OAEP and RSAES-PKCS1-v1_5. */
record RsaDecryptionScheme(Peer peer) implements Scheme {

  @Override
  public Outcome run(Case vector) {
    var mechanism = mechanism(vector).filter(found -> peer.offers(found.getMechanism()));
    if (mechanism.isEmpty()) {
      return new Outcome.NotOffered(vector.algorithm());
    }
    var key = peer.privateKey(Ckk.CKK_RSA, vector.bytes("privateKeyPkcs8"), CKA_DECRYPT);
    return Outcome.compared(
        "decrypts to another message",
        vector.bytes("msg"),
        peer.client().decrypt(mechanism.get(), key, vector.bytes("ct")));
  }

  private static Optional<Mechanism> mechanism(Case vector) {
    if (vector.algorithm().equals("RSAES-PKCS1-v1_5")) {
      return Optional.of(Mechanisms.of(Ckm.CKM_RSA_PKCS));
    }
    if (!vector.algorithm().equals("RSAES-OAEP")) {
      return Optional.empty();
    }
    var hash = Hashes.named(vector.text("sha")).flatMap(Hashes::forRsa);
    var mask = Hashes.named(vector.text("mgfSha")).flatMap(Hashes::forRsa);
    return hash.isEmpty() || mask.isEmpty()
        ? Optional.empty()
        : Optional.of(Mechanisms.rsaOaep(hash.get(), mask.get(), vector.bytes("label")));
  }
}
