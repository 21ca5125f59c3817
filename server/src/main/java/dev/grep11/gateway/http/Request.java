package dev.grep11.gateway.http;

import dev.grep11.gateway.tls.Connections;
import io.netty.channel.Channel;
import io.netty.handler.codec.http.HttpRequest;
import java.net.InetSocketAddress;
import java.util.Optional;

/** A request as it was read; nothing of it is ever printed, for it may hold an API key. */
public final class Request {
  private final HttpRequest head;
  private final byte[] body;
  private final boolean tooLarge;
  private final InetSocketAddress remote;
  private final Channel channel;

  Request(
      HttpRequest head, byte[] body, boolean tooLarge, InetSocketAddress remote, Channel channel) {
    this.head = head;
    this.body = body;
    this.tooLarge = tooLarge;
    this.remote = remote;
    this.channel = channel;
  }

  public String method() {
    return head.method().name();
  }

  /** Path and query as they were sent (RFC 9112, 3.2). */
  public String target() {
    return head.uri();
  }

  /** The first header of this name. */
  public Optional<String> header(String name) {
    return Optional.ofNullable(head.headers().get(name));
  }

  /** Not the whole of it where it {@link #isTooLarge()}. */
  public byte[] body() {
    return body;
  }

  public boolean isTooLarge() {
    return tooLarge;
  }

  public InetSocketAddress remote() {
    return remote;
  }

  /** Says that its sender is one whom this port is for. */
  public void recognize() {
    Connections.recognize(channel);
  }
}
