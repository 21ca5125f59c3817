package dev.grep11.gateway.pkcs11;

/**
 * The token cannot be reached at present: the call did nothing and may be repeated. Answered as
 * gRPC status UNAVAILABLE with CKR_DEVICE_ERROR.
 */
public final class HsmUnavailableException extends Pkcs11Exception {
  public HsmUnavailableException(String detail) {
    super(Ckr.CKR_DEVICE_ERROR, detail);
  }

  @Override
  public boolean retry() {
    return true;
  }
}
