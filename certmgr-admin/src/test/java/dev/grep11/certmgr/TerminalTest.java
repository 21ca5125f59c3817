package dev.grep11.certmgr;

import static java.util.stream.Collectors.joining;
import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.InstantSource;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The program at a terminal: a process of its own under {@code script}, which gives it one and
 * shows what a person would see.
 */
class TerminalTest {
  private static final String CRN =
      "crn:v1:grep11:public:hs-crypto:here:a/bank:0b5f8ab2-29b5-4b6f-8c1d-0f6f3f2f9b11::";

  @TempDir private Path directory;

  private SoftwareManager manager;
  private Map<String, String> environment;
  private Path key;

  /** What a person sees, and how the program ends. */
  private record Seen(int status, String screen) {}

  @BeforeEach
  void enrolWithAPassphrase() throws Exception {
    assumeTrue(
        hasScript(), "script is not installed; on Debian or Ubuntu: apt-get install bsdutils");
    var server = TestPki.leaf(directory, "server");
    manager = new SoftwareManager(server);
    environment =
        Map.of(
            "HOME", directory.toString(),
            "CERTMGR_SERVER", manager.address(),
            "GREP11_CA", server.certificate().toString(),
            "GREP11_IAMENDPOINT", manager.tokenEndpoint(),
            "CERTMGR_APIKEY", "secret-api-key");
    var passphrase = Files.writeString(directory.resolve("passphrase"), "correct horse\n");
    var surroundings =
        new Surroundings(
            "certmgr",
            environment,
            InputStream.nullInputStream(),
            new PrintWriter(new StringWriter()),
            new PrintWriter(System.err, true, StandardCharsets.UTF_8),
            null,
            InstantSource.system());
    assertThat(
            Main.run(
                surroundings,
                "adminkey",
                "set",
                "--passphrase-file",
                passphrase.toString(),
                "--crn",
                CRN))
        .isZero();
    try (var files = Files.list(directory.resolve(".hpcs-cert-mgr-cfg"))) {
      key = files.filter(file -> file.toString().endsWith(".priv")).findFirst().orElseThrow();
    }
  }

  @AfterEach
  void stop() {
    if (manager != null) {
      manager.close();
    }
  }

  private static boolean hasScript() throws InterruptedException {
    try {
      // Other systems have another one by this name.
      var asked = new ProcessBuilder("script", "--version").start();
      var version = new String(asked.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
      return asked.waitFor() == 0 && version.contains("util-linux");
    } catch (IOException e) {
      return false;
    }
  }

  /** Types this when the passphrase is asked for, and not before. */
  private Seen deleteKey(String typed) throws Exception {
    var command =
        Stream.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1",
                "-cp",
                System.getProperty("java.class.path"),
                Main.class.getName(),
                "adminkey",
                "delete",
                "--crn",
                CRN,
                "--admin-priv-key",
                key.toString())
            .map(Shown::word)
            .collect(joining(" "));
    var builder =
        new ProcessBuilder("script", "-qefc", command, "/dev/null").redirectErrorStream(true);
    builder.environment().putAll(environment);
    var process = builder.start();
    try {
      var screen = new StringBuilder();
      var prompt = "Passphrase of " + key + ": ";
      var shown = process.inputReader(StandardCharsets.UTF_8);
      for (int next = shown.read(); next >= 0; next = shown.read()) {
        screen.append((char) next);
        if (screen.toString().endsWith(prompt)) {
          process.getOutputStream().write((typed + "\n").getBytes(StandardCharsets.UTF_8));
          process.getOutputStream().flush();
        }
      }
      assertThat(process.waitFor(60, TimeUnit.SECONDS)).isTrue();
      assertThat(screen.toString()).containsOnlyOnce(prompt);
      return new Seen(process.exitValue(), screen.toString());
    } finally {
      process.destroyForcibly();
    }
  }

  @Test
  void aPassphraseIsAskedForAndNotShown() throws Exception {
    var seen = deleteKey("correct horse");

    assertThat(seen.screen()).contains("command completed successfully.").doesNotContain("horse");
    assertThat(seen.status()).isZero();
  }

  @Test
  void aWrongPassphraseIsRefusedAndNotShown() throws Exception {
    var seen = deleteKey("battery staple");

    assertThat(seen.screen()).contains("certmgr: ", "wrong passphrase").doesNotContain("staple");
    assertThat(seen.status()).isEqualTo(1);
  }
}
