package dev.grep11.gateway.trace;

import java.net.InetAddress;
import java.net.URI;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Optional;

/**
 * Where spans go, and of which calls.
 *
 * @param endpoint of OTLP over HTTP; a plain one on this host only
 * @param caFile PEM, of whoever vouches for the endpoint; empty for the CAs of the JDK
 * @param samplePercent of the calls whose callers say nothing of it
 */
public record TracingSettings(URI endpoint, Optional<Path> caFile, int samplePercent) {
  /** Where collectors take spans (OpenTelemetry Protocol, OTLP/HTTP request). */
  private static final String STANDARD_PATH = "/v1/traces";

  public TracingSettings {
    if (endpoint.getScheme() == null
        || endpoint.getHost() == null
        || endpoint.getRawUserInfo() != null
        || endpoint.getRawQuery() != null
        || endpoint.getRawFragment() != null) {
      throw new IllegalArgumentException(
          "is not the URL of a collector; name scheme, host, and port and path where they need it,"
              + " such as https://collector.example:4318");
    }
    var scheme = endpoint.getScheme().toLowerCase(Locale.ROOT);
    if (!scheme.equals("https") && !(scheme.equals("http") && isThisHost(endpoint.getHost()))) {
      throw new IllegalArgumentException(
          "spans leave this host over https only, not to "
              + endpoint
              + "; use https, or a collector on this host that passes them on");
    }
    if (endpoint.getPath().isEmpty() || endpoint.getPath().equals("/")) {
      endpoint = endpoint.resolve(STANDARD_PATH);
    }
  }

  /** By what is written; no name is looked up. */
  private static boolean isThisHost(String host) {
    try {
      return host.equals("localhost") || InetAddress.ofLiteral(host).isLoopbackAddress();
    } catch (IllegalArgumentException e) {
      return false;
    }
  }
}
