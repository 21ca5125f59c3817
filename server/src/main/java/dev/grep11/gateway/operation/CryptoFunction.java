package dev.grep11.gateway.operation;

/** The functions that rpcs are made of, named as in PKCS #11. */
public enum CryptoFunction {
  RANDOM,
  DIGEST,
  ENCRYPT,
  DECRYPT,
  SIGN,
  VERIFY,
  GENERATE_KEY,
  GENERATE_KEY_PAIR,
  WRAP,
  UNWRAP,
  DERIVE,
  INFORMATION
}
