package dev.grep11.bench;

import dev.grep11.client.Grep11Client;
import dev.grep11.softhsm.SoftHsmToken;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/**
 * A steady load on several replicas, which a story tells what happens to them meanwhile: a line of
 * standard input is a command, and is answered by a line of standard output, {@code ok ...} or
 * {@code failed ...}.
 *
 * <p>A call that fails after the SDK's own repetitions fails the run, whenever it was made.
 */
@Command(
    name = "steady",
    mixinStandardHelpOptions = true,
    description = {
      "A steady load on replicas while a story changes things around it; exit 0 only if no call",
      "failed or waited for more than 10 s, some were answered during each event, and descriptors",
      "and token objects stayed what they were. What the compilers of the Java machine made is",
      "counted apart from its memory. The API key is in",
      "GREP11_APIKEY. Commands, a line each, on standard input:",
      "  begin EVENT, end    calls that begin meanwhile are counted for it",
      "  connect             clients read their certificates again and connect anew",
      "  rewrap              clients replace their key blobs by such under the newest master key",
      "  watch NAME PID      the process of a gateway, from its start or restart on; it runs with",
      "                      -XX:NativeMemoryTracking=summary -XX:-DisableAttachMechanism",
      "  settled             from now on nothing may grow",
      "  finish              tells the figures"
    })
public final class Steady implements Callable<Integer> {
  /** What happens between the events of the story. */
  private static final String BETWEEN = "between";

  /** Pools keep what they opened once, and idle connections linger. */
  private static final long KEPT = 16;

  private static final int MESSAGE_BYTES = 1024;

  /** More than a gateway needs to start on a busy machine. */
  private static final Duration DEADLINE = Duration.ofSeconds(60);

  /** More than a call waits for another replica on a busy machine: half a second on an idle one. */
  private static final Duration LONGEST = Duration.ofSeconds(10);

  @Option(names = "--clients", defaultValue = "12", description = "${DEFAULT-VALUE}")
  private int clients;

  @Option(
      names = "--pause",
      defaultValue = "40",
      description = "milliseconds of a client between two calls; ${DEFAULT-VALUE}")
  private long pauseMillis;

  @Option(names = "--ca", required = true, description = "whom clients trust")
  private Path ca = Path.of("");

  @Option(names = "--certificate", required = true, description = "what clients show")
  private Path certificate = Path.of("");

  @Option(names = "--key", required = true, description = "and its key")
  private Path key = Path.of("");

  @Option(names = "--tokens", required = true, description = "SoftHSM's directory of tokens")
  private Path tokens = Path.of("");

  @Option(
      names = "--slope",
      defaultValue = "1.0",
      description = "MiB a minute that a gateway's memory may grow; ${DEFAULT-VALUE}")
  private double steepest;

  /** Of the bound: no machine is so busy with others. */
  private static final int FAR_BEYOND = 3;

  /** The slope of a machine that others share is no verdict, unless it is far beyond. */
  enum Bounds {
    SAY,
    FAIL
  }

  @Option(
      names = "--bounds",
      defaultValue = "${env:GREP11_BOUNDS:-say}",
      description = {
        "say or fail: what a slope beyond its bound does; of GREP11_BOUNDS, or say.",
        "One beyond three times the bound always fails"
      })
  private Bounds bounds = Bounds.SAY;

  @Option(
      names = "--output",
      defaultValue = "text",
      description = "text (a table at the end) or json (an object per line)")
  private Line.Format output = Line.Format.TEXT;

  @Parameters(
      arity = "2..*",
      paramLabel = "ADDRESS=TOKEN-SERVICE",
      description = "the replicas, each with the URL of its token service")
  private Map<String, URI> replicas = new LinkedHashMap<>();

  /** Those that are over, and the one that is not. */
  private final List<SteadyEvent> events = new ArrayList<>();

  private final List<Worker> workers = new ArrayList<>();
  private final Map<String, Watched> gateways = new LinkedHashMap<>();
  private final List<Line> growth = new ArrayList<>();
  private final Map<String, Standing> standing = new LinkedHashMap<>();
  private volatile SteadyEvent current = new SteadyEvent(BETWEEN);
  private char[] apiKey = {};
  private long settled;
  private long objectsThen;
  private boolean spoilt;

  /** What a gateway had when things were settled. */
  private record Standing(long files, long resident, long code) {}

  private record Watched(ProcessWatch process, CompiledCode code) {
    Standing standing() {
      code.read();
      return new Standing(
          process.openFiles(), process.resident() >> 20, code.at(System.nanoTime()) >> 20);
    }

