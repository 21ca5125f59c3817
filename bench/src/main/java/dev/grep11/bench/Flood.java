package dev.grep11.bench;

import java.time.Duration;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * What a flooding client costs an honest one: the 99th percentile of the honest client's signatures
 * alone, and beside the flood, several rounds of both in turn.
 *
 * <p>The flooder is another subject where {@code GREP11_FLOOD_APIKEY} gives it a key of its own,
 * else the same one, which makes it harder: limits per subject then meet the honest client as well.
 * Flooder, honest client and gateway are three processes and share the machine's processors.
 */
@Command(
    name = "flood",
    mixinStandardHelpOptions = true,
    description = {
      "What a flooding client costs an honest one; exit 0 only within the bound.",
      "The gateway is the one of GREP11_ADDRESS, GREP11_APIKEY, GREP11_IAMENDPOINT, GREP11_CA;",
      "GREP11_FLOOD_APIKEY makes the flooder another subject."
    })
public final class Flood implements Callable<Integer> {
  private static final Duration PAUSE = Duration.ofSeconds(1);

  // Exit codes; 2 is wrong use.
  private static final int FAILED = 1;
  private static final int BEYOND_BOUND = 3;

  @Option(names = "--kind", required = true, description = "${COMPLETION-CANDIDATES}")
  private Flooder.Kind kind = Flooder.Kind.BLOBS;

  @Option(
      names = "--pool",
      defaultValue = "4000",
      description = "keys, more than hsm.cachedKeys of the gateway; ${DEFAULT-VALUE}")
  private int pool;

  @Option(
      names = "--inflight",
      defaultValue = "32",
      description = "flooding calls at once; ${DEFAULT-VALUE}")
  private int inFlight;

  @Option(
      names = "--rate",
      defaultValue = "200",
      description = "honest calls a second; ${DEFAULT-VALUE}")
  private int rate;

  @Option(
      names = "--seconds",
      defaultValue = "8",
      description = "of each half of a round; ${DEFAULT-VALUE}")
  private int seconds;

  @Option(names = "--rounds", defaultValue = "3", description = "${DEFAULT-VALUE}")
  private int rounds;

  @Option(
      names = "--bound",
      defaultValue = "3.0",
      description = "how many times the unloaded value; ${DEFAULT-VALUE}")
  private double bound;

  @Option(names = "--gateway-pid", description = "prints the slope of this process's memory, too")
  private Optional<Long> gatewayPid = Optional.empty();

  @Option(
      names = "--output",
      defaultValue = "text",
      description = "text or json (an object per line)")
  private Line.Format output = Line.Format.TEXT;

  public static void main(String... arguments) {
    Commands.run(new Flood(), arguments);
  }

  @Override
  public Integer call() throws InterruptedException {
    var target = Target.of(System.getenv());
    var other = target.flooder(System.getenv());
    var honestFailures = new Failures();
    var alone = new Latencies();
    var flooded = new Latencies();
    progress("the flooder prepares");
    try (var client = target.connect();
        var flooder = new FlooderProcess(kind, pool, inFlight)) {
      var honest = new OpenLoop(client, honestFailures);
      progress("warm-up");
      warmUp(target);
      var process = gatewayPid.map(ProcessWatch::new);
      long began = System.nanoTime();
      var span = Duration.ofSeconds(seconds);
      for (int round = 1; round <= rounds; round++) {
        progress("round %d of %d".formatted(round, rounds));
        alone.add(honest.run(rate, span));
        flooded.add(flooder.during(() -> honest.run(rate, span)));
        // What the flood left in queues belongs to it.
        Thread.sleep(PAUSE);
      }
      double ratio = flooded.microseconds(99) / alone.microseconds(99);
      var line =
          new Line()
              .with("flood", kind.name().toLowerCase(Locale.ROOT))
              .with("inflight", inFlight)
              .with("rate", rate)
              .with("unloaded_p99_us", alone.microseconds(99), 1)
              .with("flooded_p99_us", flooded.microseconds(99), 1)
              .with("ratio", ratio, 2)
              .with("bound", bound, 1)
              .with("unloaded_p50_us", alone.microseconds(50), 1)
              .with("flooded_p50_us", flooded.microseconds(50), 1)
              .with("runs", rounds)
              .with("flood_served", flooder.served())
              .with("flood_refused", flooder.refused())
              .with("honest_failures", honestFailures.count())
              .with("subjects", other.isPresent() ? 2 : 1);
      process.ifPresent(watch -> {
        line.with("slope_mib_min", watch.slope(began), 2).with("rss_mib", watch.resident() >> 20);
        watch.close();
      });
      System.out.println(line.as(output));
      honestFailures.each(
          (failure, first) -> progress("an honest call: " + failure + " first: " + first));
      if (alone.count() == 0 || honestFailures.count() > 0) {
        return FAILED;
      }
      return ratio <= bound ? 0 : BEYOND_BOUND;
    }
  }

  /** A cold gateway is slow alone, which would flatter the flood. */
  private static void warmUp(Target target) {
    try (var peer = new SdkPeer(target, 1, Meter.OF_THIS_PROCESS)) {
      var _ = peer.measure(Workload.EC_SIGN, 16, Duration.ZERO, Duration.ofSeconds(15));
    }
  }

  private static void progress(String text) {
    System.err.println("flood: " + text);
  }
}
