package dev.grep11.gateway.certmgr;

/**
 * A command with what was signed: exactly the bytes that were received.
 *
 * @param payload that {@code command} was decoded from, and that encode it again
 * @param newKeySignature by the key that an update brings; empty otherwise
 */
@SuppressWarnings("ArrayRecordComponent") // Read once and dropped, never compared as a whole.
public record SignedCommand(
    byte[] payload, byte[] signature, byte[] newKeySignature, Command command) {

  /** Neither payload nor signature is for logs. */
  @Override
  public String toString() {
    return "SignedCommand[" + command.action().event().eventName() + "]";
  }
}