    /** Of its memory without the code. */
    Trend trend(long from) {
      return Trend.of(
          process.readings(from).stream()
              .map(each ->
                  new ProcessWatch.Reading(each.nanos(), each.bytes() - code.at(each.nanos())))
              .toList());
    }

    void close() {
      code.close();
      process.close();
    }
  }

  public static void main(String... arguments) {
    Commands.run(new Steady(), arguments);
  }

  @Override
  public Integer call() throws IOException, InterruptedException, ExecutionException {
    apiKey = System.getenv().getOrDefault("GREP11_APIKEY", "").toCharArray();
    if (apiKey.length == 0) {
      throw new BenchException("GREP11_APIKEY is not set");
    }
    events.add(current);
    var commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    try (var threads = Executors.newVirtualThreadPerTaskExecutor()) {
      var over = new ArrayList<Future<?>>();
      try {
        for (int i = 0; i < clients; i++) {
          workers.add(new Worker(i));
        }
        workers.forEach(worker -> over.add(threads.submit(worker)));
        answer("ok " + clients + " clients");
        for (var line = commands.readLine();
            line != null && !line.equals("finish");
            line = commands.readLine()) {
          obey(line.split(" ", -1));
        }
        measureGrowth();
      } finally {
        workers.forEach(Worker::stop);
      }
      for (var worker : over) {
        worker.get();
      }
    } finally {
      gateways.values().forEach(Watched::close);
    }
    current.end();
    return report() ? 0 : 1;
  }

  private void obey(String... words) throws InterruptedException {
    try {
      switch (words[0]) {
        case "begin" -> become(new SteadyEvent(words[1]));
        case "end" -> answer("ok " + become(new SteadyEvent(BETWEEN)).describe());
        case "connect" -> everybody(worker -> worker.client.connect(worker.connection()));
        case "rewrap" -> everybody(worker -> worker.client.rewrap());
        case "watch" -> {
          long pid = Long.parseLong(words[2]);
          var before =
              gateways.put(words[1], new Watched(new ProcessWatch(pid), new CompiledCode(pid)));
          if (before != null) {
            before.close();
          }
        }
        case "settled" -> settle();
        default -> throw new BenchException("no such command: " + words[0]);
      }
    } catch (RuntimeException e) {
      answer("failed " + Failures.describe(e).replace('\n', ' '));
      return;
    }
    if (!words[0].equals("end")) {
      answer("ok");
    }
  }

  /** Returns the event that is over, with all its calls. */
  private SteadyEvent become(SteadyEvent next) throws InterruptedException {
    var ended = current;
    events.add(next);
    current = next;
    ended.end();
    return ended;
  }

  /** Has each client do this between two of its calls. */
  private void everybody(Consumer<Worker> change) throws InterruptedException {
    var changes = new ArrayList<Change>();
    for (var worker : workers) {
      var asked = new Change(change, new CompletableFuture<>());
      worker.asked = asked;
      changes.add(asked);
    }
    for (var asked : changes) {
      try {
        asked.done().get();
      } catch (ExecutionException e) {
        throw new BenchException(Failures.describe(e), e);
      }
    }
  }

  private record Change(Consumer<Worker> work, CompletableFuture<Boolean> done) {}

  private static void answer(String line) {
    System.out.println(line);
  }

  // ---- What may not grow

  private void settle() {
    settled = System.nanoTime();
    objectsThen = tokenObjects();
    gateways.forEach((name, watched) -> standing.put(name, watched.standing()));
  }

  private void measureGrowth() {
    var most = bounds == Bounds.FAIL ? steepest : FAR_BEYOND * steepest;
    standing.forEach((name, then) -> {
      var watched = gateways.get(name);
      if (watched == null) {
        throw new IllegalStateException(name);
      }
      var now = watched.standing();
      var trend = watched.trend(settled);
      if (now.files() > then.files() + KEPT) {
        spoil(name + " has " + now.files() + " open files, where it had " + then.files());
      }
      if (trend.exceeds(steepest)) {
        System.err.printf(
            "steady: BEYOND ITS BOUND: the memory of %s grows by %.2f MiB a minute%n",
            name, trend.slope());
        spoilt |= trend.exceeds(most);
      }
      growth.add(
          new Line()
              .with("gateway", name)
              .with("minutes", (System.nanoTime() - settled) / 60e9, 1)
              .with("rss_mib_before", then.resident())
              .with("rss_mib_after", now.resident())
              .with("code_mib_before", then.code())
              .with("code_mib_after", now.code())
              .with("slope_mib_min", trend.slope(), 2)
              .with("slope_error", trend.error(), 2)
              .with("files_before", then.files())
              .with("files_after", now.files()));
    });
    if (settled != 0 && tokenObjects() > objectsThen) {
      spoil("there are " + tokenObjects() + " token objects, where there were " + objectsThen);
    }
  }

