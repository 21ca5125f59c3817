package dev.grep11.gateway;

import static dev.grep11.gateway.RunningGateway.ISSUER;
import static dev.grep11.gateway.RunningGateway.MANAGER;
import static dev.grep11.gateway.RunningGateway.aesKey;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.host.Backups;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.host.HostParts;
import dev.grep11.gateway.host.StartSteps;
import dev.grep11.gateway.iam.ApiKeys;
import dev.grep11.gateway.iam.GrantRegister;
import dev.grep11.gateway.iam.Roles;
import dev.grep11.gateway.store.AdministratorRecord;
import dev.grep11.gateway.store.BackupFile;
import dev.grep11.gateway.store.Envelope;
import dev.grep11.gateway.store.Grant;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.NthStatement;
import dev.grep11.gateway.store.NthStatement.Fault;
import dev.grep11.gateway.store.NthStatement.Hit;
import dev.grep11.gateway.store.NthStatement.Origin;
import dev.grep11.gateway.store.RegistryRecord;
import dev.grep11.gateway.store.Snapshot;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.store.StoreException;
import dev.grep11.gateway.store.Subject;
import dev.grep11.gateway.store.UncertainChangeException;
import dev.grep11.gateway.token.HsmCalls;
import dev.grep11.gateway.token.StartException;
import dev.grep11.gateway.token.TokenAnchor;
import dev.grep11.gateway.token.TokenKeys;
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
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import java.util.function.Predicate;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Every step of the store fails once, by its number: what was acknowledged is there, what was
 * refused is not or is said to be unknown, and nobody without a certificate gets in meanwhile.
 *
 * <p>{@code -Dgrep11.seed=N} repeats a run.
 */
abstract class StoreCallFaults {
  private static final Duration PATIENCE = Duration.ofSeconds(30);
  private static final Identity CA = TestCertificates.ca("CN=One CA").selfSigned();
  private static final Identity APP = TestCertificates.client("CN=app").signedBy(CA);
  @TempDir Path parent = Path.of("");
  private final long seed = Long.getLong("grep11.seed", 11);
  private final Random random = new Random(seed);
  private final NthStatement database = new NthStatement();
  private int faulted;
  private int refused;
  private final Map<String, Object> settings =
      new HashMap<>(
          Map.of("/limits/administrativeCallsPerMinute", 1_000_000, "/store/pollMillis", 50));
  private final List<String> acknowledgedCommands = new ArrayList<>();
  private RunningGateway running;

  /** Begins a store for the demo in this directory, and gives the settings that name it. */
  abstract Map<String, Object> store(Path demo) throws Exception;

  @BeforeEach
  void start() throws Exception {
    settings.putAll(store(parent.resolve("demo")));
    running = RunningGateway.start(parent.resolve("demo"), settings, this::open);
  }

  private Store open(GatewayConfig config, HsmCalls calls) {
    return database.open(
        config.database(),
        StartSteps.envelope(config, calls),
        new TokenAnchor(calls, TokenKeys.read(config.store())));
  }

  @AfterEach
  void stop() {
    running.close();
  }

  private List<Fault> faults(boolean every) {
    var all = List.of(Fault.values());
    return every ? all : List.of(all.get(random.nextInt(all.size())));
  }

  private void tell(String what) {
    System.out.printf(
        "faulted steps of the store %s %d, refused %d, seed %d%n", what, faulted, refused, seed);
  }

  // ---- Commands of administrators

  @Test
  void noFailedStepLosesAnAdministratorsChangeOrOpensTheLock() throws Exception {
    everyStepOfCommands(false);
  }

  @Test
  @Tag("long")
  void noFailedStepLosesAnAdministratorsChangeOrOpensTheLockByAnyFault() throws Exception {
    everyStepOfCommands(true);
  }

