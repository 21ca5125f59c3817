package dev.grep11.gateway.operation;

import dev.grep11.gateway.key.BlobDigest;
import dev.grep11.gateway.pkcs11.CryptoFunction;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * What a call is going to cost, as far as its message tells.
 *
 * @param function empty for information, random numbers and what is never cheap
 * @param mechanism number, where the rpc has one and it is present
 * @param key of the blob of the key that acts; empty when there is none
 * @param payloadLength bytes of data to work on
 * @param absorbs whether the call only takes data of a hash or MAC, for which no key is loaded
 * @param target names what the call is about, for its record; empty when it is the instance
 */
public record Workload(
    Optional<CryptoFunction> function,
    OptionalLong mechanism,
    Optional<BlobDigest> key,
    int payloadLength,
    boolean absorbs,
    Optional<String> target) {

  /** Of a call about nothing but the instance. */
  public Workload(
      Optional<CryptoFunction> function,
      OptionalLong mechanism,
      Optional<BlobDigest> key,
      int payloadLength,
      boolean absorbs) {
    this(function, mechanism, key, payloadLength, absorbs, Optional.empty());
  }

  public static final Workload INFORMATION =
      new Workload(Optional.empty(), OptionalLong.empty(), Optional.empty(), 0, false);

  /** Opens and seals a key, by no mechanism of the client's. */
  public static final Workload REWRAP =
      new Workload(
          Optional.of(CryptoFunction.UNWRAP), OptionalLong.empty(), Optional.empty(), 0, false);

  /** Needs no token of its own, and is about this. */
  public static Workload about(String target) {
    return new Workload(
        Optional.empty(), OptionalLong.empty(), Optional.empty(), 0, false, Optional.of(target));
  }
}
