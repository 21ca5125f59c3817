package dev.grep11.agent.store;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.grep11.agent.store.StoreException.Reason;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.URLDecoder;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.regex.Pattern;

/**
 * Where a database is, from {@code localpostgres.connectionstring}: {@code host=... dbname=...
 * user=... password=...} or {@code postgres://user:password@host/dbname}, as libpq and Go's driver
 * take them, or a JDBC URL.
 *
 * <p>Whatever may be a secret becomes a property: the driver and JDBC repeat a URL that they do not
 * understand.
 *
 * @param url for JDBC, place and database alone; the driver understands it
 */
record PostgresAddress(String url, Properties properties) {
  private static final String JDBC = "jdbc:postgresql:";
  private static final Pattern PAIR =
      Pattern.compile("\\s*([a-z_]+)\\s*=\\s*(?:'((?:[^'\\\\]|\\\\.)*)'|([^\\s']*))(?:\\s+|$)");

  private static final String HOST = "(?:\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9._-]*)(?::[0-9]{1,5})?";

  /** {@code //host:port,host:port/database}, or a database of this host. No user stands here. */
  private static final Pattern PLACE =
      Pattern.compile("//%1$s(?:,%1$s)*(?:/[^/?#@\\s]*)?|/?[^/?#@\\s]*".formatted(HOST));

  /** What JDBC calls by another name. */
  private static final Map<String, String> RENAMED =
      Map.of("connect_timeout", "connectTimeout", "application_name", "ApplicationName");

  /**
   * @throws StoreException {@link Reason#BROKEN} when it is none of these; it says nothing of what
   *     stands there
   */
  static PostgresAddress of(String connectionString) {
    var properties = new Properties();
    properties.setProperty("ApplicationName", "grep11-agent");
    properties.setProperty("connectTimeout", "10");
    properties.setProperty("socketTimeout", "30");
    if (connectionString.startsWith(JDBC)) {
      return ofJdbc(connectionString.substring(JDBC.length()), properties);
    }
    return connectionString.startsWith("postgres://")
            || connectionString.startsWith("postgresql://")
        ? ofUrl(connectionString, properties)
        : ofPairs(connectionString, properties);
  }

  private static PostgresAddress ofJdbc(String text, Properties properties) {
    int mark = text.indexOf('?');
    var place = mark < 0 ? text : text.substring(0, mark);
    takeQuery(mark < 0 ? "" : text.substring(mark + 1), properties);
    return understood(place, properties);
  }

  private static void takeQuery(String query, Properties properties) {
    for (var pair : query.split("&", -1)) {
      if (pair.isEmpty()) {
        continue;
      }
      int equals = pair.indexOf('=');
      try {
        properties.setProperty(
            equals < 0 ? pair : pair.substring(0, equals),
            equals < 0 ? "" : URLDecoder.decode(pair.substring(equals + 1), UTF_8));
      } catch (IllegalArgumentException e) {
        // It says what could not be decoded, which may be a password.
        throw unreadable();
      }
    }
  }

  /** The driver is asked here, where a refusal is told without its words. */
  private static PostgresAddress understood(String place, Properties properties) {
    if (!PLACE.matcher(place).matches()) {
      throw unreadable();
    }
    try {
      DriverManager.getDriver(JDBC + place);
    } catch (SQLException e) {
      throw unreadable();
    }
    return new PostgresAddress(JDBC + place, properties);
  }

  private static PostgresAddress ofUrl(String text, Properties properties) {
    try {
      var uri = new URI(text);
      var user = uri.getUserInfo();
      if (uri.getHost() == null) {
        throw unreadable();
      }
      if (user != null) {
        int colon = user.indexOf(':');
        properties.setProperty("user", colon < 0 ? user : user.substring(0, colon));
        if (colon >= 0) {
          properties.setProperty("password", user.substring(colon + 1));
        }
      }
      takeQuery(uri.getRawQuery() == null ? "" : uri.getRawQuery(), properties);
      return understood(
          "//%s%s%s"
              .formatted(
                  uri.getHost(),
                  uri.getPort() < 0 ? "" : ":" + uri.getPort(),
                  uri.getRawPath().isEmpty() ? "/" : uri.getRawPath()),
          properties);
    } catch (URISyntaxException e) {
      throw unreadable();
    }
  }

  private static PostgresAddress ofPairs(String text, Properties properties) {
    var pairs = new TreeMap<String, String>();
    var matcher = PAIR.matcher(text);
    int end = 0;
    while (end < text.length() && matcher.find(end) && matcher.start() == end) {
      var quoted = matcher.group(2);
      pairs.put(
          matcher.group(1), quoted == null ? matcher.group(3) : quoted.replaceAll("\\\\(.)", "$1"));
      end = matcher.end();
    }
    if (end < text.length() || pairs.isEmpty()) {
      throw unreadable();
    }
    var host = pairs.getOrDefault("host", "localhost");
    var place =
        "//%s:%s/%s"
            .formatted(
                host.contains(":") ? "[" + host + "]" : host,
                pairs.getOrDefault("port", "5432"),
                pairs.getOrDefault("dbname", pairs.getOrDefault("user", "")));
    pairs.keySet().removeAll(java.util.Set.of("host", "port", "dbname"));
    pairs.forEach((name, value) -> properties.setProperty(RENAMED.getOrDefault(name, name), value));
    return understood(place, properties);
  }

  private static StoreException unreadable() {
    return new StoreException(
        Reason.BROKEN,
        "storage.localpostgres.connectionstring is neither pairs such as host=localhost dbname=keys"
            + " user=agent nor a postgres:// or jdbc:postgresql: URL that the"
            + " driver understands; its ports are numbers, and %, @, / and ? within values of a URL"
            + " stand as %25, %40, %2F and %3F");
  }

  /** Properties may hold a password. */
  @Override
  public String toString() {
    return "PostgresAddress";
  }
}
