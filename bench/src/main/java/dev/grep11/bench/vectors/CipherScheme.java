package dev.grep11.bench.vectors;

import static dev.grep11.client.Cka.CKA_DECRYPT;
import static dev.grep11.client.Cka.CKA_ENCRYPT;

import dev.grep11.client.Ckk;
import dev.grep11.client.Ckm;
import dev.grep11.client.Grep11Exception;
import dev.grep11.client.Mechanisms;
import java.util.Arrays;

/** AES-CBC with PKCS #7 padding, in one call and in parts; both must judge alike. */
record CipherScheme(Peer peer) implements Scheme {

  @Override
  public Outcome run(Case vector) {
    if (!vector.algorithm().equals("AES-CBC-PKCS5") || !peer.offers(Ckm.CKM_AES_CBC_PAD)) {
      return new Outcome.NotOffered(vector.algorithm());
    }
    var mechanism = Mechanisms.aesCbcPad(vector.bytes("iv"));
    var key = peer.secret(Ckk.CKK_AES, vector.bytes("key"), CKA_ENCRYPT, CKA_DECRYPT);
    var message = vector.bytes("msg");
    var ciphered = vector.bytes("ct");
    byte[] decrypted;
    try {
      decrypted = peer.client().decrypt(mechanism, key, ciphered);
    } catch (Grep11Exception refused) {
      return decryptsInParts(() -> peer.decryptInParts(mechanism, key, ciphered))
          ? new Outcome.Different("is refused in one call and decrypts in parts")
          : Verdicts.of(refused);
    }
    if (!Arrays.equals(message, decrypted)
        || !Arrays.equals(message, peer.decryptInParts(mechanism, key, ciphered))) {
      return new Outcome.Different("decrypts to another message");
    }
    if (!Arrays.equals(ciphered, peer.client().encrypt(mechanism, key, message))) {
      return new Outcome.Different("encrypts otherwise");
    }
    return Outcome.compared(
        "encrypts otherwise in parts", ciphered, peer.encryptInParts(mechanism, key, message));
  }

  private static boolean decryptsInParts(Runnable call) {
    try {
      call.run();
      return true;
    } catch (Grep11Exception refused) {
      return false;
    }
  }
}
