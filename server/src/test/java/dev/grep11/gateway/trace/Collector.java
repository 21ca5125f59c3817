package dev.grep11.gateway.trace;

import com.google.protobuf.ByteString;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
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
import java.util.stream.Collectors;

/** Takes spans by OTLP over HTTP, or refuses them, as the test wants it. */
public final class Collector implements AutoCloseable {
  private final HttpServer server;
  private final List<ExportTraceServiceRequest> requests = new CopyOnWriteArrayList<>();
  private final List<ByteString> bodies = new CopyOnWriteArrayList<>();
  private volatile int answer = 200;

  private Collector(HttpServer server) {
    this.server = server;
  }

  /** On a free port of this host. */
  public static Collector start() throws IOException {
    var collector =
        new Collector(
            HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0));
    collector.server.createContext("/v1/traces", collector::take);
    collector.server.start();
    return collector;
  }

  private void take(HttpExchange exchange) throws IOException {
    try (exchange) {
      var body = ByteString.readFrom(exchange.getRequestBody());
      bodies.add(body);
      if (answer == 200) {
        requests.add(ExportTraceServiceRequest.parseFrom(body));
      }
      exchange.getResponseHeaders().set("Content-Type", "application/x-protobuf");
      var response = ExportTraceServiceResponse.getDefaultInstance().toByteArray();
      exchange.sendResponseHeaders(answer, response.length == 0 ? -1 : response.length);
    }
  }

  /** Of this host, without a path. */
  public URI endpoint() {
    return URI.create("http://127.0.0.1:" + server.getAddress().getPort());
  }

  /** Answers so from now on; what is refused does not count as received spans. */
  void answer(int status) {
    answer = status;
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
    server.stop(0);
  }
}
