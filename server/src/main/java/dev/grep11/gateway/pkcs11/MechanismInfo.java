package dev.grep11.gateway.pkcs11;

/**
 * CK_MECHANISM_INFO: key sizes (bits for asymmetric keys, bytes for symmetric ones) and CKF flags.
 */
public record MechanismInfo(long minKeySize, long maxKeySize, long flags) {}
