package dev.grep11.agent.rpc;

import dev.grep11.proto.Mechanism;

/**
 * A mechanism of a call, in the form of the gateway.
 *
 * @param message number and parameter
 * @param macKey CKM_IBM_ATTRIBUTEBOUND_WRAP: the handle of the MAC key; otherwise 0
 */
public record RequestedMechanism(Mechanism message, long macKey) {
  public long number() {
    return message.getMechanism();
  }

  /** Whether an answer of C_DeriveKey2 has a place for a changed parameter. */
  public boolean mayReturnParameter() {
    return Protocol.INSTANCE.parameter(number()) != Protocol.ParameterForm.NONE;
  }

  /** The number only: a parameter may be a secret. */
  @Override
  public String toString() {
    return "RequestedMechanism[0x" + Long.toHexString(number()) + "]";
  }
}
