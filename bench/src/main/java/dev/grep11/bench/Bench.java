package dev.grep11.bench;

import static dev.grep11.bench.Results.progress;

import dev.grep11.bench.TokenPeer.Visibility;
import dev.grep11.softhsm.SoftHsmToken;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/**
 * Rates and latencies of a gateway beside those of its token in process, and of p11-kit server on
 * the same token, in one run.
 *
 * <p>The peers take turns, several rounds, so that a noisy machine disturbs all alike. A rate is
 * the median of the rounds with the slowest and the fastest beside it, percentiles are over all
 * rounds. {@code inprocess} is the best of one, two and four threads on the same token, with keys
 * of the visibility that the line names; {@code ratio} is {@code rate} over it and the only figure
 * to quote, since both come from the same run. {@code others} tells whether to quote it at all, see
 * {@link Meter}. What the gateway guards its keys with is on meanwhile, see {@link Guards}.
 */
@Command(
    name = "bench",
    mixinStandardHelpOptions = true,
    description = {
      "What a gateway does, beside what its token does in process.",
      "The gateway is the one of GREP11_ADDRESS, GREP11_APIKEY, GREP11_IAMENDPOINT, GREP11_CA;",
      "with CERTMGR_SERVER, CERTMGR_APIKEY and HPCS_CRN its second lock is closed for the run."
    })
public final class Bench implements Callable<Integer> {
  private static final List<Integer> THREADS = List.of(1, 2, 4);
  private static final List<Integer> MATCHED = List.of(1, 4, 16, 64);
  private static final int ALONE = 1;
  private static final int MOST_WARM_UPS = 4;

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

  @Option(names = "--peers", description = "also p11-kit server, on the same token")
  private boolean peers;

  @Option(
      names = "--p11-kit",
      defaultValue = "p11-kit",
      description = "another p11-kit than the distribution's")
  private String p11Kit = "";

  @Option(names = "--p11-kit-client", description = "its client module, p11-kit-client.so")
  private Optional<Path> p11KitClient = Optional.empty();

  @Option(
      names = "--op",
      split = ",",
      converter = WorkloadName.class,
      description = "only these of ec-sign, rsa-sign, gcm-16k, gcm-1m, cbc-1m")
  private List<Workload> workloads = Workload.usual();

  @Option(
      names = "--inflight",
      split = ",",
      description = "calls in flight, instead of 1, 4, 16 and 64")
  private List<Integer> inFlight = List.of();

  @Option(
      names = "--connections",
      defaultValue = "2",
      description = "of the load generator to the gateway; ${DEFAULT-VALUE}")
  private int connections;

