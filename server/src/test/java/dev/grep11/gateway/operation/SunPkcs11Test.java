package dev.grep11.gateway.operation;

import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.softhsm.SoftHsmExtension;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** What the token itself answers, asked through the JDK, is what the operations answer. */
class SunPkcs11Test {
  @RegisterExtension static final SoftHsmExtension HSM = new SoftHsmExtension();

  @Test
  void answersAsSunPkcs11DoesOnTheSameToken() throws Exception {
    var token = HSM.token();
    var builder =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "-cp",
                System.getProperty("java.class.path"),
                SunPkcs11Reference.class.getName(),
                token.directory().toString(),
                token.label())
            .redirectErrorStream(true);
    builder.environment().putAll(token.environment());
    var process = builder.start();
    process.getOutputStream().close();
    var output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(process.waitFor(60, TimeUnit.SECONDS)).isTrue();
    assertThat(process.exitValue()).as(output).isZero();
    assertThat(output.lines().filter(line -> line.startsWith("row ")))
        .as(output)
        .hasSize(13)
        .allMatch(line -> line.endsWith(": same"));
  }
}
