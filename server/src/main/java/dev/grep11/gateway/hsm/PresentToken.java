package dev.grep11.gateway.hsm;

import java.nio.file.Path;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * What an initialised token shows to whoever has no PIN.
 *
 * @param clock its own, where it has one
 * @param mechanisms numbers of those that it lists
 */
public record PresentToken(TokenInfo info, Pin pin, Optional<Instant> clock, Set<Long> mechanisms) {
  /** What CK_TOKEN_INFO says of the user PIN (PKCS #11 v2.40, 3.2). */
  public enum Pin {
    NOT_SET,
    FRESH,
    /** CKF_USER_PIN_COUNT_LOW: a wrong one was tried since the last right one. */
    COUNT_LOW,
    /** CKF_USER_PIN_FINAL_TRY: one more wrong one locks it. */
    FINAL_TRY,
    LOCKED
  }

  public PresentToken {
    mechanisms = Set.copyOf(mechanisms);
  }

  /**
   * The initialised tokens of a module. Opens no session.
   *
   * @param module where {@code cryptoki} was loaded from
   * @param environment variables that the module reads
   * @throws HsmOpenException when it cannot be initialised; the message is for the operator
   */
  public static List<PresentToken> of(
      Cryptoki cryptoki, Path module, Map<String, String> environment) {
    var use = ModuleUse.acquire(cryptoki, module, environment);
    try {
      return Slot.present(cryptoki);
    } finally {
      use.release(cryptoki, true);
    }
  }
}
