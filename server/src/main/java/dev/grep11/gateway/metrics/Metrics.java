package dev.grep11.gateway.metrics;

import io.prometheus.metrics.core.datapoints.CounterDataPoint;
import io.prometheus.metrics.core.datapoints.DistributionDataPoint;
import io.prometheus.metrics.core.metrics.Counter;
import io.prometheus.metrics.core.metrics.CounterWithCallback;
import io.prometheus.metrics.core.metrics.GaugeWithCallback;
import io.prometheus.metrics.core.metrics.Histogram;
import io.prometheus.metrics.core.metrics.Info;
import io.prometheus.metrics.expositionformats.ExpositionFormats;
import io.prometheus.metrics.instrumentation.jvm.JvmMetrics;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.function.DoubleSupplier;
import java.util.function.LongSupplier;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * All metrics of a gateway, in the text formats of Prometheus and OpenMetrics. Names and labels are
 * listed in {@code docs/metrics.md}. Safe for use by several threads.
 */
public final class Metrics {
  /** From a lane that has a thread to spare to one where prime numbers are looked for. */
  private static final double[] WAIT_SECONDS = {
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 60
  };

  private static final Duration KEPT = Duration.ofSeconds(1);

  /**
   * What is answered to who asks.
   *
   * @param body not to be written to: others are given the same
   */
  @SuppressWarnings("ArrayRecordComponent") // Nobody compares them.
  public record Page(String contentType, byte[] body) {}

  private record Kept(Page page, long nanos) {}

  private final PrometheusRegistry registry = new PrometheusRegistry();
  private final ExpositionFormats formats = ExpositionFormats.init();
  private final CallMetrics calls;
  private final Counter handshakes;
  private final Counter refusedConnections;
  private final Histogram laneWaits;
  private final LongSupplier nanoClock;

  /** By content type, of which the library has a few of its own. */
  private final Map<String, Kept> pages = new HashMap<>();

  /**
   * With what every gateway has.
   *
   * @param version of the gateway
   * @param followed whether there are calls that somebody follows
   */
  public Metrics(
      String version, CallMetrics.Segments segments, boolean followed, LongSupplier nanoClock) {
    this.nanoClock = nanoClock;
    calls = new CallMetrics(registry, segments, followed, nanoClock);
    handshakes =
        Counter.builder()
            .name("grep11_tls_handshakes")
            .help("TLS handshakes of the crypto port, and why they failed.")
            .labelNames("outcome", "reason")
            .register(registry);
    refusedConnections =
        Counter.builder()
            .name("grep11_connections_refused")
            .help(
                "Connections that were closed because there were too many, or they asked too much.")
            .labelNames("port", "reason")
            .register(registry);
    laneWaits =
        Histogram.builder()
            .name("grep11_lane_wait_seconds")
            .help("From the arrival of work in a lane to its beginning on a thread of the token.")
            .labelNames("lane")
            .classicOnly()
            .classicUpperBounds(WAIT_SECONDS)
            .register(registry);
    Info.builder()
        .name("grep11_build_info")
        .help("Which gateway this is.")
        .labelNames("version", "java")
        .register(registry)
        .addLabelValues(version, Runtime.version().toString());
    JvmMetrics.builder().register(registry);
  }

  public CallMetrics calls() {
    return calls;
  }

  /**
   * Where handshakes that ended so are counted.
   *
   * @param outcome {@code accepted}, {@code refused} or {@code failed}
   * @param reason one of a closed set
   */
  public CounterDataPoint handshakes(String outcome, String reason) {
    return handshakes.labelValues(outcome, reason);
  }

  /**
   * Where connections that were closed for a limit are counted.
   *
   * @param port by its use, one of a closed set
   * @param reason one of a closed set
   */
  public CounterDataPoint refusedConnections(String port, String reason) {
    return refusedConnections.labelValues(port, reason);
  }

  /**
   * Where seconds are observed that work waited in a lane.
   *
   * @param lane one of a closed set
   */
  public DistributionDataPoint laneWaits(String lane) {
    return laneWaits.labelValues(lane);
  }

  /** A value that is asked for when it is read. */
  public void gauge(String name, String help, DoubleSupplier value) {
    optionalGauge(name, help, () -> OptionalDouble.of(value.getAsDouble()));
  }

  /** As {@link #gauge(String, String, DoubleSupplier)}, for one that is not there at times. */
  public void optionalGauge(String name, String help, Supplier<OptionalDouble> value) {
    GaugeWithCallback.builder()
        .name(name)
        .help(help)
        .callback(gauge -> value.get().ifPresent(gauge::call))
        .register(registry);
  }

  /** Values by one label of a closed set. */
  public void gauges(String name, String help, String label, Supplier<Map<String, Double>> values) {
    GaugeWithCallback.builder()
        .name(name)
        .help(help)
        .labelNames(label)
        .callback(gauge -> values.get().forEach((of, value) -> gauge.call(value, of)))
        .register(registry);
  }

  /** A count kept elsewhere, that only grows. */
  public void count(String name, String help, LongSupplier value) {
    CounterWithCallback.builder()
        .name(name)
        .help(help)
        .callback(counter -> counter.call((double) value.getAsLong()))
        .register(registry);
  }

  /** Counts kept elsewhere, that only grow, by one label of a closed set. */
  public void counts(String name, String help, String label, Supplier<Map<String, Long>> values) {
    CounterWithCallback.builder()
        .name(name)
        .help(help)
        .labelNames(label)
        .callback(counter -> values.get().forEach((of, value) -> counter.call((double) value, of)))
        .register(registry);
  }

  /**
   * All, as the Accept header wants it, and at most a second old: whoever asks in a flood waits for
   * the others and has what they have, and not the calls of clients.
   */
  public synchronized Page page(@Nullable String accept) {
    var writer = formats.findWriter(accept);
    var kept = pages.get(writer.getContentType());
    if (kept != null && nanoClock.getAsLong() - kept.nanos < KEPT.toNanos()) {
      return kept.page;
    }
    var body = new ByteArrayOutputStream();
    try {
      writer.write(body, registry.scrape(Metrics::isCheap));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    var page = new Page(writer.getContentType(), body.toByteArray());
    pages.put(page.contentType(), new Kept(page, nanoClock.getAsLong()));
    return page;
  }

  /** Who looks for deadlocks stops every thread of the JVM meanwhile. */
  private static boolean isCheap(String name) {
    return !name.startsWith("jvm_threads_deadlocked");
  }
}
