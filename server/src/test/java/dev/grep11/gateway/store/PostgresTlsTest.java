package dev.grep11.gateway.store;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.grep11.gateway.trust.TestCertificates;
import dev.grep11.gateway.trust.TestCertificates.Identity;
import java.nio.file.Path;
import java.sql.SQLException;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;

/** The connection to PostgreSQL with {@code sslmode=verify-full}, against real servers. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class PostgresTlsTest {
  private static final Identity CA = TestCertificates.ca("CN=Database CA").selfSigned();
  private static final Identity OTHER_CA = TestCertificates.ca("CN=Database CA").selfSigned();

  private Path directory = Path.of("");
  private PostgresServer server;

  @BeforeAll
  void start(@TempDir Path fresh) throws Exception {
    directory = fresh;
    server =
        PostgresServer.startWithTls(
            TestCertificates.bare("CN=localhost").dnsName("localhost").signedBy(CA));
    CA.write(directory, "ca");
    OTHER_CA.write(directory, "other-ca");
  }

  @AfterAll
  void stop() {
    if (server != null) {
      server.close();
    }
  }

  private StoreLocation.Postgresql location(
      StoreLocation.Postgresql database, String host, String parameters) {
    return new StoreLocation.Postgresql(
        database.url().replace("//127.0.0.1:", "//" + host + ":")
            + parameters.replace("DIRECTORY", directory.toString()),
        database.user(),
        database.passwordFile());
  }

  private static Store create(StoreLocation location) {
    return Store.create(location, new SoftwareEnvelope(), new SoftwareAnchor());
  }

  @Test
  void aServerWithACertificateOfTheConfiguredCaForItsNameIsUsedOverTls() throws Exception {
    var database = server.createDatabase();
    var verified =
        location(database, "localhost", "?sslmode=verify-full&sslrootcert=DIRECTORY/ca.pem");

    try (var store = create(verified)) {
      assertThat(store.instances()).isEmpty();
      assertThat(
              counted(
                  "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
                      + " WHERE application_name = 'grep11-gateway' AND ssl"))
          .isPositive();
      assertThat(
              counted(
                  "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
                      + " WHERE application_name = 'grep11-gateway' AND NOT ssl"))
          .isZero();
    }
  }

  private long counted(String sql) throws SQLException {
    try (var connection = server.connect("postgres");
        var statement = connection.createStatement();
        var row = statement.executeQuery(sql)) {
      assertThat(row.next()).isTrue();
      return row.getLong(1);
    }
  }

  /** What is wrong with a connection, and what the refusal says. */
  record Wrong(String name, String host, String parameters, String says) {
    @Override
    public String toString() {
      return name;
    }
  }

  static final List<Wrong> WRONG =
      List.of(
          new Wrong(
              "a CA of the same name that did not sign",
              "localhost",
              "?sslmode=verify-full&sslrootcert=DIRECTORY/other-ca.pem",
              "path"),
          new Wrong(
              "a name that the certificate has not",
              "127.0.0.1",
              "?sslmode=verify-full&sslrootcert=DIRECTORY/ca.pem",
              "hostname"),
          new Wrong(
              "a CA file that is not there",
              "localhost",
              "?sslmode=verify-full&sslrootcert=DIRECTORY/absent.pem",
              "absent.pem"),
          new Wrong(
              "the CAs of the system",
              "localhost",
              "?sslmode=verify-full&sslrootcert=/etc/ssl/certs/ca-certificates.crt",
              "path"),
          new Wrong("no TLS", "127.0.0.1", "?sslmode=disable", "no encryption"));

  @ParameterizedTest
  @FieldSource("WRONG")
  void aConnectionThatIsNotWhatWasConfiguredIsRefused(Wrong wrong) throws Exception {
    var database = server.createDatabase();

    assertRefused(location(database, wrong.host(), wrong.parameters()), wrong.says());
    server.execute(PostgresServer.nameOf(database), "CREATE TABLE data_key ()");
  }

  @Test
  void aServerWithoutTlsIsNotSpokenToInClear() throws Exception {
    var database = PostgresServer.shared().createDatabase();

    assertRefused(
        location(database, "localhost", "?sslmode=verify-full&sslrootcert=DIRECTORY/ca.pem"),
        "does not support SSL");
  }

  /** Whether to make a store there or to open one. */
  private static void assertRefused(StoreLocation location, String says) {
    assertThatThrownBy(() -> create(location).close())
        .isInstanceOf(StoreException.class)
        .satisfies(refusal -> assertThat(everySaid(refusal)).contains(says));
    assertThatThrownBy(
            () -> Store.open(location, new SoftwareEnvelope(), new SoftwareAnchor()).close())
        .isInstanceOf(StoreException.class)
        .satisfies(refusal -> assertThat(everySaid(refusal)).contains(says));
  }

  private static String everySaid(Throwable refusal) {
    var said = new StringBuilder();
    for (Throwable each = refusal; each != null; each = each.getCause()) {
      said.append(each.getMessage()).append('\n');
    }
    return said.toString();
  }
}
