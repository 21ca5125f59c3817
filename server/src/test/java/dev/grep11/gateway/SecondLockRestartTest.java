package dev.grep11.gateway;

import static dev.grep11.gateway.RunningGateway.MANAGER;
import static dev.grep11.gateway.RunningGateway.aesKey;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.grep11.client.Grep11Client;
import dev.grep11.client.certmgr.AdministratorKeyPair;
import dev.grep11.client.certmgr.CertificateManagerClient;
import dev.grep11.client.certmgr.CertificateManagerException;
import dev.grep11.client.certmgr.RegisteredCertificate;
import dev.grep11.client.certmgr.SignedCommands;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.store.Subject;
import dev.grep11.gateway.trust.TestCertificates;
import dev.grep11.gateway.trust.TestCertificates.Identity;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.certmgr.SignedCommand;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.GrpcSslContexts;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The documented story of the lock, with a restart between every two of its steps. */
class SecondLockRestartTest {
  private static final String ADMINISTRATOR = "IBMid-administrator";
  private static final Duration PATIENCE = Duration.ofSeconds(60);

  private static final Identity ONE = TestCertificates.ca("CN=One CA").selfSigned();
  private static final Identity TWO = TestCertificates.ca("CN=Two CA").selfSigned();
  private static final Identity APP = TestCertificates.client("CN=app").signedBy(ONE);
  private static final Identity OTHER_APP = TestCertificates.client("CN=other app").signedBy(TWO);

  private final AdministratorKeyPair first =
      AdministratorKeyPair.generate(AdministratorKeyPair.Type.P256);
  private final AdministratorKeyPair second =
      AdministratorKeyPair.generate(AdministratorKeyPair.Type.ED25519);

  @TempDir Path directory = Path.of("");

  private @Nullable RunningGateway started;
  private @Nullable SignedCommand last;

  @AfterEach
  void stop() {
    if (started != null) {
      started.close();
    }
  }

  private RunningGateway running() {
    return Objects.requireNonNull(started);
  }

  private void restart() throws Exception {
    stop();
    started =
        RunningGateway.start(
            directory.resolve("gateway"),
            Map.of("/enrolment", "invited", "/limits/administrativeCallsPerMinute", 1_000_000));
  }

  /** Clients, by what they show. */
  private enum Who {
    BARE,
    OF_ONE,
    OF_TWO
  }

  /**
   * What a step leaves behind.
   *
   * @param key fingerprint of the administrator's; empty when there is none
   * @param accepted whose calls reach the token
   */
  private record Outcome(
      long generation, String key, Set<String> cas, boolean locked, Set<Who> accepted) {
    static Outcome of(
        long generation, @Nullable AdministratorKeyPair key, Set<String> cas, Who... accepted) {
      return new Outcome(
          generation,
          key == null ? "" : HexFormat.of().formatHex(key.fingerprint()),
          cas,
          !cas.isEmpty(),
          Set.of(accepted));
    }
  }

  @Test
  @Tag("load")
  void aRestartBetweenAnyTwoStepsOfTheStoryDoesNotChangeItsOutcome() throws Exception {
    var all = Who.values();
    restart();
    assertThat(running().grant(ADMINISTRATOR, "Certificate Manager")).isTrue();

    String invitation;
    try (var host = Host.open(running().config)) {
      invitation =
          new String(
              host.administrators()
                  .invite(
                      running().instance,
                      new Subject(RunningGateway.ISSUER, ADMINISTRATOR),
                      Duration.ofHours(1))
                  .code()
                  .chars());
    }
    stays(Outcome.of(0, null, Set.of(), all));
    does(first, commands -> commands.setAdministratorKey(invitation));
    stays(Outcome.of(1, first, Set.of(), all));
    does(first, commands -> commands.updateAdministratorKey(second));
    stays(Outcome.of(2, second, Set.of(), all));
    does(second, commands -> set(commands, "one", ONE));
    stays(Outcome.of(3, second, Set.of("one"), Who.OF_ONE));
    does(second, commands -> set(commands, "two", TWO));
    stays(Outcome.of(4, second, Set.of("one", "two"), Who.OF_ONE, Who.OF_TWO));
    does(second, commands -> commands.deleteCertificate("one"));
    stays(Outcome.of(5, second, Set.of("two"), Who.OF_TWO));
    does(second, commands -> commands.deleteCertificate("two"));
    stays(Outcome.of(6, second, Set.of(), all));
    does(second, commands -> commands.deleteAdministratorKey(false));
    stays(Outcome.of(7, null, Set.of(), all));
  }

