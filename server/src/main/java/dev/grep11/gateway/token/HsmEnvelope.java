package dev.grep11.gateway.token;

import dev.grep11.gateway.hsm.Session;
import dev.grep11.gateway.key.SealingKeys;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismParameters.AesGcm;
import dev.grep11.gateway.store.Envelope;
import java.nio.ByteBuffer;
import java.util.Arrays;

/**
 * Seals the store's data key, and vouches for checkpoints of audit files, with AES-256-GCM in the
 * token. A gateway makes about one checkpoint a minute, so random nonces reach their bound of 2^32
 * (NIST SP 800-38D, 8.3) after some thousand years of all gateways together.
 */
public final class HsmEnvelope implements Envelope {
  private static final int IV_LENGTH = 12;
  private static final int TAG_BITS = 128;

  private final HsmCalls hsm;
  private final byte[] keyId;

  public HsmEnvelope(HsmCalls hsm, TokenKeys keys) {
    this.hsm = hsm;
    this.keyId = keys.storeKey();
  }

  @Override
  public byte[] seal(byte[] plaintext, byte[] aad) {
    return hsm.call(session -> {
      var iv = session.random(IV_LENGTH);
      var sealed = session.encrypt(gcm(iv, aad), storeKey(session), ByteBuffer.wrap(plaintext));
      return ByteBuffer.allocate(IV_LENGTH + sealed.length).put(iv).put(sealed).array();
    });
  }

  @Override
  public byte[] open(byte[] sealed, byte[] aad) {
    if (sealed.length < IV_LENGTH) {
      throw new IllegalArgumentException("too short for what this seals");
    }
    var iv = Arrays.copyOf(sealed, IV_LENGTH);
    return hsm.call(session ->
        session.decrypt(
            gcm(iv, aad),
            storeKey(session),
            ByteBuffer.wrap(sealed, IV_LENGTH, sealed.length - IV_LENGTH).slice()));
  }

  private static Mechanism gcm(byte[] iv, byte[] aad) {
    return new Mechanism(Ckm.CKM_AES_GCM, new AesGcm(iv, aad, TAG_BITS));
  }

  private long storeKey(Session session) {
    return SealingKeys.find(session, "the store", "store key", keyId);
  }
}
