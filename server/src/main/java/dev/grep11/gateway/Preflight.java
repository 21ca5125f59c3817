package dev.grep11.gateway;

import dev.grep11.gateway.audit.AuditLog;
import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.iam.IssuerKeys;
import dev.grep11.gateway.iam.IssuerSettings;
import dev.grep11.gateway.iam.IssuerSettings.Jwks;
import dev.grep11.gateway.key.SealingKeys;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.tls.IdentityException;
import dev.grep11.gateway.tls.ServerIdentity;
import dev.grep11.gateway.trust.RevocationFiles;
import dev.grep11.gateway.trust.RevocationSettings;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;

/**
 * Everything that a start would fail for, tried without starting and told in one go. Leaves nothing
 * behind.
 */
public final class Preflight {
  private static final Duration SOON = Duration.ofDays(30);

  /** How a check came out. */
  public enum Result {
    OK,
    /** A start would succeed all the same. */
    WARNING,
    FAILED,
    /** Something before it failed. */
    NOT_CHECKED
  }

  /**
   * What one check found.
   *
   * @param detail one line for people
   */
  public record Finding(String check, Result result, String detail) {}

  private interface Check<T> {
    T look() throws IOException, IdentityException;
  }

  private final GatewayConfig config;
  private final List<Finding> findings = new ArrayList<>();

  private Preflight(GatewayConfig config) {
    this.config = config;
  }

  /** Tries everything that {@link Gateway#start} needs. */
  public static List<Finding> look(GatewayConfig config) {
    var preflight = new Preflight(config);
    preflight.serverIdentity();
    preflight.audit();
    preflight.tokenAndStore();
    preflight.revocations();
    config.issuers().forEach(preflight::issuer);
    preflight.port("crypto port", config.listen().crypto());
    preflight.port("certificate manager port", config.listen().certificateManager());
    if (config.tokenService().isPresent()) {
      preflight.port("token service port", config.listen().tokenService());
    }
    preflight.port("health port", config.listen().health());
    return List.copyOf(preflight.findings);
  }

  private void serverIdentity() {
    var what = "server certificate";
    var identity =
        check(what, () -> ServerIdentity.read(config.certificateChain(), config.certificateKey()));
    if (identity.isEmpty()) {
      return;
    }
    var end =
        identity.get().chain().stream()
            .map(certificate -> certificate.getNotAfter().toInstant())
            .min(Instant::compareTo)
            .orElseThrow();
    var name = identity.get().chain().getFirst().getSubjectX500Principal().getName();
    var soon = end.isBefore(Instant.now().plus(SOON));
    found(
        what,
        soon ? Result.WARNING : Result.OK,
        "\"%s\" fits its key and is good until %s%s"
            .formatted(name, end, soon ? ", which is soon: renew it" : ""));
  }

  private void audit() {
    check(
        "audit",
        () -> {
          var file = config.audit().file();
          var isNew = file.isPresent() && !Files.exists(file.get());
          AuditLog.open(config.audit()).close();
          if (isNew) {
            Files.delete(file.get());
          }
          return file;
        },
        file -> file.map(path -> path + " can be written").orElse("goes to standard output"));
  }

  private void tokenAndStore() {
    var opened =
        check(
            "token",
            () -> Host.openToken(config),
            hsm ->
                "\"%s\" (%s %s)"
                    .formatted(
                        hsm.tokenInfo().label(),
                        hsm.tokenInfo().manufacturer(),
                        hsm.tokenInfo().model()));
    if (opened.isEmpty()) {
      notChecked("the token is not open", "token mechanisms", "store", "instance", "sealing keys");
      return;
    }
    try (var hsm = opened.get()) {
      check(
          "token mechanisms",
          () -> {
            SealingKeys.requireMechanisms(hsm.mechanisms().keySet());
            return hsm.mechanisms().size();
          },
          count -> count + ", and those that the gateway cannot do without are among them");
      store(hsm);
    }
  }

