package dev.grep11.gateway.trace;

import io.grpc.Metadata;
import org.jspecify.annotations.Nullable;

/** Where the way of a call is told, of the calls that somebody follows. */
@FunctionalInterface
public interface Tracing {
  /** Follows nothing, and makes nothing. */
  Tracing OFF = (_, _, _, _) -> null;

  /**
   * Begins the span of a call that was admitted; nobody else can have one made.
   *
   * @param rpc full name, {@code service/method}
   * @param headers in which the caller may say whose part this call is (W3C Trace Context)
   * @param correlationId by which the audit log has it
   * @param arrivedNanos when the headers did, by {@link System#nanoTime()}
   * @return null for a call that nobody follows, so that it has nothing to carry
   */
  @Nullable CallTrace begin(String rpc, Metadata headers, String correlationId, long arrivedNanos);
}
