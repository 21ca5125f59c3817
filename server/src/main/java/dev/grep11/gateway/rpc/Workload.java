package dev.grep11.gateway.rpc;

import dev.grep11.gateway.pkcs11.CryptoFunction;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * What a call is going to cost, as far as its message tells.
 *
 * @param function empty for information and random numbers
 * @param mechanism number, where the rpc has one and it is present
 * @param payloadLength bytes of data to work on
 */
public record Workload(
    Optional<CryptoFunction> function, OptionalLong mechanism, int payloadLength) {

  static final Workload INFORMATION = new Workload(Optional.empty(), OptionalLong.empty(), 0);
}
