package dev.grep11.gateway;

import dev.grep11.gateway.certmgr.ClientCas;
import dev.grep11.gateway.trust.RevocationFiles;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Looks at the files of revoked certificates, and has every connection judged again when they
 * change. What is wrong with them is in the log, once; meanwhile they refuse whom they are about.
 */
final class RevocationWatch implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(RevocationWatch.class);
  private static final Duration LOOK = Duration.ofSeconds(5);

  private final RevocationFiles files;
  private final ClientCas clientCas;
  private final ScheduledExecutorService watcher =
      Executors.newSingleThreadScheduledExecutor(
          task -> Thread.ofPlatform().name("revocations").daemon().unstarted(task));
  private List<String> reported = List.of();

  private RevocationWatch(RevocationFiles files, ClientCas clientCas) {
    this.files = files;
    this.clientCas = clientCas;
  }

  static RevocationWatch start(RevocationFiles files, ClientCas clientCas) {
    var watch = new RevocationWatch(files, clientCas);
    watch.report();
    var _ =
        watch.watcher.scheduleWithFixedDelay(
            watch::look, LOOK.toMillis(), LOOK.toMillis(), TimeUnit.MILLISECONDS);
    return watch;
  }

  private void look() {
    try {
      if (files.refresh()) {
        clientCas.renew();
        LOG.info("revoked client certificates were read again");
      }
      report();
    } catch (RuntimeException e) {
      LOG.error("revoked client certificates cannot be looked at", e);
    }
  }

  private void report() {
    var problems = files.current().problems(Instant.now());
    if (!problems.equals(reported)) {
      reported = problems;
      problems.forEach(problem -> LOG.error("clients are refused: {}", problem));
    }
  }

  @Override
  public void close() {
    watcher.shutdownNow();
  }
}
