package dev.grep11.gateway.command;

import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.hsm.Session;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.gateway.store.SealingKeyGeneration;
import dev.grep11.gateway.token.HsmCalls;
import dev.grep11.gateway.trust.TestCertificates;
import dev.grep11.gateway.trust.TestCertificates.Identity;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.function.Consumer;
import java.util.function.Function;

/** A demo gateway in a directory of its own, for something to be broken in it. */
public abstract class GatewayCopy {
  public final Path directory;

  protected GatewayCopy(Path directory) {
    this.directory = directory;
  }

  public abstract GatewayConfig config();

  /** Of its configuration, by its JSON pointer. */
  public abstract void set(String pointer, Object value) throws IOException;

  public Path file(String name) {
    return directory.resolve(name);
  }

  public void write(String name, String content) throws IOException {
    Files.writeString(file(name), content);
  }

  public void edit(String name, Function<String, String> change) throws IOException {
    var before = Files.readString(file(name));
    var after = change.apply(before);
    assertThat(after).isNotEqualTo(before);
    write(name, after);
  }

  public void mode(String name, String permissions) throws IOException {
    Files.setPosixFilePermissions(file(name), PosixFilePermissions.fromString(permissions));
  }

  /** A server certificate in the place of the demo's. */
  public void show(Identity server, Identity... behind) throws Exception {
    server.write(directory, "shown");
    mode("shown.key", "rw-------");
    for (var each : behind) {
      Files.writeString(
          file("shown.pem"),
          TestCertificates.pem("CERTIFICATE", each.der()),
          StandardOpenOption.APPEND);
    }
    set("/tls/certificate", "shown.pem");
    set("/tls/key", "shown.key");
  }

  public void inToken(Consumer<Session> work) {
    try (var hsm = Host.openToken(config())) {
      new HsmCalls(hsm)
          .call(session -> {
            work.accept(session);
            return true;
          });
    }
  }

  public static void destroy(Session session, byte[] id) {
    var found = session.findObjects(Template.builder().put(Cka.CKA_ID, id).build());
    assertThat(found).isNotEmpty();
    found.forEach(session::destroyObject);
  }

  /** A second token with the label of the first. */
  public void addToken() throws Exception {
    var made =
        new ProcessBuilder(
            "softhsm2-util",
            "--init-token",
            "--free",
            "--label",
            "grep11-demo",
            "--pin",
            "12345678",
            "--so-pin",
            "12345678",
            "--module",
            config().hsm().module().toString());
    made.environment().putAll(config().hsm().environment());
    made.redirectErrorStream(true);
    made.redirectOutput(ProcessBuilder.Redirect.DISCARD);
    assertThat(made.start().waitFor()).isZero();
  }

  public SealingKeyGeneration masterKey() {
    try (var host = Host.open(config())) {
      return host.store().instances().getFirst().generations().getFirst();
    }
  }

  public void sql(String statement) throws SQLException {
    try (var connection = DriverManager.getConnection("jdbc:sqlite:" + file("store/store.db"));
        var made = connection.createStatement()) {
      made.execute(statement);
    }
  }
}
