package dev.grep11.gateway.hsm;

import dev.grep11.softhsm.SoftHsmToken;

/** Settings for the fixture's tokens. */
final class Tokens {
  private Tokens() {}

  static HsmSettings settings(SoftHsmToken token) {
    return HsmSettings.of(
            token.module(), token.label(), PinSource.file(token.pinFile()), token.environment())
        .withWorkers(2);
  }
}
