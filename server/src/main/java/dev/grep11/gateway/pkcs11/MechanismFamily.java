package dev.grep11.gateway.pkcs11;

/** Mechanisms that differ in numbers and sizes only, and so share one implementation. */
public enum MechanismFamily {
  DIGEST,
  RSA_KEY_PAIR,
  /** PKCS #1 v1.5 over caller's data: signatures, encryption, key transport. */
  RSA_PKCS,
  /** PKCS #1 v1.5 signature that hashes first. */
  RSA_PKCS_HASHED,
  RSA_PSS,
  RSA_PSS_HASHED,
  RSA_OAEP,
  /** ANSI X9.31 signature over a caller's hash. */
  RSA_X9_31,
  /** ANSI X9.31 signature that hashes first. */
  RSA_X9_31_HASHED,
  AES_KEY,
  DES_KEY,
  GENERIC_KEY,
  /** ECB: whole blocks, no parameter. */
  ECB,
  /** CBC: whole blocks, an IV. */
  CBC,
  /** CBC with PKCS #7 padding. */
  CBC_PAD,
  CTR,
  GCM,
  /** RFC 3394. */
  KEY_WRAP,
  /** RFC 5649. */
  KEY_WRAP_PAD,
  HMAC,
  CMAC,
  EC_KEY_PAIR,
  ECDSA,
  ECDSA_HASHED,
  EDDSA,
  /** ECDH truncated to CKA_VALUE_LEN. */
  ECDH,
  /** ECDH with the whole coordinate. */
  ECDH_RAW,
  /** X25519, X448. */
  XDH,
  DSA_PARAMETERS,
  DSA_KEY_PAIR,
  DSA,
  DSA_HASHED,
  DH_PARAMETERS,
  DH_KEY_PAIR,
  DH,
  DH_RAW,
  /** A hash of the base key's value (SHA*_KEY_DERIVATION). */
  HASH_DERIVATION,
  /** ECB encryption of public data under the base key (DES3_ECB_ENCRYPT_DATA). */
  ENCRYPTED_DATA,
  /** A key with its attributes (IBM_ATTRIBUTEBOUND_WRAP). */
  ATTRIBUTE_BOUND,
  /** Import of a public key (IBM_TRANSPORTKEY). */
  TRANSPORT_KEY
}
