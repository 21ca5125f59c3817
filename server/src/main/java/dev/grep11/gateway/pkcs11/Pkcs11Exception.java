package dev.grep11.gateway.pkcs11;

import org.jspecify.annotations.Nullable;

/**
 * A PKCS #11 return value other than CKR_OK, on its way to the one place that answers it.
 *
 * <p>The detail is for people and leaves the process: it names what was wrong, never a value of the
 * caller's or of a key's.
 */
public class Pkcs11Exception extends RuntimeException {
  private final long returnValue;
  private final String detail;
  private final String recorded;
  private final boolean retry;

  public Pkcs11Exception(long returnValue, String detail) {
    this(returnValue, detail, null);
  }

  public Pkcs11Exception(long returnValue, String detail, @Nullable Throwable cause) {
    this(returnValue, detail, detail, false, cause);
  }

  /**
   * @param retry whether repeating the identical call may succeed
   */
  protected Pkcs11Exception(long returnValue, String detail, boolean retry) {
    this(returnValue, detail, detail, retry, null);
  }

  private Pkcs11Exception(
      long returnValue, String detail, String recorded, boolean retry, @Nullable Throwable cause) {
    // Without stack trace: refusals are ordinary answers, and a flood of them must stay cheap.
    super(Ckr.name(returnValue) + ": " + detail, cause, false, cause != null);
    this.returnValue = returnValue;
    this.detail = detail;
    this.recorded = recorded;
    this.retry = retry;
  }

  /** A refusal of something that is about to be possible. */
  public static Pkcs11Exception forNow(long returnValue, String detail) {
    return new Pkcs11Exception(returnValue, detail, detail, true, null);
  }

  /**
   * A refusal that the operator reads more of than the client, who may be anybody.
   *
   * @param recorded what the audit says beyond the detail; no secret either
   */
  public static Pkcs11Exception recorded(long returnValue, String detail, String recorded) {
    return new Pkcs11Exception(returnValue, detail, detail + "; " + recorded, false, null);
  }

  /** The same with another return value. */
  public Pkcs11Exception withReturnValue(long other) {
    return new Pkcs11Exception(other, detail, recorded, retry, getCause());
  }

  /** The CK_RV. */
  public long returnValue() {
    return returnValue;
  }

  public String detail() {
    return detail;
  }

  /** The detail as the audit has it. */
  public String recorded() {
    return recorded;
  }

  /** Whether repeating the identical call may succeed. */
  public boolean retry() {
    return retry;
  }
}
