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
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Stops an address that calls too often, before its tokens cost anything; refusals cost more. */
final class AddressLimit implements ServerInterceptor {
  private static final Logger LOG = LoggerFactory.getLogger(AddressLimit.class);
  private static final int COST_OF_REFUSAL = 5;

  private final CallBudget budget;

  AddressLimit(CallBudget budget) {
    this.budget = budget;
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
    if (!spend(address, 1)) {
      var trailers = new Metadata();
      trailers.put(AdministrationFailures.REASON, AdministrationFailures.TOO_MANY_CALLS);
      call.close(
          Status.RESOURCE_EXHAUSTED.withDescription(
              "too many calls of this address; wait a minute"),
          trailers);
      return new ServerCall.Listener<>() {};
    }
    return next.startCall(
        new SimpleForwardingServerCall<>(call) {
          @Override
          public void close(Status status, Metadata trailers) {
            if (status.getCode() == Status.Code.UNAUTHENTICATED
                || status.getCode() == Status.Code.PERMISSION_DENIED) {
              var _ = spend(address, COST_OF_REFUSAL);
            }
            super.close(status, trailers);
          }
        },
        headers);
  }

  private boolean spend(InetAddress address, int cost) {
    var balance = budget.spend(address, cost);
    if (balance == Balance.JUST_EXCEEDED) {
      LOG.warn("{} calls the certificate manager too often", address.getHostAddress());
    }
    return balance == Balance.WITHIN;
  }
}
