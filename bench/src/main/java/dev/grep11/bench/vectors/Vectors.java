package dev.grep11.bench.vectors;

import dev.grep11.bench.Commands;
import dev.grep11.bench.Line;
import dev.grep11.bench.Target;
import dev.grep11.client.Grep11Exception;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/**
 * Runs every Wycheproof file of a directory through a gateway: one line for each file, one for all.
 * Ends with 1 when a case is judged otherwise than it says and no {@link Deviation} explains it,
 * when a file cannot be read, and when no case was executed.
 */
@Command(
    name = "vectors",
    mixinStandardHelpOptions = true,
    description = {
      "Project Wycheproof's vectors through a gateway.",
      "The gateway is the one of GREP11_ADDRESS, GREP11_APIKEY, GREP11_IAMENDPOINT, GREP11_CA."
    })
public final class Vectors implements Callable<Integer> {
  private static final int CALLS_AT_A_TIME = 8;

  @Parameters(paramLabel = "DIR", description = "where the files are, at any depth; or one file")
  private Path directory = Path.of("");

  @Option(
      names = "--output",
      defaultValue = "text",
      description = "text or json (an object per line)")
  private Line.Format output = Line.Format.TEXT;

  public static void main(String... arguments) {
    Commands.run(new Vectors(), arguments);
  }

  @Override
  public Integer call() throws InterruptedException {
    var files = VectorFile.in(directory).stream().map(VectorFile::read).toList();
    var all = new Tally();
    try (var client = Target.of(System.getenv()).connect();
        var threads = Executors.newFixedThreadPool(CALLS_AT_A_TIME)) {
      var peer = new Peer(client);
      for (var file : files) {
        var tally = run(file, peer, threads);
        all.add(tally);
        tell(file, tally);
      }
    }
    boolean passed = all.mismatches().isEmpty() && all.executed() > 0;
    var line = new Line().with("verdict", passed ? "passed" : "failed").with("files", files.size());
    System.out.println(all.describe(line).as(output));
    if (all.executed() == 0) {
      System.err.println(
          "vectors: no case was executed, so nothing was shown: "
              + (all.notOffered() > 0
                  ? "what these files are about is not offered"
                  : "the files hold no cases"));
    }
    return passed ? 0 : 1;
  }

  private static Tally run(VectorFile file, Peer peer, ExecutorService threads)
      throws InterruptedException {
    var scheme = Scheme.of(file, peer).orElse(vector -> new Outcome.NotOffered(file.schema()));
    List<Future<Outcome>> outcomes = new ArrayList<>();
    for (var vector : file.cases()) {
      outcomes.add(threads.submit(() -> outcome(scheme, vector)));
    }
    var tally = new Tally();
    for (int i = 0; i < outcomes.size(); i++) {
      try {
        tally.add(file.cases().get(i), outcomes.get(i).get());
      } catch (ExecutionException e) {
        throw new VectorFormatException(
            "%s, %s: %s".formatted(file.name(), file.cases().get(i), e.getCause()), e);
      }
    }
    return tally;
  }

  private static Outcome outcome(Scheme scheme, Case vector) {
    try {
      return scheme.run(vector);
    } catch (Grep11Exception refused) {
      return Verdicts.of(vector, refused);
    } catch (VectorFormatException malformed) {
      throw malformed;
    } catch (RuntimeException ours) {
      return new Outcome.Failed(ours.toString());
    }
  }

  private void tell(VectorFile file, Tally tally) {
    System.out.println(
        tally
            .describe(
                new Line()
                    .with("file", file.name().replaceAll("\\s", "_"))
                    .with("algorithm", file.algorithm().replaceAll("\\s", "_"))
                    .with("schema", file.schema().replaceAll("\\s", "_")))
            .as(output));
    tally
        .mismatches()
        .forEach(mismatch -> System.err.println("vectors: " + file.name() + ": " + mismatch));
  }
}