  private void spoil(String what) {
    System.err.println("steady: " + what);
    spoilt = true;
  }

  private long tokenObjects() {
    try {
      return SoftHsmToken.objectsBelow(tokens);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  // ---- What is told

  private boolean report() {
    var told = new ArrayList<Line>();
    long calls = 0;
    long failed = 0;
    for (var event : events) {
      calls += event.answered();
      failed += event.failed();
      // What happens between two events is news only if a call failed.
      if (!event.name().equals(BETWEEN) || event.failed() > 0) {
        told.add(event.describe());
      }
      if (event.answered() == 0 && !event.name().equals(BETWEEN)) {
        spoil("no call was answered during " + event.name());
      }
      if (event.longest().compareTo(LONGEST) > 0) {
        spoil("a call waited " + event.longest() + " during " + event.name());
      }
      event
          .failures()
          .each((failure, first) ->
              System.err.println("steady: during " + event.name() + ": " + failure + ": " + first));
    }
    print(List.of("event", "seconds", "calls", "longest_ms", "failed"), told);
    print(
        List.of(
            "gateway",
            "minutes",
            "rss_mib_before",
            "rss_mib_after",
            "code_mib_before",
            "code_mib_after",
            "slope_mib_min",
            "slope_error",
            "files_before",
            "files_after"),
        growth);
    var total = new Line().with("clients", clients).with("calls", calls).with("failed", failed);
    if (settled != 0) {
      total
          .with("token_objects_before", objectsThen)
          .with("token_objects_after", tokenObjects())
          .with("slope_bound", steepest, 2);
    }
    System.out.println(total.as(output));
    return calls > 0 && failed == 0 && !spoilt;
  }

  /** All of these lines have these keys, in this order. */
  private void print(List<String> keys, List<Line> lines) {
    switch (output) {
      case JSON -> lines.forEach(line -> System.out.println(line.as(output)));
      case TEXT -> {
        if (!lines.isEmpty()) {
          var headings =
              keys.stream()
                  .map(key -> key.equals(keys.getFirst()) ? key : ">" + key)
                  .map(heading -> heading.replace('_', ' '))
                  .toList();
          var rows = lines.stream().map(line -> keys.stream().map(line::text).toList()).toList();
          Table.of(headings, rows).forEach(System.out::println);
          System.out.println();
        }
      }
    }
  }

  // ---- Who calls

  /** One client and its thread. */
  private final class Worker implements Runnable {
    private final int number;
    private final SteadyClient client;
    private volatile boolean stopped;
    private volatile @Nullable Change asked;

    Worker(int number) {
      this.number = number;
      var message = new byte[MESSAGE_BYTES];
      new Random(number).nextBytes(message);
      client = new SteadyClient(connection(), message);
    }

    /**
     * Every replica is the first of some clients, and its token service that of others; a third of
     * all goes to the replicas in turn.
     */
    Grep11Client connection() {
      var addresses = new ArrayList<>(replicas.keySet());
      var services = List.copyOf(replicas.values());
      Collections.rotate(addresses, number);
      var builder =
          Grep11Client.builder(
                  addresses.getFirst(),
                  addresses.subList(1, addresses.size()).toArray(String[]::new))
              .trustedCa(ca)
              .clientCertificate(certificate, key)
              .apiKey(apiKey, services.get(number / 2 % services.size()))
              .deadline(DEADLINE);
      return (number % 3 == 2 ? builder.inTurn() : builder).build();
    }

    @Override
    public void run() {
      try (client) {
        while (!stopped) {
          change();
          oneCall();
          Thread.sleep(pauseMillis);
        }
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      }
    }

    private void change() {
      var change = asked;
      if (change == null) {
        return;
      }
      asked = null;
      try {
        change.work().accept(this);
        change.done().complete(true);
      } catch (RuntimeException e) {
        change.done().completeExceptionally(e);
      }
    }

    private void oneCall() {
      var event = current;
      while (!event.begin()) {
        event = current;
      }
      var step = client.next();
      long began = System.nanoTime();
      try {
        client.run(step);
        event.answered(System.nanoTime() - began);
      } catch (RuntimeException e) {
        event.failed(step.name(), System.nanoTime() - began, e);
      }
    }

    void stop() {
      stopped = true;
    }
  }
}
