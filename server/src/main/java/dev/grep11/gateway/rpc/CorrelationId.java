package dev.grep11.gateway.rpc;

import io.grpc.Metadata;
import java.util.UUID;
import java.util.concurrent.ThreadLocalRandom;

/** What ties a call, its answer, its audit event and its log lines together. */
final class CorrelationId {
  static final Metadata.Key<String> HEADER =
      Metadata.Key.of("x-correlation-id", Metadata.ASCII_STRING_MARSHALLER);

  private static final int MAX_LENGTH = 128;

  private static final long VERSION_BITS = 0xf000L;
  private static final long VERSION_4 = 0x4000L;
  private static final long VARIANT_BITS = 0xc000_0000_0000_0000L;
  private static final long VARIANT_RFC = 0x8000_0000_0000_0000L;

  private CorrelationId() {}

  static String of(Metadata headers) {
    var given = headers.get(HEADER);
    return given != null && isSane(given) ? given : drawn();
  }

  /** It goes into logs as it is: no separators, no control characters, no novels. */
  private static boolean isSane(String given) {
    if (given.isEmpty() || given.length() > MAX_LENGTH) {
      return false;
    }
    for (int i = 0; i < given.length(); i++) {
      char c = given.charAt(i);
      boolean letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
      if (!letter && !(c >= '0' && c <= '9') && ".:_-".indexOf(c) < 0) {
        return false;
      }
    }
    return true;
  }

  /** In the form of a random UUID (RFC 9562, 5.4). It must be unique, and is no secret. */
  private static String drawn() {
    var random = ThreadLocalRandom.current();
    return new UUID(
            (random.nextLong() & ~VERSION_BITS) | VERSION_4,
            (random.nextLong() & ~VARIANT_BITS) | VARIANT_RFC)
        .toString();
  }
}
