package dev.grep11.bench.vectors;

import static dev.grep11.client.Cka.CKA_EXTRACTABLE;
import static dev.grep11.client.Cka.CKA_SIGN;
import static dev.grep11.client.Cka.CKA_UNWRAP;
import static dev.grep11.client.Cka.CKA_WRAP;

import dev.grep11.client.Cka;
import dev.grep11.client.Ckk;
import dev.grep11.client.Ckm;
import dev.grep11.client.Cko;
import dev.grep11.client.Ckr;
import dev.grep11.client.Grep11Exception;
import dev.grep11.client.Mechanisms;
import dev.grep11.client.Template;
import java.util.Arrays;

/** AES key wrap (RFC 3394, RFC 5649). What is wrapped is a generic secret. */
record KeyWrapScheme(Peer peer) implements Scheme {

  @Override
  public Outcome run(Case vector) {
    long number =
        switch (vector.algorithm()) {
          case "AES-WRAP" -> Ckm.CKM_AES_KEY_WRAP;
          case "AES-KWP" -> Ckm.CKM_AES_KEY_WRAP_PAD;
          default -> -1;
        };
    if (!peer.offers(number)) {
      return new Outcome.NotOffered(vector.algorithm());
    }
    var mechanism = Mechanisms.of(number);
    var kek = peer.secret(Ckk.CKK_AES, vector.bytes("key"), CKA_WRAP, CKA_UNWRAP);
    var wrapped = vector.bytes("ct");
    var message = vector.bytes("msg");
    var unwrapped =
        peer.client()
            .unwrapKey(
                mechanism,
                kek,
                wrapped,
                Template.empty()
                    .with(Cka.CKA_CLASS, Cko.CKO_SECRET_KEY)
                    .with(Cka.CKA_KEY_TYPE, Ckk.CKK_GENERIC_SECRET)
                    .with(CKA_EXTRACTABLE, true));
    if (!Arrays.equals(message, peer.value(unwrapped))) {
      return new Outcome.Different("unwraps to another value");
    }
    var secret = peer.secret(Ckk.CKK_GENERIC_SECRET, message, CKA_SIGN, CKA_EXTRACTABLE);
    try {
      return Outcome.compared(
          "wraps otherwise", wrapped, peer.client().wrapKey(mechanism, kek, secret));
    } catch (Grep11Exception refused) {
      return refused.returnValue() == Ckr.CKR_KEY_SIZE_RANGE
          ? new Outcome.Partly("unwraps and does not wrap")
          : Verdicts.of(refused);
    }
  }
}
