package dev.grep11.demo;

import dev.grep11.client.Grep11Client;
import dev.grep11.client.certmgr.CertificateManagerClient;
import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/**
 * Where the gateway is, and who calls; from the environment.
 *
 * @param administration null where the environment names no certificate manager
 */
record Setting(
    String address,
    String apiKey,
    URI iamEndpoint,
    Path ca,
    @Nullable UUID instance,
    @Nullable Administration administration) {

  /** The certificate manager, and an API key with its role. */
  record Administration(String address, String apiKey, UUID instance) {
    @Override
    public String toString() {
      return "Administration[" + address + "]";
    }
  }

  static Setting of(Map<String, String> environment) {
    List<String> missing =
        List.of("GREP11_ADDRESS", "GREP11_APIKEY", "GREP11_IAMENDPOINT", "GREP11_CA").stream()
            .filter(name -> environment.getOrDefault(name, "").isEmpty())
            .toList();
    if (!missing.isEmpty()) {
      throw new IllegalArgumentException(
          "not set: " + String.join(", ", missing) + " (source the env file of ./grep11 up)");
    }
    String instance = environment.getOrDefault("GREP11_INSTANCE", "");
    return new Setting(
        environment.getOrDefault("GREP11_ADDRESS", ""),
        environment.getOrDefault("GREP11_APIKEY", ""),
        URI.create(environment.getOrDefault("GREP11_IAMENDPOINT", "")),
        Path.of(environment.getOrDefault("GREP11_CA", "")),
        instance.isEmpty() ? null : UUID.fromString(instance),
        administration(environment));
  }

  private static @Nullable Administration administration(Map<String, String> environment) {
    String address = environment.getOrDefault("CERTMGR_SERVER", "");
    String apiKey = environment.getOrDefault("CERTMGR_APIKEY", "");
    String crn = environment.getOrDefault("HPCS_CRN", "");
    if (address.isEmpty() || apiKey.isEmpty() || crn.isEmpty()) {
      return null;
    }
    // The eighth segment is the instance.
    String[] segments = crn.split(":", -1);
    if (segments.length < 8) {
      throw new IllegalArgumentException("HPCS_CRN is no CRN: " + crn);
    }
    return new Administration(address, apiKey, UUID.fromString(segments[7]));
  }

  Grep11Client.Builder gateway() {
    var builder = Grep11Client.builder(address).trustedCa(ca).deadline(Duration.ofSeconds(10));
    return instance == null ? builder : builder.instance(instance);
  }

  Grep11Client.Builder authenticated() {
    return gateway().apiKey(apiKey.toCharArray(), iamEndpoint);
  }

  /** As {@link #authenticated()}, by the administrator's API key. */
  Grep11Client.Builder authenticatedAs(Administration administrator) {
    return gateway().apiKey(administrator.apiKey().toCharArray(), iamEndpoint);
  }

  CertificateManagerClient certificateManager(Administration administrator) {
    return new CertificateManagerClient(
        Grep11Client.builder(administrator.address())
            .trustedCa(ca)
            .deadline(Duration.ofSeconds(10))
            .apiKey(administrator.apiKey().toCharArray(), iamEndpoint)
            .connect(),
        administrator.instance());
  }

  @Override
  public String toString() {
    return "Setting[" + address + "]";
  }
}
