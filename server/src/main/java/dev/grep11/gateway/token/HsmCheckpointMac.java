package dev.grep11.gateway.token;

import dev.grep11.gateway.audit.CheckpointMac;
import dev.grep11.gateway.hsm.NotBegunException;
import dev.grep11.gateway.pkcs11.HsmUnavailableException;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.store.Envelope;
import java.security.MessageDigest;

/**
 * Vouches for checkpoints of audit files by the store key in the token: an envelope about them that
 * holds nothing of its own, so that who has no session in the token can neither make nor judge one.
 */
public final class HsmCheckpointMac implements CheckpointMac {
  // Not empty: some tokens take no empty plaintext.
  private static final byte[] CONTENT = {1};

  private final Envelope envelope;

  public HsmCheckpointMac(Envelope envelope) {
    this.envelope = envelope;
  }

  @Override
  public byte[] mac(byte[] message) {
    return envelope.seal(CONTENT, message);
  }

  /**
   * {@inheritDoc}
   *
   * @throws HsmUnavailableException when the token is away, which says nothing about the MAC
   * @throws NotBegunException when it fails before it sees the MAC
   */
  @Override
  public boolean verify(byte[] message, byte[] mac) {
    try {
      return MessageDigest.isEqual(CONTENT, envelope.open(mac, message));
    } catch (HsmUnavailableException | NotBegunException e) {
      throw e;
    } catch (Pkcs11Exception | IllegalArgumentException _) {
      return false;
    }
  }
}
