package dev.grep11.gateway.pkcs11;

/** The functions of a mechanism, with the CKF bit that announces each. */
public enum CryptoFunction {
  ENCRYPT(Ckf.CKF_ENCRYPT),
  DECRYPT(Ckf.CKF_DECRYPT),
  DIGEST(Ckf.CKF_DIGEST),
  SIGN(Ckf.CKF_SIGN),
  VERIFY(Ckf.CKF_VERIFY),
  GENERATE(Ckf.CKF_GENERATE),
  GENERATE_KEY_PAIR(Ckf.CKF_GENERATE_KEY_PAIR),
  WRAP(Ckf.CKF_WRAP),
  UNWRAP(Ckf.CKF_UNWRAP),
  DERIVE(Ckf.CKF_DERIVE);

  private final long flag;

  CryptoFunction(long flag) {
    this.flag = flag;
  }

  public long flag() {
    return flag;
  }
}
