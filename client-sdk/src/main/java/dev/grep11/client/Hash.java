package dev.grep11.client;

import static dev.grep11.client.Ckm.CKM_SHA224;
import static dev.grep11.client.Ckm.CKM_SHA256;
import static dev.grep11.client.Ckm.CKM_SHA384;
import static dev.grep11.client.Ckm.CKM_SHA512;
import static dev.grep11.client.Ckm.CKM_SHA_1;

/** Hash functions that PSS, OAEP and the X9.63 key derivation take as a parameter. */
public enum Hash {
  SHA1(CKM_SHA_1, 20, 1, 2, Ckm.CKM_SHA1_RSA_PKCS, Ckm.CKM_SHA1_RSA_PKCS_PSS),
  SHA224(CKM_SHA224, 28, 5, 5, Ckm.CKM_SHA224_RSA_PKCS, Ckm.CKM_SHA224_RSA_PKCS_PSS),
  SHA256(CKM_SHA256, 32, 2, 6, Ckm.CKM_SHA256_RSA_PKCS, Ckm.CKM_SHA256_RSA_PKCS_PSS),
  SHA384(CKM_SHA384, 48, 3, 7, Ckm.CKM_SHA384_RSA_PKCS, Ckm.CKM_SHA384_RSA_PKCS_PSS),
  SHA512(CKM_SHA512, 64, 4, 8, Ckm.CKM_SHA512_RSA_PKCS, Ckm.CKM_SHA512_RSA_PKCS_PSS);

  private final long mechanism;
  private final int bytes;
  private final int mask;
  private final int kdf;
  private final long rsaPkcs;
  private final long rsaPss;

  Hash(long mechanism, int bytes, int mask, int kdf, long rsaPkcs, long rsaPss) {
    this.mechanism = mechanism;
    this.bytes = bytes;
    this.mask = mask;
    this.kdf = kdf;
    this.rsaPkcs = rsaPkcs;
    this.rsaPss = rsaPss;
  }

  /** Length of the hash value. */
  public int bytes() {
    return bytes;
  }

  /** The digest mechanism, CKM_SHA256 and so on. */
  long mechanism() {
    return mechanism;
  }

  /** CKG_MGF1 number; not in the order of the sizes. */
  int mask() {
    return mask;
  }

  /** CKD number of the key derivation with this hash. */
  int kdf() {
    return kdf;
  }

  long rsaPkcs() {
    return rsaPkcs;
  }

  long rsaPss() {
    return rsaPss;
  }
}
