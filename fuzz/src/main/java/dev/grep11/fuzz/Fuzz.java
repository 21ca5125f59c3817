package dev.grep11.fuzz;

import dev.grep11.softhsm.SoftHsmToken;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

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
      "Targets: mechanisms, templates, key-blobs, state-blobs, public-keys; all when none is named."
    })
public final class Fuzz implements Callable<Integer> {
  /** Bytes; nothing that a client sends to these readers may be longer and still be taken. */
  static final int MAX_INPUT = 16_384;

  /** Seconds for one input: minutes of work would be an attack, a busy machine is none. */
  private static final int TIMEOUT = 30;

  @Parameters(
      arity = "0..*",
      paramLabel = "TARGET",
      converter = TargetName.class,
      description = "what is fuzzed")
  private List<Target> targets = List.of(Target.values());

  @Option(names = "--minutes", description = "for each target; 1 if nothing is said")
  private Optional<Integer> minutes = Optional.empty();

  @Option(names = "--runs", description = "inputs for each target, instead of a time")
  private Optional<Integer> runs = Optional.empty();

  @Option(names = "--seed", description = "of the fuzzer; it prints the one that it used")
  private Optional<Integer> seed = Optional.empty();

  @Option(names = "--repeat", paramLabel = "FILE", description = "only this input, of one target")
  private Optional<Path> repeated = Optional.empty();

  @Option(
      names = "--directory",
      defaultValue = "target/fuzz",
      description = "where corpora and findings are kept; ${DEFAULT-VALUE}")
  private Path directory = Path.of("");

  static final class TargetName implements ITypeConverter<Target> {
    @Override
    public Target convert(String label) {
      try {
        return Target.named(label);
      } catch (IllegalArgumentException e) {
        throw new CommandLine.TypeConversionException(e.getMessage());
      }
    }
  }

  public static void main(String... arguments) {
    System.exit(
        new CommandLine(new Fuzz())
            .setExecutionExceptionHandler((failure, line, parsed) -> {
              System.err.println("fuzz: " + failure);
              return CommandLine.ExitCode.SOFTWARE;
            })
            .execute(arguments));
  }

  @Override
  public Integer call() throws IOException, InterruptedException {
    if (repeated.isPresent() && targets.size() != 1) {
      System.err.println("fuzz: --repeat needs the target that the input is of");
      return CommandLine.ExitCode.USAGE;
    }
    int failed = 0;
    for (var target : targets) {
      if (!run(target)) {
        failed++;
      }
    }
    System.out.println("fuzz: targets=" + targets.size() + " with_findings=" + failed);
    return failed == 0 ? 0 : 1;
  }

  private boolean run(Target target) throws IOException, InterruptedException {
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
          new ProcessBuilder(command(target, token, findings, corpus, seeds, scratch))
              .redirectErrorStream(true)
              .redirectOutput(log.toFile())
              .start();
      try {
        status = process.waitFor();
      } finally {
        process.destroyForcibly();
      }
    } finally {
      delete(scratch);
    }
    tell(target, status, log, (System.nanoTime() - begin) / 1_000_000_000);
    return status == 0;
  }

  private List<String> command(
      Target target, SoftHsmToken token, Path findings, Path corpus, Path seeds, Path scratch) {
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
                "--instrumentation_includes=dev.grep11.gateway.**",
                "--custom_hook_includes=dev.grep11.gateway.**",
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
    runs.ifPresentOrElse(
        number -> command.add("-runs=" + number),
        () -> command.add("-max_total_time=" + 60 * minutes.orElse(1)));
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
