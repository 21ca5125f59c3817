package dev.grep11.bench;

import dev.grep11.client.Grep11Client;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicLong;
import picocli.CommandLine.Command;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Option;

/**
 * Many clients at once with mixed calls, none of which may fail.
 *
 * <p>With {@code --gateway-pid} it also looks at the gateway's process: memory must not grow faster
 * than the bound in the second half of the run (SoftHSM loses some 250 bytes with each key that it
 * makes and forgets, which {@code keys_made} helps to tell from a leak of ours), and once the
 * clients are gone no more files may be open and no more threads run than before they came, give or
 * take what a server keeps.
 */
@Command(
    name = "load",
    mixinStandardHelpOptions = true,
    description = {
      "Many clients with mixed calls; exit 0 only if no call failed.",
      "The gateway is the one of GREP11_ADDRESS, GREP11_APIKEY, GREP11_IAMENDPOINT, GREP11_CA."
    })
public final class Load implements Callable<Integer> {
  /** Making key pairs is bounded by the gateway per subject, and all clients are one. */
  private static final int PREPARED_AT_ONCE = 4;

  /** Idle connections linger, and pools keep a thread or a file that they opened once. */
  private static final long KEPT = 16;

  private static final Duration GOODBYE = Duration.ofSeconds(3);

  @Option(names = "--clients", defaultValue = "200", description = "${DEFAULT-VALUE}")
  private int clients;

  @Option(
      names = "--channels",
      description = "connections that the clients share; one for each unless set")
  private Optional<Integer> channels = Optional.empty();

  @Option(names = "--seconds", defaultValue = "60", description = "${DEFAULT-VALUE}")
  private int seconds;

  @Option(
      names = "--calls",
      defaultValue = "5000000",
      description = "ends the run early after as many; ${DEFAULT-VALUE}")
  private long most;

  @Option(names = "--gateway-pid", description = "the process to watch")
  private Optional<Long> gatewayPid = Optional.empty();

  @Option(
      names = "--slope",
      defaultValue = "1.0",
      description = "MiB a minute that its memory may grow; ${DEFAULT-VALUE}")
  private double steepest;

  @Option(
      names = "--only",
      split = ",",
      converter = StepName.class,
      description = "these calls out of the mix, instead of all")
  private Set<Step> steps = EnumSet.allOf(Step.class);

  @Option(
      names = "--output",
      defaultValue = "text",
      description = "text or json (an object per line)")
  private Line.Format output = Line.Format.TEXT;

  static final class StepName implements ITypeConverter<Step> {
    @Override
    public Step convert(String label) {
      return Step.named(label);
    }
  }

  private final Failures failures = new Failures();
  private final Map<Step, Latencies> latencies = new EnumMap<>(Step.class);
  private final AtomicLong calls = new AtomicLong();

  public static void main(String... arguments) {
    Commands.run(new Load(), arguments);
  }

  @Override
  public Integer call() throws InterruptedException {
    for (var step : Step.values()) {
      latencies.put(step, new Latencies());
    }
    try (var watch = new Watch(gatewayPid)) {
      var connections = connect(Target.of(System.getenv()), channels.orElse(clients));
      long nanos;
      long half;
      try {
        var ready = prepare(connections);
        System.err.printf("load: %d clients for %d s%n", ready.size(), seconds);
        long began = System.nanoTime();
        half = began + Duration.ofSeconds(seconds).toNanos() / 2;
        run(ready, began + Duration.ofSeconds(seconds).toNanos());
        nanos = System.nanoTime() - began;
      } finally {
        connections.parallelStream().forEach(Grep11Client::close);
      }
      var slope = watch.slope(half);
      Thread.sleep(GOODBYE);
      return report(nanos, slope, watch) ? 0 : 1;
    }
  }

  private static List<Grep11Client> connect(Target target, int count) {
    var connections = new ArrayList<Grep11Client>();
    for (int i = 0; i < count; i++) {
      connections.add(target.connect());
    }
    return connections;
  }

