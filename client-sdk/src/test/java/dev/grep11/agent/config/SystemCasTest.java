package dev.grep11.agent.config;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SystemCasTest {
  @TempDir Path directory;

  @Test
  void takesTheFirstBundleThatIsThere() throws Exception {
    var missing = directory.resolve("missing.pem");
    var second = Files.writeString(directory.resolve("second.pem"), "");
    var third = Files.writeString(directory.resolve("third.pem"), "");

    assertThat(SystemCas.file(Map.of(), null, List.of(missing, second, third))).contains(second);
    assertThat(SystemCas.file(Map.of(), null, List.of(missing))).isEmpty();
  }

  @Test
  void whatTheEnvironmentNamesComesFirstEvenIfItIsNotThere() throws Exception {
    var missing = directory.resolve("missing.pem");
    var usual = Files.writeString(directory.resolve("usual.pem"), "");

    assertThat(SystemCas.file(Map.of("SSL_CERT_FILE", missing.toString()), null, List.of(usual)))
        .contains(missing);
    assertThat(SystemCas.file(Map.of("SSL_CERT_FILE", ""), null, List.of(usual))).contains(usual);
  }

  @Test
  void leavesATrustStoreThatJavaWasToldOf() throws Exception {
    var usual = Files.writeString(directory.resolve("usual.pem"), "");

    assertThat(SystemCas.file(Map.of(), "store", List.of(usual))).isEmpty();
    assertThat(SystemCas.file(Map.of("SSL_CERT_FILE", usual.toString()), "store", List.of(usual)))
        .isEmpty();
  }
}
