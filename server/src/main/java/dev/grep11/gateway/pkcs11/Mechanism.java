package dev.grep11.gateway.pkcs11;

import dev.grep11.gateway.pkcs11.MechanismParameters.Bytes;
import dev.grep11.gateway.pkcs11.MechanismParameters.None;

/** CK_MECHANISM: a mechanism number and its parameter. */
public record Mechanism(long type, MechanismParameters parameters) {

  public static Mechanism of(long type) {
    return new Mechanism(type, None.NONE);
  }

  public static Mechanism of(long type, byte[] parameter) {
    return new Mechanism(type, new Bytes(parameter));
  }

  public String name() {
    return Ckm.name(type);
  }

  @Override
  public String toString() {
    return name();
  }
}