  private List<MixedClient> prepare(List<Grep11Client> connections) throws InterruptedException {
    System.err.printf(
        "load: %d clients on %d connections make their keys%n", clients, connections.size());
    var places = new Semaphore(PREPARED_AT_ONCE);
    var begun = new ArrayList<Future<MixedClient>>();
    try (var threads = Executors.newVirtualThreadPerTaskExecutor()) {
      for (int i = 0; i < clients; i++) {
        var connection = connections.get(i % connections.size());
        long seed = i;
        begun.add(
            threads.submit(() -> {
              places.acquire();
              try {
                return new MixedClient(connection, seed);
              } finally {
                places.release();
              }
            }));
      }
      var ready = new ArrayList<MixedClient>();
      for (var client : begun) {
        ready.add(client.get());
      }
      return ready;
    } catch (ExecutionException e) {
      throw new BenchException("a client could not make its keys: " + Failures.describe(e), e);
    }
  }

  private void run(List<MixedClient> ready, long end) {
    try (var threads = Executors.newVirtualThreadPerTaskExecutor()) {
      for (var client : ready) {
        var _ = threads.submit(() -> repeat(client, end));
      }
    }
  }

  private void repeat(MixedClient client, long end) {
    while (System.nanoTime() < end && calls.incrementAndGet() <= most) {
      var step = client.draw(steps);
      long began = System.nanoTime();
      try {
        client.run(step);
        recorded(step).record(System.nanoTime() - began);
      } catch (RuntimeException e) {
        failures.add(step.label(), e);
      }
    }
  }

  private Latencies recorded(Step step) {
    var recorded = latencies.get(step);
    if (recorded == null) {
      throw new IllegalStateException(step.name());
    }
    return recorded;
  }

  private boolean report(long nanos, OptionalDouble slope, Watch watch) {
    long served = 0;
    for (var step : steps) {
      var seen = recorded(step);
      served += seen.count();
      print(
          seen.describe(
              new Line()
                  .with("op", step.label())
                  .with("clients", clients)
                  .with("count", seen.count())
                  .with("rate", seen.count() * 1e9 / nanos, 1)));
    }
    failures.each((line, first) -> {
      print(line);
      System.err.println("load: first of them: " + first);
    });
    var total =
        new Line()
            .with("op", "all")
            .with("clients", clients)
            .with("channels", channels.orElse(clients))
            .with("seconds", nanos / 1e9, 1)
            .with("count", served)
            .with("rate", served * 1e9 / nanos, 1)
            .with("failures", failures.count());
    slope.ifPresent(value ->
        total
            .with("slope_mib_min", value, 2)
            .with("slope_bound", steepest, 2)
            .with("slope_seconds", seconds / 2.0, 1)
            .with("keys_made", keysMade()));
    boolean left = watch.describe(total);
    print(total);
    return served > 0 && failures.count() == 0 && slope.orElse(0) <= steepest && left;
  }

  /** Keys that the run asked for, without those that were loaded again. */
  private long keysMade() {
    return recorded(Step.GENERATE_AES).count()
        + 2 * recorded(Step.GENERATE_EC).count()
        + recorded(Step.UNWRAP).count()
        + recorded(Step.DERIVE).count();
  }

  private void print(Line line) {
    System.out.println(line.as(output));
  }

  /** The gateway's process, if one was named. */
  private static final class Watch implements AutoCloseable {
    private final Optional<ProcessWatch> process;
    private final long files;
    private final long threads;

    Watch(Optional<Long> pid) {
      process = pid.map(ProcessWatch::new);
      files = process.map(ProcessWatch::openFiles).orElse(0L);
      threads = process.map(ProcessWatch::threads).orElse(0L);
    }

    OptionalDouble slope(long from) {
      return process.isPresent()
          ? OptionalDouble.of(process.get().slope(from))
          : OptionalDouble.empty();
    }

    /** Adds what is left after the clients have gone; whether that is all right. */
    boolean describe(Line line) {
      if (process.isEmpty()) {
        return true;
      }
      long filesLeft = process.get().openFiles();
      long threadsLeft = process.get().threads();
      line.with("rss_mib", process.get().resident() >> 20)
          .with("files_before", files)
          .with("files_after", filesLeft)
          .with("threads_before", threads)
          .with("threads_after", threadsLeft);
      return filesLeft <= files + KEPT && threadsLeft <= threads + KEPT;
    }

    @Override
    public void close() {
      process.ifPresent(ProcessWatch::close);
    }
  }
}
