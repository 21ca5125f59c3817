package dev.grep11.gateway.audit;

/**
 * Vouches for checkpoints by a key that is not where the audit file is: in the gateway, one in the
 * HSM. May block for as long as that takes, and fail as that fails.
 */
public interface CheckpointMac {
  byte[] mac(byte[] message);

  /** False when the MAC is not that of the message under the same key. */
  boolean verify(byte[] message, byte[] mac);
}
