package dev.grep11.gateway.doctor;

import dev.grep11.findings.Findings;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.hsm.Cryptoki;
import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.HsmOpenException;
import dev.grep11.gateway.hsm.PresentToken;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * The module, the token and its PIN, in the order in which a start meets them.
 *
 * <p>A wrong PIN costs one of the few tries that a token has. So it is offered once, only where the
 * token does not say that a wrong one was tried before, and never where one more would lock it.
 */
final class TokenAccess {
  private static final String PIN = "PIN";
  private static final int LOOKS = 5;
  private static final Duration BETWEEN_LOOKS = Duration.ofMillis(100);

  private final GatewayConfig config;
  private final Faulty faulty;
  private final boolean tryPin;
  private final Findings findings;

  private TokenAccess(GatewayConfig config, Faulty faulty, boolean tryPin, Findings findings) {
    this.config = config;
    this.faulty = faulty;
    this.tryPin = tryPin;
    this.findings = findings;
  }

  /**
   * Looks, and logs in where that can be done.
   *
   * @param tryPin offers the PIN although a wrong one was tried before
   * @return the open token, the caller's to close; empty when the findings say why not
   */
  static Optional<Hsm> open(
      GatewayConfig config,
      Faulty faulty,
      boolean tryPin,
      Function<Path, Cryptoki> module,
      ClockComparison clocks,
      Findings findings) {
    if (faulty.concern("hsm.module")
        || faulty.concern("hsm.tokenLabel")
        || faulty.concern("hsm.environment")) {
      findings.warning("token", "not checked", "correct the section hsm first");
      return Optional.empty();
    }
    var access = new TokenAccess(config, faulty, tryPin, findings);
    return access
        .load(module)
        .flatMap(cryptoki ->
            access
                .find(cryptoki)
                .flatMap(token -> {
                  token.clock().ifPresent(clock -> clocks.with("the token's", clock));
                  Mechanisms.look(token.mechanisms(), config, findings);
                  return access.login(cryptoki, token);
                }));
  }

  private Optional<Cryptoki> load(Function<Path, Cryptoki> module) {
    var path = config.hsm().module();
    try {
      var loaded = module.apply(path);
      findings.good("module", path + " is a PKCS #11 library, and loads");
      return Optional.of(loaded);
    } catch (RuntimeException e) {
      findings.bad(
          "module",
          "%s does not load: %s".formatted(path, e.getMessage()),
          "name the vendor's PKCS #11 library for this platform by hsm.module; ldd tells what it"
              + " lacks");
      return Optional.empty();
    }
  }

  private Optional<PresentToken> find(Cryptoki cryptoki) {
    var check = "token";
    var label = config.hsm().tokenLabel();
    List<PresentToken> all;
    try {
      all = present(cryptoki);
    } catch (HsmOpenException e) {
      findings.bad(
          check,
          String.valueOf(e.getMessage()),
          "correct hsm.environment and what the module reads; the vendor's tool should show the"
              + " token as this user");
      return Optional.empty();
    }
    var found = all.stream().filter(token -> token.info().label().equals(label)).toList();
    if (found.isEmpty()) {
      findings.bad(
          check,
          "there is none with the label \"%s\" among %s".formatted(label, labels(all)),
          all.isEmpty()
              ? "see that the token is there for this user; SoftHSM passes over one whose token.object"
                  + " is empty, as a process that was killed leaves it: put token.object.kept back"
                  + " (operations-reference.md, SoftHSM and kill -9)"
              : "correct hsm.tokenLabel, or see that the token is there for this user");
      return Optional.empty();
    }
    if (found.size() > 1) {
      findings.bad(
          check,
          "%d tokens have the label \"%s\"; serial numbers %s"
              .formatted(
                  found.size(),
                  label,
                  String.join(", ", found.stream().map(each -> each.info().serial()).toList())),
          "give the gateway's token a label of its own, with the vendor's tool");
      return Optional.empty();
    }
    var info = found.getFirst().info();
    findings.good(
        check,
        "\"%s\" (%s %s, serial number %s)"
            .formatted(info.label(), info.manufacturer(), info.model(), info.serial()));
    return Optional.of(found.getFirst());
  }

  /** SoftHSM passes over a token whose file is being written, which every login does. */
  private List<PresentToken> present(Cryptoki cryptoki) {
    Supplier<List<PresentToken>> look =
        () -> PresentToken.of(cryptoki, config.hsm().module(), config.hsm().environment());
    var seen = look.get();
    for (int again = 1; again < LOOKS && seen.stream().noneMatch(this::isOurs); again++) {
      LockSupport.parkNanos(BETWEEN_LOOKS.toNanos());
      seen = look.get();
    }
    return seen;
  }

  private boolean isOurs(PresentToken token) {
    return token.info().label().equals(config.hsm().tokenLabel());
  }

  private static String labels(List<PresentToken> tokens) {
    return tokens.isEmpty()
        ? "no tokens at all"
        : String.join(
            ", ", tokens.stream().map(each -> "\"" + each.info().label() + "\"").toList());
  }

  private Optional<Hsm> login(Cryptoki cryptoki, PresentToken token) {
    if (faulty.concern("hsm.pinFile") || faulty.concern("hsm.pinEnv")) {
      findings.warning(PIN, "not tried", "correct hsm.pinFile first");
      return Optional.empty();
    }
    return switch (token.pin()) {
      case NOT_SET -> {
        findings.bad(
            PIN, "the token has no user PIN yet", "set one with the vendor's tool (C_InitPIN)");
        yield Optional.empty();
      }
      case LOCKED -> {
        findings.bad(
            PIN,
            "the user PIN is locked (CKF_USER_PIN_LOCKED): too many wrong ones were tried",
            "set a new one as security officer with the vendor's tool, then correct hsm.pinFile");
        yield Optional.empty();
      }
      case FINAL_TRY -> {
        findings.bad(
            PIN,
            "one more wrong PIN locks the token (CKF_USER_PIN_FINAL_TRY); ours was not tried",
            "start no gateway before you know the PIN: log in once with the vendor's tool");
        yield Optional.empty();
      }
      case COUNT_LOW -> {
        if (tryPin) {
          yield tryToOpen(cryptoki);
        }
        findings.bad(
            PIN,
            "a wrong PIN was tried since the last right one (CKF_USER_PIN_COUNT_LOW); ours was not"
                + " tried",
            "see that hsm.pinFile is right, then add --try-pin: a right one clears this, a wrong one"
                + " costs a try");
        yield Optional.empty();
      }
      case FRESH -> tryToOpen(cryptoki);
    };
  }

  private Optional<Hsm> tryToOpen(Cryptoki cryptoki) {
    try {
      var hsm = Host.openToken(cryptoki, config);
      findings.good(PIN, "is right");
      return Optional.of(hsm);
    } catch (HsmOpenException e) {
      findings.bad(
          PIN,
          String.valueOf(e.getMessage()),
          "correct hsm.pinFile or the variable of hsm.pinEnv; it is not tried again unless --try-pin"
              + " is given");
      return Optional.empty();
    }
  }
}
