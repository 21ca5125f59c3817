package dev.grep11.gateway.pkcs11;

import java.util.Arrays;

/**
 * The parameter of a mechanism. Each knows its C structure; {@link None} and {@link Bytes} have
 * none and are passed as they are.
 */
public sealed interface MechanismParameters {

  /** Writes the fields in the order of the C structure. */
  void writeTo(CkStruct struct);

  /** No parameter: a null pointer of length 0. */
  record None() implements MechanismParameters {
    public static final None NONE = new None();

    @Override
    public void writeTo(CkStruct struct) {}
  }

  /** A parameter that is its own bytes: an IV, a peer's public value, data to encrypt. */
  record Bytes(byte[] value) implements MechanismParameters {
    @Override
    public void writeTo(CkStruct struct) {
      struct.inline(value);
    }

    @Override
    public boolean equals(Object other) {
      return other instanceof Bytes that && Arrays.equals(value, that.value);
    }

    @Override
    public int hashCode() {
      return Arrays.hashCode(value);
    }

    @Override
    public String toString() {
      return "Bytes[" + value.length + "]";
    }
  }

  /**
   * CK_RSA_PKCS_OAEP_PARAMS; the source is always CKZ_DATA_SPECIFIED (1), with an empty label or
   * not.
   */
  record RsaOaep(long hash, long mgf, byte[] label) implements MechanismParameters {
    private static final long CKZ_DATA_SPECIFIED = 1;

    @Override
    public void writeTo(CkStruct struct) {
      struct.ulong(hash).ulong(mgf).ulong(CKZ_DATA_SPECIFIED).pointerAndLength(label);
    }
  }

  /** CK_RSA_PKCS_PSS_PARAMS; the salt length in bytes. */
  record RsaPss(long hash, long mgf, long saltLength) implements MechanismParameters {
    @Override
    public void writeTo(CkStruct struct) {
      struct.ulong(hash).ulong(mgf).ulong(saltLength);
    }
  }

  /**
   * CK_ECDH1_DERIVE_PARAMS. The KDF is a CKD number as on the wire: 1 null, 2 SHA-1, 5 to 8 SHA-224
   * to SHA-512, 0x800001 IBM's hybrid null.
   */
  record Ecdh1Derive(long kdf, byte[] sharedData, byte[] publicData)
      implements MechanismParameters {
    public static final long CKD_NULL = 1;

    @Override
    public void writeTo(CkStruct struct) {
      struct.ulong(kdf).lengthAndPointer(sharedData).lengthAndPointer(publicData);
    }
  }

  /** CK_KEY_DERIVATION_STRING_DATA. */
  record KeyDerivationString(byte[] data) implements MechanismParameters {
    @Override
    public void writeTo(CkStruct struct) {
      struct.pointerAndLength(data);
    }
  }

  /** CK_GCM_PARAMS, PKCS #11 v2.40 with ulIvBits. */
  record AesGcm(byte[] iv, byte[] aad, int tagBits) implements MechanismParameters {
    @Override
    public void writeTo(CkStruct struct) {
      struct.pointerAndLength(iv).ulong(iv.length * 8L).pointerAndLength(aad).ulong(tagBits);
    }
  }

  /** CK_AES_CTR_PARAMS; a counter block of 16 bytes. */
  record AesCtr(int counterBits, byte[] counterBlock) implements MechanismParameters {
    @Override
    public void writeTo(CkStruct struct) {
      struct.ulong(counterBits).inline(counterBlock);
    }
  }

  /** CK_EDDSA_PARAMS, PKCS #11 v3.0. */
  record EdDsa(boolean preHash, byte[] context) implements MechanismParameters {
    @Override
    public void writeTo(CkStruct struct) {
      struct.bool(preHash).lengthAndPointer(context);
    }
  }

  /**
   * A parameter of a kind that the wire knows and this gateway does not serve (BIP32, Schnorr, BLS,
   * Kyber). No catalog row accepts it.
   */
  record Unserved(String kind) implements MechanismParameters {
    @Override
    public void writeTo(CkStruct struct) {
      throw new Pkcs11Exception(Ckr.CKR_MECHANISM_PARAM_INVALID, kind + " is not served");
    }
  }
}
