package dev.grep11.gateway.command;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import dev.grep11.client.Ckm;
import dev.grep11.client.Curve;
import dev.grep11.client.Grep11Client;
import dev.grep11.client.Grep11Exception;
import dev.grep11.client.Hash;
import dev.grep11.client.KeyPair;
import dev.grep11.client.Mechanisms;
import dev.grep11.client.SecretKeyBlob;
import dev.grep11.client.Streams;
import dev.grep11.client.Templates;
import dev.grep11.proto.DecryptFinalRequest;
import dev.grep11.proto.DecryptInitRequest;
import dev.grep11.proto.DecryptUpdateRequest;
import dev.grep11.proto.EncryptFinalRequest;
import dev.grep11.proto.EncryptInitRequest;
import dev.grep11.proto.EncryptUpdateRequest;
import dev.grep11.proto.Mechanism;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.BinaryOperator;
import java.util.function.Supplier;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Operations in parts that outlive the process they began in. Two processes serve one directory; a
 * client has the addresses of both. Every operation has begun, with its first parts taken, when the
 * process that took them is killed with SIGKILL; it goes on at the other by nothing but the
 * client's usual retry. Then the killed one is started again, and the other one is next.
 */
class ReplicasTest {
  private static final int PART = 256;

  /** Less than the buffered kinds hold, and with a rest in every block and every part. */
  private static final int DATA = 5 * PART + 33;

  private static final int WHOLE_BLOCKS = 6 * PART;

  @Test
  void aHundredOperationsOutliveTheProcessTheyBeganIn(@TempDir Path parent) throws Exception {
    run(parent, 1, 100);
  }

  @Test
  @Tag("long")
  void aThousandOperationsOutliveFiveProcesses(@TempDir Path parent) throws Exception {
    run(parent, 5, 200);
  }

  private static void run(Path parent, int kills, int operationsAKill) throws Exception {
    var directory = parent.resolve("demo");
    DemoData.open(directory);
    try (var one = new Replica(directory, parent);
        var two = new Replica(directory, parent)) {
      var endpoint = URI.create(one.awaitReady().getOrDefault("iam", ""));
      two.awaitReady();
      try (var client =
          Grep11Client.builder(one.address(), two.address())
              .trustedCa(directory.resolve("tls").resolve("ca.pem"))
              .apiKey(directory.resolve("apikey"), endpoint)
              .build()) {
        var kinds = kinds(client, Keys.make(client));
        var victim = one;
        var survivor = two;
        for (int kill = 0; kill < kills; kill++) {
          if (kill > 0) {
            victim.restart();
            var next = survivor;
            survivor = victim;
            victim = next;
          }
          try (var operations = new Operations(client, kinds, operationsAKill, kill)) {
            long before = survivor.callsServed();
            operations.awaitAllBegun();
            assertThat(survivor.callsServed()).as("all began at the other one").isEqualTo(before);

            // A half is in the middle of its calls, the other half between two of them.
            operations.resumeAHalf();
            Thread.sleep(20);
            victim.kill();
            operations.resumeTheRest();

            operations.assertNoneIsLost();
            assertThat(survivor.callsServed()).isGreaterThan(before);
          }
        }
      }
    }
  }

  // ---- What is done

  private record Keys(
      SecretKeyBlob aes,
      SecretKeyBlob des3,
      SecretKeyBlob cmac,
      SecretKeyBlob hmac,
      KeyPair ec,
      KeyPair rsa) {
    static Keys make(Grep11Client client) {
      return new Keys(
          client.generateKey(Mechanisms.aesKeyGen(), Templates.aes(256)),
          client.generateKey(Mechanisms.of(Ckm.CKM_DES3_KEY_GEN), Templates.aes(192)),
          client.generateKey(Mechanisms.aesKeyGen(), Templates.aesMac(256)),
          client.generateKey(Mechanisms.genericSecretKeyGen(), Templates.hmac(64)),
          client.generateKeyPair(Templates.ecPair(Curve.P256)),
          client.generateKeyPair(Templates.rsaPair(2048)));
    }
  }

