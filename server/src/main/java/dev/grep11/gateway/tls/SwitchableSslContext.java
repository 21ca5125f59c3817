package dev.grep11.gateway.tls;

import io.netty.buffer.ByteBufAllocator;
import io.netty.handler.ssl.ApplicationProtocolNegotiator;
import io.netty.handler.ssl.SslContext;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLSessionContext;

/**
 * Every new handshake uses the context that is current when its connection arrives; open
 * connections go on with theirs. Safe for use by several threads.
 *
 * <p>Engines are those that Netty makes for handlers of its own: they open all the records that one
 * read brought, where an engine for strangers, which grpc asks for, opens one and builds its result
 * as the JDK wants it.
 */
final class SwitchableSslContext extends SslContext {
  private final AtomicReference<SslContext> current;

  SwitchableSslContext(SslContext first) {
    current = new AtomicReference<>(first);
  }

  void switchTo(SslContext next) {
    current.set(next);
  }

  private SslContext now() {
    return current.get();
  }

  @Override
  public boolean isClient() {
    return false;
  }

  @Override
  public List<String> cipherSuites() {
    return now().cipherSuites();
  }

  @Override
  @SuppressWarnings("deprecation") // Abstract in the superclass, and what grpc asks for ALPN.
  public ApplicationProtocolNegotiator applicationProtocolNegotiator() {
    return now().applicationProtocolNegotiator();
  }

  @Override
  public SSLEngine newEngine(ByteBufAllocator allocator) {
    return now().newHandler(allocator).engine();
  }

  @Override
  public SSLEngine newEngine(ByteBufAllocator allocator, String peerHost, int peerPort) {
    return now().newHandler(allocator, peerHost, peerPort).engine();
  }

  @Override
  public SSLSessionContext sessionContext() {
    return now().sessionContext();
  }
}
