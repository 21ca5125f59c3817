package dev.grep11.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.MethodDescriptor;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;

/** Gives each call to the next of several connections, each with an event loop of its own. */
final class SpreadChannel extends Channel {
  private final List<? extends Channel> connections;
  private final AtomicInteger calls = new AtomicInteger();

  SpreadChannel(List<? extends Channel> connections) {
    this.connections = List.copyOf(connections);
  }

  @Override
  public <Q, A> ClientCall<Q, A> newCall(MethodDescriptor<Q, A> method, CallOptions options) {
    int next = Math.floorMod(calls.getAndIncrement(), connections.size());
    return connections.get(next).newCall(method, options);
  }

  @Override
  public String authority() {
    return connections.get(0).authority();
  }
}
