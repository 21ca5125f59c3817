package dev.grep11.gateway.operation;

import dev.grep11.gateway.pkcs11.Template;

/**
 * A key that a call made.
 *
 * @param blob what the client keeps: a sealed key blob, a public key with its trailer, or (domain
 *     parameters) clear DER
 * @param checkSum as `CheckSum` of the answer; empty where the call defines none
 * @param attributes what the object is, in clear, for `KeyBlob.Attributes`
 */
public record NewKey(byte[] blob, byte[] checkSum, Template attributes) {}