  private void everyStepOfCommands(boolean everyFault) throws Exception {
    var administrator =
        TestAdministrator.granted(running, "admin", TestAdministrator.p256()).enrolled();
    assertThat(administrator.execute(administrator.set("one", CA.der())).getLocked()).isTrue();
    var bare = new Bare(running);
    certificates(administrator, bare, everyFault);
    keys(administrator, bare, everyFault);
    enrolments(bare, everyFault);
    tell("for administrators");

    var registered = awaited(administrator::registered);
    running.close();
    running = RunningGateway.start(parent.resolve("demo"), settings);
    var again = administrator.through(running);
    assertThat(awaited(again::registered)).isEqualTo(registered);
    assertThat(again.execute(again.delete("one")).getLocked()).isEqualTo(registered.size() > 1);
    acknowledgedCommands.addAll(administrator.acknowledged);
    acknowledgedCommands.addAll(again.acknowledged);
    running.assertRecorded(acknowledgedCommands);
  }

  private void certificates(TestAdministrator administrator, Bare bare, boolean everyFault) {
    boolean more = true;
    for (int n = 1; more; n++) {
      more = false;
      for (var fault : faults(everyFault)) {
        // First added, then deleted: each step of both.
        for (int turn = 0; turn < 2; turn++) {
          boolean adds = !awaited(administrator::registered).contains("two");
          var command =
              administrator.sign(
                  adds ? administrator.set("two", CA.der()) : administrator.delete("two"));
          var hit =
              faulted(
                  n,
                  fault,
                  administrator,
                  command,
                  bare,
                  () -> awaited(administrator::registered).contains("two") == adds);
          more |= hit.isPresent();
          assertThat(awaited(administrator::registered)).as("after %s", hit).contains("one");
        }
      }
    }
  }

  private void keys(TestAdministrator administrator, Bare bare, boolean everyFault) {
    boolean more = true;
    for (int n = 1; more; n++) {
      more = false;
      for (var fault : faults(everyFault)) {
        var next = TestAdministrator.p256();
        var hit =
            faulted(
                n,
                fault,
                administrator,
                administrator.update(next),
                bare,
                () -> hasKey(administrator, next.getPublic().getEncoded()));
        more |= hit.isPresent();
        if (hasKey(administrator, next.getPublic().getEncoded())) {
          administrator.pair = next;
        } else {
          assertThat(hasKey(administrator, administrator.pair.getPublic().getEncoded())).isTrue();
        }
      }
    }
  }

  private void enrolments(Bare bare, boolean everyFault) throws Exception {
    boolean more = true;
    for (int n = 1; more; n += everyFault ? 1 : 4 + random.nextInt(9)) {
      more = false;
      for (var fault : faults(everyFault)) {
        var newcomer =
            TestAdministrator.granted(
                running, "admin-" + n + "-" + fault, TestAdministrator.p256());
        var command =
            newcomer.sign(newcomer.setKey(TestAdministrator.invite(running, newcomer.subject)));
        var hit =
            faulted(
                n,
                fault,
                newcomer,
                command,
                bare,
                () -> hasKey(newcomer, newcomer.pair.getPublic().getEncoded()));
        acknowledgedCommands.addAll(newcomer.acknowledged);
        more |= hit.isPresent();
      }
    }
  }

  private static boolean hasKey(TestAdministrator administrator, byte[] key) {
    return awaited(() -> Arrays.equals(administrator.state().getPublicKey().toByteArray(), key));
  }

  /** Executes a command of which one step fails. */
  private Optional<Hit> faulted(
      int n,
      Fault fault,
      TestAdministrator administrator,
      SignedCommand command,
      Bare bare,
      Supplier<Boolean> happened) {
    database.arm(n, fault, Origin.CALLER);
    boolean acknowledged = administrator.acknowledged(command);
    var hit = database.disarm();
    count(hit, acknowledged);
    bare.assertShut(hit);
    if (hit.isEmpty()) {
      assertThat(acknowledged).as("without a fault").isTrue();
    }
    if (acknowledged) {
      assertThat(happened.get()).as("acknowledged; seed %d, %s", seed, hit).isTrue();
    }
    return hit;
  }

  private void count(Optional<Hit> hit, boolean acknowledged) {
    if (hit.isPresent()) {
      faulted++;
      refused += acknowledged ? 0 : 1;
    }
  }

  /** An answer to a question, which changes nothing, of a registry that can be reached again. */
  private static <T> T awaited(Supplier<T> question) {
    var answer = new AtomicReference<T>();
    await()
        .atMost(PATIENCE)
        .pollInterval(Duration.ofMillis(5))
        .ignoreExceptionsMatching(e ->
            e instanceof StatusRuntimeException refusal
                && refusal.getStatus().getCode() == Status.Code.UNAVAILABLE)
        .until(() -> {
          answer.set(question.get());
          return true;
        });
    return answer.get();
  }

