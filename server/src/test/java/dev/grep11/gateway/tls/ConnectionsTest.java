package dev.grep11.gateway.tls;

import static org.awaitility.Awaitility.await;

import io.grpc.Attributes;
import io.grpc.Grpc;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicInteger;
import javax.net.ssl.SSLContext;
import org.junit.jupiter.api.Test;

/** What is looked at from time to time. */
class ConnectionsTest {
  private static final ConnectionLimits IMPATIENT =
      new ConnectionLimits(10, 10, 10, 10, 10, 10, 10, Duration.ofMillis(1));

  @Test
  void aCutOffThatFailsIsNotTheLastOne() throws Exception {
    var cutOff = new AtomicInteger();
    try (var connections =
        new Connections(
            1,
            IMPATIENT,
            _ -> {},
            _ -> {
              cutOff.incrementAndGet();
              throw new IllegalStateException("canary");
            })) {
      for (int i = 1; i <= 3; i++) {
        connected(connections, i).unread().add(1);
        int expected = i;
        await().atMost(Duration.ofSeconds(30)).until(() -> cutOff.get() == expected);
      }
    }
  }

  private static Connection connected(Connections connections, int port)
      throws NoSuchAlgorithmException {
    var attributes =
        connections.transportReady(
            Attributes.newBuilder()
                .set(
                    Grpc.TRANSPORT_ATTR_REMOTE_ADDR,
                    new InetSocketAddress(InetAddress.getLoopbackAddress(), port))
                .set(
                    Grpc.TRANSPORT_ATTR_SSL_SESSION,
                    SSLContext.getDefault().createSSLEngine().getSession())
                .build());
    return Objects.requireNonNull(attributes.get(Connections.CONNECTION));
  }
}
