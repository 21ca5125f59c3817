package dev.grep11.fuzz;

import dev.grep11.softhsm.SoftHsmToken;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/**
 * Runs the targets one after the other, each in a process with a token of its own under Jazzer's
 * coverage-guided fuzzer. A finding is an input in a file, and the command that repeats it is
 * printed.
 */
@Command(
    name = "fuzz",
    mixinStandardHelpOptions = true,
    description = {
      "Fuzzes what reads bytes of a client.",
      "Targets: mechanisms, templates, key-blobs, state-blobs, public-keys, payloads,",
      "agent-messages; all when none is named."
    })
public final class Fuzz implements Callable<Integer> {
  /** Bytes; nothing that a client sends to these readers may be longer and still be taken. */
  static final int MAX_INPUT = 16_384;

  /** Seconds for one input: minutes of work would be an attack, a busy machine is none. */
  private static final int TIMEOUT = 30;

  /** Minutes, seconds or inputs: as seconds, what the fuzzer still counts. */
  private static final int MOST = Integer.MAX_VALUE / 60;

  @Parameters(arity = "0..*", paramLabel = "TARGET", description = "what is fuzzed")
  private List<String> names = List.of();

  @Option(names = "--minutes", description = "for each target, from 1; 1 if nothing is said")
  private Optional<String> minutes = Optional.empty();

  @Option(names = "--seconds", description = "for each target, from 1, instead of minutes")
  private Optional<String> seconds = Optional.empty();

  @Option(names = "--runs", description = "inputs for each target, from 1, instead of a time")
  private Optional<String> runs = Optional.empty();

  @Option(names = "--seed", description = "of the fuzzer; it prints the one that it used")
  private Optional<Integer> seed = Optional.empty();

  @Option(names = "--repeat", paramLabel = "FILE", description = "only this input, of one target")
  private Optional<Path> repeated = Optional.empty();

  @Option(
      names = "--directory",
      hidden = true,
      defaultValue = "target/fuzz",
      description = "where corpora and findings are kept; ${DEFAULT-VALUE}")
  private Path directory = Path.of("");

  @Spec private @Nullable CommandSpec spec;

  private final Ending ending = new Ending();

  /** A program that is told to end, by Ctrl-C or SIGTERM, ends its fuzzer and tidies up first. */
  private static final class Ending {
    private static final long LONGEST_SECONDS = 10;

    private final CountDownLatch tidied = new CountDownLatch(1);
    private volatile boolean asked;
    private volatile @Nullable Process fuzzer;

    void watch() {
      Runtime.getRuntime()
          .addShutdownHook(
              new Thread(() -> {
                asked = true;
                var running = fuzzer;
                if (running != null) {
                  running.destroyForcibly();
                }
                try {
                  var _ = tidied.await(LONGEST_SECONDS, TimeUnit.SECONDS);
                } catch (InterruptedException e) {
                  Thread.currentThread().interrupt();
                }
              }));
    }
  }

  public static void main(String... arguments) {
    System.exit(
        new CommandLine(new Fuzz())
            .setParameterExceptionHandler((failure, given) -> {
              System.err.println("fuzz: " + failure.getMessage() + "; see ./grep11 fuzz --help");
              return CommandLine.ExitCode.USAGE;
            })
            .setExecutionExceptionHandler((failure, line, parsed) -> {
              System.err.println("fuzz: " + failure);
              return CommandLine.ExitCode.SOFTWARE;
            })
            .execute(arguments));
  }

  @Override
  public Integer call() throws IOException, InterruptedException {
    var targets = targets();
    var length = length();
    if (repeated.isPresent() && targets.size() != 1) {
      throw wrong("--repeat needs the target that the input is of: " + Target.labels());
    }
    if (repeated.isPresent() && !Files.isRegularFile(repeated.get())) {
      throw wrong("--repeat: there is no file " + repeated.get());
    }
    int failed = 0;
    ending.watch();
    try {
      for (var target : targets) {
        if (!run(target, length)) {
          failed++;
        }
        if (ending.asked) {
          return CommandLine.ExitCode.SOFTWARE;
        }
      }
    } finally {
      ending.tidied.countDown();
    }
    System.out.println("fuzz: targets=" + targets.size() + " with_findings=" + failed);
    return failed == 0 ? 0 : 1;
  }

  private List<Target> targets() {
    if (names.isEmpty()) {
      return List.of(Target.values());
    }
    return names.stream()
        .map(name ->
            Target.named(name)
                .orElseThrow(
                    () -> wrong("there is no target " + name + ", there are " + Target.labels())))
        .toList();
  }

  private String length() {
    if (Stream.of(minutes, seconds, runs).filter(Optional::isPresent).count() > 1) {
      throw wrong("--minutes, --seconds and --runs: one of them");
    }
    if (runs.isPresent()) {
      return "-runs=" + number("--runs", runs.get());
    }
    return "-max_total_time="
        + (seconds.isPresent()
            ? number("--seconds", seconds.get())
            : 60 * number("--minutes", minutes.orElse("1")));
  }

