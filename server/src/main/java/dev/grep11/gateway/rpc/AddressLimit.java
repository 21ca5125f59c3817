package dev.grep11.gateway.rpc;

import dev.grep11.gateway.iam.CallBudget;
import dev.grep11.gateway.iam.CallBudget.Balance;
import io.grpc.ForwardingServerCall.SimpleForwardingServerCall;
import io.grpc.Grpc;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Slows addresses down whose calls are refused too often. Only refusals count, and past the limit
 * only refusals are slow: each is answered a second late, so that a connection comes to no more
 * attempts in a second than it may have streams. A call with a good token and role is never held
 * up, or anybody behind the same address could lock the administrators out.
 */
final class AddressLimit implements ServerInterceptor {
  private static final Logger LOG = LoggerFactory.getLogger(AddressLimit.class);
  private static final Executor LATER = CompletableFuture.delayedExecutor(1, TimeUnit.SECONDS);

  private final CallBudget refusals;

  /**
   * @param refusals that an address may have
   */
  AddressLimit(CallBudget refusals) {
    this.refusals = refusals;
  }

  @Override
  public <Q, P> ServerCall.Listener<Q> interceptCall(
      ServerCall<Q, P> call, Metadata headers, ServerCallHandler<Q, P> next) {
    if (!(call.getAttributes().get(Grpc.TRANSPORT_ATTR_REMOTE_ADDR)
        instanceof InetSocketAddress remote)) {
      call.close(Status.UNAVAILABLE.withDescription("no remote address"), new Metadata());
      return new ServerCall.Listener<>() {};
    }
    var address = remote.getAddress();
    return next.startCall(
        new SimpleForwardingServerCall<>(call) {
          @Override
          public void close(Status status, Metadata trailers) {
            if (isRefusal(status) && !spend(address)) {
              LATER.execute(() -> super.close(status, trailers));
            } else {
              super.close(status, trailers);
            }
          }
        },
        headers);
  }

  private static boolean isRefusal(Status status) {
    return status.getCode() == Status.Code.UNAUTHENTICATED
        || status.getCode() == Status.Code.PERMISSION_DENIED;
  }

  private boolean spend(InetAddress address) {
    var balance = refusals.spend(address, 1);
    if (balance == Balance.JUST_EXCEEDED) {
      LOG.warn(
          "calls of {} to the certificate manager are refused often", address.getHostAddress());
    }
    return balance == Balance.WITHIN;
  }
}
