package dev.grep11.gateway.iam;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.grep11.gateway.iam.Decision.Reason;
import dev.grep11.gateway.store.Entitlement;
import dev.grep11.gateway.store.FollowSettings;
import dev.grep11.gateway.store.Grant;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.SoftwareAnchor;
import dev.grep11.gateway.store.SoftwareEnvelope;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.store.StoreFollower;
import dev.grep11.gateway.store.StoreLocation;
import dev.grep11.gateway.store.Subject;
import java.nio.file.Path;
import java.sql.DriverManager;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class GrantsTest {
  private static final UUID INSTANCE = UUID.randomUUID();
  private static final UUID OTHER_INSTANCE = UUID.randomUUID();
  private static final UUID KEYSTORE = UUID.randomUUID();
  private static final Subject BILLING = new Subject("https://issuer.example", "billing");
  private static final Set<String> SIGN = Actions.ofRpc("SignSingle");
  private static final Set<String> GENERATE = Actions.ofRpc("GenerateKey");
  private static final FollowSettings FAST =
      new FollowSettings(Duration.ofMillis(20), Duration.ofMinutes(5));
  // Longer than any test: only refresh() moves it.
  private static final FollowSettings BY_HAND =
      new FollowSettings(Duration.ofSeconds(30), Duration.ofMinutes(5));

  private final SoftwareEnvelope envelope = new SoftwareEnvelope();
  private final SoftwareAnchor anchor = new SoftwareAnchor();
  private final Roles roles = Roles.standard();
  private final AtomicLong nanos = new AtomicLong();
  @TempDir Path temporary;
  private Store store;
  private GrantRegister register;

  @BeforeEach
  void createStore() {
    store = Store.create(new StoreLocation.Directory(directory()), envelope, anchor);
    register = new GrantRegister(store, roles);
    store.createInstance(new InstanceRecord(INSTANCE, "one", "acc", "local", List.of()));
    store.createInstance(new InstanceRecord(OTHER_INSTANCE, "two", "acc", "local", List.of()));
  }

  @AfterEach
  void closeStore() {
    store.close();
  }

  @Test
  void allowsWhatTheRoleHasInItsInstanceAndNothingElse() {
    register.add(Grant.ofRole(BILLING, INSTANCE, "reader"));
    try (StoreFollower follower = StoreFollower.start(store, FAST)) {
      Grants grants = new Grants(follower, roles);
      assertThat(grants.authorize(token(), INSTANCE, SIGN))
          .isInstanceOfSatisfying(
              Decision.Allowed.class,
              allowed -> {
                assertThat(allowed.caller().subject()).isEqualTo(BILLING);
                assertThat(allowed.caller().may(SIGN)).isTrue();
                assertThat(allowed.caller().may(GENERATE)).isFalse();
              });
      assertThat(reason(grants.authorize(token(), INSTANCE, GENERATE)))
          .isEqualTo(Reason.MISSING_ACTION);
      assertThat(reason(grants.authorize(token(), OTHER_INSTANCE, SIGN)))
          .isEqualTo(Reason.NO_GRANT);
      assertThat(reason(grants.authorize(token(), UUID.randomUUID(), SIGN)))
          .isEqualTo(Reason.NO_GRANT);
      VerifiedToken sameNameElsewhere = token(new Subject("https://other.example", "billing"));
      assertThat(reason(grants.authorize(sameNameElsewhere, INSTANCE, SIGN)))
          .isEqualTo(Reason.NO_GRANT);
    }
  }

  @Test
  void refusesATokenForAnotherInstance() {
    register.add(Grant.ofRole(BILLING, INSTANCE, "Reader"));
    try (StoreFollower follower = StoreFollower.start(store, FAST)) {
      Grants grants = new Grants(follower, roles);
      VerifiedToken elsewhere = token(Optional.of(OTHER_INSTANCE), Set.of(), Optional.empty());
      assertThat(reason(grants.authorize(elsewhere, INSTANCE, SIGN))).isEqualTo(Reason.TOKEN);
    }
  }

  @Test
  void countsRolesOfATokenInTheInstanceItNames() {
    try (StoreFollower follower = StoreFollower.start(store, FAST)) {
      Grants grants = new Grants(follower, roles);
      VerifiedToken writer =
          token(Optional.of(INSTANCE), Set.of("Writer", "no such role"), Optional.empty());
      assertThat(grants.authorize(writer, INSTANCE, GENERATE)).isInstanceOf(Decision.Allowed.class);
      VerifiedToken both =
          token(Optional.of(INSTANCE), Set.of("Writer", "Certificate Manager"), Optional.empty());
      assertThat(reason(grants.authorize(both, INSTANCE, GENERATE)))
          .isEqualTo(Reason.SEPARATION_OF_DUTIES);
    }
  }

  @Test
  void limitsAGrantToItsResource() {
    Set<String> update = Set.of("hs-crypto.keystore.updatekey");
    String keystore = "keystore:" + KEYSTORE;
    register.add(
        new Grant(BILLING, INSTANCE, new Entitlement.Role("Key operator"), Optional.of(keystore)));
    try (StoreFollower follower = StoreFollower.start(store, FAST)) {
      Grants grants = new Grants(follower, roles);
      assertThat(grants.authorize(token(), INSTANCE, update, Optional.of(keystore)))
          .isInstanceOf(Decision.Allowed.class);
      for (Optional<String> other :
          List.of(
              Optional.<String>empty(), Optional.of("key"), Optional.of("keystore:" + INSTANCE))) {
        assertThat(reason(grants.authorize(token(), INSTANCE, update, other)))
            .isEqualTo(Reason.NO_GRANT);
      }
    }
  }

  @Test
  void refusesAfterAGrantWasRevokedByAnotherProcess() {
    Grant grant = Grant.ofRole(BILLING, INSTANCE, "Reader");
    register.add(grant);
    try (StoreFollower follower = StoreFollower.start(store, FAST);
        Store other = Store.open(new StoreLocation.Directory(directory()), envelope, anchor)) {
      Grants grants = new Grants(follower, roles);
      assertThat(grants.authorize(token(), INSTANCE, SIGN)).isInstanceOf(Decision.Allowed.class);
      assertThat(new GrantRegister(other, roles).remove(grant)).isTrue();
      await()
          .atMost(Duration.ofSeconds(5))
          .untilAsserted(() ->
              assertThat(reason(grants.authorize(token(), INSTANCE, SIGN)))
                  .isEqualTo(Reason.NO_GRANT));
    }
  }

  @Test
  void endsTheTokensOfADeletedApiKey() {
    ApiKeys apiKeys = new ApiKeys(store, roles, BILLING.issuer());
    ApiKeys.Created created = apiKeys.create("ci", INSTANCE, "Writer");
    try (StoreFollower follower = StoreFollower.start(store, BY_HAND)) {
      Grants grants = new Grants(follower, roles);
      VerifiedToken token = apiKeyToken(created);
      assertThat(grants.authorize(token, INSTANCE, GENERATE)).isInstanceOf(Decision.Allowed.class);
      // The key alone, so that it is not the missing grant that refuses.
      store.deleteApiKey(created.record().id());
      follower.refresh();
      assertThat(reason(grants.authorize(token, INSTANCE, GENERATE)))
          .isEqualTo(Reason.API_KEY_DELETED);
    }
  }

  @Test
  void actsOnWhatItLastVerifiedForTheLeaseAndRefusesThen() {
    register.add(Grant.ofRole(BILLING, INSTANCE, "Reader"));
    try (StoreFollower follower = StoreFollower.start(store, BY_HAND, nanos::get)) {
      Grants grants = new Grants(follower, roles);
      store.close();
      nanos.addAndGet(Duration.ofMinutes(5).toNanos() - 1);
      assertThatThrownBy(follower::refresh).hasMessageContaining("store");
      assertThat(grants.authorize(token(), INSTANCE, SIGN)).isInstanceOf(Decision.Allowed.class);
      nanos.addAndGet(1);
      assertThat(grants.available()).isFalse();
      assertThat(reason(grants.authorize(token(), INSTANCE, SIGN)))
          .isEqualTo(Reason.GRANTS_UNAVAILABLE);
    }
  }

  @Test
  void renewsTheLeaseWhileTheStoreConfirmsItsGeneration() {
    register.add(Grant.ofRole(BILLING, INSTANCE, "Reader"));
    try (StoreFollower follower = StoreFollower.start(store, BY_HAND, nanos::get)) {
      Grants grants = new Grants(follower, roles);
      for (int i = 0; i < 10; i++) {
        nanos.addAndGet(Duration.ofMinutes(4).toNanos());
        follower.refresh();
      }
      assertThat(grants.authorize(token(), INSTANCE, SIGN)).isInstanceOf(Decision.Allowed.class);
    }
  }

  @Test
  void refusesEverythingAtOnceWhenTheStoreWasTamperedWith() throws Exception {
    register.add(Grant.ofRole(BILLING, INSTANCE, "Reader"));
    try (StoreFollower follower = StoreFollower.start(store, FAST)) {
      Grants grants = new Grants(follower, roles);
      try (var connection =
              DriverManager.getConnection("jdbc:sqlite:" + directory().resolve("store.db"));
          var statement = connection.createStatement()) {
        statement.executeUpdate("UPDATE head SET generation = generation + 1");
      }
      await()
          .atMost(Duration.ofSeconds(5))
          .untilAsserted(() ->
              assertThat(reason(grants.authorize(token(), INSTANCE, SIGN)))
                  .isEqualTo(Reason.GRANTS_UNAVAILABLE));
    }
  }

  @Test
  void refusesToGiveOneSubjectBothLocks() {
    register.add(Grant.ofRole(BILLING, INSTANCE, "Certificate Manager"));
    for (UUID instance : List.of(INSTANCE, OTHER_INSTANCE)) {
      assertThatThrownBy(() -> register.add(Grant.ofRole(BILLING, instance, "Reader")))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("manage certificates");
    }
    ApiKeys apiKeys = new ApiKeys(store, roles, "issuer");
    assertThatThrownBy(() ->
            apiKeys.create(
                "both", INSTANCE, List.of("Certificate Manager", "Writer"), Optional.empty()))
        .isInstanceOf(IllegalArgumentException.class);
    assertThat(apiKeys.list()).as("nothing of it is left").isEmpty();
    assertThat(register.list()).hasSize(1);
  }

  @Test
  void refusesGrantsOfWhatDoesNotExist() {
    assertThatThrownBy(() -> register.add(Grant.ofRole(BILLING, UUID.randomUUID(), "Reader")))
        .hasMessageContaining("no instance");
    assertThatThrownBy(() -> register.add(Grant.ofRole(BILLING, INSTANCE, "root")))
        .hasMessageContaining("no role");
    Entitlement unknown = new Entitlement.Actions(Set.of("hs-crypto.crypto.all"));
    assertThatThrownBy(() -> register.add(new Grant(BILLING, INSTANCE, unknown, Optional.empty())))
        .hasMessageContaining("no action");
  }

  @Test
  void makesAnApiKeyOnceAndWipesIt() {
    ApiKeys apiKeys = new ApiKeys(store, roles, "issuer");
    ApiKeys.Created created =
        apiKeys.create("ci", INSTANCE, List.of("Key operator"), Optional.of(KEYSTORE));
    String key = new String(created.secret().chars());
    assertThat(key).matches("g11_[A-Za-z0-9_-]{43}");
    assertThat(created.toString()).doesNotContain(key);
    assertThat(store.findApiKey(ApiKeySecret.hash(key))).contains(created.record());
    assertThat(register.list())
        .extracting(Grant::resource)
        .containsExactly(Optional.of("keystore:" + KEYSTORE));
    created.secret().close();
    assertThat(created.secret().chars()).containsOnly('\0');
    assertThatThrownBy(() -> apiKeys.create("ci", INSTANCE, "Reader"))
        .hasMessageContaining("already");
    assertThat(apiKeys.delete("ci")).isTrue();
    assertThat(apiKeys.delete("ci")).isFalse();
    assertThat(register.list()).isEmpty();
  }

  private Path directory() {
    return temporary.resolve("data");
  }

  private static Reason reason(Decision decision) {
    return switch (decision) {
      case Decision.Denied denied -> denied.reason();
      case Decision.Allowed allowed -> throw new AssertionError("allowed: " + allowed.caller());
    };
  }

  private static VerifiedToken token() {
    return token(BILLING);
  }

  private static VerifiedToken token(Subject subject) {
    return new VerifiedToken(
        subject,
        Optional.empty(),
        Optional.empty(),
        Instant.now().plusSeconds(60),
        Optional.empty(),
        Set.of(),
        Optional.empty(),
        Optional.empty());
  }

  private static VerifiedToken token(
      Optional<UUID> instance, Set<String> tokenRoles, Optional<UUID> apiKey) {
    return new VerifiedToken(
        BILLING,
        Optional.empty(),
        Optional.empty(),
        Instant.now().plusSeconds(60),
        instance,
        tokenRoles,
        apiKey,
        Optional.empty());
  }

  private static VerifiedToken apiKeyToken(ApiKeys.Created created) {
    return new VerifiedToken(
        created.record().subject(),
        Optional.empty(),
        Optional.empty(),
        Instant.now().plusSeconds(60),
        Optional.empty(),
        Set.of(),
        Optional.of(created.record().id()),
        Optional.empty());
  }
}
