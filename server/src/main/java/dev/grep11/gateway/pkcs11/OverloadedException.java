package dev.grep11.gateway.pkcs11;

/**
 * A queue or a quota is full: the call did nothing and may be repeated later. Answered as gRPC
 * status RESOURCE_EXHAUSTED with CKR_DEVICE_ERROR.
 */
public final class OverloadedException extends Pkcs11Exception {
  public OverloadedException(String detail) {
    super(Ckr.CKR_DEVICE_ERROR, detail);
  }

  @Override
  public boolean retry() {
    return true;
  }
}
