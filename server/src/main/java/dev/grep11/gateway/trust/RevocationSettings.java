package dev.grep11.gateway.trust;

import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * Where revocations are read from: settings {@code clientCas.denyFile} and {@code clientCas.crls}.
 *
 * @param denyFile certificates that are refused whoever issued them
 */
public record RevocationSettings(Optional<Path> denyFile, List<CrlSetting> crls) {
  public static final RevocationSettings NONE = new RevocationSettings(Optional.empty(), List.of());

  public RevocationSettings {
    crls = List.copyOf(crls);
  }

  /**
   * The revocation list of one CA.
   *
   * @param ca its certificate, PEM or DER
   * @param crl a complete list signed by it, PEM or DER
   */
  public record CrlSetting(Path ca, Path crl) {}
}
