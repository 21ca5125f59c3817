package dev.grep11.gateway.command;

import dev.grep11.gateway.Gateway;
import dev.grep11.gateway.hsm.Hsm;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Model.CommandSpec;

/** Runs a gateway until the process is told to end. */
final class Foreground {
  /**
   * The launcher's training run. What the JVM learned in it (JEP 483, 515) it writes when it halts,
   * which {@link Hsm#endProcess} does not let it.
   */
  private static final boolean TRAINING = Boolean.getBoolean("grep11.training");

  private Foreground() {}

  /**
   * Prints the ready line once the gateway serves. SIGTERM and SIGINT end the process with 0: a
   * gateway that serves is drained, one that is still starting has promised nothing yet.
   */
  static int run(
      Supplier<Gateway> start, Function<Gateway, String> readyLine, @Nullable CommandSpec spec)
      throws InterruptedException {
    var running = new AtomicReference<@Nullable Gateway>();
    var end =
        Thread.ofPlatform()
            .name("drain")
            .unstarted(() -> {
              try {
                var gateway = running.get();
                if (gateway != null) {
                  gateway.drain();
                }
              } finally {
                if (TRAINING) {
                  Runtime.getRuntime().halt(0);
                }
                // The JVM's own exit code for a signal is 128 + its number.
                Hsm.endProcess(0);
              }
            });
    Runtime.getRuntime().addShutdownHook(end);
    try {
      var gateway = start.get();
      running.set(gateway);
      var out = Commands.out(spec);
      out.println(readyLine.apply(gateway));
      out.flush();
    } catch (RuntimeException | Error e) {
      stay(end);
      var gateway = running.get();
      if (gateway != null) {
        gateway.close();
      }
      throw e;
    }
    new CountDownLatch(1).await();
    return 0;
  }

  /** A start that failed must not end with 0. */
  private static void stay(Thread end) {
    try {
      Runtime.getRuntime().removeShutdownHook(end);
    } catch (IllegalStateException e) {
      // The process is ending already, because it was told to.
    }
  }
}
