package dev.grep11.bench;

import static dev.grep11.bench.Results.progress;

import com.google.protobuf.ByteString;
import dev.grep11.client.Curve;
import dev.grep11.client.Grep11Client;
import dev.grep11.client.Templates;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.SignSingleRequest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/**
 * What rates do not tell: start, memory, heap for a large call, and what becomes of a gateway with
 * many keys, with many connections, and with ten times the calls it can answer.
 *
 * <p>Each gateway is started by this program, on one data directory, with the second lock closed.
 */
@Command(
    name = "bench --extremes",
    mixinStandardHelpOptions = true,
    description = {
      "Start, memory, heap for a large call, many keys, many connections, overload.",
      "The gateways are its own; GREP11 names the program that starts them."
    })
public final class Extremes implements Callable<Integer> {
  private static final int KEYS = 10_000;
  private static final int IN_FLIGHT = 64;
  private static final int KEY_MAKERS = 32;
  private static final double MIB = 1 << 20;

  /** A young generation of known size: what is counted of the heap is exact to one of them. */
  private static final String HEAP_OPTIONS = "-Xmn32m -Xlog:gc:file=";

  @Option(names = "--quick", description = "under five minutes; for a look, not for a claim")
  private boolean quick;

  @Option(
      names = "--row",
      split = ",",
      description = "only these of start, memory, heap, keys, connections, overload")
  private List<Row> rows = List.of(Row.values());

  @Mixin private Results results = new Results();

  /** What is measured. */
  enum Row {
    START,
    MEMORY,
    HEAP,
    KEYS,
    CONNECTIONS,
    OVERLOAD;

    @Override
    public String toString() {
      return name().toLowerCase(java.util.Locale.ROOT);
    }
  }

  /**
   * How long each thing takes.
   *
   * @param start load of a fresh gateway before anything counts
   * @param flood of the overload
   */
  private record Schedule(
      int starts, int rounds, Duration start, Duration window, Duration flood, Duration idle) {
    static final Schedule QUICK =
        new Schedule(
            5,
            3,
            Duration.ofSeconds(8),
            Duration.ofSeconds(1),
            Duration.ofSeconds(10),
            Duration.ofSeconds(5));
    static final Schedule FULL =
        new Schedule(
            9,
            5,
            Duration.ofSeconds(20),
            Duration.ofSeconds(3),
            Duration.ofSeconds(30),
            Duration.ofSeconds(20));
  }

  /** A gateway whose second lock is closed, and who may pass it. */
  private record Locked(OwnGateway gateway, Target target, SecondLock lock)
      implements AutoCloseable {
    static Locked start(Path launcher, Path data, String options, ClientIdentity identity) {
      var gateway = OwnGateway.start(launcher, data, options);
      try {
        var open = Target.of(gateway.environment());
        var administration = Target.Administration.of(gateway.environment()).orElseThrow();
        return new Locked(
            gateway, open.showing(identity), SecondLock.close(open, administration, identity));
      } catch (RuntimeException e) {
        gateway.close();
        throw e;
      }
    }

    Meter meter() {
      return new Meter(gateway.pid());
    }

    long resident() {
      try (var watch = new ProcessWatch(gateway.pid())) {
        return watch.resident();
      }
    }

    @Override
    public void close() {
      try (gateway) {
        lock.close();
      }
    }
  }

  public static void main(String... arguments) {
    Commands.run(new Extremes(), arguments);
  }

  @Override
  public Integer call() throws IOException, InterruptedException {
    var launcher = System.getenv("GREP11");
    if (launcher == null) {
      throw new BenchException(
          "GREP11 does not name the program grep11, as ./grep11 bench lets it");
    }
    var schedule = quick ? Schedule.QUICK : Schedule.FULL;
    var directory = Files.createTempDirectory("grep11-bench-");
    try (var identity = ClientIdentity.create()) {
      results.add(Machine.line());
      run(Path.of(launcher), directory.resolve("gateway"), identity, schedule);
    } finally {
      delete(directory);
    }
    results.finish(List.of(Report::extremes), Report::writeExtremes);
    return 0;
  }

  private void run(Path launcher, Path data, ClientIdentity identity, Schedule schedule)
      throws IOException, InterruptedException {
    progress("a data directory is made");
    OwnGateway.start(launcher, data, "").close();
    if (rows.contains(Row.START)) {
      start(launcher, data, schedule);
    }
    if (rows.contains(Row.HEAP)) {
      heap(launcher, data, identity, schedule);
    }
    var configuration = data.resolve("gateway.yaml");
    Files.writeString(
        configuration,
        Files.readString(configuration)
            .replaceFirst("(?m)^hsm:$", "hsm:\n  cachedKeys: " + 2 * KEYS));
    try (var locked = Locked.start(launcher, data, "", identity)) {
      var token = AccessToken.of(locked.target());
      if (rows.contains(Row.MEMORY) || rows.contains(Row.KEYS)) {
        keys(locked, token, schedule);
      }
      if (rows.contains(Row.CONNECTIONS)) {
        connections(locked, token, schedule);
      }
      if (rows.contains(Row.OVERLOAD)) {
        overload(locked, token, schedule);
      }
    }
  }

