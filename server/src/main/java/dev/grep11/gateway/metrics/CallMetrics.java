package dev.grep11.gateway.metrics;

import io.prometheus.metrics.core.datapoints.CounterDataPoint;
import io.prometheus.metrics.core.datapoints.DistributionDataPoint;
import io.prometheus.metrics.core.metrics.Counter;
import io.prometheus.metrics.core.metrics.GaugeWithCallback;
import io.prometheus.metrics.core.metrics.Histogram;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.prometheus.metrics.model.snapshots.Labels;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.LongSupplier;

/**
 * Calls by rpc and outcome. Every label is of a closed set of the gateway's own: nothing that a
 * client says becomes one. Asked on every call: what belongs to an outcome is looked up once.
 */
public final class CallMetrics {
  /** From a digest in the process to the generation of a key, seconds. */
  private static final double[] SECONDS = {
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60
  };

  private static final int LARGEST_KNOWN = 4_096;

  private final Counter calls;
  private final Histogram seconds;
  private final LongSupplier nanoClock;
  private final Map<Outcome, Counted> counted = new ConcurrentHashMap<>();
  private final Map<Published, LastMinute> published = new ConcurrentHashMap<>();

  /**
   * How a call ended.
   *
   * @param rpc bare name
   * @param code of gRPC
   * @param returnValue name of the CK_RV, for example {@code CKR_OK}
   * @param httpStatus as the audit log has it
   */
  public record Outcome(String rpc, String code, String returnValue, int httpStatus) {}

  private record Counted(
      CounterDataPoint calls, DistributionDataPoint seconds, LastMinute lastMinute) {}

  /** What IBM's gauges are told apart by. */
  private record Published(String rpc, int httpStatus) {}

  /**
   * Registers them.
   *
   * @param followed whether there are calls that somebody follows
   */
  CallMetrics(
      PrometheusRegistry registry, Segments segments, boolean followed, LongSupplier nanoClock) {
    this.nanoClock = nanoClock;
    // A metric that takes exemplars loads OpenTelemetry to look for a span (prometheus.properties).
    calls =
        (followed ? Counter.builder().withExemplars() : Counter.builder())
            .name("grep11_calls")
            .help("Calls of the crypto and keystore services, by gRPC status and CK_RV.")
            .labelNames("rpc", "code", "ckr")
            .register(registry);
    seconds =
        (followed ? Histogram.builder().withExemplars() : Histogram.builder())
            .name("grep11_call_seconds")
            .help("From the headers of a call to its answer.")
            .labelNames("rpc")
            .classicOnly()
            .classicUpperBounds(SECONDS)
            .register(registry);
    GaugeWithCallback.builder()
        .name("ibm_hpcs_api_request_gauge")
        .help("Calls of the last 60 s, by type and response code.")
        .labelNames(segments.names())
        .callback(gauge ->
            published.forEach((of, minute) ->
                gauge.call(
                    (double) minute.summary().count(), segments.values(of.rpc(), of.httpStatus()))))
        .register(registry);
    GaugeWithCallback.builder()
        .name("ibm_hpcs_api_latency_gauge")
        .help("Average latency of the calls of the last 60 s, milliseconds.")
        .labelNames(segments.names())
        .callback(gauge ->
            published.forEach((of, minute) ->
                gauge.call(
                    minute.summary().averageMillis(), segments.values(of.rpc(), of.httpStatus()))))
        .register(registry);
  }

  /**
   * Counts a call that has been answered.
   *
   * @param traceId of one that is followed
   */
  public void ended(Outcome outcome, Duration took, Optional<String> traceId) {
    var known = counted.get(outcome);
    if (known == null) {
      known = know(outcome);
    }
    double latency = took.toNanos() / 1e9;
    if (traceId.isPresent()) {
      var exemplar = Labels.of("trace_id", traceId.get());
      known.calls.incWithExemplar(exemplar);
      known.seconds.observeWithExemplar(latency, exemplar);
    } else {
      known.calls.inc();
      known.seconds.observe(latency);
    }
    known.lastMinute.add(took.toNanos());
  }

  private Counted know(Outcome outcome) {
    // All are of closed sets, whose product is larger than what there is ever to see.
    var counts =
        counted.size() < LARGEST_KNOWN
            ? outcome
            : new Outcome(outcome.rpc(), outcome.code(), "other", outcome.httpStatus());
    return counted.computeIfAbsent(
        counts,
        of ->
            new Counted(
                calls.labelValues(of.rpc(), of.code(), of.returnValue()),
                seconds.labelValues(of.rpc()),
                published.computeIfAbsent(
                    new Published(of.rpc(), of.httpStatus()), _ -> new LastMinute(nanoClock))));
  }

  /**
   * What IBM's gauges carry besides (iam-audit-metrics.md, 5), as far as a gateway knows it.
   *
   * @param location of the instance
   * @param instance UUID; empty text for a gateway of several
   * @param name of the instance
   */
  public record Segments(String location, String instance, String name) {
    private static final List<String> NAMES =
        List.of(
            "ibm_hpcs_api",
            "ibm_hpcs_response_code",
            "ibm_resource_type",
            "ibm_service_name",
            "ibm_location",
            "ibm_service_instance",
            "ibm_service_instance_name");

    String[] names() {
      return NAMES.toArray(String[]::new);
    }

    String[] values(String rpc, int httpStatus) {
      return new String[] {
        rpc, String.valueOf(httpStatus), "instance", "kms", location, instance, name
      };
    }
  }
}
