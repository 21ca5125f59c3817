package dev.grep11.bench;

import dev.grep11.bench.InProcessPeer.Visibility;
import dev.grep11.softhsm.SoftHsmToken;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Option;

/**
 * Rates and latencies of a gateway beside those of its token in process, in one run.
 *
 * <p>The peers take turns, several rounds, so that a noisy machine disturbs all alike. A rate is
 * the median of the rounds with the slowest and the fastest beside it, percentiles are over all
 * rounds. {@code inprocess} is the best of one, two and four threads on the same token, with keys
 * of the visibility that the line names; {@code ratio} is {@code rate} over it and the only figure
 * to quote, since both come from the same run. {@code others} tells whether to quote it at all, see
 * {@link Neighbours}.
 */
@Command(
    name = "bench",
    mixinStandardHelpOptions = true,
    description = {
      "What a gateway does, beside what its token does in process.",
      "The gateway is the one of GREP11_ADDRESS, GREP11_APIKEY, GREP11_IAMENDPOINT, GREP11_CA."
    })
public final class Bench implements Callable<Integer> {
  private static final List<Integer> THREADS = List.of(1, 2, 4);
  private static final int ALONE = 1;

  @Option(
      names = "--token-dir",
      description = {
        "directory of the SoftHSM token that the gateway uses; otherwise that of",
        "GREP11_TOKEN_DIR, or of the demo gateway to which GREP11_CA belongs"
      })
  private Optional<Path> tokenDirectory = Optional.empty();

  @Option(names = "--token-label", defaultValue = "grep11-demo", description = "its label")
  private String tokenLabel = "";

  @Option(
      names = "--visibility",
      description = "the gateway's hsm.keyVisibility, if it is set: ${COMPLETION-CANDIDATES}")
  private Optional<Visibility> configured = Optional.empty();

  @Option(names = "--quick", description = "under three minutes; for a look, not for a claim")
  private boolean quick;

  @Option(
      names = "--op",
      split = ",",
      converter = WorkloadName.class,
      description = "only these of ec-sign, rsa-sign, gcm-16k, gcm-1m")
  private List<Workload> workloads = List.of(Workload.values());

  @Option(
      names = "--inflight",
      split = ",",
      description = "calls in flight, instead of the headline number and 1")
  private List<Integer> inFlight = List.of();

  @Option(
      names = "--output",
      defaultValue = "text",
      description = "text or json (an object per line)")
  private Line.Format output = Line.Format.TEXT;

  private final List<Line> printed = new ArrayList<>();

  static final class WorkloadName implements ITypeConverter<Workload> {
    @Override
    public Workload convert(String label) {
      return Workload.named(label);
    }
  }

  /**
   * How long each thing takes.
   *
   * @param start load of the fresh processes before anything counts; a JVM needs about 15 s of it
   * @param warmUp before each window
   */
  private record Schedule(
      int rounds, Duration start, Duration warmUp, Duration gateway, Duration inProcess) {
    static final Schedule QUICK =
        new Schedule(
            3,
            Duration.ofSeconds(16),
            Duration.ofMillis(200),
            Duration.ofMillis(1500),
            Duration.ofMillis(400));
    static final Schedule FULL =
        new Schedule(
            7,
            Duration.ofSeconds(40),
            Duration.ofMillis(500),
            Duration.ofSeconds(3),
            Duration.ofSeconds(1));
  }

  private record Threads(Visibility visibility, int count) {}

  public static void main(String... arguments) {
    Commands.run(new Bench(), arguments);
  }

  @Override
  public Integer call() {
    var schedule = quick ? Schedule.QUICK : Schedule.FULL;
    var target = Target.of(System.getenv());
    var token = SoftHsmToken.at(tokenDirectory.orElseGet(target::tokenDirectory), tokenLabel);
    try (var inProcess = new InProcessPeer(token);
        var gateway = new GatewayPeer(target)) {
      warmUp(gateway, inProcess, schedule);
      for (var workload : workloads) {
        measure(workload, gateway, inProcess, schedule);
      }
    }
    printTable();
    return 0;
  }

