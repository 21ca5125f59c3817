package dev.grep11.client;

import com.google.protobuf.ByteString;
import dev.grep11.proto.AESCTRParm;
import dev.grep11.proto.AESGCMParm;
import dev.grep11.proto.ECDH1DeriveParm;
import dev.grep11.proto.Mechanism;
import dev.grep11.proto.RSAOAEPParm;
import dev.grep11.proto.RSAPSSParm;

/**
 * Ready-made mechanisms: a number with its parameter.
 *
 * <p>They are messages of the wire, so that they fit a call of {@link Grep11Client} and a request
 * built for {@link Grep11Client#stub()} alike.
 */
public final class Mechanisms {
  private static final int BLOCK_BYTES = 16;

  /** Any mechanism without parameter, by its {@link Ckm} number. */
  public static Mechanism of(long mechanism) {
    return Mechanism.newBuilder().setMechanism(mechanism).build();
  }

  /** Any mechanism whose parameter is a byte string, such as an IV. */
  public static Mechanism of(long mechanism, byte[] parameter) {
    return Mechanism.newBuilder()
        .setMechanism(mechanism)
        .setParameterB(ByteString.copyFrom(parameter))
        .build();
  }

  // ---- Generation

  public static Mechanism aesKeyGen() {
    return of(Ckm.CKM_AES_KEY_GEN);
  }

  public static Mechanism genericSecretKeyGen() {
    return of(Ckm.CKM_GENERIC_SECRET_KEY_GEN);
  }

  public static Mechanism rsaKeyPairGen() {
    return of(Ckm.CKM_RSA_PKCS_KEY_PAIR_GEN);
  }

  /** Elliptic curve pairs of every kind; the curve of the template decides. */
  public static Mechanism ecKeyPairGen() {
    return of(Ckm.CKM_EC_KEY_PAIR_GEN);
  }

  // ---- Encryption

  /**
   * AES-CBC with PKCS #7 padding. It does not authenticate: prefer {@link #aesGcm()} for new
   * designs.
   *
   * @param iv 16 bytes, unpredictable and used once
   */
  public static Mechanism aesCbcPad(byte[] iv) {
    return of(Ckm.CKM_AES_CBC_PAD, block(iv, "IV"));
  }

  /** AES-CBC over whole blocks; {@code iv} has 16 bytes. */
  public static Mechanism aesCbc(byte[] iv) {
    return of(Ckm.CKM_AES_CBC, block(iv, "IV"));
  }

  /**
   * AES-GCM with a 12-byte IV drawn by the HSM: encryption answers IV, ciphertext and 16-byte tag
   * in one piece, and decryption takes it as it is. Extension of this gateway.
   */
  public static Mechanism aesGcm() {
    return aesGcm(new byte[0], new byte[0]);
  }

  /**
   * AES-GCM. Extension of this gateway.
   *
   * @param iv empty for one drawn by the HSM (see {@link #aesGcm()}), or at least 12 bytes of your
   *     own, which a gateway under policy {@code strict} refuses when encrypting: an IV used twice
   *     under one key gives the key's authentication away (NIST SP 800-38D, 8)
   * @param aad authenticated with the data but not part of the ciphertext; may be empty
   */
  public static Mechanism aesGcm(byte[] iv, byte[] aad) {
    return aesGcm(iv, aad, 128);
  }

  /**
   * AES-GCM with a shorter tag, for what other software expects.
   *
   * @param tagBits 96 to 128, a multiple of 8
   */
  public static Mechanism aesGcm(byte[] iv, byte[] aad, int tagBits) {
    if (iv.length != 0 && iv.length < 12) {
      throw new IllegalArgumentException(
          "IV of " + iv.length + " bytes; 0 or at least 12 expected");
    }
    return Mechanism.newBuilder()
        .setMechanism(Ckm.CKM_AES_GCM)
        .setAESGCMParameter(
            AESGCMParm.newBuilder()
                .setIv(ByteString.copyFrom(iv))
                .setAad(ByteString.copyFrom(aad))
                .setTagBits(tagBits))
        .build();
  }

  /**
   * AES-CTR with the whole block as counter. It does not authenticate. Extension of this gateway.
   *
   * @param counterBlock the first counter block, 16 bytes
   */
  public static Mechanism aesCtr(byte[] counterBlock) {
    return Mechanism.newBuilder()
        .setMechanism(Ckm.CKM_AES_CTR)
        .setAESCTRParameter(
            AESCTRParm.newBuilder()
                .setCounterBits(128)
                .setCounterBlock(ByteString.copyFrom(block(counterBlock, "counter block"))))
        .build();
  }

  /** RSAES-OAEP with one hash for label and mask, and an empty label (RFC 8017, 7.1). */
  public static Mechanism rsaOaep(Hash hash) {
    return rsaOaep(hash, hash, new byte[0]);
  }

  /** RSAES-OAEP (RFC 8017, 7.1); an empty {@code label} is the usual one. */
  public static Mechanism rsaOaep(Hash hash, Hash mask, byte[] label) {
    var parameter = RSAOAEPParm.newBuilder().setHashMech(hash.mechanism()).setMgfValue(mask.mask());
    if (label.length > 0) {
      parameter
          .setEncodingParmType(RSAOAEPParm.ParmType.CkzDataSpecifiied)
          .setEncodingParm(ByteString.copyFrom(label));
    }
    return Mechanism.newBuilder()
        .setMechanism(Ckm.CKM_RSA_PKCS_OAEP)
        .setRSAOAEPParameter(parameter)
        .build();
  }

