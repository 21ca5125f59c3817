package dev.grep11.bench.vectors;

import static dev.grep11.client.Cka.CKA_DECRYPT;
import static dev.grep11.client.Cka.CKA_ENCRYPT;

import com.google.protobuf.ByteString;
import dev.grep11.client.Ckk;
import dev.grep11.client.Ckm;
import dev.grep11.proto.AESGCMParm;
import dev.grep11.proto.Mechanism;
import java.util.Arrays;

/** AES-GCM. Decryption in parts has the same answer; encryption in parts draws its own IV. */
record AeadScheme(Peer peer) implements Scheme {

  @Override
  public Outcome run(Case vector) {
    if (!vector.algorithm().equals("AES-GCM") || !peer.offers(Ckm.CKM_AES_GCM)) {
      return new Outcome.NotOffered(vector.algorithm());
    }
    var mechanism = mechanism(vector);
    var key = peer.secret(Ckk.CKK_AES, vector.bytes("key"), CKA_ENCRYPT, CKA_DECRYPT);
    var message = vector.bytes("msg");
    var tag = vector.bytes("tag");
    var sealed = vector.bytes("ct");
    int length = sealed.length;
    sealed = Arrays.copyOf(sealed, length + tag.length);
    System.arraycopy(tag, 0, sealed, length, tag.length);
    if (!Arrays.equals(message, peer.client().decrypt(mechanism, key, sealed))) {
      return new Outcome.Different("decrypts to another message");
    }
    if (!Arrays.equals(message, peer.decryptInParts(mechanism, key, sealed))) {
      return new Outcome.Different("decrypts to another message in parts");
    }
    return Outcome.compared(
        "encrypts otherwise", sealed, peer.client().encrypt(mechanism, key, message));
  }

  /** Not by {@link dev.grep11.client.Mechanisms}, which has no short IVs: the gateway is asked. */
  private static Mechanism mechanism(Case vector) {
    return Mechanism.newBuilder()
        .setMechanism(Ckm.CKM_AES_GCM)
        .setAESGCMParameter(
            AESGCMParm.newBuilder()
                .setIv(ByteString.copyFrom(vector.bytes("iv")))
                .setAad(ByteString.copyFrom(vector.bytes("aad")))
                .setTagBits(vector.number("tagSize")))
        .build();
  }
}