  private void start(Path launcher, Path data, Schedule schedule) {
    var took = new ArrayList<Duration>();
    for (int i = 1; i <= schedule.starts(); i++) {
      progress("start %d of %d".formatted(i, schedule.starts()));
      try (var gateway = OwnGateway.start(launcher, data, "")) {
        took.add(gateway.start());
      }
    }
    took.sort(null);
    results.add(
        new Line()
            .with("row", Row.START.toString())
            .with("runs", took.size())
            .with("median_ms", took.get(took.size() / 2).toMillis())
            .with("min_ms", took.getFirst().toMillis())
            .with("max_ms", took.getLast().toMillis()));
  }

  private void heap(Path launcher, Path data, ClientIdentity identity, Schedule schedule)
      throws InterruptedException {
    var log = data.resolveSibling("gc.log");
    try (var locked = Locked.start(launcher, data, HEAP_OPTIONS + log, identity);
        var peer =
            new LeanPeer(locked.target(), AccessToken.of(locked.target()), 2, locked.meter())) {
      for (var workload : List.of(Workload.GCM_1M, Workload.GCM_16K, Workload.EC_SIGN)) {
        progress("heap for a call of " + workload);
        var _ = peer.measure(workload, workload.headline(), Duration.ZERO, schedule.start());
        var gc = new GcLog(log);
        int position = gc.position();
        long before = peer.answered();
        // Until enough collections came; a gateway that allocates little has few.
        for (int round = 0; round < 20 && gc.position() < position + 12; round++) {
          var _ = peer.measure(workload, workload.headline(), Duration.ZERO, schedule.window());
        }
        long calls = peer.answered() - before;
        long bytes = gc.position() < position + 4 ? 0 : gc.allocatedSince(position);
        results.add(
            new Line()
                .with("row", Row.HEAP.toString())
                .with("op", workload.label())
                .with("calls", calls)
                .with("collections", gc.position() - position)
                .with("kib_per_call", bytes / 1024.0 / calls, 1)
                // Of the first and the last collection's place in time.
                .with("uncertain_kib", 32 * 1024.0 / calls, 1));
      }
    }
  }

  private void keys(Locked locked, String token, Schedule schedule) throws InterruptedException {
    Thread.sleep(schedule.idle());
    long idle = locked.resident();
    progress(KEYS + " keys are made");
    try (var client = locked.target().connect();
        var lean = new LeanClient(locked.target(), token, 2)) {
      var calls = distinct(client, KEYS);
      long made = locked.resident();
      // Every key once at least, so that all are loaded: what counts is their use.
      while (lean.answered() < 2L * KEYS) {
        var _ = lean.measure(calls, IN_FLIGHT, Duration.ZERO, schedule.start(), locked.meter());
      }
      var runs = new LinkedHashMap<Integer, Runs>();
      for (int round = 1; round <= schedule.rounds() && rows.contains(Row.KEYS); round++) {
        progress("keys, round %d of %d".formatted(round, schedule.rounds()));
        for (int count : List.of(1, 100, KEYS)) {
          runs.computeIfAbsent(count, _ -> new Runs())
              .add(
                  lean.measure(
                      calls.subList(0, count),
                      IN_FLIGHT,
                      schedule.window().dividedBy(4),
                      schedule.window(),
                      locked.meter()));
        }
      }
      if (rows.contains(Row.MEMORY)) {
        results.add(
            new Line()
                .with("row", Row.MEMORY.toString())
                .with("idle_mib", idle / MIB, 0)
                .with("keys", KEYS)
                .with("made_mib", made / MIB, 0)
                .with("cached_mib", locked.resident() / MIB, 0));
      }
      growth(Row.KEYS, runs, Map.of());
    }
  }

  private static List<PreparedCall> distinct(Grep11Client client, int count)
      throws InterruptedException {
    var begun = new ArrayList<Future<PreparedCall>>();
    try (var threads = Executors.newFixedThreadPool(KEY_MAKERS)) {
      for (int i = 0; i < count; i++) {
        begun.add(threads.submit(() -> signature(client)));
      }
      var calls = new ArrayList<PreparedCall>();
      for (var call : begun) {
        calls.add(call.get());
      }
      return calls;
    } catch (ExecutionException e) {
      throw new BenchException("a key cannot be made: " + Failures.describe(e), e);
    }
  }

  private static PreparedCall signature(Grep11Client client) {
    var key = client.generateKeyPair(Templates.ecPair(Curve.P256)).privateKey();
    return PreparedCall.of(
        CryptoGrpc.getSignSingleMethod(),
        SignSingleRequest.newBuilder()
            .setMech(Workload.EC_SIGN.mechanism())
            .setPrivKey(key.toMessage())
            .setData(ByteString.copyFrom(Workload.EC_SIGN.input()))
            .build(),
        _ -> true);
  }

