package dev.grep11.bench.vectors;

import dev.grep11.client.Ckm;
import dev.grep11.client.Hash;
import java.util.Arrays;
import java.util.Optional;

/** Hash functions under Wycheproof's names. */
enum Hashes {
  SHA_1("SHA-1", Ckm.CKM_SHA_1, Ckm.CKM_ECDSA_SHA1, Hash.SHA1),
  SHA_224("SHA-224", Ckm.CKM_SHA224, Ckm.CKM_ECDSA_SHA224, Hash.SHA224),
  SHA_256("SHA-256", Ckm.CKM_SHA256, Ckm.CKM_ECDSA_SHA256, Hash.SHA256),
  SHA_384("SHA-384", Ckm.CKM_SHA384, Ckm.CKM_ECDSA_SHA384, Hash.SHA384),
  SHA_512("SHA-512", Ckm.CKM_SHA512, Ckm.CKM_ECDSA_SHA512, Hash.SHA512),
  SHA_512_224("SHA-512/224", Ckm.CKM_SHA512_224),
  SHA_512_256("SHA-512/256", Ckm.CKM_SHA512_256),
  SHA3_224("SHA3-224", Ckm.CKM_IBM_SHA3_224),
  SHA3_256("SHA3-256", Ckm.CKM_IBM_SHA3_256),
  SHA3_384("SHA3-384", Ckm.CKM_IBM_SHA3_384),
  SHA3_512("SHA3-512", Ckm.CKM_IBM_SHA3_512);

  private final String label;
  private final long digest;
  private final Optional<Long> ecdsa;
  private final Optional<Hash> forRsa;

  Hashes(String label, long digest, long ecdsa, Hash forRsa) {
    this.label = label;
    this.digest = digest;
    this.ecdsa = Optional.of(ecdsa);
    this.forRsa = Optional.of(forRsa);
  }

  Hashes(String label, long digest) {
    this.label = label;
    this.digest = digest;
    this.ecdsa = Optional.empty();
    this.forRsa = Optional.empty();
  }

  static Optional<Hashes> named(String label) {
    return Arrays.stream(values()).filter(hash -> hash.label.equals(label)).findFirst();
  }

  long digest() {
    return digest;
  }

  /** ECDSA with this hash in one mechanism, where there is one. */
  Optional<Long> ecdsa() {
    return ecdsa;
  }

  /** Empty where GREP11 has no RSA mechanism with it. */
  Optional<Hash> forRsa() {
    return forRsa;
  }
}