  /** The fuzzer itself would take 0, and what is negative, for no end at all. */
  private long number(String option, String text) {
    try {
      long number = Long.parseLong(text);
      if (number >= 1 && number <= MOST) {
        return number;
      }
    } catch (NumberFormatException e) {
      // Told below, as a number out of range is.
    }
    throw wrong(
        "%s %s is no whole number from 1 to %d%s"
            .formatted(
                option,
                text,
                MOST,
                option.equals("--minutes") ? " (--seconds for less than a minute)" : ""));
  }

  private ParameterException wrong(String what) {
    return new ParameterException(Objects.requireNonNull(spec).commandLine(), what);
  }

  private boolean run(Target target, String length) throws IOException, InterruptedException {
    var findings = Files.createDirectories(directory.resolve(target + "/findings"));
    var corpus = Files.createDirectories(directory.resolve(target + "/corpus"));
    var seeds = Files.createDirectories(directory.resolve(target + "/seeds"));
    Seeds.write(target, seeds);
    var log = directory.resolve(target + "/log");
    var scratch = Files.createTempDirectory("grep11-fuzz");
    long begin = System.nanoTime();
    int status;
    try (var token = SoftHsmToken.temporary()) {
      var process =
          new ProcessBuilder(command(target, length, token, findings, corpus, seeds, scratch))
              .redirectErrorStream(true)
              .redirectOutput(log.toFile())
              .start();
      ending.fuzzer = process;
      if (ending.asked) {
        process.destroyForcibly();
      }
      try {
        status = process.waitFor();
      } finally {
        process.destroyForcibly();
      }
    } finally {
      delete(scratch);
    }
    if (ending.asked) {
      return true;
    }
    tell(target, status, log, (System.nanoTime() - begin) / 1_000_000_000);
    return status == 0;
  }

  private List<String> command(
      Target target,
      String length,
      SoftHsmToken token,
      Path findings,
      Path corpus,
      Path seeds,
      Path scratch) {
    var command =
        new ArrayList<>(
            List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "--sun-misc-unsafe-memory-access=allow",
                "-XX:+EnableDynamicAgentLoading",
                "-XX:-HeapDumpOnOutOfMemoryError",
                // Jazzer unpacks its native half here.
                "-Djava.io.tmpdir=" + scratch,
                "-Xmx512m",
                "-D" + Inside.TOKEN_DIRECTORY + "=" + token.directory(),
                "-D" + Inside.TOKEN_LABEL + "=" + token.label(),
                "-cp",
                System.getProperty("java.class.path"),
                "com.code_intelligence.jazzer.Jazzer",
                "--target_class=" + target.entry().getName(),
                "--instrumentation_includes=dev.grep11.gateway.**:dev.grep11.agent.**",
                "--custom_hook_includes=dev.grep11.gateway.**:dev.grep11.agent.**",
                "--reproducer_path=" + scratch,
                "-artifact_prefix=" + findings + "/",
                "-max_len=" + MAX_INPUT,
                // Long inputs from the start: a blob is no text that grows from nothing.
                "-len_control=0",
                "-timeout=" + TIMEOUT,
                "-print_final_stats=1"));
    seed.ifPresent(number -> command.add("-seed=" + number));
    if (repeated.isPresent()) {
      command.add(repeated.get().toString());
      return command;
    }
    command.add(length);
    // A run of a number of inputs is to be the same tomorrow: it begins with the seeds alone.
    if (runs.isEmpty()) {
      command.add(corpus.toString());
    }
    command.add(seeds.toString());
    return command;
  }

  private void tell(Target target, int status, Path log, long seconds) throws IOException {
    var lines = Files.readAllLines(log, java.nio.charset.StandardCharsets.ISO_8859_1);
    System.out.printf(
        "target=%s inputs=%s seed=%s seconds=%d result=%s%n",
        target,
        after(lines, "stat::number_of_executed_units:"),
        after(lines, "INFO: Seed:"),
        seconds,
        status == 0 ? "passed" : "FAILED");
    if (status == 0) {
      return;
    }
    var finding = after(lines, "Test unit written to");
    lines.stream()
        .filter(line ->
            line.startsWith("== Java Exception")
                || line.startsWith("==")
                || line.startsWith("\tat dev.grep11"))
        .limit(12)
        .forEach(line -> System.err.println("fuzz: " + line));
    System.err.println("fuzz: the whole log is in " + log);
    if (!finding.equals("-")) {
      System.err.println("fuzz: repeat it with ./grep11 fuzz " + target + " --repeat " + finding);
    }
  }

  private static String after(List<String> lines, String marker) {
    return lines.stream()
        .filter(line -> line.contains(marker))
        .map(line -> line.substring(line.indexOf(marker) + marker.length()).strip())
        .reduce((first, last) -> last)
        .orElse("-");
  }

  private static void delete(Path directory) throws IOException {
    try (Stream<Path> files = Files.walk(directory)) {
      for (var file : files.sorted(java.util.Comparator.reverseOrder()).toList()) {
        Files.delete(file);
      }
    }
  }
}
