package dev.grep11.client;

/** A key pair as {@link Grep11Client#generateKeyPair} answers it. */
public record KeyPair(PublicKeyBlob publicKey, PrivateKeyBlob privateKey) {}
