package dev.grep11.gateway;

import static dev.grep11.gateway.RunningGateway.MANAGER;
import static dev.grep11.gateway.RunningGateway.aesKey;
import static dev.grep11.gateway.TestAdministrator.p256;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;

import dev.grep11.gateway.store.PostgresServer;
import dev.grep11.gateway.trust.TestCertificates;
import dev.grep11.gateway.trust.TestCertificates.Identity;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.CryptoGrpc.CryptoBlockingStub;
import dev.grep11.proto.certmgr.SignedCommand;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.GrpcSslContexts;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.DriverManager;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * What the second lock and its administration rest on goes away or lies: no door opens, no change
 * that was answered is lost, and the refusal says what to do. A full disk and a killed process are
 * in {@code command.AdministrationProcessTest}.
 */
class AdministrationFaultsTest {
  private static final Duration BOUND = Duration.ofSeconds(5);
  private static final Duration LEASE = Duration.ofSeconds(3);
  private static final Identity ONE = TestCertificates.ca("CN=One CA").selfSigned();
  private static final Identity TWO = TestCertificates.ca("CN=Two CA").selfSigned();
  private static final Identity APP = TestCertificates.client("CN=app").signedBy(ONE);
  private static final Map<String, Object> SETTINGS =
      Map.of(
          "/enrolment",
          "invited",
          "/limits/administrativeCallsPerMinute",
          1_000_000,
          "/store/leaseSeconds",
          (int) LEASE.toSeconds());

  /** The clock of the host, moved by an operator or by a wrong time server. */
  private static final class SteppedClock implements InstantSource {
    private volatile Duration step = Duration.ZERO;

    @Override
    public Instant instant() {
      return Instant.now().plus(step);
    }
  }

  @TempDir Path parent = Path.of("");
  private final SteppedClock clock = new SteppedClock();
  private @Nullable RunningGateway started;

  @AfterEach
  void stop() {
    if (started != null) {
      started.close();
    }
  }

  private RunningGateway start(Map<String, Object> settings) throws Exception {
    var running = RunningGateway.start(parent.resolve("demo"), settings, clock);
    started = running;
    return running;
  }

  private record Client(ManagedChannel channel, CryptoBlockingStub calls) {}

  private static Client client(RunningGateway running, @Nullable Identity identity)
      throws Exception {
    var ssl = GrpcSslContexts.forClient().trustManager(running.demo.ca().toFile());
    if (identity != null) {
      ssl.keyManager(identity.privateKey(), identity.certificate());
    }
    var channel = running.channel("localhost", ssl);
    return new Client(
        channel,
        CryptoGrpc.newBlockingStub(channel)
            .withInterceptors(
                RunningGateway.headers("authorization", "Bearer " + running.token(MANAGER))));
  }

  private static Status.Code answer(Client client) {
    client.channel().resetConnectBackoff();
    try {
      return aesKey(client.calls().withDeadlineAfter(20, TimeUnit.SECONDS)).isEmpty()
          ? Status.Code.DATA_LOSS
          : Status.Code.OK;
    } catch (StatusRuntimeException e) {
      return e.getStatus().getCode();
    }
  }

  /** By either lock: a handshake may have been begun while none was needed. */
  private static void assertShut(Client client) {
    assertThat(answer(client)).isIn(Status.Code.UNAVAILABLE, Status.Code.UNAUTHENTICATED);
  }

  private static void awaitOpen(Client client) {
    await().atMost(BOUND).until(() -> answer(client) == Status.Code.OK);
  }

  private static StatusRuntimeException refusal(Runnable command) {
    var refusal = catchThrowableOfType(StatusRuntimeException.class, command::run);
    assertThat(refusal).as("a refusal").isNotNull();
    return refusal;
  }

  private static TestAdministrator locked(RunningGateway running) throws Exception {
    var administrator = TestAdministrator.granted(running, "admin", p256()).enrolled();
    assertThat(administrator.execute(administrator.set("one", ONE.der())).getLocked()).isTrue();
    return administrator;
  }

