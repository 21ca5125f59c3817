package dev.grep11.bench;

import dev.grep11.client.Ckr;
import dev.grep11.client.Grep11Client;
import dev.grep11.client.Grep11Exception;
import dev.grep11.client.Mechanisms;
import dev.grep11.client.SecretKeyBlob;
import dev.grep11.client.Templates;
import io.grpc.Status;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.UUID;
import java.util.function.Consumer;
import java.util.function.Predicate;

/**
 * Proof that the figures of a run are those of a gateway with everything on: each guard is tried
 * from outside and must refuse, and the audit file must hold a line for every call that was
 * answered.
 */
final class Guards {
  private static final byte[] CALL =
      "\"action\":\"hs-crypto.ep11.use\"".getBytes(StandardCharsets.US_ASCII);
  private static final Duration LONGEST_DELAY = Duration.ofSeconds(10);

  private Guards() {}

  /**
   * Tries the guards.
   *
   * @param open the target without a client certificate
   * @param target the same with one
   * @throws BenchException naming the guard that lets somebody pass
   */
  static void challenge(Target open, Target target) {
    refuses(
        "client certificate",
        open.builder(),
        e -> e.status() == Status.Code.UNAVAILABLE || e.status() == Status.Code.UNAUTHENTICATED);
    refuses(
        "token",
        target.builderWithToken("e30.e30.Zm9yZ2Vk"),
        e -> e.status() == Status.Code.UNAUTHENTICATED);
    refuses(
        "grant",
        target.builder().instance(UUID.randomUUID()),
        e -> e.status() == Status.Code.PERMISSION_DENIED);
    try (var client = target.connect()) {
      var key = client.generateKey(Mechanisms.aesKeyGen(), Templates.aes(256));
      byte[] bytes = key.bytes();
      bytes[bytes.length - 1] ^= 1;
      refuses(
          "MAC of the blob",
          client,
          forger -> forger.encrypt(Mechanisms.aesGcm(), new SecretKeyBlob(bytes), new byte[16]),
          e -> e.answered() && e.returnValue() == Ckr.CKR_IBM_BLOB_ERROR);
    }
  }

  private static void refuses(
      String guard, Grep11Client.Builder intruder, Predicate<Grep11Exception> refusal) {
    try (var client = intruder.deadline(Duration.ofSeconds(5)).build()) {
      refuses(guard, client, any -> any.generateRandom(1), refusal);
    }
  }

  private static void refuses(
      String guard,
      Grep11Client client,
      Consumer<Grep11Client> call,
      Predicate<Grep11Exception> refusal) {
    try {
      call.accept(client);
    } catch (Grep11Exception e) {
      if (refusal.test(e)) {
        return;
      }
      throw new BenchException(guard + ": refused, but by something else: " + e.getMessage(), e);
    }
    throw new BenchException("the gateway under test does not look at this: " + guard);
  }

  /**
   * Lines of calls in the audit file of a demo gateway.
   *
   * @param calls that were answered; they may be written a little later
   */
  static long audited(Path data, long pid, long calls) {
    var file = data.resolve("audit-process-" + pid + ".jsonl");
    long end = System.nanoTime() + LONGEST_DELAY.toNanos();
    try {
      long found;
      while ((found = count(file)) < calls && System.nanoTime() - end < 0) {
        Thread.sleep(500);
      }
      if (found < calls) {
        throw new BenchException(
            "%d calls were answered and %s tells of %d".formatted(calls, file, found));
      }
      return found;
    } catch (IOException e) {
      throw new BenchException("the audit file cannot be read: " + e.getMessage(), e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new BenchException("interrupted", e);
    }
  }

  private static long count(Path file) throws IOException {
    try (var in = Files.newInputStream(file)) {
      return count(in, CALL);
    }
  }

  /** How often the bytes occur; they do not overlap themselves. */
  static long count(InputStream in, byte[] wanted) throws IOException {
    var buffer = new byte[1 << 20];
    long count = 0;
    int matched = 0;
    for (int length = in.read(buffer); length >= 0; length = in.read(buffer)) {
      for (int i = 0; i < length; i++) {
        if (buffer[i] == wanted[matched]) {
          matched++;
          if (matched == wanted.length) {
            count++;
            matched = 0;
          }
        } else {
          // The first byte of what is wanted occurs nowhere within a part that matched but there.
          matched = buffer[i] == wanted[0] ? 1 : 0;
        }
      }
    }
    return count;
  }
}
