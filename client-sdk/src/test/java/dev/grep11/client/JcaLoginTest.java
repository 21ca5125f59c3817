package dev.grep11.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.grep11.jca.Grep11Provider;
import java.io.IOException;
import java.nio.file.Files;
import java.security.KeyStore;
import java.time.Duration;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import javax.crypto.KeyGenerator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Logins of the JCA provider at a gateway that takes its time. */
class JcaLoginTest extends AgainstFakeGateway {
  private static final String LOGIN = "GetMechanismList";
  private static final String PASSWORD = "k3yst0re";

  private final ExecutorService threads = Executors.newCachedThreadPool();
  private Grep11Provider provider;

  @BeforeEach
  void configure() throws IOException {
    var file =
        Files.writeString(
            directory.resolve("grep11client.yaml"),
            """
            tokens:
              0:
                grep11connection: { address: localhost, port: %s, tls: { enabled: true, cacert: "%s" } }
                users:
                  0: { name: officer }
                  1: { name: user, tokenspaceID: 7c0c7d1e-07c4-4a6b-8d3c-0e5f5f3f6a11, sessionauth: &store { enabled: true, tokenspaceIDPassword: %s } }
                  2: { name: guest, tokenspaceID: b1f3f2d6-5b0d-4f0a-9d54-2a6f3c8e7720, sessionauth: *store }
            """
                .formatted(
                    gateway.address().substring("localhost:".length()), authority.ca(), PASSWORD));
    provider = (Grep11Provider) new Grep11Provider().configure(file.toString());
  }

  @AfterEach
  void logOut() {
    gateway.letGo();
    provider.logout();
    threads.shutdownNow();
  }

  private KeyStore load() throws Exception {
    var keys = KeyStore.getInstance("GREP11", provider);
    keys.load(null, PASSWORD.toCharArray());
    return keys;
  }

  /** A load whose login the gateway has, and does not answer. */
  private Future<KeyStore> beginToLoad() throws Exception {
    Callable<KeyStore> load = this::load;
    var loading = threads.submit(load);
    gateway.awaitCall();
    return loading;
  }

  private void makeAKey() throws Exception {
    KeyGenerator.getInstance("AES", provider).generateKey();
    gateway.awaitCall();
  }

  @Test
  void whoMakesKeysDoesNotWaitForWhoLogsIn() throws Exception {
    load();
    gateway.awaitCall();
    gateway.hold(LOGIN);
    var loading = beginToLoad();

    makeAKey();
    assertThat(loading).isNotDone();

    gateway.letGo();
    assertThat(loading.get().size()).isZero();
  }

  @Test
  void whoLogsOutDoesNotWaitForWhoLogsIn() throws Exception {
    gateway.hold(LOGIN);
    var loading = beginToLoad();

    // Of a login that is not there yet nothing ends.
    provider.logout();
    assertThat(loading).isNotDone();

    gateway.letGo();
    loading.get();
    makeAKey();
  }

  @Test
  void aLoginOverAConnectionThatALogoutClosesFails() throws Exception {
    load();
    gateway.awaitCall();
    gateway.hold(LOGIN);
    var loading = beginToLoad();
    // It lets the login finish for a while.
    var out = CompletableFuture.runAsync(provider::logout, threads);
    await()
        .atMost(Duration.ofSeconds(30))
        .untilAsserted(
            () -> assertThatThrownBy(this::makeAKey).hasMessageContaining("nobody is logged in"));

    gateway.letGo();
    assertThatThrownBy(loading::get)
        .isInstanceOf(ExecutionException.class)
        .hasCauseInstanceOf(IOException.class);
    out.get();
    assertThatThrownBy(this::makeAKey).hasMessageContaining("nobody is logged in");
  }

  @Test
  void ofTwoWhoLogInAtOnceByOneKeyOneConnectionStays() throws Exception {
    gateway.hold(LOGIN);
    var one = beginToLoad();
    var other = beginToLoad();
    assertThat(gateway.connections()).isEqualTo(2);

    gateway.letGo();
    assertThat(one.get().size()).isZero();
    assertThat(other.get().size()).isZero();
    await().atMost(Duration.ofSeconds(30)).until(() -> gateway.connections() == 1);
    makeAKey();
    // Who comes later has the same one.
    load();
    assertThat(gateway.connections()).isEqualTo(1);
  }
}
