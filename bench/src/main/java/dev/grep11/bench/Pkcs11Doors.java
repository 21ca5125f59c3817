package dev.grep11.bench;

import static dev.grep11.bench.Results.progress;

import dev.grep11.softhsm.SoftHsmToken;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/**
 * What a PKCS #11 application gets of a token: in process, through p11-kit server, and through the
 * agent and a gateway by each of its two doors. One C program drives all four by their modules, in
 * turns.
 *
 * <p>The gateway's second lock is closed, and the agent shows a certificate; token, grant, MAC and
 * audit are on as in {@link Bench}, and proven to be. Ratios are taken within each round, since the
 * peers of a round share what disturbed it: their median is the figure, the least and the greatest
 * stand beside it.
 */
@Command(
    name = "bench",
    mixinStandardHelpOptions = true,
    description = {
      "C_Sign with P-256 of an application: in process, through p11-kit server, and through",
      "agent and gateway by both of their modules."
    })
public final class Pkcs11Doors implements Callable<Integer> {
  private static final List<Integer> THREADS = List.of(1, 4, 16);
  private static final int ALONE = 1;

  /** By it the launcher chose this program. */
  @SuppressWarnings("UnusedVariable")
  @Option(names = "--pkcs11", hidden = true)
  private boolean chosen;

  @Option(
      names = "--token-dir",
      description = "directory of the SoftHSM token that the gateway uses")
  private Optional<Path> tokenDirectory = Optional.empty();

  @Option(names = "--token-label", defaultValue = "grep11-demo", description = "its label")
  private String tokenLabel = "";

  @Option(names = "--quick", description = "under three minutes; for a look, not for a claim")
  private boolean quick;

  @Option(
      names = "--inflight",
      split = ",",
      description = "threads of the application, instead of 1, 4 and 16")
  private List<Integer> threads = THREADS;

  @Option(
      names = "--p11-kit",
      defaultValue = "p11-kit",
      description = "another p11-kit than the distribution's")
  private String p11Kit = "";

  @Option(names = "--p11-kit-client", description = "its client module, p11-kit-client.so")
  private Optional<Path> p11KitClient = Optional.empty();

  @Mixin private Results results = new Results();

  /** As the lines name them. */
  enum Peer {
    INPROCESS,
    P11KIT,
    /** The agent by its own module. */
    GREP11_MODULE,
    /** The agent by the distribution's module. */
    P11KIT_CLIENT;

    String label() {
      return name().toLowerCase(Locale.ROOT).replaceFirst("_", "-");
    }
  }

  /**
   * @param start load of each fresh process before anything counts
   * @param warmUp before each window
   */
  private record Schedule(int rounds, Duration start, Duration warmUp, Duration window) {
    static final Schedule QUICK =
        new Schedule(3, Duration.ofSeconds(20), Duration.ofMillis(200), Duration.ofMillis(1000));
    static final Schedule FULL =
        new Schedule(7, Duration.ofSeconds(60), Duration.ofMillis(500), Duration.ofSeconds(3));
  }

  private record Configuration(Peer peer, int threads) {}

  public static void main(String... arguments) {
    Commands.run(new Pkcs11Doors(), arguments);
  }

