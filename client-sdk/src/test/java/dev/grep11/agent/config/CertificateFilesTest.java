package dev.grep11.agent.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CertificateFilesTest {
  private static final Duration PATIENCE = Duration.ofSeconds(20);

  @TempDir private Path directory;
  private Path certificate;
  private CertificateFiles files;

  @BeforeEach
  void write() throws IOException {
    certificate = Files.writeString(directory.resolve("client.pem"), "one");
    files = new CertificateFiles(List.of(certificate));
  }

  @Test
  void tellEverybodyOfAChangeUntilSomebodyTakesIt() throws IOException {
    Files.writeString(certificate, "another");

    await().atMost(PATIENCE).until(files::changed);
    // The event loop asks first, and who reloads asks again at once.
    assertThat(files.changed()).isTrue();
    assertThat(files.takeChange()).isTrue();
    assertThat(files.changed()).isFalse();
    assertThat(files.takeChange()).isFalse();
  }

  @Test
  void tellOfTheNextChangeToo() throws IOException {
    Files.writeString(certificate, "another");
    await().atMost(PATIENCE).until(files::changed);
    assertThat(files.takeChange()).isTrue();

    Files.delete(certificate);
    await().atMost(PATIENCE).until(files::changed);
  }

  @Test
  void haveNotChangedAtFirst() {
    await().during(Duration.ofMillis(1500)).atMost(PATIENCE).until(() -> !files.changed());
  }
}
