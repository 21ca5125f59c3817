package dev.grep11.gateway;

import static dev.grep11.gateway.RunningGateway.MANAGER;
import static dev.grep11.gateway.RunningGateway.aesKey;
import static dev.grep11.gateway.TestAdministrator.p256;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.grep11.gateway.trust.TestCertificates;
import dev.grep11.gateway.trust.TestCertificates.Identity;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.CryptoGrpc.CryptoBlockingStub;
import dev.grep11.proto.certmgr.CommandResult;
import dev.grep11.proto.certmgr.DeleteAdminKey;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import java.nio.file.Path;
import java.security.KeyPair;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Random commands, starts, stops and connections, against a model that is a set of registered CAs.
 * Whatever the model refuses after a command was answered, the gateways refuse at once; what it
 * refuses before and after, also meanwhile; what it accepts, they accept soon.
 *
 * <p>{@code -Dgrep11.seed=N} repeats a run.
 */
class SecondLockModelTest {
  /**
   * For what is to be accepted; what is to be refused has no time at all. A gateway that a busy
   * machine kept from the store for as long as its lease refuses until it was there again.
   */
  private static final Duration ACCEPTED_WITHIN = Duration.ofSeconds(30);

  private static final int CAS = 3;

  /** A client without a certificate; the others are those of the CA of their number. */
  private static final int BARE = CAS;

  private static final List<Identity> AUTHORITIES =
      IntStream.range(0, CAS)
          .mapToObj(n -> TestCertificates.ca("CN=CA " + n).selfSigned())
          .toList();
  private static final List<Identity> CLIENTS =
      AUTHORITIES.stream().map(ca -> TestCertificates.client("CN=of " + ca).signedBy(ca)).toList();
  private static final List<String> IDS = List.of("a", "b");
  private static final Map<String, Object> SETTINGS =
      Map.of(
          "/enrolment", "invited",
          "/limits/administrativeCallsPerMinute", 1_000_000,
          "/store/leaseSeconds", 5);

  @TempDir Path directory = Path.of("");

  private final long seed = Long.getLong("grep11.seed", System.nanoTime());
  private final Random random = new Random(seed);
  private final List<String> steps = new ArrayList<>();
  private final @Nullable Gateway[] gateways = new Gateway[2];
  private final Map<Door, ManagedChannel> doors = new HashMap<>();
  private int gatewayNames;
  private RunningGateway running;
  private String token = "";
  private List<Operator> operators = List.of();

  // What the gateways must agree with.
  private final Map<String, Integer> registered = new TreeMap<>();

  /** A connection that is kept: to which gateway, by which client. */
  private record Door(Gateway gateway, int client) {}

  /** An administrator, and whether the model has a key of it. */
  private static final class Operator {
    final String name;
    final Map<Gateway, TestAdministrator> by = new HashMap<>();
    KeyPair pair = p256();
    boolean enrolled;

    Operator(String name) {
      this.name = name;
    }
  }

  @BeforeEach
  void start() throws Exception {
    running = RunningGateway.start(directory.resolve("demo"), SETTINGS);
    token = running.token(MANAGER);
    gateways[0] = running.gateway;
    operators = List.of(new Operator("first"), new Operator("second"));
    for (var operator : operators) {
      var administrator = TestAdministrator.granted(running, operator.name, operator.pair);
      operator.by.put(running.gateway, administrator);
    }
  }

  @AfterEach
  void stop() {
    doors.values().forEach(ManagedChannel::shutdownNow);
    for (var gateway : gateways) {
      if (gateway != null) {
        gateway.close();
      }
    }
    running.close();
  }

  @Test
  void sixtyStepsLetNobodyInWhomTheModelRefuses() throws Exception {
    run(60, Duration.ofSeconds(10));
  }

  @Test
  @Tag("load")
  void stepsOfTwentySecondsLetNobodyInWhomTheModelRefuses() throws Exception {
    run(5_000, Duration.ofSeconds(20));
  }

  @Test
  @Tag("long")
  void thousandsOfStepsLetNobodyInWhomTheModelRefuses() throws Exception {
    run(20_000, Duration.ofMinutes(10));
  }