  // ---- Signature and authentication

  public static Mechanism sha256RsaPkcs() {
    return rsaPkcs(Hash.SHA256);
  }

  /** RSASSA-PKCS1-v1_5 over the data, hashed by the gateway (RFC 8017, 8.2). */
  public static Mechanism rsaPkcs(Hash hash) {
    return of(hash.rsaPkcs());
  }

  /** RSASSA-PSS over the data, hashed by the gateway, salt as long as the hash (RFC 8017, 8.1). */
  public static Mechanism rsaPss(Hash hash) {
    return rsaPss(hash, hash.bytes());
  }

  /** RSASSA-PSS over the data, hashed by the gateway. Verifying needs the same salt length. */
  public static Mechanism rsaPss(Hash hash, int saltLength) {
    if (saltLength < 0) {
      throw new IllegalArgumentException("salt of " + saltLength + " bytes");
    }
    return Mechanism.newBuilder()
        .setMechanism(hash.rsaPss())
        .setRSAPSSParameter(
            RSAPSSParm.newBuilder()
                .setHashMech(hash.mechanism())
                .setMgfValue(hash.mask())
                .setSaltByteCount(saltLength))
        .build();
  }

  /** RSASSA-PSS over a hash that the caller computed (RFC 8017, 9.1.1, from step 3 on). */
  public static Mechanism rsaPssOfHash(Hash hash, int saltLength) {
    return rsaPss(hash, saltLength).toBuilder().setMechanism(Ckm.CKM_RSA_PKCS_PSS).build();
  }

  /**
   * ECDSA over a hash that the caller computed. Signatures are {@code r ‖ s}; {@link
   * EcdsaSignature#toDer} makes what X.509 and TLS use.
   */
  public static Mechanism ecdsa() {
    return of(Ckm.CKM_ECDSA);
  }

  /** ECDSA with SHA-256 over the data; signatures as in {@link #ecdsa()}. */
  public static Mechanism ecdsaSha256() {
    return of(Ckm.CKM_ECDSA_SHA256);
  }

  public static Mechanism ecdsaSha384() {
    return of(Ckm.CKM_ECDSA_SHA384);
  }

  public static Mechanism ecdsaSha512() {
    return of(Ckm.CKM_ECDSA_SHA512);
  }

  /** Pure Ed25519 (RFC 8032, 5.1), 64-byte signatures. */
  public static Mechanism ed25519() {
    return of(Ckm.CKM_IBM_ED25519_SHA512);
  }

  public static Mechanism hmacSha256() {
    return of(Ckm.CKM_SHA256_HMAC);
  }

  public static Mechanism hmacSha512() {
    return of(Ckm.CKM_SHA512_HMAC);
  }

  public static Mechanism aesCmac() {
    return of(Ckm.CKM_AES_CMAC);
  }

  // ---- Digest

  public static Mechanism sha256() {
    return digest(Hash.SHA256);
  }

  public static Mechanism digest(Hash hash) {
    return of(hash.mechanism());
  }

  // ---- Wrapping and derivation

  /** AES key wrap with padding (RFC 5649): any length, authenticated, deterministic. */
  public static Mechanism aesKeyWrapPad() {
    return of(Ckm.CKM_AES_KEY_WRAP_PAD);
  }

  /**
   * RSA key transport of PKCS #1 v1.5, for what exists already; policy {@code strict} refuses to
   * unwrap with it. Prefer {@link #rsaOaep(Hash)}.
   */
  public static Mechanism rsaPkcsWrap() {
    return of(Ckm.CKM_RSA_PKCS);
  }

  /** Import of a public key as SubjectPublicKeyInfo, see {@link Grep11Client#importPublicKey}. */
  static Mechanism transportKey() {
    return of(Ckm.CKM_IBM_TRANSPORTKEY);
  }

  /**
   * ECDH, the shared x-coordinate itself as key value; {@code peerPoint} is uncompressed (04 …).
   */
  public static Mechanism ecdh1Derive(byte[] peerPoint) {
    return ecdh1Derive(ECDH1DeriveParm.KeyDerivationFunction.CkdNull_VALUE, peerPoint, new byte[0]);
  }

  /** ECDH with the key derivation of ANSI X9.63 over {@code hash} and {@code sharedData}. */
  public static Mechanism ecdh1Derive(Hash hash, byte[] peerPoint, byte[] sharedData) {
    return ecdh1Derive(hash.kdf(), peerPoint, sharedData);
  }

  private static Mechanism ecdh1Derive(int kdf, byte[] peerPoint, byte[] sharedData) {
    return Mechanism.newBuilder()
        .setMechanism(Ckm.CKM_ECDH1_DERIVE)
        .setECDH1DeriveParameter(
            ECDH1DeriveParm.newBuilder()
                .setKdfValue(kdf)
                .setPublicData(ByteString.copyFrom(peerPoint))
                .setSharedData(ByteString.copyFrom(sharedData)))
        .build();
  }

  private static byte[] block(byte[] value, String name) {
    if (value.length != BLOCK_BYTES) {
      throw new IllegalArgumentException(name + " of " + value.length + " bytes; 16 expected");
    }
    return value;
  }

  private Mechanisms() {}
}
