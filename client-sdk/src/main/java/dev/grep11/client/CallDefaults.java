package dev.grep11.client;

import io.grpc.CallCredentials;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.ForwardingClientCallListener.SimpleForwardingClientCallListener;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/**
 * What every call of a client has unless it says otherwise, also one through the generated stub.
 */
final class CallDefaults {

  record WithDeadline(Duration deadline) implements ClientInterceptor {
    @Override
    public <Q, A> ClientCall<Q, A> interceptCall(
        MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
      return next.newCall(
          method,
          options.getDeadline() != null
              ? options
              : options.withDeadlineAfter(deadline.toNanos(), TimeUnit.NANOSECONDS));
    }
  }

  /**
   * @param rejected told when the gateway answers UNAUTHENTICATED
   */
  record WithCredentials(CallCredentials credentials, Runnable rejected)
      implements ClientInterceptor {
    @Override
    public <Q, A> ClientCall<Q, A> interceptCall(
        MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
      if (options.getCredentials() != null) {
        return next.newCall(method, options);
      }
      return new SimpleForwardingClientCall<>(
          next.newCall(method, options.withCallCredentials(credentials))) {
        @Override
        public void start(Listener<A> listener, Metadata headers) {
          super.start(
              new SimpleForwardingClientCallListener<A>(listener) {
                @Override
                public void onClose(Status status, Metadata trailers) {
                  if (status.getCode() == Status.Code.UNAUTHENTICATED) {
                    rejected.run();
                  }
                  super.onClose(status, trailers);
                }
              },
              headers);
        }
      };
    }
  }

  private CallDefaults() {}
}