  private void run(int most, Duration within) throws Exception {
    System.out.printf("model seed=%d%n", seed);
    long end = System.nanoTime() + within.toNanos();
    int refused = 0;
    int accepted = 0;
    int step = 0;
    try {
      for (; step < most && System.nanoTime() - end < 0; step++) {
        step();
        for (int look = 0; look < 3; look++) {
          if (judge(anyGateway(), random.nextInt(CAS + 1), random.nextInt(4) == 0)) {
            accepted++;
          } else {
            refused++;
          }
        }
      }
    } catch (AssertionError | Exception e) {
      throw new AssertionError(
          "seed %d, step %d; the last ones: %s"
              .formatted(seed, step, steps.subList(Math.max(0, steps.size() - 12), steps.size())),
          e);
    }
    System.out.printf(
        "model steps=%d accepted=%d refused=%d seed=%d%n", step, accepted, refused, seed);
    // A run in which the lock was never shut, or never open, would show nothing.
    assertThat(accepted).isPositive();
    assertThat(refused).isPositive();
  }

  private void step() throws Exception {
    int choice = random.nextInt(100);
    var operator = any(operators);
    if (!operator.enrolled && choice < 70) {
      enrol(operator);
    } else if (choice < 40) {
      set(operator, any(IDS), random.nextInt(CAS));
    } else if (choice < 75) {
      delete(operator, any(IDS));
    } else if (choice < 84) {
      update(operator);
    } else if (choice < 92) {
      leave(operator);
    } else if (choice < 96) {
      restart();
    } else {
      startOrStopTheSecond();
    }
  }

  private <T> T any(List<T> from) {
    return from.get(random.nextInt(from.size()));
  }

  private Gateway anyGateway() {
    var second = gateways[1];
    return second != null && random.nextBoolean() ? second : first();
  }

  private Gateway first() {
    return Objects.requireNonNull(gateways[0]);
  }

  // ---- Commands

  private static String slot(Operator operator, String id) {
    return operator.name + "/" + id;
  }

  private boolean owns(Operator operator) {
    return registered.keySet().stream().anyMatch(slot -> slot.startsWith(operator.name + "/"));
  }

  private TestAdministrator by(Operator operator) throws Exception {
    var gateway = anyGateway();
    var before = operator.by.get(gateway);
    if (before == null) {
      before = Objects.requireNonNull(operator.by.values().iterator().next()).through(gateway);
      operator.by.put(gateway, before);
    }
    before.pair = operator.pair;
    return before;
  }

  private interface Order {
    CommandResult give(TestAdministrator administrator);
  }

  /**
   * Gives a command while those knock whom neither the state before nor the one after lets in.
   *
   * @param after what is registered then, if the command is carried out
   * @param expected empty when it is to be carried out
   */
  private void command(
      String what,
      Operator operator,
      Map<String, Integer> after,
      Optional<Status.Code> expected,
      Order order)
      throws Exception {
    var then = Map.copyOf(after);
    steps.add(what + expected.map(code -> " -> " + code).orElse(""));
    var administrator = by(operator);
    var never =
        IntStream.rangeClosed(0, BARE)
            .filter(client -> !opens(registered, client) && !opens(then, client))
            .boxed()
            .toList();
    var given = CompletableFuture.supplyAsync(() -> order.give(administrator));
    while (!given.isDone() && !never.isEmpty()) {
      assertThat(calls(door(anyGateway(), any(never)))).as("during " + what).isFalse();
    }
    try {
      var result = given.join();
      assertThat(expected).as("expected refusal").isEmpty();
      registered.clear();
      registered.putAll(then);
      assertThat(result.getLocked()).isEqualTo(!registered.isEmpty());
      // All have confirmed, so that what follows may be asked of them at once.
      assertThat(result.getOutstandingList()).isEmpty();
    } catch (CompletionException e) {
      assertThat(Optional.of(Status.fromThrowable(e).getCode())).as("%s", e).isEqualTo(expected);
    }
  }

  private void enrol(Operator operator) throws Exception {
    var code = TestAdministrator.invite(running, operator.name);
    operator.pair = p256();
    command(
        "enrol " + operator.name,
        operator,
        registered,
        Optional.empty(),
        administrator -> administrator.execute(administrator.setKey(code)));
    operator.enrolled = true;
  }

  private void set(Operator operator, String id, int ca) throws Exception {
    var after = new TreeMap<>(registered);
    after.put(slot(operator, id), ca);
    command(
        "set " + slot(operator, id) + " CA " + ca,
        operator,
        after,
        operator.enrolled ? Optional.empty() : Optional.of(Status.Code.FAILED_PRECONDITION),
        administrator -> administrator.execute(administrator.set(id, AUTHORITIES.get(ca).der())));
  }

  private void delete(Operator operator, String id) throws Exception {
    var after = new TreeMap<>(registered);
    var there = after.remove(slot(operator, id)) != null;
    command(
        "delete " + slot(operator, id),
        operator,
        after,
        !operator.enrolled
            ? Optional.of(Status.Code.FAILED_PRECONDITION)
            : there ? Optional.empty() : Optional.of(Status.Code.NOT_FOUND),
        administrator -> administrator.execute(administrator.delete(id)));
  }

