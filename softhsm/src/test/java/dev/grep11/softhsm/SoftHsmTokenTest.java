package dev.grep11.softhsm;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;

class SoftHsmTokenTest {
  @RegisterExtension static final SoftHsmExtension SOFTHSM = new SoftHsmExtension();

  @TempDir private Path directory;

  @Test
  void isReadableByItsOwnerOnly() throws Exception {
    var token = SOFTHSM.token();

    assertThat(mode(token.directory())).isEqualTo("rwx------");
    assertThat(mode(token.tokens())).isEqualTo("rwx------");
    assertThat(mode(token.pinFile())).isEqualTo("rw-------");
    assertThat(mode(Path.of(token.environment().get("SOFTHSM2_CONF")))).isEqualTo("rw-------");
    assertThat(token.module()).isReadable();
    try (var objects = Files.list(token.tokens())) {
      assertThat(objects).hasSize(1);
    }
  }

  @Test
  void deletesATemporaryTokenWhenItIsClosed() {
    var token = SoftHsmToken.temporary();
    token.close();
    token.close();

    assertThat(token.directory()).doesNotExist();
  }

  @Test
  void keepsATokenThatWasMadeToStay() throws Exception {
    var made = directory.resolve("made");
    SoftHsmToken.create(made, "kept", "user-pin".toCharArray(), "so-pin-1".toCharArray()).close();

    var found = SoftHsmToken.at(made, "kept");
    assertThat(found.pinFile()).hasContent("user-pin");
    assertThatThrownBy(() ->
            SoftHsmToken.create(made, "kept", "user-pin".toCharArray(), "so-pin-1".toCharArray())
                .close())
        .isInstanceOf(SoftHsmUnavailableException.class)
        .hasMessageContaining("holds a token already");
    assertThat(found.pinFile()).hasContent("user-pin");
  }

  @Test
  void putsBackTheObjectThatAKilledLoginEmptied() throws Exception {
    var token = SOFTHSM.token();
    Path object;
    try (var objects = Files.walk(token.tokens())) {
      object = objects.filter(file -> file.endsWith("token.object")).findFirst().orElseThrow();
    }
    var before = Files.readAllBytes(object);
    assertThat(SoftHsmToken.mend(token.directory())).isFalse();

    Files.write(object, new byte[0]);

    assertThat(SoftHsmToken.mend(token.directory())).isTrue();
    assertThat(Files.readAllBytes(object)).isEqualTo(before);
    assertThat(mode(object)).isEqualTo("rw-------");
    assertThat(SoftHsmToken.mend(token.directory())).isFalse();
  }

  @Test
  void saysWhatSoftHsmRefused() {
    assertThatThrownBy(() ->
            SoftHsmToken.create(
                    directory.resolve("short"),
                    "label",
                    "1".toCharArray(),
                    "so-pin-1".toCharArray())
                .close())
        .isInstanceOf(SoftHsmUnavailableException.class)
        .hasMessageContaining("softhsm2-util failed");
    assertThat(directory.resolve("short")).isEmptyDirectory();
  }

  @Test
  void isProvisionedForPeopleByTheScript() throws Exception {
    var made = directory.resolve("by script");

    assertThat(run(made.toString(), "demo")).isZero();
    assertThat(SoftHsmToken.at(made, "demo").pinFile()).isNotEmptyFile();
    assertThat(mode(made.resolve("pin"))).isEqualTo("rw-------");
    assertThat(mode(made.resolve("tokens"))).isEqualTo("rwx------");
    assertThat(run(made.toString(), "demo")).as("a second time").isEqualTo(1);
    assertThat(run()).as("without arguments").isEqualTo(2);
    assertThat(run("--help")).isZero();
  }

  private static int run(String... arguments) throws Exception {
    var command = new java.util.ArrayList<String>();
    command.add("./provision.sh");
    command.addAll(java.util.List.of(arguments));
    var process = new ProcessBuilder(command).redirectErrorStream(true).start();
    var output = new String(process.getInputStream().readAllBytes(), UTF_8);
    assertThat(process.waitFor(30, TimeUnit.SECONDS)).as(output).isTrue();
    return process.exitValue();
  }

  private static String mode(Path file) throws Exception {
    return PosixFilePermissions.toString(Files.getPosixFilePermissions(file));
  }
}
