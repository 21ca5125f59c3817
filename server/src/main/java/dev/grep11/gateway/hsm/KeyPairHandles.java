package dev.grep11.gateway.hsm;

/** Object handles of a new key pair, valid in the epoch of the session that made them. */
public record KeyPairHandles(long publicKey, long privateKey) {}
