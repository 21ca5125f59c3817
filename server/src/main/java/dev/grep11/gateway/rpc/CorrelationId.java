package dev.grep11.gateway.rpc;

import io.grpc.Metadata;
import java.util.UUID;
import java.util.regex.Pattern;

/** What ties a call, its answer, its audit event and its log lines together. */
final class CorrelationId {
  static final Metadata.Key<String> HEADER =
      Metadata.Key.of("x-correlation-id", Metadata.ASCII_STRING_MARSHALLER);

  /** It goes into logs as it is: no separators, no control characters, no novels. */
  private static final Pattern SANE = Pattern.compile("[A-Za-z0-9._:-]{1,128}");

  private CorrelationId() {}

  static String of(Metadata headers) {
    var given = headers.get(HEADER);
    return given != null && SANE.matcher(given).matches() ? given : UUID.randomUUID().toString();
  }
}
