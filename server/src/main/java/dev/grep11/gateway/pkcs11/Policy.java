package dev.grep11.gateway.pkcs11;

/**
 * What the operator lets clients do. {@link #COMPATIBLE} allows what the published examples need;
 * {@link #STRICT} leaves out what is dangerous by today's knowledge: PKCS #1 v1.5 decryption,
 * CBC_PAD unwrapping, caller-chosen GCM IVs, keys that both wrap and decrypt.
 */
public enum Policy {
  COMPATIBLE,
  STRICT
}