  /** Does an operation on a stream and fails where the result is not the right one. */
  private interface Operation {
    void run(Streams streams, InputStream in) throws Exception;
  }

  /**
   * A kind of operation.
   *
   * @param input what the stream gives
   */
  private record Kind(String name, byte[] input, Operation operation) {
    @Override
    public String toString() {
      return name;
    }
  }

  /** Each function with each course of an operation in parts: hash, blocks, stream, buffer. */
  private static List<Kind> kinds(Grep11Client client, Keys keys) throws Exception {
    var data = bytes(DATA);
    var blocks = bytes(WHOLE_BLOCKS);
    var iv = bytes(16);
    var kinds = new ArrayList<Kind>();
    for (var hash : List.of("SHA-256", "SHA-512", "SHA3-256")) {
      var mechanism =
          switch (hash) {
            case "SHA-256" -> Mechanisms.sha256();
            case "SHA-512" -> Mechanisms.digest(Hash.SHA512);
            default -> Mechanisms.of(Ckm.CKM_IBM_SHA3_256);
          };
      var expected = MessageDigest.getInstance(hash).digest(data);
      kinds.add(
          new Kind(
              "digest " + hash,
              data,
              (streams, in) -> assertThat(streams.digest(mechanism, in)).isEqualTo(expected)));
    }
    ciphers(kinds, client, "AES_CBC_PAD", Mechanisms.aesCbcPad(iv), keys.aes(), data);
    ciphers(kinds, client, "AES_CBC", Mechanisms.aesCbc(iv), keys.aes(), blocks);
    ciphers(kinds, client, "AES_ECB", Mechanisms.of(Ckm.CKM_AES_ECB), keys.aes(), blocks);
    ciphers(kinds, client, "AES_CTR", Mechanisms.aesCtr(iv), keys.aes(), data);
    ciphers(
        kinds,
        client,
        "DES3_CBC_PAD",
        Mechanisms.of(Ckm.CKM_DES3_CBC_PAD, bytes(8)),
        keys.des3(),
        data);
    gcm(kinds, client, keys.aes(), data);
    signatures(kinds, client, "ECDSA_SHA256", Mechanisms.ecdsaSha256(), keys.ec(), data);
    signatures(kinds, client, "SHA256_RSA_PKCS", Mechanisms.sha256RsaPkcs(), keys.rsa(), data);
    signatures(kinds, client, "PSS", Mechanisms.rsaPss(Hash.SHA256), keys.rsa(), data);
    macs(kinds, client, "SHA256_HMAC", Mechanisms.hmacSha256(), keys.hmac(), data);
    macs(kinds, client, "AES_CMAC", Mechanisms.aesCmac(), keys.cmac(), data);
    return kinds;
  }

  private static void ciphers(
      List<Kind> kinds,
      Grep11Client client,
      String name,
      Mechanism mechanism,
      SecretKeyBlob key,
      byte[] plain) {
    var ciphered = client.encrypt(mechanism, key, plain);
    kinds.add(
        new Kind(
            "encrypt " + name,
            plain,
            (streams, in) -> {
              var out = new ByteArrayOutputStream();
              streams.encrypt(mechanism, key, in, out);
              assertThat(out.toByteArray()).isEqualTo(ciphered);
            }));
    kinds.add(
        new Kind(
            "decrypt " + name,
            ciphered,
            (streams, in) -> {
              var out = new ByteArrayOutputStream();
              streams.decrypt(mechanism, key, in, out);
              assertThat(out.toByteArray()).isEqualTo(plain);
            }));
  }

