package dev.grep11.client;

/**
 * CK_MECHANISM_INFO.
 *
 * @param minKeySize bits for asymmetric mechanisms, bytes for symmetric ones
 * @param maxKeySize in the same unit
 * @param flags CKF bits
 */
public record MechanismInfo(long minKeySize, long maxKeySize, long flags) {}