  private void store(Hsm hsm) {
    var calls = new HsmCalls(hsm);
    var opened =
        check(
            "store",
            () -> StartSteps.openStore(config, calls),
            _ -> config.database() + " is intact");
    if (opened.isEmpty()) {
      notChecked("the store is not open", "instance", "sealing keys");
      return;
    }
    List<InstanceRecord> instances;
    try (var store = opened.get()) {
      instances = store.instances();
    }
    check(
        "instance",
        () -> {
          StartSteps.requireInstance(instances, config.instance());
          return instances.size();
        },
        count ->
            config.instance().map(id -> id + " is in the store").orElse(count + " in the store"));
    check(
        "sealing keys",
        () -> {
          StartSteps.requireSealingKeys(calls, instances);
          return true;
        },
        _ -> "are in the token, were made there and never left it");
    if (config.tokenService().isPresent()) {
      check(
          "token-signing key",
          () -> new HsmTokenSigner(calls, TokenKeys.read(config.store())),
          signer -> "signs; kid " + signer.keyId());
    }
  }

  /** A start would succeed, and every client that they are about would be refused. */
  private void revocations() {
    if (config.revocations().equals(RevocationSettings.NONE)) {
      return;
    }
    var what = "revoked client certificates";
    var problems = new RevocationFiles(config.revocations()).current().problems(Instant.now());
    if (problems.isEmpty()) {
      found(what, Result.OK, "can be read and are up to date");
    }
    problems.forEach(
        problem -> found(what, Result.FAILED, problem + "; until then clients are refused"));
  }

  private void issuer(IssuerSettings issuer) {
    var what = "keys of issuer " + issuer.issuer();
    switch (issuer.keys()) {
      case Jwks.File file ->
          check(
              what,
              () -> StartSteps.requireKeys(issuer, file),
              count -> "%d in %s".formatted(count, file.path()));
      case Jwks.Url url -> {
        try {
          found(what, Result.OK, "%d at %s".formatted(IssuerKeys.look(issuer), url.uri()));
        } catch (IOException | RuntimeException e) {
          // A gateway starts all the same: an issuer may be down for a while.
          found(
              what,
              Result.WARNING,
              "%s: %s; until they can be fetched, its tokens are answered UNAVAILABLE"
                  .formatted(url.uri(), e.getMessage()));
        }
      }
      case Jwks.Local _ -> found(what, Result.OK, "are this gateway's own");
    }
  }

  private void port(String what, InetSocketAddress address) {
    if (address.getPort() == 0) {
      found(what, Result.OK, "a free one is taken at start");
      return;
    }
    check(
        what,
        () -> {
          try (var socket = new ServerSocket()) {
            // As the listeners do: what a connection left behind is no hindrance.
            socket.setReuseAddress(true);
            socket.bind(address);
            return address;
          } catch (IOException e) {
            throw new IOException(
                "%s cannot be bound (in use?): %s".formatted(text(address), e.getMessage()), e);
          }
        },
        _ -> text(address) + " is free");
  }

  private static String text(InetSocketAddress address) {
    return address.getHostString() + ":" + address.getPort();
  }

  private <T> Optional<T> check(String what, Check<T> check, Function<T, String> detail) {
    var looked = check(what, check);
    looked.ifPresent(value -> found(what, Result.OK, detail.apply(value)));
    return looked;
  }

  /** Only a failure is a finding; what else was found is for the caller to tell. */
  private <T> Optional<T> check(String what, Check<T> check) {
    try {
      return Optional.of(check.look());
    } catch (IOException | IdentityException | RuntimeException e) {
      found(what, Result.FAILED, String.valueOf(e.getMessage()));
      return Optional.empty();
    }
  }

  private void notChecked(String why, String... checks) {
    for (var check : checks) {
      found(check, Result.NOT_CHECKED, why);
    }
  }

  private void found(String check, Result result, String detail) {
    findings.add(new Finding(check, result, detail));
  }
}
