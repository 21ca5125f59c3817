package dev.grep11.gateway;

import static dev.grep11.gateway.RunningGateway.MANAGER;
import static dev.grep11.gateway.RunningGateway.aesKey;
import static dev.grep11.gateway.RunningGateway.cbcPad;
import static dev.grep11.gateway.RunningGateway.encrypt;
import static dev.grep11.gateway.RunningGateway.mechanism;
import static dev.grep11.gateway.RunningGateway.number;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.proto.AttributeValue;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.CryptoGrpc.CryptoBlockingStub;
import dev.grep11.proto.DecryptSingleRequest;
import dev.grep11.proto.DigestSingleRequest;
import dev.grep11.proto.GenerateKeyPairRequest;
import dev.grep11.proto.GenerateKeyRequest;
import dev.grep11.proto.GenerateRandomRequest;
import dev.grep11.proto.SignSingleRequest;
import dev.grep11.proto.VerifySingleRequest;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioSocketChannel;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The load line in short: nothing is timed here, the long form is the bench's. */
class ManyClientsTest {
  private static final int CLIENTS = 200;
  private static final int CACHED_KEYS = 64;

  /** Working copies on their way in, and those given up that the next load destroys. */
  private static final int IN_TRANSIT = 32;

  private static final Duration DURATION = Duration.ofSeconds(8);
  private static final ByteString DATA = ByteString.copyFrom(new byte[32]);
  private static final ByteString P256 =
      ByteString.copyFrom(new byte[] {6, 8, 0x2a, (byte) 0x86, 0x48, (byte) 0xce, 0x3d, 3, 1, 7});

  @Test
  void twoHundredWithMixedOperationsMeetNoErrorAndLeaveNothingBehind(@TempDir Path parent)
      throws Exception {
    try (var running =
        RunningGateway.start(parent.resolve("demo"), Map.of("/hsm/cachedKeys", CACHED_KEYS))) {
      var ec = ecPair(running.client());
      var sessions = running.calls.openSessions();
      var objects = running.calls.objects();
      var most = new AtomicInteger();
      var failures = new ConcurrentLinkedQueue<Throwable>();
      var idle = ConcurrentHashMap.<Integer>newKeySet();
      var token = running.token(MANAGER);
      var loops = new MultiThreadIoEventLoopGroup(2, NioIoHandler.newFactory());
      var ssl = GrpcSslContexts.forClient().trustManager(running.demo.ca().toFile()).build();
      var channels = new ArrayList<ManagedChannel>();
      for (int i = 0; i < CLIENTS; i++) {
        channels.add(
            NettyChannelBuilder.forAddress("localhost", running.gateway.cryptoPort())
                .eventLoopGroup(loops)
                .channelType(NioSocketChannel.class)
                .sslContext(ssl)
                .build());
      }
      long end = System.nanoTime() + DURATION.toNanos();
      var threads = new ArrayList<Thread>();
      for (int i = 0; i < CLIENTS; i++) {
        int number = i;
        var stub =
            CryptoGrpc.newBlockingStub(channels.get(i))
                .withInterceptors(RunningGateway.headers("authorization", token));
        threads.add(
            Thread.ofVirtual()
                .start(() -> {
                  idle.add(number);
                  try {
                    var key = aesKey(stub);
                    do {
                      round(stub.withDeadlineAfter(60, TimeUnit.SECONDS), key, ec);
                      idle.remove(number);
                      most.accumulateAndGet(running.calls.objects(), Math::max);
                    } while (System.nanoTime() < end);
                  } catch (RuntimeException | AssertionError e) {
                    failures.add(e);
                  }
                }));
      }
      for (var thread : threads) {
        thread.join();
      }
      channels.forEach(ManagedChannel::shutdownNow);
      var _ = loops.shutdownGracefully(0, 1, TimeUnit.SECONDS);

      assertThat(failures).isEmpty();
      assertThat(idle).as("clients that did not complete a round").isEmpty();
      assertThat(running.calls.openSessions()).isEqualTo(sessions);
      // At a moment in which a busy machine has not come to destroy what was given up.
      assertThat(most.get() - objects).isLessThanOrEqualTo(CACHED_KEYS + 4 * IN_TRANSIT);
      assertThat(running.calls.objects() - objects).isLessThanOrEqualTo(CACHED_KEYS + IN_TRANSIT);
    }
  }

  private record Pair(ByteString privateKey, ByteString publicKey) {}

  private static Pair ecPair(CryptoBlockingStub client) {
    var made =
        client.generateKeyPair(
            GenerateKeyPairRequest.newBuilder()
                .setMech(mechanism(Ckm.CKM_EC_KEY_PAIR_GEN))
                .putPubKeyTemplate(
                    Cka.CKA_EC_PARAMS, AttributeValue.newBuilder().setAttributeB(P256).build())
                .build());
    return new Pair(made.getPrivKeyBytes(), made.getPubKeyBytes());
  }