  private void connections(Locked locked, String token, Schedule schedule) {
    var runs = new LinkedHashMap<Integer, Runs>();
    var opened = new LinkedHashMap<Integer, Double>();
    try (var client = locked.target().connect()) {
      var call = List.of(signature(client));
      for (int round = 1; round <= schedule.rounds(); round++) {
        for (int count : List.of(1, 100, 1000)) {
          progress("%d connections, round %d of %d".formatted(count, round, schedule.rounds()));
          long began = System.nanoTime();
          try (var lean = new LeanClient(locked.target(), token, count)) {
            opened.merge(count, (System.nanoTime() - began) / 1e6 / count, Math::min);
            runs.computeIfAbsent(count, _ -> new Runs())
                .add(
                    lean.measure(
                        call,
                        Math.max(IN_FLIGHT, count),
                        schedule.window().dividedBy(4),
                        schedule.window(),
                        locked.meter()));
          }
        }
      }
    }
    growth(Row.CONNECTIONS, runs, opened);
  }

  /** A line for each size. */
  private void growth(Row row, Map<Integer, Runs> runs, Map<Integer, Double> opened) {
    runs.forEach((count, of) -> {
      var line =
          new Line()
              .with("row", row.toString())
              .with("count", count)
              .with("inflight", row == Row.CONNECTIONS ? Math.max(IN_FLIGHT, count) : IN_FLIGHT)
              .with("rate", of.rate(), 1);
      of.latencies()
          .describe(line)
          .with("runs", of.size())
          .with("rate_min", of.slowest(), 1)
          .with("rate_max", of.fastest(), 1)
          .with("cpu_us", of.peerMicroseconds(), 1)
          .with("client_cpu_us", of.ownMicroseconds(), 1)
          .with("others", of.others(), 2);
      var each = opened.get(count);
      results.add(each == null ? line : line.with("connect_ms", each, 2));
    });
  }

  /**
   * By RSA-2048, of which so many a second can be sent without that the load generator takes the
   * gateway's processors: ten times as many P-256 signatures could not even be asked for here.
   */
  private void overload(Locked locked, String token, Schedule schedule) {
    int connections = 64;
    int perConnection = 200;
    try (var peer = new LeanPeer(locked.target(), token, 2, locked.meter());
        var flood = new LeanClient(locked.target(), token, connections)) {
      progress("overload: the peak");
      int inFlight = Workload.RSA_SIGN.headline();
      var _ = peer.measure(Workload.RSA_SIGN, inFlight, Duration.ZERO, schedule.start());
      var peak = new Runs();
      for (int round = 0; round < schedule.rounds(); round++) {
        peak.add(peer.measure(Workload.RSA_SIGN, inFlight, Duration.ZERO, schedule.window()));
      }
      int rate = (int) (10 * peak.rate());
      progress("overload: %d calls a second".formatted(rate));
      var flooded =
          flood.flood(
              peer.call(Workload.RSA_SIGN), rate, perConnection, schedule.flood(), locked.meter());
      long ended = System.nanoTime();
      var recovery = Duration.ofSeconds(60);
      while (System.nanoTime() - ended < recovery.toNanos()) {
        var sample =
            peer.measure(Workload.RSA_SIGN, inFlight, Duration.ZERO, Duration.ofMillis(200));
        if (sample.rate() >= 0.9 * peak.rate()) {
          recovery = Duration.ofNanos(System.nanoTime() - ended);
        }
      }
      var accepted = flooded.accepted();
      var line =
          new Line()
              .with("row", Row.OVERLOAD.toString())
              .with("op", Workload.RSA_SIGN.label())
              .with("seconds", schedule.flood().toSeconds())
              .with("peak", peak.rate(), 1)
              .with("peak_min", peak.slowest(), 1)
              .with("peak_max", peak.fastest(), 1)
              .with("offered", flooded.due())
              .with("sent", flooded.sent())
              .with("refused", flooded.refused())
              .with("failed", flooded.failed())
              .with("goodput", accepted.rate(), 1)
              .with("ratio", accepted.rate() / peak.rate(), 3);
      accepted
          .latencies()
          .describe(line)
          .with("recovery_ms", recovery.toMillis())
          .with("cpu_cores", accepted.usage().peer() / (double) accepted.nanos(), 2)
          .with("client_cores", accepted.usage().own() / (double) accepted.nanos(), 2)
          .with("others", accepted.usage().others() / (double) accepted.nanos(), 2);
      results.add(line);
    }
  }

  private static void delete(Path directory) throws IOException {
    try (var files = Files.walk(directory)) {
      for (var file : files.sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(file);
      }
    }
  }
}
