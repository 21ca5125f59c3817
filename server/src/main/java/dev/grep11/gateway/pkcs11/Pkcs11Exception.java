package dev.grep11.gateway.pkcs11;

/**
 * A PKCS #11 return value other than CKR_OK, on its way to the one place that answers it.
 *
 * <p>The detail is for people and leaves the process: it names what was wrong, never a value of the
 * caller's or of a key's.
 */
public class Pkcs11Exception extends RuntimeException {
  private final long returnValue;
  private final String detail;

  public Pkcs11Exception(long returnValue, String detail) {
    this(returnValue, detail, null);
  }

  public Pkcs11Exception(
      long returnValue, String detail, @org.jspecify.annotations.Nullable Throwable cause) {
    // Without stack trace: refusals are ordinary answers, and a flood of them must stay cheap.
    super(Ckr.name(returnValue) + ": " + detail, cause, false, cause != null);
    this.returnValue = returnValue;
    this.detail = detail;
  }

  /** The CK_RV. */
  public long returnValue() {
    return returnValue;
  }

  public String detail() {
    return detail;
  }

  /** Whether repeating the identical call may succeed. */
  public boolean retry() {
    return false;
  }
}