  /** A client without a certificate. */
  private static final class Bare {
    private final ManagedChannel channel;
    private final CryptoBlockingStub calls;

    Bare(RunningGateway running) throws Exception {
      channel = running.channel();
      calls = stub(running, channel);
    }

    void assertShut(Object after) {
      channel.resetConnectBackoff();
      assertThatThrownBy(() -> aesKey(calls))
          .as("a client without a certificate after %s", after)
          .isInstanceOfSatisfying(
              StatusRuntimeException.class,
              e ->
                  assertThat(e.getStatus().getCode())
                      .isIn(Status.Code.UNAVAILABLE, Status.Code.UNAUTHENTICATED));
    }
  }

  private static CryptoBlockingStub stub(RunningGateway running, ManagedChannel channel) {
    return CryptoGrpc.newBlockingStub(channel)
        .withInterceptors(
            RunningGateway.headers("authorization", "Bearer " + running.token(MANAGER)));
  }

  // ---- Following

  @Test
  void noFailedStepOfFollowingOpensTheLockOrEndsIt() throws Exception {
    follow(12);
  }

  @Test
  @Tag("long")
  void noFailedStepOfFollowingOpensTheLockOrEndsItForLong() throws Exception {
    follow(300);
  }

  private void follow(int steps) throws Exception {
    var administrator =
        TestAdministrator.granted(running, "admin", TestAdministrator.p256()).enrolled();
    assertThat(administrator.execute(administrator.set("one", CA.der())).getLocked()).isTrue();
    var bare = new Bare(running);
    var ssl = GrpcSslContexts.forClient().trustManager(running.demo.ca().toFile());
    ssl.keyManager(APP.privateKey(), APP.certificate());
    var app = stub(running, running.channel("localhost", ssl));
    for (int n = 1; n <= steps; n++) {
      var fault = faults(false).getFirst();
      database.arm(n, fault, Origin.BACKGROUND);
      // A change, so that there is something to follow.
      boolean adds = !awaited(administrator::registered).contains("two");
      var _ =
          administrator.execute(
              adds ? administrator.set("two", CA.der()) : administrator.delete("two"));
      await().atMost(PATIENCE).until(() -> database.hit().isPresent());
      var hit = database.disarm();
      count(hit, true);
      bare.assertShut(hit);
      assertThat(awaited(() -> aesKey(app)).isEmpty()).as("%s", hit).isFalse();
    }
    tell("while following");
  }

  // ---- Commands of the host

  /** A change by a command of the host, and how one sees that it was made. */
  private record Change(String name, Predicate<Store> made, Predicate<Snapshot> isThere) {}

  @Test
  void noFailedStepLosesAChangeOfTheHost() {
    // It would look for the sealing keys of instances that have none here.
    running.close();
    try (var hsm = Host.openToken(running.config)) {
      var calls = new HsmCalls(hsm);
      Snapshot last;
      try (var plain = StartSteps.openStore(running.config, calls);
          var store = open(running.config, calls)) {
        boolean more = true;
        for (int n = 1; more; n++) {
          more = false;
          for (var fault : Fault.values()) {
            for (var change : changes()) {
              more |= isMadeOrNot(n, fault, change, store, plain);
            }
          }
        }
        last = plain.snapshot();
      }
      try (var again = StartSteps.openStore(running.config, calls)) {
        assertThat(again.snapshot().grants()).isEqualTo(last.grants());
        assertThat(again.snapshot().apiKeys()).isEqualTo(last.apiKeys());
        assertThat(again.snapshot().instances()).isEqualTo(last.instances());
      }
    }
    tell("for the host");
  }

