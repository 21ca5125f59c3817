package dev.grep11.gateway;

import static dev.grep11.gateway.AgentApplication.USER;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.grep11.agent.config.ClientConfigFile;
import dev.grep11.client.Cka;
import dev.grep11.client.Ckm;
import dev.grep11.client.Cko;
import dev.grep11.client.Grep11Client;
import dev.grep11.client.Mechanisms;
import dev.grep11.client.Template;
import dev.grep11.client.Templates;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What an application waits for when an instance is full. */
@Tag("long")
class AgentFiguresTest {
  private static final int OBJECTS = 20_000;
  private static final int THREADS = 8;
  private static final int MEASURED = 200;

  @Test
  void findsOneOfTwentyThousandObjectsByItsLabelInLessThanTenSignatures(@TempDir Path directory)
      throws Exception {
    try (var running = RunningGateway.start(directory)) {
      var configuration =
          running.demo.writeClientConfiguration(running.config, running.gateway).orElseThrow();
      try (var client =
              Grep11Client.builder("localhost:" + running.gateway.cryptoPort())
                  .trustedCa(running.demo.ca())
                  .token(() -> running.token(RunningGateway.MANAGER))
                  .build();
          var user = new AgentApplication(configuration, Duration.ofMinutes(1))) {
        await()
            .atMost(Duration.ofSeconds(30))
            .ignoreExceptions()
            .until(() -> client.keystores().list() != null);
        user.loggedIn(USER, running.demoApiKey().strip());
        long signer = user.pair("signer").get(1);
        fill(client, configuration);

        assertThat(user.find(Cko.CKO_SECRET_KEY, "object 7")).hasSize(1);
        var searches = new ArrayList<Long>();
        var signatures = new ArrayList<Long>();
        for (int i = 0; i < MEASURED; i++) {
          long begin = System.nanoTime();
          user.sign(signer);
          long signed = System.nanoTime();
          assertThat(user.find(Cko.CKO_SECRET_KEY, "object " + (i * 97 + 1))).hasSize(1);
          searches.add(System.nanoTime() - signed);
          signatures.add(signed - begin);
        }

        long search = median(searches);
        long signature = median(signatures);
        System.out.printf(
            "objects=%d find_us=%d sign_us=%d ratio=%.1f%n",
            OBJECTS, search / 1000, signature / 1000, (double) search / signature);
        assertThat(search).isLessThan(10 * signature);
      }
    }
  }

  /** With the key's pair as many as an instance may have. */
  private static void fill(Grep11Client client, Path configuration) throws Exception {
    var token = Objects.requireNonNull(ClientConfigFile.read(configuration).tokens().get(0L));
    var keystore = client.keystores().open(token.normal().keystore().orElseThrow());
    var key = client.generateKey(Mechanisms.of(Ckm.CKM_AES_KEY_GEN), Templates.aes(256));
    var pool = Executors.newFixedThreadPool(THREADS);
    try {
      var stores = new ArrayList<Callable<Object>>();
      for (int i = 0; i < OBJECTS - 2; i++) {
        var attributes =
            Template.empty()
                .with(Cka.CKA_CLASS, Cko.CKO_SECRET_KEY)
                .with(Cka.CKA_LABEL, "object " + i);
        stores.add(() -> keystore.store(attributes, key));
      }
      for (var stored : pool.invokeAll(stores)) {
        stored.get();
      }
    } finally {
      pool.shutdownNow();
    }
  }

  private static long median(List<Long> values) {
    Collections.sort(values);
    return values.get(values.size() / 2);
  }
}