  @Test
  void aDatabaseThatIsAwayRefusesCommandsAtOnceAndClientsWhenTheLeaseEnds() throws Exception {
    var directory = parent.resolve("demo");
    try (var server = PostgresServer.start()) {
      var settings = new HashMap<>(SETTINGS);
      settings.putAll(DemoOnPostgres.begin(directory, server.createDatabase()));
      var running = start(settings);
      var administrator = locked(running);
      var app = client(running, APP);
      var bare = client(running, null);
      awaitOpen(app);
      // Signed while the state could still be asked for.
      var delete = administrator.sign(administrator.delete("one"));

      server.stop();
      var gone = Instant.now();
      // A lease that ended by the wall clock would now last a day longer.
      clock.step = Duration.ofDays(-1);

      var refused = refusal(() -> administrator.client.execute(delete));
      assertThat(refused.getStatus().getCode()).isEqualTo(Status.Code.UNAVAILABLE);
      assertThat(refused.getStatus().getDescription())
          .contains("registry cannot be reached")
          .contains("look before you repeat");
      while (answer(app) == Status.Code.OK) {
        assertShut(bare);
        assertThat(Duration.between(gone, Instant.now())).isLessThan(LEASE.plus(BOUND));
        Thread.sleep(50);
      }
      int made = running.calls.generated();
      for (int i = 0; i < 5; i++) {
        assertShut(app);
        assertShut(client(running, APP));
        assertShut(bare);
      }
      assertThat(running.calls.generated()).isEqualTo(made);

      clock.step = Duration.ZERO;
      server.startAgain();
      await().atMost(Duration.ofSeconds(30)).until(() -> answer(app) == Status.Code.OK);
      assertShut(bare);
      assertThat(administrator.list().getCertificatesCount()).isOne();
      assertThat(administrator.client.execute(delete).getLocked()).isFalse();
    }
  }

  @Test
  void aDatabaseFileThatIsAwayRefusesAndComesBackWithWhatWasAnswered() throws Exception {
    var running = start(SETTINGS);
    var administrator = locked(running);
    awaitAnswer(administrator);
    var delete = administrator.sign(administrator.delete("one"));
    var file = database(running);
    var away = parent.resolve("away");
    Files.move(file, away);
    try {
      var refused = refusal(() -> administrator.client.execute(delete));
      assertThat(refused.getStatus().getCode()).isEqualTo(Status.Code.UNAVAILABLE);
      assertShut(client(running, null));
    } finally {
      Files.move(away, file);
    }
    await()
        .atMost(BOUND)
        .ignoreExceptions()
        .until(() -> administrator.list().getCertificatesCount() == 1);
    assertShut(client(running, null));
    assertThat(administrator.client.execute(delete).getLocked()).isFalse();
  }

  private static Path database(RunningGateway running) throws Exception {
    try (var files = Files.list(running.config.store())) {
      return files.filter(file -> file.toString().endsWith(".db")).findFirst().orElseThrow();
    }
  }

  @Test
  void certificatesFollowAClockThatIsSteppedBothWays() throws Exception {
    var running = start(SETTINGS);
    var administrator = locked(running);
    var app = client(running, APP);
    awaitOpen(app);

    for (var step : new Duration[] {Duration.ofDays(800), Duration.ofDays(-1)}) {
      clock.step = step;
      int before = running.calls.generated();
      assertShut(app);
      assertShut(client(running, APP));
      assertShut(client(running, null));
      assertThat(running.calls.generated()).as("%s", step).isEqualTo(before);
      // Commands do not go by the clock: who has to repair something can, once the lease that the
      // step ended is said anew.
      awaitAnswer(administrator);
      var moved = administrator.execute(administrator.delete("one").setTimeMillis(0));
      assertThat(moved.getLocked()).isFalse();
      assertThat(moved.getNotesList()).anyMatch(note -> note.contains("clock"));
      clock.step = Duration.ZERO;
      awaitAnswer(administrator);
      assertThat(administrator.execute(administrator.set("one", ONE.der())).getLocked()).isTrue();
      await().atMost(BOUND).until(() -> answer(app) == Status.Code.OK);
    }
  }

  private static void awaitAnswer(TestAdministrator administrator) {
    await().atMost(BOUND).ignoreExceptions().until(() -> !administrator.state().getCrn().isEmpty());
  }