  /** In turn, so that each is there to be undone. */
  private List<Change> changes() {
    var roles = Roles.standard();
    var grant = Grant.ofRole(new Subject(ISSUER, "IBMid-somebody"), running.instance, "Reader");
    Predicate<Snapshot> granted = now -> now.grants().contains(grant);
    Predicate<Snapshot> keyed =
        now -> now.apiKeys().stream().anyMatch(key -> key.name().equals("faulted"));
    var id = UUID.randomUUID();
    var instance = new InstanceRecord(id, id.toString(), "account", "local", List.of());
    return List.of(
        new Change("grant add", store -> new GrantRegister(store, roles).add(grant), granted),
        new Change(
            "grant remove",
            store -> new GrantRegister(store, roles).remove(grant),
            granted.negate()),
        new Change(
            "apikey create",
            store ->
                new ApiKeys(store, roles, ISSUER)
                    .create("faulted", running.instance, "Reader")
                    .record()
                    .name()
                    .equals("faulted"),
            keyed),
        new Change(
            "apikey delete",
            store -> new ApiKeys(store, roles, ISSUER).delete("faulted"),
            keyed.negate()),
        new Change(
            "instance create",
            store -> store.createInstance(instance),
            now -> now.instance(id).isPresent()));
  }

  private boolean isMadeOrNot(int n, Fault fault, Change change, Store store, Store plain) {
    database.arm(n, fault, Origin.CALLER);
    boolean acknowledged = false;
    boolean unknown = false;
    String why = "";
    try {
      acknowledged = change.made().test(store);
    } catch (UncertainChangeException e) {
      unknown = true;
    } catch (StoreException e) {
      why = String.valueOf(e.getMessage());
    }
    var hit = database.disarm();
    count(hit, acknowledged);
    boolean made = change.isThere().test(plain.snapshot());
    var about = "%s, %s: %s".formatted(change.name(), hit, why);
    assertThat(hit.isPresent() || acknowledged).as(about).isTrue();
    if (!unknown) {
      assertThat(made).as(about).isEqualTo(acknowledged);
    }
    if (!made) {
      assertThat(change.made().test(store)).as("%s, repeated", about).isTrue();
    }
    return hit.isPresent();
  }

  // ---- Commands of the host on administrators and API keys

  /**
   * A change that cannot be made twice in turn.
   *
   * @param before leaves the store as the change needs it
   */
  private record Prepared(Consumer<Store> before, Change change) {}

  @Test
  void noFailedStepLosesAChangeOfAdministratorsByTheHost() {
    administratorsOfTheHost(false);
  }

  @Test
  @Tag("long")
  void noFailedStepLosesAChangeOfAdministratorsByTheHostByAnyFault() {
    administratorsOfTheHost(true);
  }

  private void administratorsOfTheHost(boolean everyFault) {
    running.close();
    try (var hsm = Host.openToken(running.config)) {
      var calls = new HsmCalls(hsm);
      var host = new HostParts(running.config, hsm);
      try (var plain = StartSteps.openStore(running.config, calls);
          var store = open(running.config, calls)) {
        assertThat(
                new GrantRegister(plain, Roles.standard())
                    .add(Grant.ofRole(LOST, running.instance, "Certificate Manager")))
            .isTrue();
        boolean more = true;
        for (int n = 1; more; n++) {
          more = false;
          for (var fault : faults(everyFault)) {
            for (var each : administrations(host)) {
              each.before().accept(plain);
              more |= isMadeOrNot(n, fault, each.change(), store, plain);
            }
          }
        }
      }
    }
    tell("for administrators by the host");
  }

  private static final Subject LOST = new Subject(ISSUER, "IBMid-lost");
  private static final Subject HEIR = new Subject(ISSUER, "IBMid-heir");