  /**
   * The helper for streams does not take GCM, so the single calls do, with a retry of their own.
   */
  private static void gcm(List<Kind> kinds, Grep11Client client, SecretKeyBlob key, byte[] plain) {
    var mechanism = Mechanisms.aesGcm();
    var encryptInit =
        EncryptInitRequest.newBuilder().setMech(mechanism).setKey(key.toMessage()).build();
    var decryptInit =
        DecryptInitRequest.newBuilder().setMech(mechanism).setKey(key.toMessage()).build();
    kinds.add(
        new Kind(
            "encrypt AES_GCM",
            plain,
            (_, in) -> {
              var state =
                  parts(
                      again(() -> client.stub().encryptInit(encryptInit)).getState(),
                      in,
                      (before, part) ->
                          client
                              .stub()
                              .encryptUpdate(
                                  EncryptUpdateRequest.newBuilder()
                                      .setState(before)
                                      .setPlain(part)
                                      .build())
                              .getState());
              var last = EncryptFinalRequest.newBuilder().setState(state).build();
              var ciphered = again(() -> client.stub().encryptFinal(last)).getCiphered();
              assertThat(client.decrypt(mechanism, key, ciphered.toByteArray())).isEqualTo(plain);
            }));
    kinds.add(
        new Kind(
            "decrypt AES_GCM",
            client.encrypt(mechanism, key, plain),
            (_, in) -> {
              var state =
                  parts(
                      again(() -> client.stub().decryptInit(decryptInit)).getState(),
                      in,
                      (before, part) ->
                          client
                              .stub()
                              .decryptUpdate(
                                  DecryptUpdateRequest.newBuilder()
                                      .setState(before)
                                      .setCiphered(part)
                                      .build())
                              .getState());
              var last = DecryptFinalRequest.newBuilder().setState(state).build();
              assertThat(again(() -> client.stub().decryptFinal(last)).getPlain().toByteArray())
                  .isEqualTo(plain);
            }));
  }

  private static ByteString parts(
      ByteString first, InputStream in, BinaryOperator<ByteString> update)
      throws IOException, InterruptedException {
    var state = first;
    while (true) {
      var before = state;
      var part = ByteString.copyFrom(in.readNBytes(PART));
      if (part.isEmpty()) {
        return state;
      }
      state = again(() -> update.apply(before, part));
    }
  }

  private static void signatures(
      List<Kind> kinds,
      Grep11Client client,
      String name,
      Mechanism mechanism,
      KeyPair pair,
      byte[] data) {
    var signature = client.sign(mechanism, pair.privateKey(), data);
    kinds.add(
        new Kind(
            "sign " + name,
            data,
            (streams, in) -> {
              var made = streams.sign(mechanism, pair.privateKey(), in);
              assertThat(client.verify(mechanism, pair.publicKey(), data, made)).isTrue();
            }));
    kinds.add(
        new Kind(
            "verify " + name,
            data,
            (streams, in) ->
                assertThat(streams.verify(mechanism, pair.publicKey(), in, signature)).isTrue()));
    kinds.add(
        new Kind(
            "verify another's " + name,
            bytes(DATA - 1),
            (streams, in) ->
                assertThat(streams.verify(mechanism, pair.publicKey(), in, signature)).isFalse()));
  }

  private static void macs(
      List<Kind> kinds,
      Grep11Client client,
      String name,
      Mechanism mechanism,
      SecretKeyBlob key,
      byte[] data) {
    var mac = client.sign(mechanism, key, data);
    kinds.add(
        new Kind(
            "sign " + name,
            data,
            (streams, in) -> assertThat(streams.sign(mechanism, key, in)).isEqualTo(mac)));
    kinds.add(
        new Kind(
            "verify " + name,
            data,
            (streams, in) -> assertThat(streams.verify(mechanism, key, in, mac)).isTrue()));
  }

  /** A call as a client repeats it: while nobody answers, and while the answer is to try again. */
  private static <A> A again(Supplier<A> call) throws InterruptedException {
    for (int attempt = 1; ; attempt++) {
      try {
        return call.get();
      } catch (StatusRuntimeException e) {
        if (!Grep11Exception.of(e).retry() || attempt == 5) {
          throw e;
        }
        assertThat(e.getStatus().getCode())
            .isIn(Status.Code.UNAVAILABLE, Status.Code.RESOURCE_EXHAUSTED);
        Thread.sleep(100L << attempt);
      }
    }
  }

  private static byte[] bytes(int length) {
    var bytes = new byte[length];
    new Random(length).nextBytes(bytes);
    return bytes;
  }

