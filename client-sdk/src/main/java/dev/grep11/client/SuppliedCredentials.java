package dev.grep11.client;

import io.grpc.CallCredentials;
import io.grpc.Metadata;
import io.grpc.SecurityLevel;
import io.grpc.Status;
import java.util.concurrent.Executor;
import java.util.concurrent.Executors;
import java.util.function.Supplier;

/** Puts a bearer token on each call that the application supplies. */
final class SuppliedCredentials extends CallCredentials {
  /** Never the call's own, which may be one that must not wait. */
  private static final Executor WAITING =
      Executors.newCachedThreadPool(task -> {
        var thread = new Thread(task, "grep11-token");
        thread.setDaemon(true);
        return thread;
      });

  private final Supplier<String> token;

  SuppliedCredentials(Supplier<String> token) {
    this.token = token;
  }

  @Override
  public void applyRequestMetadata(
      RequestInfo requestInfo, Executor executor, MetadataApplier applier) {
    if (requestInfo.getSecurityLevel() != SecurityLevel.PRIVACY_AND_INTEGRITY) {
      applier.fail(
          Status.UNAUTHENTICATED.withDescription("a token is not sent over an open connection"));
      return;
    }
    WAITING.execute(() -> {
      var headers = new Metadata();
      try {
        headers.put(ApiKeyCredentials.AUTHORIZATION, "Bearer " + token.get());
      } catch (RuntimeException e) {
        applier.fail(
            Status.UNAUTHENTICATED.withDescription("no token: " + e.getMessage()).withCause(e));
        return;
      }
      applier.apply(headers);
    });
  }
}