  private List<Prepared> administrations(HostParts host) {
    var instance = running.instance;
    var key = TestAdministrator.p256().getPublic().getEncoded();
    var fingerprint = HexFormat.of().formatHex(TestAdministrator.sha256(key));
    var hour = Duration.ofHours(1);
    Predicate<Snapshot> isInvited = now -> !now.enrolments(instance, LOST).isEmpty();
    Predicate<Snapshot> hasKey = now -> now.administrator(instance, LOST).isPresent();
    return List.of(
        new Prepared(
            store -> administrators(store, Map.of(), List.of()),
            new Change(
                "admin invite",
                store -> host.administrators(store).invite(instance, LOST, hour) != null,
                isInvited)),
        new Prepared(
            _ -> {},
            new Change(
                "admin withdraw",
                store -> {
                  host.administrators(store).withdraw(instance, LOST);
                  return true;
                },
                isInvited.negate())),
        new Prepared(
            store -> administrators(store, Map.of(LOST, key), List.of()),
            new Change(
                "admin recover",
                store ->
                    host.administrators(store).recover(instance, LOST, fingerprint, hour) != null,
                isInvited.and(hasKey.negate()))),
        new Prepared(
            store -> administrators(store, Map.of(LOST, key, HEIR, key), List.of(registered(LOST))),
            new Change(
                "admin hand-over",
                store -> host.administrators(store).handOver(instance, LOST, HEIR) == 1,
                hasKey
                    .negate()
                    .and(now ->
                        now.registry(instance).orElseThrow().entry(HEIR, "one").isPresent()))),
        new Prepared(
            this::disabledKey,
            new Change(
                "apikey confirm",
                store ->
                    new ApiKeys(store, Roles.standard(), ISSUER).confirm("disabled").isPresent(),
                now ->
                    now.apiKeys().stream()
                        .anyMatch(
                            each -> each.name().equals("disabled") && each.disabled().isEmpty()))));
  }

  private static RegistryRecord.Entry registered(Subject owner) {
    return new RegistryRecord.Entry(owner, "one", CA.der(), Instant.EPOCH);
  }

  /** Leaves these keys and client CAs, and no leave to register another key. */
  private void administrators(
      Store store, Map<Subject, byte[]> keys, List<RegistryRecord.Entry> entries) {
    var instance = running.instance;
    assertThat(
            store.<Boolean>change(change -> {
              var before = change.snapshot();
              before.enrolments(instance).forEach(change::remove);
              before.administrators(instance).forEach(change::remove);
              keys.forEach((subject, key) ->
                  change.put(new AdministratorRecord(instance, subject, key, 0, Instant.EPOCH)));
              return change.replace(before.registry(instance).orElseThrow().next(entries));
            }))
        .isTrue();
  }

  private void disabledKey(Store store) {
    var keys = new ApiKeys(store, Roles.standard(), ISSUER);
    if (store.apiKeys().stream().noneMatch(each -> each.name().equals("disabled"))) {
      keys.create("disabled", running.instance, "Reader").secret().close();
    }
    assertThat(
            store.<Boolean>change(change ->
                change.snapshot().apiKeys().stream()
                    .filter(each -> each.name().equals("disabled"))
                    .allMatch(each -> change.replace(each.disabled(Optional.of(Instant.EPOCH))))))
        .isTrue();
  }

  // ---- Backups

  @Test
  void noFailedStepLeavesWhatPassesForABackup() throws Exception {
    backups(false, false);
  }

