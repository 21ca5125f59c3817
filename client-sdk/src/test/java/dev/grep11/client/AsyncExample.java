package dev.grep11.client;

import java.util.List;
import java.util.concurrent.CompletableFuture;

/** Signs many messages at once, with no thread that waits for an answer. */
final class AsyncExample {
  static List<byte[]> signAll(Grep11Client client, PrivateKeyBlob key, List<byte[]> messages) {
    AsyncGrep11Client async = client.async();
    List<CompletableFuture<byte[]>> signatures =
        messages.stream()
            .map(message -> async.sign(Mechanisms.ecdsaSha256(), key, message))
            .toList();
    return signatures.stream().map(CompletableFuture::join).toList();
  }

  private AsyncExample() {}
}
