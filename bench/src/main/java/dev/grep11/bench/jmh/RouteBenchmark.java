package dev.grep11.bench.jmh;

import dev.grep11.gateway.rpc.RouteDoor;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;

/** A whole call around no work: without TLS, HTTP/2, token of the caller and token of PKCS #11. */
@State(Scope.Thread)
public class RouteBenchmark {
  private final OutputStream sink = new Sink();
  private final ByteBuffer request = Requests.direct(Requests.signSingle());
  private final RouteDoor routes = new RouteDoor();

  @Benchmark
  public int signsNothing() {
    return routes.call(Requests.stream(request), sink);
  }
}
