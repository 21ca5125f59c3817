package dev.grep11.gateway.trace;

import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.trust.TrustedCas;
import io.grpc.Metadata;
import io.grpc.Status;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.api.trace.propagation.W3CTraceContextPropagator;
import io.opentelemetry.context.Context;
import io.opentelemetry.context.propagation.TextMapGetter;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporterBuilder;
import io.opentelemetry.sdk.common.Clock;
import io.opentelemetry.sdk.common.CompletableResultCode;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.data.SpanData;
import io.opentelemetry.sdk.trace.export.BatchSpanProcessor;
import io.opentelemetry.sdk.trace.export.SpanExporter;
import io.opentelemetry.sdk.trace.samplers.Sampler;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import java.util.logging.Level;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Spans to a collector by OTLP over HTTP. The only class that knows OpenTelemetry, so that a
 * gateway which traces nothing loads neither SDK nor exporter. Spans are gathered and sent in the
 * background; what the collector does not take is dropped, and no call waits for it.
 */
public final class OtlpTracing implements Tracing, AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(OtlpTracing.class);

  /**
   * What it has to say is said by {@link Told}, once; it would say at every export again that the
   * queue was full. Held here because java.util.logging forgets the level of a logger that nobody
   * holds.
   */
  private static final java.util.logging.Logger ITS_OWN =
      java.util.logging.Logger.getLogger("io.opentelemetry");

  static {
    ITS_OWN.setLevel(Level.OFF);
  }

  private static final Duration GATHERING = Duration.ofSeconds(1);
  private static final Duration LONGEST_EXPORT = Duration.ofSeconds(10);
  private static final Duration CLOSE_WITHIN = Duration.ofSeconds(3);

  /** That of the SDK, whose nanoseconds are those of {@link System#nanoTime()}. */
  private static final Clock CLOCK = Clock.getDefault();

  private static final String TRACEPARENT = "traceparent";
  private static final Metadata.Key<String> HEADER =
      Metadata.Key.of(TRACEPARENT, Metadata.ASCII_STRING_MARSHALLER);

  /** Of the two headers only this: the other is text of the caller's, and nothing here needs it. */
  private static final TextMapGetter<Metadata> TRACEPARENT_ONLY =
      new TextMapGetter<>() {
        @Override
        public Iterable<String> keys(Metadata headers) {
          return List.of(TRACEPARENT);
        }

        @Override
        public @Nullable String get(@Nullable Metadata headers, String key) {
          return headers != null && key.equals(TRACEPARENT) ? headers.get(HEADER) : null;
        }
      };

  private final SdkTracerProvider provider;
  private final Tracer tracer;

  private OtlpTracing(SdkTracerProvider provider) {
    this.provider = provider;
    tracer = provider.get("grep11-gateway");
  }

  /**
   * Begins to send; that the collector is there is not asked.
   *
   * @param version of the gateway
   * @param replica what the gateway is called among those on its store
   * @throws IOException when the file of CAs cannot be read or has none
   */
  public static OtlpTracing start(TracingSettings settings, String version, String replica)
      throws IOException {
    var exporter =
        OtlpHttpSpanExporter.builder()
            .setEndpoint(settings.endpoint().toString())
            .setTimeout(LONGEST_EXPORT);
    if (settings.caFile().isPresent()) {
      trust(exporter, settings.caFile().get());
    }
    var resource =
        Resource.create(
            Attributes.builder()
                .put("service.name", "grep11-gateway")
                .put("service.version", version)
                .put("service.instance.id", replica)
                .build());
    var told = new Told(exporter.build(), settings.endpoint().toString());
    return new OtlpTracing(
        SdkTracerProvider.builder()
            .setResource(Resource.getDefault().merge(resource))
            // Callers decide for themselves: a trace is whole when all on its way go by its
            // beginning. Only those who may use keys get this far, and a call of theirs costs more
            // than its spans (W3C Trace Context, 7.2, warns of strangers).
            .setSampler(
                Sampler.parentBased(Sampler.traceIdRatioBased(settings.samplePercent() / 100.0)))
            .addSpanProcessor(BatchSpanProcessor.builder(told).setScheduleDelay(GATHERING).build())
            .build());
  }

  private static void trust(OtlpHttpSpanExporterBuilder exporter, Path caFile) throws IOException {
    try {
      var cas = TrustedCas.of(caFile);
      exporter.setSslContext(cas.context(), cas.manager());
    } catch (GeneralSecurityException e) {
      throw new IOException(
          "tracing.caFile: %s: %s; put the CA of the collector's certificate there, in PEM"
              .formatted(caFile, e.getMessage()),
          e);
    }
  }

  @Override
  public @Nullable CallTrace begin(
      String rpc, Metadata headers, String correlationId, long arrivedNanos) {
    var parent =
        W3CTraceContextPropagator.getInstance().extract(Context.root(), headers, TRACEPARENT_ONLY);
    long arrived = CLOCK.now() - (CLOCK.nanoTime() - arrivedNanos);
    var span =
        tracer
            .spanBuilder(rpc)
            .setParent(parent)
            .setSpanKind(SpanKind.SERVER)
            .setStartTimestamp(arrived, TimeUnit.NANOSECONDS)
            .startSpan();
    if (!span.isRecording()) {
      return null;
    }
    int slash = rpc.indexOf('/');
    span.setAttribute("rpc.system", "grpc")
        .setAttribute("rpc.service", rpc.substring(0, slash))
        .setAttribute("rpc.method", rpc.substring(slash + 1))
        .setAttribute("grep11.correlation_id", correlationId);
    return new Followed(span, parent.with(span));
  }

  private final class Followed implements CallTrace {
    private final Span call;
    private final Context context;
    private volatile @Nullable Span waiting;

    Followed(Span call, Context context) {
      this.call = call;
      this.context = context;
    }

    @Override
    public String traceId() {
      return call.getSpanContext().getTraceId();
    }

    private Span child(String name) {
      return tracer.spanBuilder(name).setParent(context).startSpan();
    }

    @Override
    public <T> Callable<T> around(OptionalLong mechanism, Callable<T> work) {
      var arrived = Thread.currentThread();
      var queue = child("queue");
      waiting = queue;
      return () -> {
        waiting = null;
        // Where it came from there is no queue; a span that is not ended is not sent.
        if (!Thread.currentThread().equals(arrived)) {
          queue.end();
        }
        var working = child("work");
        mechanism.ifPresent(number -> working.setAttribute("pkcs11.mechanism", Ckm.name(number)));
        try {
          return work.call();
        } finally {
          working.end();
        }
      };
    }

    @Override
    public void end(Status.Code code, long returnValue, Optional<UUID> instance) {
      var queue = waiting;
      if (queue != null) {
        queue.end();
      }
      call.setAttribute("rpc.grpc.status_code", code.value())
          .setAttribute("pkcs11.return_value", Ckr.name(returnValue));
      instance.ifPresent(id -> call.setAttribute("grep11.instance", id.toString()));
      if (code != Status.Code.OK) {
        call.setStatus(StatusCode.ERROR);
      }
      call.end();
    }
  }

  /** Says when spans begin to be lost, and when they arrive again. */
  private static final class Told implements SpanExporter {
    private final SpanExporter exporter;
    private final String endpoint;
    private volatile boolean failing;

    Told(SpanExporter exporter, String endpoint) {
      this.exporter = exporter;
      this.endpoint = endpoint;
    }

    @Override
    public CompletableResultCode export(Collection<SpanData> spans) {
      var result = exporter.export(spans);
      return result.whenComplete(() -> tell(result));
    }

    private void tell(CompletableResultCode result) {
      if (!result.isSuccess() && !failing) {
        LOG.warn(
            "tracing.endpoint {} does not take spans ({}): they are lost until it does, calls go on",
            endpoint,
            why(result.getFailureThrowable()));
      } else if (result.isSuccess() && failing) {
        LOG.info("tracing.endpoint {} takes spans again", endpoint);
      }
      failing = !result.isSuccess();
    }

    /** The exporter tells a status of HTTP in a class of its own only, which is not for others. */
    private static String why(@Nullable Throwable failure) {
      if (failure == null || failure.getCause() == null) {
        return "it answers with an error of HTTP";
      }
      var first = failure.getCause();
      while (first instanceof CompletionException || first instanceof UncheckedIOException) {
        first = Objects.requireNonNull(first.getCause());
      }
      return first.toString();
    }

    @Override
    public CompletableResultCode flush() {
      return exporter.flush();
    }

    @Override
    public CompletableResultCode shutdown() {
      return exporter.shutdown();
    }
  }

  /** Sends what has gathered, if the collector takes it soon. */
  @Override
  public void close() {
    var _ = provider.shutdown().join(CLOSE_WITHIN.toMillis(), TimeUnit.MILLISECONDS);
  }
}