  private static void round(CryptoBlockingStub client, ByteString key, Pair ec) {
    var ciphered = encrypt(client, key, DATA);
    assertThat(
            client
                .decryptSingle(
                    DecryptSingleRequest.newBuilder()
                        .setMech(cbcPad())
                        .setKeyBytes(key)
                        .setCiphered(ciphered)
                        .build())
                .getPlain())
        .isEqualTo(DATA);
    var signature =
        client
            .signSingle(
                SignSingleRequest.newBuilder()
                    .setMech(mechanism(Ckm.CKM_ECDSA))
                    .setPrivKeyBytes(ec.privateKey())
                    .setData(DATA)
                    .build())
            .getSignature();
    var _ =
        client.verifySingle(
            VerifySingleRequest.newBuilder()
                .setMech(mechanism(Ckm.CKM_ECDSA))
                .setPubKeyBytes(ec.publicKey())
                .setData(DATA)
                .setSignature(signature)
                .build());
    assertThat(
            client
                .digestSingle(
                    DigestSingleRequest.newBuilder()
                        .setMech(mechanism(Ckm.CKM_SHA256))
                        .setData(DATA)
                        .build())
                .getDigest())
        .hasSize(32);
    assertThat(
            client.generateRandom(GenerateRandomRequest.newBuilder().setLen(16).build()).getRnd())
        .hasSize(16);
  }

  @Test
  void anHonestClientDoesNotWaitBehindOneThatFloods(@TempDir Path parent) throws Exception {
    int flooders = 50;
    int blobs = 100;
    // So few that each blob of the flood has to be loaded each time.
    try (var running =
        RunningGateway.start(parent.resolve("demo"), Map.of("/hsm/cachedKeys", 16))) {
      var honest = running.client();
      var key = aesKey(honest);
      var expected = encrypt(honest, key, DATA);
      running.grant("IBMid-flood", "Manager");
      var flooding = running.client("authorization", running.token("IBMid-flood"));
      await().ignoreExceptions().until(() -> aesKey(flooding).size() > 0);
      var fresh = new ArrayList<ByteString>();
      for (int i = 0; i < blobs; i++) {
        fresh.add(aesKey(flooding));
      }
      // So that the flood is always in front of the token, however slow its own client is.
      running.calls.slowUnwrapping(Duration.ofMillis(5));
      int unflooded = running.calls.unwrapped();
      var next = new AtomicInteger();
      var parameters = new AtomicInteger();
      var unexpected = new ConcurrentLinkedQueue<Status>();
      var stop = new AtomicBoolean();
      var threads = new ArrayList<Thread>();
      for (int i = 0; i < flooders; i++) {
        threads.add(
            untilStopped(
                stop,
                unexpected,
                () -> {
                  var _ = encrypt(flooding, fresh.get(next.getAndIncrement() % blobs), DATA);
                }));
      }
      for (int i = 0; i < 4; i++) {
        threads.add(
            untilStopped(
                stop,
                unexpected,
                () -> {
                  dsaParameters(flooding);
                  parameters.incrementAndGet();
                }));
      }

      var ahead = new ArrayList<Integer>();
      try {
        await()
            .atMost(Duration.ofSeconds(30))
            .until(() -> running.calls.unwrapped() > unflooded + flooders);
        for (int i = 0; i < 50; i++) {
          int before = running.calls.unwrapped();
          assertThat(encrypt(honest, key, DATA)).isEqualTo(expected);
          ahead.add(running.calls.unwrapped() - before);
        }
        await().atMost(Duration.ofSeconds(30)).until(() -> parameters.get() > 0);
      } finally {
        stop.set(true);
        // A token that still works could not be closed.
        for (var thread : threads) {
          thread.join();
        }
      }

      assertThat(unexpected).isEmpty();
      ahead.sort(null);
      // In one queue for all it would be about one for each flooder.
      assertThat(ahead.get(ahead.size() / 2))
          .as("keys of the flood unwrapped during an honest call: %s", ahead)
          .isLessThanOrEqualTo(flooders / 5);
    }
  }

  /** Again and again; to be told that it is too much is what a flood expects. */
  private static Thread untilStopped(
      AtomicBoolean stop, Collection<Status> unexpected, Runnable call) {
    return Thread.ofVirtual()
        .start(() -> {
          while (!stop.get()) {
            try {
              call.run();
            } catch (StatusRuntimeException e) {
              if (e.getStatus().getCode() != Status.Code.RESOURCE_EXHAUSTED) {
                unexpected.add(e.getStatus());
                return;
              }
              LockSupport.parkNanos(Duration.ofMillis(20).toNanos());
            }
          }
        });
  }

  /** In the lane of DH parameters, which for 1024 bits may take a quarter of a minute. */
  private static void dsaParameters(CryptoBlockingStub client) {
    var _ =
        client.generateKey(
            GenerateKeyRequest.newBuilder()
                .setMech(mechanism(Ckm.CKM_DSA_PARAMETER_GEN))
                .putTemplate(Cka.CKA_PRIME_BITS, number(1024))
                .build());
  }
}