  private static SignedCommand set(SignedCommands commands, String id, Identity ca) {
    return commands.setCertificate(id, ca.certificate(), false, List.of());
  }

  private void does(AdministratorKeyPair pair, Function<SignedCommands, SignedCommand> command) {
    try (var manager = manager()) {
      var signed = command.apply(manager.signedBy(pair));
      manager.execute(signed);
      last = signed;
    }
  }

  /** That this is the outcome, before a restart and after it, and of the same command again. */
  private void stays(Outcome expected) throws Exception {
    // Handshakes follow the registry a moment after calls do.
    await().atMost(PATIENCE).untilAsserted(() -> assertThat(outcome()).isEqualTo(expected));
    restart();
    assertThat(outcome()).isEqualTo(expected);
    if (last != null) {
      try (var manager = manager()) {
        var again = last;
        assertThatThrownBy(() -> manager.execute(again))
            .isInstanceOf(CertificateManagerException.class);
      }
      assertThat(outcome()).isEqualTo(expected);
    }
  }

  private CertificateManagerClient manager() {
    return new CertificateManagerClient(
        Grep11Client.builder("localhost:" + running().gateway.certificateManagerPort())
            .trustedCa(running().demo.ca())
            .token(() -> running().token(ADMINISTRATOR))
            .connect(),
        running().instance);
  }

  private Outcome outcome() throws Exception {
    var accepted = new HashSet<Who>();
    for (var who : Who.values()) {
      int before = running().calls.generated();
      boolean served = served(who);
      assertThat(running().calls.generated()).isEqualTo(before + (served ? 1 : 0));
      if (served) {
        accepted.add(who);
      }
    }
    try (var manager = manager()) {
      var key = manager.administratorKey();
      var certificates = manager.certificates();
      return new Outcome(
          certificates.generation(),
          key.isRegistered()
              ? HexFormat.of().formatHex(AdministratorKeyPair.fingerprintOf(key.publicKey()))
              : "",
          certificates.own().stream()
              .map(RegisteredCertificate::id)
              .collect(Collectors.toUnmodifiableSet()),
          certificates.locked(),
          accepted);
    }
  }

  private boolean served(Who who) throws Exception {
    var ssl = GrpcSslContexts.forClient().trustManager(running().demo.ca().toFile());
    switch (who) {
      case BARE -> {}
      case OF_ONE -> ssl.keyManager(APP.privateKey(), APP.certificate());
      case OF_TWO -> ssl.keyManager(OTHER_APP.privateKey(), OTHER_APP.certificate());
    }
    var channel = running().channel("localhost", ssl);
    try {
      return !aesKey(
              CryptoGrpc.newBlockingStub(channel)
                  .withInterceptors(
                      RunningGateway.headers("authorization", "Bearer " + running().token(MANAGER)))
                  .withDeadlineAfter(PATIENCE.toSeconds(), TimeUnit.SECONDS))
          .isEmpty();
    } catch (StatusRuntimeException e) {
      assertThat(e.getStatus().getCode())
          .isIn(Status.Code.UNAVAILABLE, Status.Code.UNAUTHENTICATED);
      return false;
    } finally {
      channel.shutdownNow();
    }
  }
}
