package dev.grep11.gateway.operation;

import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Hash;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismFamily;
import dev.grep11.gateway.pkcs11.MechanismParameters.AesCtr;
import dev.grep11.gateway.pkcs11.MechanismParameters.AesGcm;
import dev.grep11.gateway.pkcs11.MechanismParameters.Bytes;
import dev.grep11.gateway.pkcs11.MechanismParameters.EdDsa;
import dev.grep11.gateway.pkcs11.MechanismParameters.None;
import dev.grep11.gateway.pkcs11.MechanismParameters.RsaOaep;
import dev.grep11.gateway.pkcs11.MechanismParameters.RsaPss;
import dev.grep11.gateway.pkcs11.MechanismRow;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;

/**
 * Mechanism parameters, checked before they reach the token, which may accept what it should not.
 */
final class Parameters {
  private static final int AES_BLOCK = 16;
  private static final int DES_BLOCK = 8;

  private Parameters() {}

  static void requireNone(Mechanism mechanism) {
    boolean empty =
        switch (mechanism.parameters()) {
          case None ignored -> true;
          case Bytes(byte[] value) -> value.length == 0;
          default -> false;
        };
    if (!empty) {
      throw invalid(mechanism, "takes no parameter");
    }
  }

  /** Block length in bytes of a cipher's row. */
  static int blockLength(MechanismRow row) {
    return row.keyTypes().contains(dev.grep11.gateway.pkcs11.Ckk.CKK_AES) ? AES_BLOCK : DES_BLOCK;
  }

  /** The native mechanism of ECB or CBC, with its IV checked. */
  static Mechanism blockCipher(MechanismRow row, Mechanism mechanism) {
    if (row.family() == MechanismFamily.ECB) {
      requireNone(mechanism);
      return Mechanism.of(row.token());
    }
    if (mechanism.parameters() instanceof Bytes(byte[] iv) && iv.length == blockLength(row)) {
      return mechanism;
    }
    throw invalid(mechanism, "needs an IV of " + blockLength(row) + " bytes");
  }

  static AesCtr ctr(Mechanism mechanism) {
    if (mechanism.parameters() instanceof AesCtr ctr
        && ctr.counterBits() >= 1
        && ctr.counterBits() <= 128
        && ctr.counterBlock().length == AES_BLOCK) {
      return ctr;
    }
    throw invalid(
        mechanism,
        mechanism.parameters() instanceof AesCtr
            ? "needs a counter block of 16 bytes and 1 to 128 counter bits"
            : "needs its parameter as AESCTRParameter: counter block and counter bits");
  }

  /**
   * GCM with a tag of 96 to 128 bits and an IV that is empty or has at least 12 bytes. SoftHSM
   * would take a tag and an IV of length 0.
   */
  static AesGcm gcm(Mechanism mechanism) {
    if (mechanism.parameters() instanceof AesGcm gcm
        && gcm.tagBits() >= 96
        && gcm.tagBits() <= 128
        && gcm.tagBits() % 8 == 0
        && (gcm.iv().length == 0 || (gcm.iv().length >= 12 && gcm.iv().length <= 256))) {
      return gcm;
    }
    throw invalid(
        mechanism,
        mechanism.parameters() instanceof AesGcm
            ? "needs a tag of 96 to 128 bits and an IV that is empty or 12 to 256 bytes"
            : "needs its parameter as AESGCMParameter: an empty one is an IV of the HSM's and a tag"
                + " of 128 bits");
  }

  /** PSS with the hash that the mechanism fixes, if it does, and an MGF of a hash we know. */
  static RsaPss pss(MechanismRow row, Mechanism mechanism) {
    if (!(mechanism.parameters() instanceof RsaPss pss)) {
      throw invalid(
          mechanism, "needs its parameter as RSAPSSParameter: hash, mask and salt length");
    }
    var hash =
        Hash.ofMechanism(pss.hash()).orElseThrow(() -> invalid(mechanism, "has an unknown hash"));
    if (row.hash() != null && row.hash() != hash) {
      throw invalid(mechanism, "fixes another hash");
    }
    if (pss.mgf() != hash.mgf()) {
      throw invalid(mechanism, "needs the mask of its hash");
    }
    if (pss.saltLength() < 0 || pss.saltLength() > 512) {
      throw invalid(mechanism, "salt length");
    }
    return pss;
  }

  static RsaOaep oaep(Mechanism mechanism) {
    if (mechanism.parameters() instanceof RsaOaep oaep
        && Hash.ofMechanism(oaep.hash()).isPresent()
        && Hash.ofMgf(oaep.mgf()).isPresent()) {
      return oaep;
    }
    throw invalid(
        mechanism,
        mechanism.parameters() instanceof RsaOaep
            ? "needs a hash and a mask that are known here"
            : "needs its parameter as RSAOAEPParameter: hash and mask");
  }

  /** The one form of OAEP that every token has: SHA-1 twice and no label. */
  static boolean isNativeOaep(RsaOaep oaep) {
    return oaep.hash() == Hash.SHA_1.mechanism()
        && oaep.mgf() == Hash.SHA_1.mgf()
        && oaep.label().length == 0;
  }

  /**
   * Pure EdDSA only: SoftHSM takes the structure and returns the pure signature, silently wrong.
   */
  static void requirePureEdDsa(Mechanism mechanism) {
    if (mechanism.parameters() instanceof EdDsa(boolean preHash, byte[] context)) {
      if (preHash || context.length > 0) {
        throw invalid(mechanism, "is pure EdDSA: no prehash and no context");
      }
      return;
    }
    requireNone(mechanism);
  }

  static Pkcs11Exception invalid(Mechanism mechanism, String what) {
    return new Pkcs11Exception(Ckr.CKR_MECHANISM_PARAM_INVALID, mechanism.name() + " " + what);
  }
}
