package dev.grep11.gateway.doctor;

import dev.grep11.findings.Findings;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.key.SealingKeyException;
import dev.grep11.gateway.key.SealingKeys;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.CryptoFunction;
import dev.grep11.gateway.pkcs11.MechanismCatalog;
import dev.grep11.gateway.pkcs11.MechanismRow;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** What a token lacks, and which calls that takes from clients. */
final class Mechanisms {
  private static final String CHECK = "mechanisms";

  private Mechanisms() {}

  /**
   * Looks.
   *
   * @param token numbers of those that it lists
   */
  static void look(Set<Long> token, GatewayConfig config, Findings findings) {
    required(token, findings);
    var possible = MechanismCatalog.of(everything(), config.policy(), config.softwareFallback());
    var offered = MechanismCatalog.of(token, config.policy(), config.softwareFallback());
    var missing = new ArrayList<String>();
    var count = new EnumMap<CryptoFunction, Integer>(CryptoFunction.class);
    var left = EnumSet.noneOf(CryptoFunction.class);
    for (var row : offered.offered()) {
      left.addAll(row.functions().keySet());
    }
    for (var row : possible.offered()) {
      var lost = EnumSet.noneOf(CryptoFunction.class);
      lost.addAll(row.functions().keySet());
      offered.find(row.type()).ifPresent(has -> lost.removeAll(has.functions().keySet()));
      if (!lost.isEmpty()) {
        missing.add(
            "%s (the token's %s): %s"
                .formatted(
                    row.name(),
                    Ckm.name(row.token()),
                    lost.stream().map(Mechanisms::rpc).collect(Collectors.joining(", "))));
        lost.forEach(function -> count.merge(function, 1, Integer::sum));
      }
    }
    var empty = EnumSet.allOf(CryptoFunction.class);
    empty.removeAll(left);
    if (!empty.isEmpty()) {
      findings.warning(
          CHECK,
          "%s: the token has no mechanism for it, so that every such call is answered"
                  .formatted(names(empty))
              + " CKR_MECHANISM_INVALID",
          "see the token's documentation whether they can be switched on",
          missing);
    } else if (missing.isEmpty()) {
      findings.good(CHECK, "all %d that the gateway knows".formatted(offered.offered().size()));
    } else {
      findings.good(
          CHECK,
          "%d of %d are offered; the token lacks what others need, which answer CKR_MECHANISM_INVALID to %s (all of them: --output json)"
              .formatted(offered.offered().size(), possible.offered().size(), counts(count)),
          missing);
    }
  }

  private static void required(Set<Long> token, Findings findings) {
    var remedy = "no gateway starts without: switch them on, or take another token";
    try {
      SealingKeys.requireMechanisms(token);
    } catch (SealingKeyException e) {
      findings.bad(CHECK, e.getMessage() + ", by which keys are sealed: no rpc works", remedy);
    }
    if (!token.contains(Ckm.CKM_ECDSA)) {
      findings.bad(CHECK, "the token lacks CKM_ECDSA, by which the gateway signs tokens", remedy);
    }
  }

  /** Every number that some row needs of a token. */
  private static Set<Long> everything() {
    return MechanismCatalog.all().stream()
        .flatMap(row ->
            Stream.concat(
                Stream.of(row.token()),
                row.functions().values().stream()
                    .map(MechanismRow.Service::needs)
                    .flatMap(Set::stream)))
        .collect(Collectors.toSet());
  }

  private static String names(Set<CryptoFunction> functions) {
    return functions.stream().map(Mechanisms::rpc).collect(Collectors.joining(", "));
  }

  private static String counts(Map<CryptoFunction, Integer> count) {
    List<String> texts =
        count.entrySet().stream()
            .map(each -> "%s of %d".formatted(rpc(each.getKey()), each.getValue()))
            .toList();
    return String.join(", ", texts);
  }

  /** The rpc that stands for a function; those in parts begin by {@code ...Init}. */
  private static String rpc(CryptoFunction function) {
    return switch (function) {
      case ENCRYPT -> "EncryptSingle";
      case DECRYPT -> "DecryptSingle";
      case DIGEST -> "DigestSingle";
      case SIGN -> "SignSingle";
      case VERIFY -> "VerifySingle";
      case GENERATE -> "GenerateKey";
      case GENERATE_KEY_PAIR -> "GenerateKeyPair";
      case WRAP -> "WrapKey";
      case UNWRAP -> "UnwrapKey";
      case DERIVE -> "DeriveKey";
    };
  }
}
