package dev.grep11.gateway;

import java.util.concurrent.CountDownLatch;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Model.CommandSpec;

/** Runs a gateway until the process is told to end. */
final class Foreground {
  private Foreground() {}

  /** Prints the ready line once the gateway serves; SIGTERM and SIGINT drain it and exit 0. */
  static int run(Gateway gateway, Function<Gateway, String> readyLine, @Nullable CommandSpec spec)
      throws InterruptedException {
    Runtime.getRuntime()
        .addShutdownHook(
            Thread.ofPlatform()
                .name("drain")
                .unstarted(() -> {
                  gateway.drain();
                  // The JVM's own exit code for a signal is 128 + its number.
                  Runtime.getRuntime().halt(0);
                }));
    var out = Commands.out(spec);
    out.println(readyLine.apply(gateway));
    out.flush();
    new CountDownLatch(1).await();
    return 0;
  }
}
