package dev.grep11.gateway.command;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.grep11.client.Grep11Client;
import dev.grep11.client.certmgr.AdministratorKeyPair;
import dev.grep11.client.certmgr.CertificateManagerClient;
import dev.grep11.client.certmgr.CertificateManagerException;
import dev.grep11.gateway.audit.AuditVerification;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.trust.TestCertificates;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.UUID;
import java.util.concurrent.ConcurrentSkipListSet;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Signed commands to a gateway process that is killed with SIGKILL, or whose disk is full: whatever
 * was answered is there afterwards, and its audit file is whole.
 */
class AdministrationProcessTest {
  private static final int MOST_REGISTERED = 6;
  private static final X509Certificate CA =
      TestCertificates.ca("CN=Some CA").selfSigned().certificate();

  @TempDir Path parent = Path.of("");
  private final AdministratorKeyPair pair =
      AdministratorKeyPair.generate(AdministratorKeyPair.Type.P256);
  private final Random random = new Random();
  private Path directory = Path.of("");
  private UUID instance = new UUID(0, 0);
  private int base;

  /** By their ids, oldest first; what the registry must hold. */
  private final Deque<String> registered = new ArrayDeque<>();

  /** Ids of what was answered, ever. */
  private final Set<String> answered = new ConcurrentSkipListSet<>();

  private int ids;
  private @Nullable GatewayProcess process;
  private @Nullable CertificateManagerClient manager;

  @BeforeEach
  void begin() throws Exception {
    directory = parent.resolve("demo");
    var demo = DemoData.open(directory);
    Files.writeString(
        demo.config(),
        // Each command waits for a killed process until its lease ends.
        Files.readString(demo.config()).replace("\nstore:\n", "\nstore:\n  leaseSeconds: 5\n")
            + "limits:\n  administrativeCallsPerMinute: 1000000\n");
    instance = GatewayConfig.read(demo.config()).instance().orElseThrow();
    base = GatewayProcess.freePorts();
    start();
    manager().execute(manager().signedBy(pair).setAdministratorKey(null));
  }

  @AfterEach
  void end() {
    stopTalking();
    if (process != null) {
      process.close();
    }
  }

  private GatewayProcess process() {
    return Objects.requireNonNull(process);
  }

  private CertificateManagerClient manager() {
    return Objects.requireNonNull(manager);
  }

  private void start() throws IOException {
    process =
        GatewayProcess.start(
            parent, "up", "--data", directory.toString(), "--port-base", Integer.toString(base));
    var ready = process.awaitReady();
    manager =
        new CertificateManagerClient(
            Grep11Client.builder(ready.getOrDefault("certmgr", ""))
                .trustedCa(directory.resolve("tls").resolve("ca.pem"))
                .apiKey(
                    directory.resolve("certmgr-apikey"), URI.create(ready.getOrDefault("iam", "")))
                .deadline(Duration.ofSeconds(30))
                .connect(),
            instance);
  }

  private void stopTalking() {
    if (manager != null) {
      manager.close();
    }
  }

  private Path audit() {
    return directory.resolve("audit-" + base + ".jsonl");
  }

  @Test
  void threeKillsLoseNothingThatWasAnswered() throws Exception {
    kills(3);
  }

  @Test
  @Tag("long")
  void thirtyKillsLoseNothingThatWasAnswered() throws Exception {
    kills(30);
  }

  private void kills(int number) throws Exception {
    for (int kill = 0; kill < number; kill++) {
      var commands = new Commands();
      int before = answered.size();
      await().atMost(Duration.ofSeconds(30)).until(() -> answered.size() > before + 2);
      Thread.sleep(random.nextInt(400));
      process().kill();
      commands.join();
      stopTalking();
      var report = AuditVerification.verify(audit(), Optional.empty(), List.of(), _ -> {});
      assertThat(report.findings()).as("kill %d", kill).isEmpty();
      start();
      requireNothingLost(commands.uncertain());
    }
    System.out.printf("kill -9 kills=%d commands_answered=%d lost=0%n", number, answered.size());
  }

  @Test
  void aFullDiskRefusesChangesAndLosesNoneThatWasAnswered() throws Exception {
    for (int i = 0; i < 3; i++) {
      assertThat(change()).isEmpty();
    }
    limitFiles(Long.toString(Files.size(audit()) + 100));
    var uncertain = new ArrayList<String>();
    for (int i = 0; i < 20; i++) {
      uncertain.addAll(change());
    }
    assertThat(uncertain).as("commands refused for want of room").isNotEmpty();

    limitFiles("unlimited");
    await()
        .atMost(Duration.ofSeconds(30))
        .ignoreExceptions()
        .until(() -> !manager().certificates().own().isEmpty());
    requireNothingLost(uncertain);
    await().atMost(Duration.ofSeconds(30)).until(() -> change().isEmpty());
    process().terminate();
    assertThat(process().awaitExit()).isZero();
    assertThat(AuditVerification.verify(audit(), Optional.empty(), List.of(), _ -> {}).findings())
        .isEmpty();
  }

  /** A limit on the size of files stands for a full disk. */
  private void limitFiles(String bytes) throws Exception {
    var limited =
        new ProcessBuilder(
                "prlimit", "--pid", Long.toString(process().pid()), "--fsize=" + bytes + ":")
            .inheritIO()
            .start();
    assertThat(limited.waitFor()).isZero();
  }

  /** Registers one more or removes the oldest; the id, if it is not known whether it did. */
  private List<String> change() {
    boolean more = registered.size() < MOST_REGISTERED;
    var id = more ? "ca-" + ids++ : registered.getFirst();
    try {
      var commands = manager().signedBy(pair);
      manager()
          .execute(
              more
                  ? commands.setCertificate(id, CA, false, List.of())
                  : commands.deleteCertificate(id));
      if (more) {
        registered.addLast(id);
      } else {
        registered.removeFirst();
      }
      answered.add((more ? "set " : "delete ") + id);
      return List.of();
    } catch (CertificateManagerException e) {
      return List.of(id);
    }
  }

  /** One after the other until the first that is not answered. */
  private final class Commands {
    private final AtomicReference<List<String>> uncertain = new AtomicReference<>(List.of());
    private final AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();
    private final Thread thread =
        Thread.ofPlatform()
            .start(() -> {
              try {
                while (uncertain.get().isEmpty()) {
                  uncertain.set(change());
                }
              } catch (RuntimeException e) {
                failure.set(e);
              }
            });

    List<String> uncertain() {
      return uncertain.get();
    }

    void join() throws InterruptedException {
      thread.join();
      assertThat(failure.get()).isNull();
    }
  }

  private void requireNothingLost(List<String> uncertain) {
    var found =
        manager().certificates().own().stream()
            .map(each -> each.id())
            .collect(Collectors.toCollection(TreeSet::new));
    var certain = new TreeSet<>(registered);
    certain.removeAll(uncertain);
    assertThat(found).containsAll(certain);
    var possible = new TreeSet<>(registered);
    possible.addAll(uncertain);
    assertThat(possible).containsAll(found);
    registered.removeIf(id -> !found.contains(id));
    found.stream().filter(id -> !registered.contains(id)).forEach(registered::addLast);
    // Of each that was answered the record is there, or comes.
    await()
        .atMost(Duration.ofSeconds(30))
        .untilAsserted(() -> {
          var events = Files.readString(audit());
          assertThat(answered)
              .allSatisfy(change ->
                  assertThat(events)
                      .contains("\"" + change.substring(change.indexOf(' ') + 1) + "\""));
        });
  }
}
