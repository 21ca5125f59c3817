package dev.grep11.gateway.trace;

import io.grpc.Status;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.UUID;
import java.util.concurrent.Callable;

/**
 * A call that somebody follows. It is told numbers and names of the gateway's own, and nothing else
 * of what the call carries. Safe for use by several threads.
 */
public interface CallTrace {
  /** Of the trace that it is part of: 32 digits, hexadecimal (W3C Trace Context, 3.2.2.3). */
  String traceId();

  /**
   * Begins to wait for a thread.
   *
   * @param mechanism number, where the call has one
   * @return the work, which ends the wait and is a span of its own
   */
  <T> Callable<T> around(OptionalLong mechanism, Callable<T> work);

  /**
   * Ends the call, and a wait that came to nothing.
   *
   * @param returnValue CK_RV
   */
  void end(Status.Code code, long returnValue, Optional<UUID> instance);
}
