package dev.grep11.client;

import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import javax.net.ssl.SSLContext;

/** {@code POST /identity/token} over real TLS; tells what it was sent. */
final class FakeTokenService implements AutoCloseable {
  private final HttpsServer server;
  private final ExecutorService executor = Executors.newSingleThreadExecutor();
  private final List<String> requests = Collections.synchronizedList(new ArrayList<>());
  private volatile int status = 200;
  private volatile String answer = "{\"access_token\":\"t0\",\"expires_in\":3600}";

  FakeTokenService(TestAuthority.Identity identity) throws Exception {
    var context = SSLContext.getInstance("TLS");
    context.init(Pem.identity(identity.certificate(), identity.key()), null, null);
    server = HttpsServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    server.setHttpsConfigurator(new HttpsConfigurator(context));
    server.setExecutor(executor);
    server.createContext(
        "/identity/token",
        exchange -> {
          byte[] body = exchange.getRequestBody().readAllBytes();
          requests.add(
              exchange.getRequestMethod()
                  + " "
                  + exchange.getRequestHeaders().getFirst("Content-Type")
                  + " "
                  + new String(body, StandardCharsets.US_ASCII));
          byte[] bytes = answer.getBytes(StandardCharsets.UTF_8);
          exchange.sendResponseHeaders(status, bytes.length);
          exchange.getResponseBody().write(bytes);
          exchange.close();
        });
    server.start();
  }

  URI endpoint() {
    return URI.create("https://localhost:" + server.getAddress().getPort());
  }

  List<String> requests() {
    return List.copyOf(requests);
  }

  void answerWith(int newStatus, String newAnswer) {
    status = newStatus;
    answer = newAnswer;
  }

  @Override
  public void close() {
    server.stop(0);
    executor.shutdownNow();
  }
}