  private void update(Operator operator) throws Exception {
    var next = p256();
    command(
        "update " + operator.name,
        operator,
        registered,
        operator.enrolled ? Optional.empty() : Optional.of(Status.Code.FAILED_PRECONDITION),
        administrator -> administrator.client.execute(administrator.update(next)));
    if (operator.enrolled) {
      operator.pair = next;
    }
  }

  private void leave(Operator operator) throws Exception {
    var heir = operators.get(1 - operators.indexOf(operator));
    var after = new TreeMap<String, Integer>();
    boolean clash = false;
    for (var entry : registered.entrySet()) {
      var id = entry.getKey().substring(entry.getKey().indexOf('/') + 1);
      boolean own = entry.getKey().equals(slot(operator, id));
      clash |= own && registered.containsKey(slot(heir, id));
      after.put(own ? slot(heir, id) : entry.getKey(), entry.getValue());
    }
    boolean possible = operator.enrolled && (!owns(operator) || (heir.enrolled && !clash));
    command(
        "leave " + operator.name,
        operator,
        possible ? after : registered,
        possible ? Optional.empty() : Optional.of(Status.Code.FAILED_PRECONDITION),
        administrator ->
            administrator.execute(
                administrator
                    .command()
                    .setDeleteAdminKey(DeleteAdminKey.newBuilder().setForce(true))));
    operator.enrolled &= !possible;
  }

  // ---- Gateways

  private void restart() {
    steps.add("restart the first");
    end(first());
    gateways[0] = running.another("gateway-" + gatewayNames++, SETTINGS);
  }

  private void startOrStopTheSecond() {
    var second = gateways[1];
    steps.add(second == null ? "start the second" : "stop the second");
    if (second == null) {
      gateways[1] = running.another("gateway-" + gatewayNames++, SETTINGS);
    } else {
      gateways[1] = null;
      end(second);
    }
  }

  private void end(Gateway gateway) {
    for (int client = 0; client <= BARE; client++) {
      var channel = doors.remove(new Door(gateway, client));
      if (channel != null) {
        channel.shutdownNow();
      }
    }
    gateway.close();
  }

  // ---- Clients

  private static boolean opens(Map<String, Integer> registered, int client) {
    Set<Integer> cas = registered.values().stream().collect(Collectors.toSet());
    return cas.isEmpty() || cas.contains(client);
  }

  private ManagedChannel door(Gateway gateway, int client) throws Exception {
    var door = new Door(gateway, client);
    var channel = doors.get(door);
    if (channel == null) {
      channel = connect(gateway, client);
      doors.put(door, channel);
    }
    return channel;
  }

  private ManagedChannel connect(Gateway gateway, int client) throws Exception {
    var ssl = GrpcSslContexts.forClient().trustManager(running.demo.ca().toFile());
    if (client != BARE) {
      ssl.keyManager(ShownIdentity.of(CLIENTS.get(client)));
    }
    return NettyChannelBuilder.forAddress("localhost", gateway.cryptoPort())
        .sslContext(ssl.build())
        .build();
  }

  /** Whether a call that makes the token work is answered. */
  private boolean calls(ManagedChannel channel) {
    // A connection that was closed is opened again now, not after a pause.
    channel.resetConnectBackoff();
    CryptoBlockingStub stub =
        CryptoGrpc.newBlockingStub(channel)
            .withDeadlineAfter(20, TimeUnit.SECONDS)
            .withInterceptors(RunningGateway.headers("authorization", "Bearer " + token));
    try {
      return !aesKey(stub).isEmpty();
    } catch (StatusRuntimeException e) {
      assertThat(e.getStatus().getCode())
          .as("%s", e)
          .isIn(Status.Code.UNAVAILABLE, Status.Code.UNAUTHENTICATED);
      return false;
    }
  }

  private boolean judge(Gateway gateway, int client, boolean anew) throws Exception {
    var expected = opens(registered, client);
    var before = running.calls.generated();
    var channel = anew ? connect(gateway, client) : door(gateway, client);
    try {
      var what =
          "client %d, %s connection, registered %s"
              .formatted(client, anew ? "new" : "kept", registered);
      if (expected) {
        await(what)
            .atMost(ACCEPTED_WITHIN)
            .pollInterval(Duration.ofMillis(20))
            .until(() -> calls(channel));
      } else {
        assertThat(calls(channel)).as(what).isFalse();
        assertThat(running.calls.generated()).as("keys made: " + what).isEqualTo(before);
      }
    } finally {
      if (anew) {
        channel.shutdownNow();
      }
    }
    return expected;
  }
}
