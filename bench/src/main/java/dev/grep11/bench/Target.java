package dev.grep11.bench;

import dev.grep11.client.Grep11Client;
import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;

/**
 * The gateway that is measured, as its env file describes it.
 *
 * @param tokenDirectory of its SoftHSM token, if that is its HSM
 * @param client what connections show where the second lock is closed
 */
public record Target(
    String address,
    String apiKey,
    URI iamEndpoint,
    Path ca,
    Optional<UUID> instance,
    Path tokenDirectory,
    Optional<ClientIdentity> client) {
  static final String INSTANCE_HEADER = "bluemix-instance";
  private static final String FLOOD_KEY = "GREP11_FLOOD_APIKEY";

  /**
   * The gateway that these variables name.
   *
   * @throws BenchException naming the variables that are missing
   */
  public static Target of(Map<String, String> environment) {
    var missing =
        List.of("GREP11_ADDRESS", "GREP11_APIKEY", "GREP11_IAMENDPOINT", "GREP11_CA").stream()
            .filter(name -> environment.getOrDefault(name, "").isBlank())
            .toList();
    if (!missing.isEmpty()) {
      throw new BenchException(
          String.join(", ", missing) + " not set: source the env file that the gateway names");
    }
    var instance = environment.getOrDefault("GREP11_INSTANCE", "");
    var ca = Path.of(environment.getOrDefault("GREP11_CA", "")).toAbsolutePath();
    var token = environment.getOrDefault("GREP11_TOKEN_DIR", "");
    return new Target(
        environment.getOrDefault("GREP11_ADDRESS", ""),
        environment.getOrDefault("GREP11_APIKEY", ""),
        URI.create(environment.getOrDefault("GREP11_IAMENDPOINT", "")),
        ca,
        instance.isBlank() ? Optional.empty() : Optional.of(UUID.fromString(instance)),
        // The demo keeps DIR/tls/ca.pem beside DIR/token.
        token.isBlank() ? ca.resolve("../../token").normalize() : Path.of(token),
        Optional.empty());
  }

  /** The same gateway as another subject, if the environment has a key of one. */
  Optional<Target> flooder(Map<String, String> environment) {
    var key = environment.getOrDefault(FLOOD_KEY, "");
    return key.isBlank()
        ? Optional.empty()
        : Optional.of(new Target(address, key, iamEndpoint, ca, instance, tokenDirectory, client));
  }

  /** The same gateway by connections that show this certificate. */
  Target showing(ClientIdentity identity) {
    return new Target(
        address, apiKey, iamEndpoint, ca, instance, tokenDirectory, Optional.of(identity));
  }

  /**
   * Who closes the second lock.
   *
   * @param address of the certificate manager
   * @param apiKey with its role
   */
  record Administration(String address, String apiKey, String instance) {
    /** As the env file tells; empty where it does not. */
    static Optional<Administration> of(Map<String, String> environment) {
      var address = environment.getOrDefault("CERTMGR_SERVER", "");
      var key = environment.getOrDefault("CERTMGR_APIKEY", "");
      // The eighth segment of the CRN is the instance.
      var segments = environment.getOrDefault("HPCS_CRN", "").split(":", -1);
      return address.isBlank() || key.isBlank() || segments.length < 8
          ? Optional.empty()
          : Optional.of(new Administration(address, key, segments[7]));
    }

    /** Without the key. */
    @Override
    public String toString() {
      return address;
    }
  }

  /** A connection of its own. */
  public Grep11Client connect() {
    return builder().build();
  }

  /** What {@link #connect} builds, to be changed. */
  Grep11Client.Builder builder() {
    return addressed().apiKey(apiKey.toCharArray(), iamEndpoint);
  }

  /** The same with another token than the API key gives. */
  Grep11Client.Builder builderWithToken(String token) {
    return addressed().token(() -> token);
  }

  private Grep11Client.Builder addressed() {
    var builder = Grep11Client.builder(address).trustedCa(ca).deadline(Duration.ofSeconds(60));
    instance.ifPresent(builder::instance);
    client.ifPresent(own -> builder.clientCertificate(own.certificate(), own.key()));
    return builder;
  }

  /** Without the key. */
  @Override
  public String toString() {
    return address;
  }
}