  // ---- Many of them, stopped in the middle

  /** Operations of all kinds that run up to the middle of their data and wait there. */
  private static final class Operations implements AutoCloseable {
    private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();
    private final CountDownLatch begun;
    private final CountDownLatch first = new CountDownLatch(1);
    private final CountDownLatch second = new CountDownLatch(1);
    private final List<Kind> kinds = new ArrayList<>();
    private final List<Future<Void>> running = new ArrayList<>();

    Operations(Grep11Client client, List<Kind> all, int count, int round) {
      begun = new CountDownLatch(count);
      for (int i = 0; i < count; i++) {
        var kind = all.get((round + i) % all.size());
        var gate = i / all.size() % 2 == 0 ? first : second;
        Callable<Void> operation =
            () -> {
              var streams = client.streams().inPartsOf(PART);
              kind.operation().run(streams, new Halting(kind.input(), begun, gate));
              return null;
            };
        kinds.add(kind);
        running.add(threads.submit(operation));
      }
    }

    void awaitAllBegun() throws InterruptedException {
      if (!begun.await(60, TimeUnit.SECONDS)) {
        resumeTheRest();
        assertNoneIsLost();
        throw new AssertionError("an operation did not begin");
      }
    }

    void resumeAHalf() {
      first.countDown();
    }

    void resumeTheRest() {
      first.countDown();
      second.countDown();
    }

    void assertNoneIsLost() throws InterruptedException {
      var lost = new ArrayList<String>();
      for (int i = 0; i < running.size(); i++) {
        try {
          running.get(i).get(60, TimeUnit.SECONDS);
        } catch (ExecutionException | TimeoutException e) {
          lost.add(kinds.get(i) + ": " + (e.getCause() == null ? e : e.getCause()));
        }
      }
      assertThat(lost).as("lost of %d", running.size()).isEmpty();
    }

    @Override
    public void close() {
      threads.shutdownNow();
    }
  }

  /** Data that says when its first half was taken, and gives the second when it may. */
  private static final class Halting extends InputStream {
    private final ByteArrayInputStream data;
    private final int atHalf;
    private final CountDownLatch reached;
    private final CountDownLatch gate;
    private boolean halted;

    Halting(byte[] data, CountDownLatch reached, CountDownLatch gate) {
      this.data = new ByteArrayInputStream(data);
      this.atHalf = data.length - data.length / 2 / PART * PART;
      this.reached = reached;
      this.gate = gate;
    }

    @Override
    public int read() {
      throw new UnsupportedOperationException("byte by byte");
    }

    @Override
    public int read(byte[] buffer, int offset, int length) throws IOException {
      // A part is read when the gateway has taken the one before.
      if (!halted && data.available() == atHalf) {
        halted = true;
        reached.countDown();
        try {
          gate.await();
        } catch (InterruptedException e) {
          throw new InterruptedIOException();
        }
      }
      return data.read(buffer, offset, length);
    }
  }

  // ---- A process that dies and comes back at the same address

  private static final class Replica implements AutoCloseable {
    private final Path directory;
    private final Path output;
    private final int base;
    private GatewayProcess process;

    Replica(Path directory, Path output) throws IOException {
      this.directory = directory;
      this.output = output;
      base = GatewayProcess.freePorts();
      process = start();
    }

    private GatewayProcess start() throws IOException {
      return GatewayProcess.start(
          output, "up", "--data", directory.toString(), "--port-base", Integer.toString(base));
    }

    String address() {
      return "localhost:" + base;
    }

    Map<String, String> awaitReady() {
      return process.awaitReady();
    }

    /** From its own record, which is written before the answers leave. */
    long callsServed() throws IOException {
      try (var lines = Files.lines(directory.resolve("audit-" + base + ".jsonl"))) {
        return lines.filter(line -> line.contains("hs-crypto.ep11.use")).count();
      }
    }

    void kill() {
      process.kill();
    }

    void restart() throws IOException {
      process = start();
      process.awaitReady();
    }

    @Override
    public void close() {
      process.close();
    }
  }
}
