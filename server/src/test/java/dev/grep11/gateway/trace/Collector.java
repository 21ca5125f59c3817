package dev.grep11.gateway.trace;

import com.google.protobuf.ByteString;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import io.opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest;
import io.opentelemetry.proto.collector.trace.v1.ExportTraceServiceResponse;
import io.opentelemetry.proto.common.v1.AnyValue;
import io.opentelemetry.proto.common.v1.KeyValue;
import io.opentelemetry.proto.trace.v1.Span;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Collectors;
import javax.net.ssl.SSLContext;

/** Takes spans by OTLP over HTTP, or refuses them, as the test wants it. */
public final class Collector implements AutoCloseable {
  private final HttpServer server;
  private final List<ExportTraceServiceRequest> requests = new CopyOnWriteArrayList<>();
  private final List<ByteString> bodies = new CopyOnWriteArrayList<>();
  private volatile int answer = 200;
  private volatile CountDownLatch held = new CountDownLatch(0);

  private Collector(HttpServer server) {
    this.server = server;
  }

  /** On a free port of this host. */
  public static Collector start() throws IOException {
    return start(HttpServer.create(), "127.0.0.1");
  }

  /** As {@link #start()}, at another of the addresses of this host, by TLS. */
  static Collector start(SSLContext identity, String address) throws IOException {
    var server = HttpsServer.create();
    server.setHttpsConfigurator(new HttpsConfigurator(identity));
    return start(server, address);
  }

  private static Collector start(HttpServer server, String address) throws IOException {
    server.bind(new InetSocketAddress(InetAddress.ofLiteral(address), 0), 0);
    var collector = new Collector(server);
    collector.server.createContext("/v1/traces", collector::take);
    collector.server.start();
    return collector;
  }

  private void take(HttpExchange exchange) throws IOException {
    try (exchange) {
      // Once: whoever sees that a body has come may ask for another answer to the next.
      int status = answer;
      var body = ByteString.readFrom(exchange.getRequestBody());
      bodies.add(body);
      if (status == 200) {
        requests.add(ExportTraceServiceRequest.parseFrom(body));
      }
      held.await();
      exchange.getResponseHeaders().set("Content-Type", "application/x-protobuf");
      var response = ExportTraceServiceResponse.getDefaultInstance().toByteArray();
      exchange.sendResponseHeaders(status, response.length == 0 ? -1 : response.length);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  /** Of this host, without a path. */
  public URI endpoint() {
    var address = server.getAddress();
    return URI.create(
        (server instanceof HttpsServer ? "https://" : "http://")
            + address.getAddress().getHostAddress()
            + ":"
            + address.getPort());
  }

  /** Answers so from now on; what is refused does not count as received spans. */
  void answer(int status) {
    answer = status;
  }

  /** Takes what is sent and answers nothing until {@link #release}. */
  void hold() {
    held = new CountDownLatch(1);
  }

  void release() {
    held.countDown();
  }

  /** How often something was sent. */
  int sent() {
    return bodies.size();
  }

  /** All that was taken. */
  List<Span> spans() {
    return requests.stream()
        .flatMap(request -> request.getResourceSpansList().stream())
        .flatMap(resource -> resource.getScopeSpansList().stream())
        .flatMap(scope -> scope.getSpansList().stream())
        .toList();
  }

  /** What was taken of a trace, by name. */
  public Map<String, Span> spans(String trace) {
    return spans().stream()
        .filter(span -> hex(span.getTraceId()).equals(trace))
        .collect(Collectors.toMap(Span::getName, span -> span));
  }

  /** Attributes of the process that sent last. */
  Map<String, String> resource() {
    return text(requests.getLast().getResourceSpans(0).getResource().getAttributesList());
  }

  /** Under which the audit log has the calls that were followed. */
  public List<String> correlationIds() {
    return spans().stream()
        .map(Collector::attributes)
        .filter(attributes -> attributes.containsKey("grep11.correlation_id"))
        .map(attributes -> attributes.get("grep11.correlation_id"))
        .toList();
  }

  /** Whether these bytes were anywhere in what was sent. */
  public boolean received(ByteString what) {
    return bodies.stream()
        .anyMatch(body -> {
          for (int at = 0; at <= body.size() - what.size(); at++) {
            if (body.substring(at, at + what.size()).equals(what)) {
              return true;
            }
          }
          return false;
        });
  }

  /** Attributes as text. */
  public static Map<String, String> attributes(Span span) {
    return text(span.getAttributesList());
  }

  private static Map<String, String> text(List<KeyValue> attributes) {
    return attributes.stream().collect(Collectors.toMap(KeyValue::getKey, Collector::value));
  }

  private static String value(KeyValue attribute) {
    AnyValue value = attribute.getValue();
    return value.hasIntValue() ? Long.toString(value.getIntValue()) : value.getStringValue();
  }

  public static String hex(ByteString id) {
    return HexFormat.of().formatHex(id.toByteArray());
  }

  @Override
  public void close() {
    release();
    server.stop(0);
  }
}