  @Override
  public Integer call() {
    var environment = System.getenv();
    var open = Target.of(environment);
    var administration =
        Target.Administration.of(environment)
            .orElseThrow(() ->
                new BenchException(
                    "no certificate manager in the environment, so the second lock cannot be"
                        + " closed: ./grep11 bench --pkcs11"));
    var launcher = Path.of(set(environment, "GREP11"));
    var program = Path.of(set(environment, "GREP11_DRIVE"));
    long gateway = Long.parseLong(set(environment, "GREP11_GATEWAY_PID"));
    results.add(Machine.line());
    var token = SoftHsmToken.at(tokenDirectory.orElseGet(open::tokenDirectory), tokenLabel);
    try (var identity = ClientIdentity.create();
        var _ = SecondLock.close(open, administration, identity);
        var server = P11KitServer.start(p11Kit, p11KitClient, token);
        var agent = AgentProcess.start(launcher, open, identity)) {
      var target = open.showing(identity);
      Guards.challenge(open, target);
      var drivers = new LinkedHashMap<Peer, Driver>();
      try {
        doors(token, server, agent, open.apiKey(), gateway)
            .forEach((peer, door) -> drivers.put(peer, Driver.start(program, door)));
        measure(drivers, quick ? Schedule.QUICK : Schedule.FULL);
      } finally {
        drivers.values().forEach(Driver::close);
      }
      Guards.challenge(open, target);
      results.add(
          new Line()
              .with("guards", "on")
              .with("without_certificate", "refused")
              .with("forged_token", "refused")
              .with("other_instance", "refused")
              .with("changed_blob", "refused"));
    }
    results.finish(List.of(Report::doors, Report::doorBars), Report::writeDoors);
    return 0;
  }

  private static String set(Map<String, String> environment, String name) {
    var value = environment.getOrDefault(name, "");
    if (value.isBlank()) {
      throw new BenchException(name + " is not set, as ./grep11 bench --pkcs11 sets it");
    }
    return value;
  }

  private static String pin(SoftHsmToken token) {
    try {
      return Files.readString(token.pinFile()).strip();
    } catch (IOException e) {
      throw new BenchException(token.pinFile() + " cannot be read: " + e.getMessage(), e);
    }
  }

  private static Map<Peer, Driver.Door> doors(
      SoftHsmToken token, P11KitServer server, AgentProcess agent, String apiKey, long gateway) {
    var doors = new LinkedHashMap<Peer, Driver.Door>();
    var pin = pin(token);
    var label = Optional.of(token.label());
    doors.put(
        Peer.INPROCESS,
        new Driver.Door(token.module(), label, pin, token.environment(), List.of()));
    doors.put(
        Peer.P11KIT,
        new Driver.Door(
            server.client(),
            label,
            pin,
            Map.of("P11_KIT_SERVER_ADDRESS", "unix:path=" + server.socket()),
            List.of(server.pid())));
    var servers = List.of(agent.pid(), gateway);
    doors.put(
        Peer.GREP11_MODULE,
        new Driver.Door(
            agent.module(),
            Optional.empty(),
            apiKey,
            Map.of("GREP11_AGENT_SOCKET", agent.socket().toString()),
            servers));
    doors.put(
        Peer.P11KIT_CLIENT,
        new Driver.Door(
            server.client(),
            Optional.empty(),
            apiKey,
            Map.of("P11_KIT_SERVER_ADDRESS", "unix:path=" + agent.socket()),
            servers));
    return doors;
  }

  private void measure(Map<Peer, Driver> drivers, Schedule schedule) {
    for (var peer : List.of(Peer.GREP11_MODULE, Peer.P11KIT_CLIENT)) {
      var each = schedule.start().dividedBy(threads.size());
      progress("warm-up of %s, %d s".formatted(peer.label(), schedule.start().toSeconds()));
      for (int n : threads) {
        driver(drivers, peer).measure(n, Duration.ZERO, each);
      }
    }
    var samples = new LinkedHashMap<Configuration, List<Sample>>();
    for (int round = 1; round <= schedule.rounds(); round++) {
      progress("round %d of %d".formatted(round, schedule.rounds()));
      for (int n : threads) {
        var peers = List.of(Peer.values());
        // Back and forth, so that nobody always follows the same one.
        for (var peer : round % 2 == 0 ? peers.reversed() : peers) {
          var sample = driver(drivers, peer).measure(n, schedule.warmUp(), schedule.window());
          samples.computeIfAbsent(new Configuration(peer, n), _ -> new ArrayList<>()).add(sample);
        }
      }
    }
    print(samples);
  }

  private static Driver driver(Map<Peer, Driver> drivers, Peer peer) {
    var driver = drivers.get(peer);
    if (driver == null) {
      throw new IllegalStateException(peer + " was not started");
    }
    return driver;
  }

