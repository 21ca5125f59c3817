package dev.grep11.agent.cryptoki;

import dev.grep11.client.Ckr;
import org.jspecify.annotations.Nullable;

/**
 * A call that ends with another return value than CKR_OK. Without a stack trace: refusals are part
 * of ordinary work.
 */
public final class Refusal extends RuntimeException {
  private static final long serialVersionUID = 1;

  private final long returnValue;

  Refusal(long returnValue, String message) {
    this(returnValue, message, null);
  }

  Refusal(long returnValue, String message, @Nullable Throwable cause) {
    super(Ckr.nameOf(returnValue) + ": " + message, cause, false, false);
    this.returnValue = returnValue;
  }

  /** A refusal of who calls the functions. */
  public static Refusal of(long returnValue, String message) {
    return new Refusal(returnValue, message);
  }

  /** CK_RV. */
  public long returnValue() {
    return returnValue;
  }
}
