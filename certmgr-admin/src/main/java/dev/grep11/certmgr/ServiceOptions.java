package dev.grep11.certmgr;

import dev.grep11.client.GatewayConnection;
import dev.grep11.client.Grep11Client;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** Which certificate manager, which instance, and who asks. */
final class ServiceOptions {
  private static final Pattern ADDRESS =
      Pattern.compile("([^:/,\\s]+|\\[[0-9a-fA-F:.]+\\]):(\\d{1,5})");

  @Option(
      names = "--crn",
      required = true,
      paramLabel = "HPCS_CRN",
      converter = Crn.Converter.class,
      description = "CRN of the instance, " + Crn.FORM)
  private @Nullable Crn crn;

  @Option(
      names = "--private",
      description = "the address in the private network: that of CERTMGR_PRIVATE_SERVER")
  private boolean privateNetwork;

  @Option(
      names = "--server",
      paramLabel = "HOST:PORT",
      description = "the certificate manager; else CERTMGR_SERVER")
  private @Nullable String server;

  @Option(
      names = "--ca",
      paramLabel = "FILE",
      description =
          "PEM of the CAs that vouch for the gateway; else GREP11_CA, else those of the system")
  private @Nullable Path ca;

  @Option(
      names = "--iam-endpoint",
      paramLabel = "URL",
      description = "the token service; else GREP11_IAMENDPOINT")
  private @Nullable String iamEndpoint;

  @Option(
      names = "--apikey-file",
      paramLabel = "FILE",
      description = "file with the API key; else the key is CERTMGR_APIKEY")
  private @Nullable String apiKeyFile;

  @Option(
      names = "--output",
      paramLabel = "text|json",
      defaultValue = "text",
      description = "for people or for programs; default: ${DEFAULT-VALUE}")
  private Printout.Form form = Printout.Form.TEXT;

  @Spec(Spec.Target.MIXEE)
  private @Nullable CommandSpec command;

  Crn crn() {
    return Objects.requireNonNull(crn, "required");
  }

  Printout printout(Surroundings surroundings) {
    return new Printout(surroundings.out(), surroundings.err(), form);
  }

  /** Checks all that can be checked here; nothing is sent before the first call. */
  GatewayConnection connection(Surroundings surroundings) {
    var address = address(surroundings);
    var endpoint = endpoint(surroundings);
    var builder = Grep11Client.builder(address);
    if (apiKeyFile != null) {
      var file = Path.of(apiKeyFile);
      if (!Files.isReadable(file) || Files.isDirectory(file)) {
        throw new CommandFailure("API key file " + file + ": no file that this user may read");
      }
      builder.apiKey(file, endpoint);
    } else {
      var key = surroundings.variable("CERTMGR_APIKEY");
      if (key == null) {
        throw new CommandFailure(
            "not logged in: set CERTMGR_APIKEY or give --apikey-file; the API key needs the role"
                + " Certificate Manager");
      }
      builder.apiKey(key.toCharArray(), endpoint);
    }
    var trusted = ca != null ? ca.toString() : surroundings.variable("GREP11_CA");
    if (trusted != null) {
      builder.trustedCa(Path.of(trusted));
    }
    return builder.connect();
  }

  private String address(Surroundings surroundings) {
    String address;
    if (privateNetwork) {
      if (server != null) {
        throw wrongUse(
            "--private and --server: one of them; --private takes CERTMGR_PRIVATE_SERVER");
      }
      address = surroundings.variable("CERTMGR_PRIVATE_SERVER");
      if (address == null) {
        throw wrongUse("--private: no private address is configured; set CERTMGR_PRIVATE_SERVER");
      }
    } else {
      address = server != null ? server : surroundings.variable("CERTMGR_SERVER");
      if (address == null) {
        throw wrongUse("no server: give --server HOST:PORT or set CERTMGR_SERVER");
      }
    }
    if (!ADDRESS.matcher(address).matches()) {
      throw wrongUse("the server is given as HOST:PORT, not \"" + address + "\"");
    }
    return address;
  }

  private URI endpoint(Surroundings surroundings) {
    var endpoint = iamEndpoint != null ? iamEndpoint : surroundings.variable("GREP11_IAMENDPOINT");
    if (endpoint == null) {
      throw wrongUse("no token service: give --iam-endpoint URL or set GREP11_IAMENDPOINT");
    }
    try {
      var uri = new URI(endpoint);
      if (!"https".equals(uri.getScheme()) || uri.getHost() == null) {
        throw wrongUse("the token service is an https URL, not \"" + endpoint + "\"");
      }
      return uri;
    } catch (URISyntaxException e) {
      throw wrongUse("the token service is an https URL, not \"" + endpoint + "\"");
    }
  }

  private ParameterException wrongUse(String message) {
    return new ParameterException(
        Objects.requireNonNull(command, "picocli sets it").commandLine(), message);
  }
}
