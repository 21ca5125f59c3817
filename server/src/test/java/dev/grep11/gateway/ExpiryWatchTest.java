package dev.grep11.gateway;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.JsonNode;
import dev.grep11.gateway.audit.AuditEvent;
import dev.grep11.gateway.audit.AuditLog;
import dev.grep11.gateway.audit.AuditSettings;
import dev.grep11.gateway.certmgr.AdministrativeEvents;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.store.EventRecord;
import dev.grep11.gateway.store.FollowSettings;
import dev.grep11.gateway.store.StoreFollower;
import dev.grep11.gateway.trust.TestCertificates;
import dev.grep11.gateway.trust.TestCertificates.Identity;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/** What a gateway says by itself of certificates that end soon (seed row A14). */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class ExpiryWatchTest {
  private static final Instant END = Instant.parse("2040-06-01T00:00:00Z");
  private static final Identity CA =
      TestCertificates.ca("CN=Payments CA").valid(Instant.EPOCH, END).selfSigned();

  private RunningGateway running;

  @BeforeAll
  void start(@TempDir Path parent) throws Exception {
    running = RunningGateway.start(parent.resolve("demo"));
  }

  @AfterAll
  void stop() {
    running.close();
  }

  /** An audit log that can be away, and what it took. */
  private static final class Events implements AdministrativeEvents {
    private final List<AuditEvent> taken = new ArrayList<>();
    private final AuditLog closed = closed();
    private boolean away;
    private boolean available = true;

    @Override
    public EventRecord row(AuditEvent event) {
      throw new UnsupportedOperationException("nothing is changed");
    }

    @Override
    public void committed(EventRecord row) {
      throw new UnsupportedOperationException("nothing is changed");
    }

    @Override
    public void record(AuditEvent event) {
      if (away) {
        closed.record(event);
      }
      taken.add(event);
    }

    @Override
    public boolean available() {
      return available;
    }

    private static AuditLog closed() {
      try {
        var log =
            AuditLog.open(
                new AuditSettings(
                    Optional.empty(), true, 4, AuditSettings.WhenFull.BLOCK, Duration.ofMillis(1)));
        log.close();
        return log;
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }

    List<String> said() {
      return taken.stream().map(event -> event.responseData().orElseThrow().action()).toList();
    }
  }

  /** A watch that looks when it is told to, at a time of the test. */
  private final class Watching implements AutoCloseable {
    private final Events events = new Events();
    private final StoreFollower follower;
    private final ExpiryWatch watch;
    private Instant now = END.minus(31, ChronoUnit.DAYS);

    Watching(Host host, List<Identity> serverChain) {
      follower =
          StoreFollower.start(
              host.store(), new FollowSettings(Duration.ofMillis(50), Duration.ofMinutes(5)));
      InstantSource clock = () -> now;
      watch =
          new ExpiryWatch(
              follower,
              Optional.of(running.instance),
              () -> TestCertificates.certificates(serverChain),
              Path.of("server.pem"),
              events,
              clock);
    }

    Watching at(Duration beforeEnd) {
      now = END.minus(beforeEnd);
      watch.look();
      return this;
    }

    @Override
    public void close() {
      watch.close();
      follower.close();
    }
  }

  @Test
  void aRegisteredCaIsToldOfOnceForEveryThresholdAndWhenItHasEnded() {
    running.registerClientCas(running.instance, List.of(CA.der()));
    try (var host = Host.open(running.config);
        var watching = new Watching(host, List.of())) {
      var said = watching.events;
      watching.at(Duration.ofDays(31)).at(Duration.ofDays(30).plusSeconds(1));
      assertThat(said.taken).isEmpty();
      watching.at(Duration.ofDays(30)).at(Duration.ofDays(29)).at(Duration.ofDays(8));
      assertThat(said.said()).containsExactly("expires within 30 days, 2040-06-01T00:00:00Z");
      watching.at(Duration.ofDays(7)).at(Duration.ofDays(2));
      watching.at(Duration.ofHours(24)).at(Duration.ofSeconds(1));
      watching.at(Duration.ZERO).at(Duration.ofDays(-100));
      assertThat(said.said())
          .containsExactly(
              "expires within 30 days, 2040-06-01T00:00:00Z",
              "expires within 7 days, 2040-06-01T00:00:00Z",
              "expires within 1 day, 2040-06-01T00:00:00Z",
              "has expired, 2040-06-01T00:00:00Z");
      assertThat(said.taken.stream().map(event -> event.id().orElseThrow()))
          .doesNotHaveDuplicates();
      // Registered anew it is another: whoever put it back should hear what stands.
      running.registerClientCas(running.instance, List.of());
      follower(watching);
      watching.at(Duration.ofDays(5));
      running.registerClientCas(running.instance, List.of(CA.der()));
      follower(watching);
      watching.at(Duration.ofDays(5));
      assertThat(said.said()).hasSize(5).last().asString().startsWith("expires within 7 days");
      assertThat(said.taken.stream().map(event -> event.id().orElseThrow()))
          .doesNotHaveDuplicates();
    }
  }

  private static void follower(Watching watching) {
    watching.follower.refresh();
  }

  @Test
  void whatStandsIsToldAtTheStartAndOnlyTheNearest() {
    running.registerClientCas(running.instance, List.of(CA.der()));
    try (var host = Host.open(running.config);
        var watching = new Watching(host, List.of());
        var again = new Watching(host, List.of())) {
      watching.at(Duration.ofDays(3));
      again.at(Duration.ofDays(2));
      assertThat(watching.events.said()).singleElement().asString().contains("within 7 days");
      // A restart or a replica says the same by the same id.
      assertThat(again.events.taken.getFirst().id())
          .isEqualTo(watching.events.taken.getFirst().id());
    }
  }

  @Test
  void aClockThatWentWrongIsNotHeldAgainstTheThresholdsThatFollow() {
    running.registerClientCas(running.instance, List.of(CA.der()));
    try (var host = Host.open(running.config);
        var watching = new Watching(host, List.of())) {
      watching.at(Duration.ofDays(-400)).at(Duration.ofDays(40)).at(Duration.ofDays(20));
      assertThat(watching.events.said())
          .satisfiesExactly(
              wrong -> assertThat(wrong).startsWith("has expired"),
              right -> assertThat(right).startsWith("expires within 30 days"));
    }
  }

  @Test
  void whatTheAuditLogDoesNotTakeIsToldAtTheNextLook() {
    running.registerClientCas(running.instance, List.of(CA.der()));
    try (var host = Host.open(running.config);
        var watching = new Watching(host, List.of())) {
      watching.events.away = true;
      watching.at(Duration.ofDays(3));
      watching.events.away = false;
      watching.events.available = false;
      watching.at(Duration.ofDays(3));
      assertThat(watching.events.taken).isEmpty();
      watching.events.available = true;
      watching.at(Duration.ofDays(3)).at(Duration.ofDays(3));
      assertThat(watching.events.said()).singleElement().asString().contains("within 7 days");
    }
  }

  @Test
  void everyCertificateOfTheServersChainIsToldOfUntilItIsReplaced() {
    running.registerClientCas(running.instance, List.of());
    var leaf = TestCertificates.bare("CN=gateway").valid(Instant.now(), END).signedBy(CA);
    var chain = new ArrayList<>(List.of(leaf, CA));
    try (var host = Host.open(running.config);
        var watching = new Watching(host, chain)) {
      watching.at(Duration.ofDays(6));
      assertThat(watching.events.taken)
          .extracting(event -> event.target().name().orElseThrow())
          .containsExactlyInAnyOrder("CN=gateway", "CN=Payments CA");
      chain.clear();
      chain.add(TestCertificates.bare("CN=gateway").signedBy(CA));
      watching.events.taken.clear();
      watching.now = Instant.now();
      watching.watch.look();
      assertThat(watching.events.taken).isEmpty();
    }
  }

  @Test
  void everyCertificateThatMattersIsToldOfOnceInAHundredLooksAndOnceMoreAfterARestart() {
    var start = Instant.now();
    var month = Duration.ofDays(29);
    var week = Duration.ofDays(6);
    var day = Duration.ofHours(12);
    var chain = Stream.of(month, week, day).map(left -> ending(start.plus(left))).toList();
    running.registerClientCas(running.instance, chain.stream().map(Identity::der).toList());
    var expected =
        Stream.of("within 30 days", "within 7 days", "within 1 day")
            .flatMap(when ->
                Stream.of("hs-crypto/mtlscert-cert", "grep11/server-certificate")
                    .map(what -> what + " expires " + when))
            .toList();
    try (var host = Host.open(running.config);
        var watching = new Watching(host, chain);
        var restarted = new Watching(host, chain)) {
      for (int minute = 0; minute < 100; minute++) {
        watching.now = start.plus(Duration.ofMinutes(minute));
        watching.watch.look();
      }
      restarted.now = watching.now;
      restarted.watch.look();

      assertThat(whatAndWhen(watching)).containsExactlyInAnyOrderElementsOf(expected);
      assertThat(ids(watching)).doesNotHaveDuplicates();
      assertThat(ids(restarted)).containsExactlyInAnyOrderElementsOf(ids(watching));
    }
  }

  private static Identity ending(Instant end) {
    return TestCertificates.ca("CN=ends " + end).valid(Instant.EPOCH, end).selfSigned();
  }

  private static List<String> whatAndWhen(Watching watching) {
    return watching.events.taken.stream()
        .map(event ->
            event.target().typeUri()
                + " "
                + event.responseData().orElseThrow().action().replaceFirst(",.*", ""))
        .toList();
  }

  private static List<UUID> ids(Watching watching) {
    return watching.events.taken.stream().map(event -> event.id().orElseThrow()).toList();
  }

  @Test
  void aGatewayTellsByItselfAtEveryStartAndSoDoesEveryReplicaByTheSameId() {
    var ends = Instant.now().plus(5, ChronoUnit.DAYS);
    var soon = TestCertificates.ca("CN=Soon CA").valid(Instant.EPOCH, ends).selfSigned();
    var later = TestCertificates.ca("CN=Later CA").selfSigned();
    running.registerClientCas(running.instance, List.of(later.der(), soon.der()));

    tellsAtItsStart("first", 1);
    tellsAtItsStart("first", 2);
    tellsAtItsStart("replica", 1);

    var told = new ArrayList<>(running.events("first.jsonl", ExpiryWatch.ACTION));
    told.addAll(running.events("replica.jsonl", ExpiryWatch.ACTION));
    assertThat(told).hasSize(3).allSatisfy(event -> assertExpected(event, running));
    assertThat(told).extracting(event -> event.get("id")).containsOnly(told.getFirst().get("id"));
  }

  private void tellsAtItsStart(String name, int lines) {
    try (var _ = running.another(name, Map.of())) {
      await()
          .atMost(Duration.ofSeconds(20))
          .ignoreExceptionsInstanceOf(UncheckedIOException.class)
          .until(() -> running.events(name + ".jsonl", ExpiryWatch.ACTION).size() == lines);
    }
  }

  private static void assertExpected(JsonNode event, RunningGateway gateway) {
    assertThat(event.get("severity").asText()).isEqualTo("warning");
    assertThat(event.at("/initiator/id").asText()).isEqualTo("grep11-gateway");
    assertThat(event.at("/target/id").asText()).contains(gateway.instance.toString());
    assertThat(event.at("/target/typeURI").asText()).isEqualTo("hs-crypto/mtlscert-cert");
    assertThat(event.at("/requestData/instanceID").asText()).isEqualTo(gateway.instance.toString());
    assertThat(event.at("/requestData/certificateId").asText()).isEqualTo("ca-1");
    assertThat(event.at("/requestData/accountId").asText()).isEqualTo("administrator");
    assertThat(event.at("/responseData/action").asText()).startsWith("expires within 7 days, ");
    assertThat(event.at("/responseData/consequence").asText()).contains("register its successor");
  }
}
