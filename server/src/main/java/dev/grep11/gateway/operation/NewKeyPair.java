package dev.grep11.gateway.operation;

/** A key pair that a call made. */
public record NewKeyPair(NewKey privateKey, NewKey publicKey) {}