  @Test
  void aRegistryThatWasChangedInTheDatabaseRefusesEverybodyAndEveryStart() throws Exception {
    var running = start(SETTINGS);
    var administrator = locked(running);
    var app = client(running, APP);
    awaitOpen(app);
    var set = administrator.sign(administrator.set("two", TWO.der()));

    try (var connection = DriverManager.getConnection("jdbc:sqlite:" + database(running));
        var statement = connection.createStatement()) {
      statement.execute("PRAGMA busy_timeout = 10000");
      // One byte of the row, and its length as it was.
      assertThat(
              statement.executeUpdate(
                  "UPDATE registry SET sealed = substr(sealed, 1, length(sealed) - 1)"
                      + " || CASE hex(substr(sealed, -1)) WHEN '00' THEN x'01' ELSE x'00' END"))
          .isPositive();
    }

    var refused = refusal(() -> administrator.client.execute(set));
    assertThat(refused.getStatus().getCode()).isEqualTo(Status.Code.UNAVAILABLE);
    await().atMost(BOUND).until(() -> answer(app) == Status.Code.UNAVAILABLE);
    int before = running.calls.generated();
    assertShut(client(running, APP));
    assertShut(client(running, null));
    assertThat(running.calls.generated()).isEqualTo(before);
    running.close();
    assertThatThrownBy(() -> running.another("again", SETTINGS).close())
        .isInstanceOf(RuntimeException.class)
        .hasMessageContaining("registry");
  }

  @Test
  void aTokenThatIsAwayDuringChangesLosesNoneThatWasAnswered() throws Exception {
    var running = start(SETTINGS);
    var administrator = locked(running);
    var answered = new TreeSet<String>(Set.of("one"));
    var unanswered = new TreeSet<String>();
    var failure = new AtomicReference<@Nullable Throwable>();
    var going = new AtomicBoolean(true);
    var commands =
        Thread.ofPlatform()
            .start(() -> {
              try {
                for (int i = 0; going.get(); i++) {
                  command(administrator, "ca-" + i % 60, answered, unanswered);
                }
              } catch (RuntimeException | AssertionError e) {
                failure.set(e);
              }
            });
    var tokens = running.directory.resolve("token").resolve("tokens");
    var away = tokens.resolveSibling("away");
    try {
      for (int loss = 0; loss < 2; loss++) {
        Thread.sleep(700);
        Files.move(tokens, away);
        Thread.sleep(900);
        // Nobody is let in for want of a token.
        assertShut(client(running, null));
        Files.move(away, tokens);
        await()
            .atMost(Duration.ofSeconds(30))
            .until(() -> answer(client(running, APP)) == Status.Code.OK);
      }
    } finally {
      going.set(false);
      commands.join();
    }
    assertThat(failure.get()).isNull();
    assertThat(answered).hasSizeGreaterThan(1);
    assertThat(unanswered).as("commands that met a token that was away").isNotEmpty();
    await()
        .atMost(Duration.ofSeconds(30))
        .ignoreExceptions()
        .until(() -> administrator.list().getCertificatesCount() > 0);
    var registered =
        administrator.list().getCertificatesList().stream().map(each -> each.getId()).toList();
    assertThat(registered).containsAll(answered);
    unanswered.addAll(answered);
    assertThat(unanswered).containsAll(registered);
    // And it goes on.
    administrator.execute(administrator.set("after", TWO.der()));
    running.close();
    var again = start(SETTINGS);
    assertThat(administrator.through(again).list().getCertificatesCount())
        .isEqualTo(registered.size() + 1);
  }

  private static void command(
      TestAdministrator administrator, String id, Set<String> answered, Set<String> unanswered) {
    SignedCommand signed;
    try {
      signed = administrator.sign(administrator.set(id, TWO.der()));
    } catch (StatusRuntimeException e) {
      // A question; it changes nothing.
      assertThat(e.getStatus().getCode()).as("%s", e).isEqualTo(Status.Code.UNAVAILABLE);
      return;
    }
    try {
      administrator.client.execute(signed);
      answered.add(id);
    } catch (StatusRuntimeException e) {
      assertThat(e.getStatus().getCode()).as("%s", e).isEqualTo(Status.Code.UNAVAILABLE);
      assertThat(e.getStatus().getDescription()).contains("look before you repeat");
      unanswered.add(id);
    }
  }
}