  @Mixin private Results results = new Results();
  private long judged;

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
      int rounds, Duration start, Duration warmUp, Duration remote, Duration inProcess) {
    static final Schedule QUICK =
        new Schedule(
            3,
            Duration.ofSeconds(16),
            Duration.ofMillis(200),
            Duration.ofMillis(1000),
            Duration.ofMillis(400));
    static final Schedule FULL =
        new Schedule(
            5,
            Duration.ofSeconds(90),
            Duration.ofMillis(500),
            Duration.ofSeconds(3),
            Duration.ofSeconds(1));
  }

  /** One peer in one configuration, and what it did in the rounds so far. */
  private record Contestant(
      Peer peer, int inFlight, Visibility visibility, Supplier<Sample> window, Runs runs) {
    Contestant(Peer peer, int inFlight, Visibility visibility, Supplier<Sample> window) {
      this(peer, inFlight, visibility, window, new Runs());
    }

    void run() {
      runs.add(window.get());
    }
  }

  /** As the lines name them. */
  enum Peer {
    /** Driven by the lean load generator. */
    GATEWAY,
    /** The same, driven by our SDK. */
    GATEWAY_SDK,
    INPROCESS,
    P11KIT;

    String label() {
      return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }
  }

  /** Everything that is measured. */
  private record Field(
      LeanPeer gateway, SdkPeer sdk, TokenPeer inProcess, Optional<TokenPeer> p11Kit) {}

  public static void main(String... arguments) {
    Commands.run(new Bench(), arguments);
  }

  @Override
  public Integer call() {
    var environment = System.getenv();
    var open = Target.of(environment);
    var gateway = new GatewayProcess(environment);
    results.add(Machine.line().with("connections", connections));
    var administration = Target.Administration.of(environment);
    if (administration.isEmpty()) {
      if (results.arePublished()) {
        throw new BenchException(
            "no certificate manager in the environment: figures with the second lock open are not"
                + " written down");
      }
      progress("no certificate manager in the environment: the second lock stays open");
      measureAll(open, gateway);
    } else {
      try (var identity = ClientIdentity.create();
          var _ = SecondLock.close(open, administration.get(), identity)) {
        var target = open.showing(identity);
        Guards.challenge(open, target);
        long answered = measureAll(target, gateway);
        Guards.challenge(open, target);
        results.add(guards(gateway, answered));
      }
    }
    results.finish(List.of(Report::table, Report::bars), Report::write);
    return 0;
  }

  /** The gateway's own, where the launcher says which they are. */
  private record GatewayProcess(long pid, Optional<Path> data) {
    GatewayProcess(Map<String, String> environment) {
      this(
          Long.parseLong(environment.getOrDefault("GREP11_GATEWAY_PID", "0")),
          Optional.ofNullable(environment.get("GREP11_GATEWAY_DATA")).map(Path::of));
    }
  }

  private Line guards(GatewayProcess gateway, long answered) {
    var line =
        new Line()
            .with("guards", "on")
            .with("without_certificate", "refused")
            .with("forged_token", "refused")
            .with("other_instance", "refused")
            .with("changed_blob", "refused")
            .with("calls", answered)
            .with("judged", judged);
    gateway
        .data()
        .ifPresent(data -> line.with("audited", Guards.audited(data, gateway.pid(), answered)));
    return line;
  }

  /** Calls that were answered. */
  private long measureAll(Target target, GatewayProcess process) {
    var schedule = quick ? Schedule.QUICK : Schedule.FULL;
    var token = SoftHsmToken.at(tokenDirectory.orElseGet(target::tokenDirectory), tokenLabel);
    var meter = new Meter(process.pid());
    try (var inProcess = TokenPeer.inProcess(token);
        var gateway = new LeanPeer(target, AccessToken.of(target), connections, meter);
        var sdk = new SdkPeer(target, connections, meter)) {
      if (peers) {
        try (var server = P11KitServer.start(p11Kit, p11KitClient, token);
            var through = TokenPeer.through(server, token)) {
          measure(new Field(gateway, sdk, inProcess, Optional.of(through)), schedule, meter);
        }
      } else {
        measure(new Field(gateway, sdk, inProcess, Optional.empty()), schedule, meter);
      }
      judged = gateway.verified();
      return gateway.answered() + sdk.answered();
    }
  }

  private void measure(Field field, Schedule schedule, Meter meter) {
    if (workloads.contains(Workload.GCM_1M)
        && !workloads.contains(Workload.CBC_1M)
        && field
            .p11Kit()
            .filter(peer -> !peer.offers(Workload.GCM_1M) && peer.offers(Workload.CBC_1M))
            .isPresent()) {
      progress("this p11-kit carries no AES-GCM: its AES figure is that of AES-CBC");
      workloads = Stream.concat(workloads.stream(), Stream.of(Workload.CBC_1M)).toList();
    }
    warmUp(field, schedule, meter);
    for (var workload : workloads) {
      measure(workload, field, schedule);
    }
  }

  /**
   * So long as the schedule says, and on until the gateway itself has worked that long: on a
   * machine that others use it gets less of it, and its code is compiled later.
   */
  private void warmUp(Field field, Schedule schedule, Meter meter) {
    long before = meter.read().peer();
    // The native side has little to compile: most of the time belongs to the gateway.
    var each = schedule.start().dividedBy(6L * workloads.size());
    for (int pass = 1; pass <= MOST_WARM_UPS; pass++) {
      progress("warm-up, " + schedule.start().toSeconds() + " s");
      for (var workload : workloads) {
        field.gateway().measure(workload, workload.headline(), Duration.ZERO, each.multipliedBy(4));
        field.sdk().measure(workload, workload.headline(), Duration.ZERO, each);
        field.inProcess().measure(workload, visibility(field.inProcess()), 2, Duration.ZERO, each);
      }
      long worked = meter.read().peer() - before;
      if (worked == 0 || worked >= schedule.start().toNanos()) {
        return;
      }
    }
    progress("the gateway got little of the machine: its figures are those of a cold one");
  }

  private Visibility visibility(TokenPeer inProcess) {
    return configured.orElseGet(inProcess::usual);
  }

  /** The headline concurrency first; what it is beside in all of them, to find its best. */
  private List<Integer> inFlight(Workload workload, Peer peer) {
    if (!inFlight.isEmpty()) {
      return inFlight;
    }
    var all = new LinkedHashSet<Integer>();
    all.add(workload.headline());
    all.addAll(quick && peer == Peer.GATEWAY ? List.of(ALONE) : MATCHED);
    return List.copyOf(all);
  }

  private List<Contestant> contestants(Workload workload, Field field, Schedule schedule) {
    var used = visibility(field.inProcess());
    var all = new ArrayList<Contestant>();
    for (int n : inFlight(workload, Peer.GATEWAY)) {
      all.add(
          new Contestant(
              Peer.GATEWAY,
              n,
              used,
              () -> field.gateway().measure(workload, n, schedule.warmUp(), schedule.remote())));
    }
    field
        .p11Kit()
        .filter(peer -> peer.offers(workload))
        .ifPresent(peer -> {
          for (int n : inFlight(workload, Peer.P11KIT)) {
            all.add(
                new Contestant(
                    Peer.P11KIT,
                    n,
                    used,
                    () ->
                        peer.measure(workload, used, n, schedule.warmUp(), schedule.inProcess())));
          }
        });
    all.add(
        new Contestant(
            Peer.GATEWAY_SDK,
            workload.headline(),
            used,
            () ->
                field
                    .sdk()
                    .measure(workload, workload.headline(), schedule.warmUp(), schedule.remote())));
    for (var visibility : Visibility.values()) {
      for (int threads : THREADS) {
        all.add(
            new Contestant(
                Peer.INPROCESS,
                threads,
                visibility,
                () ->
                    field
                        .inProcess()
                        .measure(
                            workload,
                            visibility,
                            threads,
                            schedule.warmUp(),
                            schedule.inProcess())));
      }
    }
    return all;
  }

  private void measure(Workload workload, Field field, Schedule schedule) {
    var all = contestants(workload, field, schedule);
    for (int round = 1; round <= schedule.rounds(); round++) {
      progress("%s, round %d of %d".formatted(workload, round, schedule.rounds()));
      // Back and forth, so that nobody always follows the same one.
      (round % 2 == 0 ? all.reversed() : all).forEach(Contestant::run);
    }
    print(workload, all, visibility(field.inProcess()));
  }

  /** The gateway first, then what its figures are shares of. */
  private void print(Workload workload, List<Contestant> all, Visibility used) {
    var ceiling = best(all, used);
    var other = best(all, used == Visibility.PUBLIC ? Visibility.PRIVATE : Visibility.PUBLIC);
    var inProcess =
        of(Peer.INPROCESS, all)
            .filter(one -> one.visibility() == used || one.equals(other))
            .sorted(Comparator.comparing(one -> !one.equals(ceiling)));
    Stream.of(of(Peer.GATEWAY, all), of(Peer.GATEWAY_SDK, all), inProcess, of(Peer.P11KIT, all))
        .flatMap(group -> group)
        .forEach(one -> results.add(line(workload, one, ceiling.runs())));
  }

  private static double ratio(double value, double of) {
    return of == 0 ? 0 : value / of;
  }

  private static Stream<Contestant> of(Peer peer, List<Contestant> all) {
    return all.stream().filter(one -> one.peer() == peer);
  }

  private static Contestant best(List<Contestant> all, Visibility visibility) {
    return of(Peer.INPROCESS, all)
        .filter(one -> one.visibility() == visibility)
        .max(Comparator.comparingDouble(one -> one.runs().rate()))
        .orElseThrow();
  }

  private static Line line(Workload workload, Contestant one, Runs ceiling) {
    var line =
        line(
                workload,
                one.inFlight(),
                one.peer().label(),
                one.runs(),
                ceiling.rate(),
                one.visibility())
            .with("others", one.runs().others(), 2);
    double own = one.runs().ownMicroseconds();
    if (one.peer() == Peer.INPROCESS) {
      return line.with("cpu_us", own, 1);
    }
    double peer = one.runs().peerMicroseconds();
    return line.with("cpu_us", peer, 1)
        .with("cpu_ratio", ratio(peer, ceiling.ownMicroseconds()), 2)
        .with("client_cpu_us", own, 1);
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
            .with("ratio", ratio(runs.rate(), ceiling), 3);
    return runs.latencies()
        .describe(line)
        .with("runs", runs.size())
        .with("rate_min", runs.slowest(), 1)
        .with("rate_max", runs.fastest(), 1)
        .with("visibility", visibility == Visibility.PRIVATE ? "private" : "public");
  }
}
