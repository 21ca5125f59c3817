package dev.grep11.gateway.command;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.config.IoCause;
import dev.grep11.gateway.token.StartException;
import dev.grep11.gateway.trust.TrustedCas;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.SSLContext;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/**
 * Asks the health port of the gateway on this host, as supervisors that can start a program but
 * speak no HTTPS do: the image's health check has neither a shell nor curl.
 */
@Command(
    name = "health",
    mixinStandardHelpOptions = true,
    footer = {
      "",
      "Example: grep11 health --config gateway.yaml --probe ready",
      "Exit codes: 0 it is well, 1 it is not, 2 wrong use."
    },
    description = "Asks the gateway of a configuration, on this host, how it is.")
final class HealthCommand implements Callable<Integer> {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final int MOST_BYTES = 64 * 1024;

  @Option(
      names = "--config",
      required = true,
      paramLabel = "FILE",
      description = "the gateway's configuration")
  private Path config = Path.of("");

  @Option(
      names = "--probe",
      paramLabel = "live|ready|started",
      defaultValue = "ready",
      description =
          "whether the process answers, whether calls are served, or whether the start is over;"
              + " default: ${DEFAULT-VALUE}")
  private Probe probe = Probe.READY;

  @Option(
      names = "--ca",
      paramLabel = "FILE",
      description =
          "certificates to trust; default: those in tls.certificate, so that another identity than"
              + " the configured one is not well either")
  private @Nullable Path ca;

  @Option(
      names = "--timeout",
      paramLabel = "SECONDS",
      defaultValue = "5",
      description = "for connection and answer each; default: ${DEFAULT-VALUE}")
  private int timeout = 5;

  @Mixin private OutputOption output = new OutputOption();

  @Spec private @Nullable CommandSpec spec;

  enum Probe {
    LIVE("/livez"),
    READY("/readyz"),
    STARTED("/startupz");

    private final String path;

    Probe(String path) {
      this.path = path;
    }
  }

  /**
   * What the port answered.
   *
   * @param reasons why not, by what is missing; empty when all is well
   */
  private record Answer(int status, Map<String, String> reasons) {
    boolean isWell() {
      return status == HttpsURLConnection.HTTP_OK;
    }
  }

  @Override
  public Integer call() {
    if (timeout < 1 || timeout > 300) {
      throw new IllegalArgumentException("--timeout %d: it is 1 to 300 seconds".formatted(timeout));
    }
    var settings = GatewayConfig.read(config);
    if (settings.listen().portBase() == 0) {
      throw new IllegalArgumentException(
          "%s: listen.portBase is 0, which takes any free ports: nobody knows the health port; set the first of four ports there"
              .formatted(config));
    }
    var address = loopbackOf(settings.listen().health());
    var answer = ask(address, ca == null ? settings.certificateChain() : ca);
    var fields = new LinkedHashMap<String, Object>();
    fields.put("probe", probe.name().toLowerCase(Locale.ROOT));
    fields.put("status", answer.isWell() ? "ok" : "not ready");
    if (!answer.isWell()) {
      fields.put("reasons", new OutputOption.Value(answer.reasons(), text(answer)));
    }
    output.one(Commands.out(spec), fields);
    return answer.isWell() ? 0 : 1;
  }

  private static String text(Answer answer) {
    return answer.reasons().isEmpty()
        ? "it answered with HTTP status " + answer.status()
        : answer.reasons().entrySet().stream()
            .map(reason -> reason.getKey() + ": " + reason.getValue())
            .collect(Collectors.joining("; "));
  }

  /** A gateway that listens on all addresses is asked on the one that never leaves the host. */
  private static InetSocketAddress loopbackOf(InetSocketAddress listening) {
    return listening.getAddress().isAnyLocalAddress()
        ? new InetSocketAddress(InetAddress.getLoopbackAddress(), listening.getPort())
        : listening;
  }

  private Answer ask(InetSocketAddress address, Path trusted) {
    var where =
        URI.create(
            "https://%s:%d%s"
                .formatted(
                    address.getAddress().getHostAddress().contains(":")
                        ? "[" + address.getAddress().getHostAddress() + "]"
                        : address.getAddress().getHostAddress(),
                    address.getPort(),
                    probe.path));
    var millis = Math.toIntExact(Duration.ofSeconds(timeout).toMillis());
    try {
      var connection = (HttpsURLConnection) where.toURL().openConnection();
      connection.setSSLSocketFactory(trusting(trusted).getSocketFactory());
      // The certificate bears the names that clients use. Which process answers is known by the
      // address, which is of this host.
      connection.setHostnameVerifier((_, _) -> true);
      connection.setConnectTimeout(millis);
      connection.setReadTimeout(millis);
      connection.setInstanceFollowRedirects(false);
      int status = connection.getResponseCode();
      var stream = Optional.ofNullable(connection.getErrorStream());
      try (var body = stream.isPresent() ? stream.get() : connection.getInputStream()) {
        return new Answer(status, reasons(body));
      } finally {
        connection.disconnect();
      }
    } catch (IOException e) {
      throw new StartException(
          ("no answer from %s: %s; is the gateway of this configuration running, with this listen.portBase? See"
                  + " its log, or docs/operations-reference.md, Health")
              .formatted(where, IoCause.of(e)),
          e);
    }
  }

  private static Map<String, String> reasons(InputStream body) throws IOException {
    var found = new TreeMap<String, String>();
    try {
      JsonNode json =
          JSON.readTree(new String(body.readNBytes(MOST_BYTES), StandardCharsets.UTF_8));
      json.path("reasons")
          .properties()
          .forEach(reason -> found.put(reason.getKey(), reason.getValue().asText()));
    } catch (JsonProcessingException e) {
      // Something else listens there; the status tells.
    }
    return found;
  }

  private static SSLContext trusting(Path file) throws IOException {
    try {
      return TrustedCas.of(file).context();
    } catch (GeneralSecurityException e) {
      throw new StartException(file + " holds no certificates that can be trusted", e);
    }
  }
}
