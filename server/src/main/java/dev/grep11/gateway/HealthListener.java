package dev.grep11.gateway;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsParameters;
import com.sun.net.httpserver.HttpsServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.BooleanSupplier;
import java.util.stream.Stream;
import javax.net.ssl.SSLContext;

/**
 * The port that supervisors ask: {@code /livez}, {@code /readyz}, {@code /startupz}. It asks for no
 * client certificate and reaches no key, so that it answers while the second lock is closed.
 */
final class HealthListener implements AutoCloseable {
  private final HttpsServer server;
  private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();

  /**
   * @param ready whether calls are served at present: the token answers and grants are confirmed
   */
  HealthListener(
      InetSocketAddress address, SSLContext tls, BooleanSupplier started, BooleanSupplier ready)
      throws IOException {
    server = HttpsServer.create(address, 0);
    server.setHttpsConfigurator(
        new HttpsConfigurator(tls) {
          @Override
          public void configure(HttpsParameters parameters) {
            var allowed = getSSLContext().getDefaultSSLParameters();
            allowed.setProtocols(new String[] {"TLSv1.3", "TLSv1.2"});
            // As the token service: no CBC.
            allowed.setCipherSuites(
                Stream.of(allowed.getCipherSuites())
                    .filter(suite -> suite.contains("_GCM_") || suite.contains("_CHACHA20_"))
                    .toArray(String[]::new));
            parameters.setSSLParameters(allowed);
          }
        });
    server.setExecutor(threads);
    server.createContext("/", exchange -> answer(exchange, 404, "not found"));
    server.createContext("/livez", exchange -> answer(exchange, true));
    server.createContext("/startupz", exchange -> answer(exchange, started.getAsBoolean()));
    server.createContext("/readyz", exchange -> answer(exchange, ready.getAsBoolean()));
    server.start();
  }

  int port() {
    return server.getAddress().getPort();
  }

  private static void answer(HttpExchange exchange, boolean good) throws IOException {
    answer(exchange, good ? 200 : 503, good ? "ok" : "not ready");
  }

  private static void answer(HttpExchange exchange, int status, String text) throws IOException {
    try (exchange) {
      var body = (text + "\n").getBytes(UTF_8);
      exchange.getResponseHeaders().set("Content-Type", "text/plain; charset=utf-8");
      exchange.sendResponseHeaders(status, body.length);
      exchange.getResponseBody().write(body);
    }
  }

  @Override
  public void close() {
    server.stop(0);
    threads.shutdownNow();
  }
}
