/**
 * What the rpcs do: cryptography in one part and in parts, key operations, attributes and
 * information. Takes and gives the vocabulary of {@code pkcs11} and opaque blobs; knows neither
 * protobuf nor native memory.
 */
@NullMarked
package dev.grep11.gateway.operation;

import org.jspecify.annotations.NullMarked;
