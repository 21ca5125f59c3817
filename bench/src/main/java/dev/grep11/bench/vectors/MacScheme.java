package dev.grep11.bench.vectors;

import static dev.grep11.client.Cka.CKA_SIGN;
import static dev.grep11.client.Cka.CKA_VERIFY;

import dev.grep11.client.Ckk;
import dev.grep11.client.Ckm;
import dev.grep11.client.Mechanisms;
import java.util.Arrays;
import java.util.Map;

/**
 * HMAC and CMAC. A tag shorter than the MAC is compared by the client, which truncates what it
 * signed: GREP11 has no mechanism with a MAC length.
 */
record MacScheme(Peer peer) implements Scheme {
  private record Mac(long mechanism, long keyType, int bytes) {}

  private static final Map<String, Mac> MACS =
      Map.ofEntries(
          Map.entry("AES-CMAC", new Mac(Ckm.CKM_AES_CMAC, Ckk.CKK_AES, 16)),
          Map.entry("HMACSHA1", hmac(Ckm.CKM_SHA_1_HMAC, 20)),
          Map.entry("HMACSHA224", hmac(Ckm.CKM_SHA224_HMAC, 28)),
          Map.entry("HMACSHA256", hmac(Ckm.CKM_SHA256_HMAC, 32)),
          Map.entry("HMACSHA384", hmac(Ckm.CKM_SHA384_HMAC, 48)),
          Map.entry("HMACSHA512", hmac(Ckm.CKM_SHA512_HMAC, 64)),
          Map.entry("HMACSHA512/224", hmac(Ckm.CKM_SHA512_224_HMAC, 28)),
          Map.entry("HMACSHA512/256", hmac(Ckm.CKM_SHA512_256_HMAC, 32)),
          Map.entry("HMACSHA3-224", hmac(Ckm.CKM_IBM_SHA3_224_HMAC, 28)),
          Map.entry("HMACSHA3-256", hmac(Ckm.CKM_IBM_SHA3_256_HMAC, 32)),
          Map.entry("HMACSHA3-384", hmac(Ckm.CKM_IBM_SHA3_384_HMAC, 48)),
          Map.entry("HMACSHA3-512", hmac(Ckm.CKM_IBM_SHA3_512_HMAC, 64)));

  private static Mac hmac(long mechanism, int bytes) {
    return new Mac(mechanism, Ckk.CKK_GENERIC_SECRET, bytes);
  }

  @Override
  public Outcome run(Case vector) {
    var mac = MACS.get(vector.algorithm());
    if (mac == null || !peer.offers(mac.mechanism())) {
      return new Outcome.NotOffered(vector.algorithm());
    }
    var mechanism = Mechanisms.of(mac.mechanism());
    var key = peer.secret(mac.keyType(), vector.bytes("key"), CKA_SIGN, CKA_VERIFY);
    var message = vector.bytes("msg");
    var tag = vector.bytes("tag");
    boolean verified = peer.client().verify(mechanism, key, message, tag);
    if (tag.length < mac.bytes()) {
      if (verified) {
        return new Outcome.Different("a truncated tag verifies as a whole one");
      }
      var made = Arrays.copyOf(peer.client().sign(mechanism, key, message), tag.length);
      return Arrays.equals(made, tag) ? Outcome.accepted() : new Outcome.Rejected("tag differs");
    }
    if (!verified) {
      return new Outcome.Rejected("CKR_SIGNATURE_INVALID");
    }
    if (!Arrays.equals(tag, peer.client().sign(mechanism, key, message))) {
      return new Outcome.Different("signs another tag than it verifies");
    }
    return Outcome.compared(
        "signs another tag in parts", tag, peer.signInParts(mechanism, key, message));
  }
}
