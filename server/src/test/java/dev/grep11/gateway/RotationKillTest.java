package dev.grep11.gateway;

import static dev.grep11.gateway.RunningGateway.aesKey;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.protobuf.ByteString;
import dev.grep11.gateway.command.DemoData;
import dev.grep11.gateway.command.GatewayProcess;
import dev.grep11.proto.CryptoGrpc.CryptoBlockingStub;
import dev.grep11.proto.RewrapKeyBlobRequest;
import io.grpc.StatusRuntimeException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Commands of a rotation, each killed with SIGKILL again and again, a little later every time,
 * until one gets through; beside a gateway that serves all the while.
 */
class RotationKillTest {
  private static final ByteString PLAIN = ByteString.copyFromUtf8("never lost on the way");
  private int laterMillis;
  private int firstKillMillis;
  private Path directory = Path.of("");
  private Path output = Path.of("");
  private int kills;

  @Test
  @Tag("load")
  void aStepThatIsKilledLosesNothingAndCanBeRepeated(@TempDir Path parent) throws Exception {
    rotate(parent, 1800, 3);
  }

  @Test
  @Tag("long")
  void aStepThatIsKilledAtAnyMomentLosesNothingAndCanBeRepeated(@TempDir Path parent)
      throws Exception {
    rotate(parent, 225, 20);
  }

  /**
   * @param later milliseconds from one attempt to the next
   * @param fewest kills without which it showed nothing
   */
  private void rotate(Path parent, int later, int fewest) throws Exception {
    laterMillis = later;
    // Another one in each run, so that no moment is left out for ever.
    firstKillMillis = 250 + ThreadLocalRandom.current().nextInt(later);
    directory = parent.resolve("demo");
    output = Files.createDirectory(parent.resolve("output"));
    Files.writeString(
        DemoData.open(directory).config(),
        "masterKey:\n  quarantineSeconds: 0\n",
        StandardOpenOption.APPEND);
    try (var gateway = RunningGateway.start(directory)) {
      var client = gateway.client().withDeadlineAfter(20, TimeUnit.MINUTES);
      var old = aesKey(client);
      var ciphered = RunningGateway.encrypt(client, old, PLAIN);
      Check opens =
          blob -> assertThat(RunningGateway.encrypt(client, blob, PLAIN)).isEqualTo(ciphered);
      var first = generation(0);

      step(() -> opens.on(old), "create-next");
      var second = generation(1);
      var made = new ByteString[1];
      await()
          .atMost(Duration.ofSeconds(30))
          .ignoreExceptions()
          .until(() -> {
            made[0] = rewrapped(client, old);
            return true;
          });
      var rewrapped = made[0];
      opens.on(rewrapped);

      step(
          () -> {
            opens.on(old);
            opens.on(rewrapped);
          },
          "activate",
          "--generation",
          second);
      step(() -> opens.on(rewrapped), retire(first));
      awaitRefused(client, old);
      step(() -> opens.on(rewrapped), "reinstate", "--generation", first);
      await()
          .atMost(Duration.ofSeconds(30))
          .ignoreExceptions()
          .until(() -> {
            opens.on(old);
            return true;
          });
      step(() -> opens.on(rewrapped), retire(first));
      step(() -> opens.on(rewrapped), "destroy", "--generation", first);
      awaitRefused(client, old);
      opens.on(rewrapped);
    }
    assertThat(kills).as("kills").isGreaterThan(fewest);
    // What was left behind is good enough for a start.
    try (var again = RunningGateway.start(directory)) {
      assertThat(aesKey(again.client()).isEmpty()).isFalse();
    }
    System.out.printf("rotation: %d commands killed, nothing lost%n", kills);
  }

  interface Check {
    void on(ByteString blob);
  }

  private static String[] retire(String generation) {
    return new String[] {"retire", "--generation", generation, "--unused-for", "0s"};
  }

  private static ByteString rewrapped(CryptoBlockingStub client, ByteString blob) {
    return client
        .rewrapKeyBlob(RewrapKeyBlobRequest.newBuilder().setWrappedKeyBytes(blob).build())
        .getRewrappedKeyBytes();
  }

  private static void awaitRefused(CryptoBlockingStub client, ByteString blob) {
    await()
        .atMost(Duration.ofSeconds(30))
        .until(() ->
            catchThrowableOfType(
                    StatusRuntimeException.class, () -> RunningGateway.encrypt(client, blob, PLAIN))
                != null);
  }

  /** Repeats a step until it gets through; what must hold, holds after every kill. */
  private void step(Runnable holds, String... arguments) throws Exception {
    var refusal = "";
    for (int attempt = 0; attempt < 100; attempt++) {
      try (var process = command(arguments)) {
        if (process.endsWithin(Duration.ofMillis(firstKillMillis + (long) laterMillis * attempt))) {
          if (process.awaitExit() == 0) {
            return;
          }
          // A gateway has not followed yet; the message names it.
          refusal = process.stderr();
          Thread.sleep(200);
        } else {
          process.kill();
          kills++;
        }
      }
      // Of a login cut off, SoftHSM's token is left empty; the demo puts it back.
      DemoData.open(directory);
      await()
          .atMost(Duration.ofSeconds(30))
          .ignoreExceptions()
          .until(() -> {
            holds.run();
            return true;
          });
    }
    throw new AssertionError(String.join(" ", arguments) + " never got through; " + refusal);
  }

  private String generation(int index) throws Exception {
    try (var process = command("list", "--output", "json")) {
      assertThat(process.awaitExit()).as(process.stderr()).isZero();
      return new ObjectMapper().readTree(process.stdout()).get(index).get("generation").asText();
    }
  }

  private GatewayProcess command(String... arguments) throws Exception {
    var all = new ArrayList<>(List.of("masterkey"));
    all.addAll(List.of(arguments));
    all.addAll(List.of("--data", directory.toString()));
    return GatewayProcess.start(output, all.toArray(String[]::new));
  }
}
