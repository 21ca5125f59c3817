package dev.grep11.gateway.pkcs11;

import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Optional;

/** A hash function under its PKCS #11 numbers and its Java name. FIPS 180-4, FIPS 202. */
public enum Hash {
  SHA_1(Ckm.CKM_SHA_1, 1, 20, "SHA-1"),
  SHA224(Ckm.CKM_SHA224, 5, 28, "SHA-224"),
  SHA256(Ckm.CKM_SHA256, 2, 32, "SHA-256"),
  SHA384(Ckm.CKM_SHA384, 3, 48, "SHA-384"),
  SHA512(Ckm.CKM_SHA512, 4, 64, "SHA-512"),
  SHA512_224(Ckm.CKM_SHA512_224, 0, 28, "SHA-512/224"),
  SHA512_256(Ckm.CKM_SHA512_256, 0, 32, "SHA-512/256"),
  SHA3_224(Ckm.CKM_IBM_SHA3_224, 0x80000001L, 28, "SHA3-224"),
  SHA3_256(Ckm.CKM_IBM_SHA3_256, 0x80000002L, 32, "SHA3-256"),
  SHA3_384(Ckm.CKM_IBM_SHA3_384, 0x80000003L, 48, "SHA3-384"),
  SHA3_512(Ckm.CKM_IBM_SHA3_512, 0x80000004L, 64, "SHA3-512");

  private final long mechanism;
  private final long mgf;
  private final int length;
  private final String jcaName;

  Hash(long mechanism, long mgf, int length, String jcaName) {
    this.mechanism = mechanism;
    this.mgf = mgf;
    this.length = length;
    this.jcaName = jcaName;
  }

  /** CKM number of the digest. */
  public long mechanism() {
    return mechanism;
  }

  /** CKG number of MGF1 with this hash; 0 where the header declares none. */
  public long mgf() {
    return mgf;
  }

  /** Output length in bytes. */
  public int length() {
    return length;
  }

  public String jcaName() {
    return jcaName;
  }

  public MessageDigest newDigest() {
    try {
      return MessageDigest.getInstance(jcaName);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every JDK has " + jcaName, e);
    }
  }

  public static Optional<Hash> ofMechanism(long mechanism) {
    for (var hash : values()) {
      if (hash.mechanism == mechanism) {
        return Optional.of(hash);
      }
    }
    return Optional.empty();
  }

  public static Optional<Hash> ofMgf(long mgf) {
    for (var hash : values()) {
      if (hash.mgf == mgf && mgf != 0) {
        return Optional.of(hash);
      }
    }
    return Optional.empty();
  }
}