  private void warmUp(GatewayPeer gateway, InProcessPeer inProcess, Schedule schedule) {
    progress("warm-up, " + schedule.start().toSeconds() + " s");
    // The native side has little to compile: most of the time belongs to the gateway.
    var each = schedule.start().dividedBy(5L * workloads.size());
    for (var workload : workloads) {
      gateway.measure(workload, workload.headline(), Duration.ZERO, each.multipliedBy(4));
      inProcess.measure(workload, visibility(inProcess), 2, Duration.ZERO, each);
    }
  }

  private Visibility visibility(InProcessPeer inProcess) {
    return configured.orElseGet(inProcess::usual);
  }

  private void measure(
      Workload workload, GatewayPeer gateway, InProcessPeer inProcess, Schedule schedule) {
    var remote = new LinkedHashMap<Integer, Runs>();
    for (int n : inFlight.isEmpty() ? List.of(workload.headline(), ALONE) : inFlight) {
      remote.put(n, new Runs());
    }
    var local = new LinkedHashMap<Threads, Runs>();
    var neighbours = new Neighbours();
    for (int round = 1; round <= schedule.rounds(); round++) {
      progress("%s, round %d of %d".formatted(workload, round, schedule.rounds()));
      remote.forEach((n, runs) ->
          runs.add(gateway.measure(workload, n, schedule.warmUp(), schedule.gateway())));
      for (var visibility : Visibility.values()) {
        for (int count : THREADS) {
          local
              .computeIfAbsent(new Threads(visibility, count), _ -> new Runs())
              .add(
                  neighbours.watch(() ->
                      inProcess.measure(
                          workload, visibility, count, schedule.warmUp(), schedule.inProcess())));
        }
      }
    }
    print(workload, remote, local, visibility(inProcess), neighbours.processors());
  }

  private void print(
      Workload workload,
      Map<Integer, Runs> remote,
      Map<Threads, Runs> local,
      Visibility used,
      double others) {
    var best = new EnumMap<Visibility, Map.Entry<Threads, Runs>>(Visibility.class);
    local
        .entrySet()
        .forEach(entry ->
            best.merge(
                entry.getKey().visibility(),
                entry,
                (old, more) -> more.getValue().rate() > old.getValue().rate() ? more : old));
    var ceiling = require(best, used).getValue().rate();
    remote.forEach((n, runs) ->
        print(line(workload, n, "gateway", runs, ceiling, used).with("others", others, 2)));
    var visibilities = new ArrayList<>(List.of(Visibility.values()));
    visibilities.remove(used);
    visibilities.addFirst(used);
    for (var visibility : visibilities) {
      var entry = require(best, visibility);
      var runs = entry.getValue();
      int threads = entry.getKey().count();
      print(
          line(workload, threads, "inprocess", runs, runs.rate(), visibility)
              .with("others", others, 2));
    }
  }

  private static Map.Entry<Threads, Runs> require(
      Map<Visibility, Map.Entry<Threads, Runs>> best, Visibility visibility) {
    var entry = best.get(visibility);
    if (entry == null) {
      throw new IllegalStateException(visibility.name());
    }
    return entry;
  }

  /** The keys of the public interface in their order, and ours after them. */
  static Line line(
      Workload workload,
      int inFlight,
      String peer,
      Runs runs,
      double ceiling,
      Visibility visibility) {
    var line =
        new Line()
            .with("op", workload.label())
            .with("bytes", workload.bytes())
            .with("inflight", inFlight)
            .with("peer", peer)
            .with("rate", runs.rate(), 1)
            .with("inprocess", ceiling, 1)
            .with("ratio", ceiling == 0 ? 0 : runs.rate() / ceiling, 3);
    return runs.latencies()
        .describe(line)
        .with("runs", runs.size())
        .with("rate_min", runs.slowest(), 1)
        .with("rate_max", runs.fastest(), 1)
        .with("visibility", visibility == Visibility.PRIVATE ? "private" : "public");
  }

  private void print(Line line) {
    printed.add(line);
    System.out.println(line.as(output));
  }

  private void printTable() {
    switch (output) {
      case TEXT -> {
        System.out.println();
        Table.of(printed).forEach(System.out::println);
      }
      case JSON -> {
        // Programs read it.
      }
    }
  }

  private static void progress(String text) {
    System.err.println("bench: " + text);
  }
}