  @Test
  void noFailedStepLosesTheBackupThatIsReplaced() throws Exception {
    backups(true, false);
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  @Tag("long")
  void noFailedStepLeavesOrLosesABackupByAnyFault(boolean overwrite) throws Exception {
    backups(overwrite, true);
  }

  private void backups(boolean overwrite, boolean everyFault) throws Exception {
    running.close();
    var directory = Files.createDirectory(parent.resolve("backups"));
    var file = directory.resolve("backup");
    try (var hsm = Host.openToken(running.config)) {
      var calls = new HsmCalls(hsm);
      var host = new HostParts(running.config, hsm);
      var envelope = StartSteps.envelope(running.config, calls);
      try (var plain = StartSteps.openStore(running.config, calls);
          var store = open(running.config, calls)) {
        boolean more = true;
        for (int n = 1; more; n++) {
          more = false;
          for (var fault : faults(everyFault)) {
            if (overwrite) {
              var _ = host.backups(plain).backUp(file, true);
            }
            more |= isBackedUpOrNot(n, fault, host.backups(store), file, overwrite, envelope);
            Files.deleteIfExists(file);
          }
        }
      }
    }
    tell("for backups");
  }

  private boolean isBackedUpOrNot(
      int n, Fault fault, Backups backups, Path file, boolean overwrite, Envelope envelope)
      throws Exception {
    var before = overwrite ? Files.readAllBytes(file) : new byte[0];
    boolean acknowledged = false;
    boolean stays = false;
    String why = "";
    database.arm(n, fault, Origin.CALLER);
    try {
      var _ = backups.backUp(file, overwrite);
      acknowledged = true;
    } catch (StoreException | StartException e) {
      why = String.valueOf(e.getMessage());
      stays = why.contains("is a whole backup and stays there");
    }
    var hit = database.disarm();
    count(hit, acknowledged);
    var about = "%s: %s".formatted(hit, why);
    assertThat(hit.isPresent() || acknowledged).as(about).isTrue();
    if (acknowledged || stays) {
      try (var backup = BackupFile.open(file)) {
        assertThat(backup.verify(envelope)).as(about).isNotNull();
      }
    } else if (overwrite) {
      assertThat(file).as(about).hasBinaryContent(before);
    }
    try (var files = Files.list(file.getParent())) {
      assertThat(files.toList())
          .as("files after %s", about)
          .isEqualTo(acknowledged || stays || overwrite ? List.of(file) : List.of());
    }
    return hit.isPresent();
  }

  // ---- Starts

  /** Of the gateway that is started beside the one that serves. */
  private final NthStatement starting = new NthStatement();

  private Store openStarting(GatewayConfig config, HsmCalls calls) {
    return starting.open(
        config.database(),
        StartSteps.envelope(config, calls),
        new TokenAnchor(calls, TokenKeys.read(config.store())));
  }

  @Test
  void aStartIsRefusedOrLockedThoughAStepFails() throws Exception {
    starts(10);
  }

  @Test
  @Tag("long")
  void aStartIsRefusedOrLockedWhicheverStepFails() throws Exception {
    starts(Integer.MAX_VALUE);
  }

  private void starts(int most) throws Exception {
    var administrator =
        TestAdministrator.granted(running, "admin", TestAdministrator.p256()).enrolled();
    assertThat(administrator.execute(administrator.set("one", CA.der())).getLocked()).isTrue();
    for (var origin : Origin.values()) {
      starting.arm(Integer.MAX_VALUE, Fault.REFUSED, origin);
      int steps;
      try (var _ = running.anotherOver(this::openStarting, "counted", settings)) {
        // There is no last one of those that go on.
        steps = origin == Origin.BACKGROUND ? 40 : starting.seen();
      }
      starting.disarm();
      var numbers = new ArrayList<>(IntStream.rangeClosed(1, steps).boxed().toList());
      Collections.shuffle(numbers, random);
      for (int n : numbers.subList(0, Math.min(most, steps))) {
        for (var fault : faults(most == Integer.MAX_VALUE)) {
          isRefusedOrLocked(n, fault, origin);
        }
      }
    }
    tell("of starts");
  }

  private void isRefusedOrLocked(int n, Fault fault, Origin origin) throws Exception {
    starting.arm(n, fault, origin);
    try (var gateway = running.anotherOver(this::openStarting, "another", settings)) {
      var ssl = GrpcSslContexts.forClient().trustManager(running.demo.ca().toFile());
      var bare = running.channel(gateway, "localhost", ssl);
      assertShut(stub(running, bare), starting.hit());
      if (origin == Origin.BACKGROUND) {
        await().atMost(PATIENCE).until(() -> starting.hit().isPresent());
        assertShut(stub(running, bare), starting.hit());
      }
      ssl.keyManager(APP.privateKey(), APP.certificate());
      var app = stub(running, running.channel(gateway, "localhost", ssl));
      assertThat(awaited(() -> aesKey(app)).isEmpty()).as("%s", starting.hit()).isFalse();
      assertShut(stub(running, bare), starting.hit());
      count(starting.disarm(), true);
    } catch (StoreException | StartException e) {
      var hit = starting.disarm();
      count(hit, false);
      assertThat(hit).as("%s", e).isPresent();
      assertThat(e.getMessage())
          .as("%s", hit)
          .containsAnyOf("a fault that the test made", "the connection is lost");
    }
  }

  private static void assertShut(CryptoBlockingStub bare, Object after) {
    assertThatThrownBy(() -> aesKey(bare))
        .as("a client without a certificate after %s", after)
        .isInstanceOfSatisfying(
            StatusRuntimeException.class,
            e ->
                assertThat(e.getStatus().getCode())
                    .isIn(Status.Code.UNAVAILABLE, Status.Code.UNAUTHENTICATED));
  }
}