  private void print(Map<Configuration, List<Sample>> samples) {
    for (var peer : List.of(Peer.GREP11_MODULE, Peer.P11KIT_CLIENT, Peer.P11KIT, Peer.INPROCESS)) {
      for (int n : threads) {
        results.add(line(samples, new Configuration(peer, n)));
      }
    }
  }

  private Line line(Map<Configuration, List<Sample>> samples, Configuration one) {
    var own = samples.getOrDefault(one, List.of());
    var runs = new Runs();
    own.forEach(runs::add);
    double ceiling = best(samples, Peer.INPROCESS);
    var line =
        new Line()
            .with("op", Workload.EC_SIGN.label())
            .with("bytes", Workload.EC_SIGN.bytes())
            .with("inflight", one.threads())
            .with("peer", one.peer().label())
            .with("rate", runs.rate(), 1)
            .with("inprocess", ceiling, 1)
            .with("ratio", runs.rate() / ceiling, 3);
    runs.latencies()
        .describe(line)
        .with("runs", runs.size())
        .with("rate_min", runs.slowest(), 1)
        .with("rate_max", runs.fastest(), 1)
        .with("visibility", "public")
        .with("others", runs.others(), 2)
        .with("cpu_us", runs.peerMicroseconds(), 1)
        .with("client_cpu_us", runs.ownMicroseconds(), 1);
    if (one.peer() == Peer.GREP11_MODULE || one.peer() == Peer.P11KIT_CLIENT) {
      var p50 =
          Spread.of(
              rounds(samples, one.threads(), (door, kit) -> p50(door) / p50(kit), one.peer()));
      p50.describe(line, "p50_to_p11kit");
      if (one.threads() == ALONE) {
        bestToBest(samples, one.peer()).describe(line, "best_to_p11kit");
      }
    }
    return line;
  }

  private static double p50(Sample sample) {
    return sample.latencies().microseconds(50);
  }

  private interface Comparison {
    double of(Sample door, Sample kit);
  }

  private static List<Double> rounds(
      Map<Configuration, List<Sample>> samples, int threads, Comparison comparison, Peer peer) {
    var doors = samples.getOrDefault(new Configuration(peer, threads), List.of());
    var kits = samples.getOrDefault(new Configuration(Peer.P11KIT, threads), List.of());
    var found = new ArrayList<Double>();
    for (int i = 0; i < doors.size(); i++) {
      found.add(comparison.of(doors.get(i), kits.get(i)));
    }
    return found;
  }

  /** In each round the best rate of the one over that of the other, whatever their threads. */
  private Spread bestToBest(Map<Configuration, List<Sample>> samples, Peer peer) {
    var found = new ArrayList<Double>();
    int rounds = samples.getOrDefault(new Configuration(peer, ALONE), List.of()).size();
    for (int i = 0; i < rounds; i++) {
      found.add(best(samples, peer, i) / best(samples, Peer.P11KIT, i));
    }
    return Spread.of(found);
  }

  private double best(Map<Configuration, List<Sample>> samples, Peer peer, int round) {
    return threads.stream()
        .mapToDouble(
            n -> samples.getOrDefault(new Configuration(peer, n), List.of()).get(round).rate())
        .max()
        .orElseThrow();
  }

  private double best(Map<Configuration, List<Sample>> samples, Peer peer) {
    return threads.stream()
        .mapToDouble(n -> {
          var runs = new Runs();
          samples.getOrDefault(new Configuration(peer, n), List.of()).forEach(runs::add);
          return runs.rate();
        })
        .max()
        .orElseThrow();
  }

  /** The median of some ratios, with the least and the greatest. */
  record Spread(double median, double least, double greatest) {
    static Spread of(List<Double> values) {
      var sorted = values.stream().sorted().toList();
      int last = sorted.size() - 1;
      return new Spread(
          (sorted.get(last / 2) + sorted.get((last + 1) / 2)) / 2, sorted.get(0), sorted.get(last));
    }

    void describe(Line line, String key) {
      line.with(key, median, 2).with(key + "_min", least, 2).with(key + "_max", greatest, 2);
    }
  }
}
