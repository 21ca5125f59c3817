package dev.grep11.gateway.iam;

import java.net.URI;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.function.Supplier;

/**
 * An issuer whose tokens are accepted, and what of them counts.
 *
 * @param issuer the exact {@code iss}
 * @param instanceClaim names the claim that, where a token has it, must be the instance; a path
 *     with dots
 * @param rolesClaim names the claim whose roles count like grants in the instance of {@code
 *     instanceClaim}
 * @param account a claim that must have a value
 * @param apiKeyClaim names the claim with the API key that the token was given for; such a token is
 *     refused without it, and as soon as the key is deleted
 * @param caFile PEM certificates to trust for the key set's URL, instead of the system's
 */
public record IssuerSettings(
    String issuer,
    Jwks keys,
    Audience audience,
    Optional<String> instanceClaim,
    Optional<String> rolesClaim,
    Optional<Account> account,
    Optional<String> apiKeyClaim,
    Set<Algorithm> algorithms,
    Optional<Path> caFile) {

  public IssuerSettings {
    algorithms = Set.copyOf(algorithms);
    if (issuer.isBlank()) {
      throw new IllegalArgumentException("an issuer needs its name, as it is in iss");
    }
    if (algorithms.isEmpty()) {
      throw new IllegalArgumentException("issuer " + issuer + " needs RS256, ES256 or both");
    }
    if (rolesClaim.isPresent() && instanceClaim.isEmpty()) {
      throw new IllegalArgumentException(
          "issuer "
              + issuer
              + ": roles in a token count only in the instance it names, so rolesClaim needs instanceClaim");
    }
    if (audience instanceof Audience.NotChecked && (rolesClaim.isPresent() || account.isEmpty())) {
      throw new IllegalArgumentException(
          "issuer "
              + issuer
              + ": without an audience the account must be checked and roles come from grants alone (security rules 7.1)");
    }
  }

  /** An issuer of which nothing counts but who its tokens are about. */
  public static IssuerSettings of(String issuer, Jwks keys, String audience) {
    return new IssuerSettings(
        issuer,
        keys,
        new Audience.Required(audience),
        Optional.empty(),
        Optional.empty(),
        Optional.empty(),
        Optional.empty(),
        Set.of(Algorithm.values()),
        Optional.empty());
  }

  /** Where an issuer's public keys are (RFC 7517, 5). */
  public sealed interface Jwks {
    /** On the network, over https. */
    record Url(URI uri) implements Jwks {
      public Url {
        if (uri.getScheme() == null || !uri.getScheme().toLowerCase(Locale.ROOT).equals("https")) {
          throw new IllegalArgumentException(
              "a key set is fetched over https only, not from " + uri);
        }
      }
    }

    /** In a file. */
    record File(Path path) implements Jwks {}

    /** In this process: the embedded token service. */
    record Local(Supplier<String> json) implements Jwks {}
  }

  /** What {@code aud} must be. */
  public sealed interface Audience {
    record Required(String value) implements Audience {
      public Required {
        if (value.isBlank()) {
          throw new IllegalArgumentException(
              "the audience is required; an exemption must be explicit");
        }
      }
    }

    /** The explicit exemption, for issuers that set none. */
    record NotChecked() implements Audience {}
  }

  /** A claim (a path with dots, {@code account.bss}) and the value it must have. */
  public record Account(String claim, String value) {}

  /** Signature algorithms; there are no others (RFC 7518, 3.1). */
  public enum Algorithm {
    RS256,
    ES256
  }
}
