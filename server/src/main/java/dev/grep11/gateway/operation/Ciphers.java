package dev.grep11.gateway.operation;

import static dev.grep11.gateway.pkcs11.Cka.*;
import static java.nio.ByteBuffer.wrap;

import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.NotBegunException;
import dev.grep11.gateway.key.KeyForm;
import dev.grep11.gateway.key.KeySealer;
import dev.grep11.gateway.key.PublicKeyInfo;
import dev.grep11.gateway.key.WorkingKey;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.CryptoFunction;
import dev.grep11.gateway.pkcs11.Hash;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismCatalog;
import dev.grep11.gateway.pkcs11.MechanismFamily;
import dev.grep11.gateway.pkcs11.MechanismParameters.AesGcm;
import dev.grep11.gateway.pkcs11.MechanismParameters.RsaOaep;
import dev.grep11.gateway.pkcs11.MechanismRow;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Policy;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.function.Supplier;

/** Encryption and decryption in one part. */
final class Ciphers {
  private static final Mechanism RAW_RSA = Mechanism.of(Ckm.CKM_RSA_X_509);
  private static final int GCM_IV_LENGTH = 12;
  private static final byte[] NO_PREFIX = {};

  /** A block of padding, or a tag: what a ciphertext has more than its plaintext. */
  private static final int MOST_ADDED = 16;

  private final Hsm hsm;
  private final MechanismCatalog catalog;
  private final KeyAccess access;
  private final KeySealer sealer;

  Ciphers(Hsm hsm, MechanismCatalog catalog, KeyAccess access, KeySealer sealer) {
    this.hsm = hsm;
    this.catalog = catalog;
    this.access = access;
    this.sealer = sealer;
  }

  byte[] encrypt(Requester by, Mechanism mechanism, byte[] blob, ByteBuffer plain) {
    try (var memory = new CallMemory()) {
      return toArray(encrypt(by, mechanism, blob, plain, memory));
    }
  }

  /**
   * @param memory for a long result, which is valid until its end
   */
  ByteBuffer encrypt(
      Requester by, Mechanism mechanism, byte[] blob, ByteBuffer plain, CallMemory memory) {
    var row = catalog.require(mechanism, CryptoFunction.ENCRYPT);
    return switch (row.family()) {
      case RSA_PKCS -> {
        Parameters.requireNone(mechanism);
        try (var key = publicKey(by, blob, row)) {
          requireLength(plain, RsaPadding.pkcs1Limit(modulusLength(key)));
          yield wrap(hsm.session().encrypt(Mechanism.of(row.token()), key.handle(), plain));
        }
      }
      case RSA_OAEP -> {
        var oaep = Parameters.oaep(mechanism);
        try (var key = publicKey(by, blob, row)) {
          requireLength(plain, RsaPadding.oaepLimit(modulusLength(key), oaep));
          yield wrap(encryptOaep(key, oaep, plain));
        }
      }
      case ECB, CBC, CBC_PAD -> {
        var cipher = Parameters.blockCipher(row, mechanism);
        if (row.family() != MechanismFamily.CBC_PAD) {
          requireBlocks(plain, row, Ckr.CKR_DATA_LEN_RANGE);
        }
        try (var key = secretKey(by, blob, row, CKA_ENCRYPT)) {
          yield encrypt(cipher, key, plain, NO_PREFIX, memory);
        }
      }
      case CTR -> {
        Parameters.ctr(mechanism);
        try (var key = secretKey(by, blob, row, CKA_ENCRYPT)) {
          yield plain.hasRemaining()
              ? encrypt(mechanism, key, plain, NO_PREFIX, memory)
              : ByteBuffer.allocate(0);
        }
      }
      case GCM -> {
        var gcm = gcmEncryption(mechanism);
        try (var key = secretKey(by, blob, row, CKA_ENCRYPT)) {
          yield encryptGcm(row, gcm, key, plain, memory);
        }
      }
      default -> throw unserved(row);
    };
  }

  /**
   * Refuses now what {@link #encrypt} or {@link #decrypt} with this mechanism and key would refuse
   * whatever the data.
   */
  void check(Requester by, CryptoFunction function, Mechanism mechanism, byte[] blob) {
    var row = catalog.require(mechanism, function);
    boolean encrypts = function == CryptoFunction.ENCRYPT;
    switch (row.family()) {
      case RSA_PKCS -> Parameters.requireNone(mechanism);
      case RSA_OAEP -> Parameters.oaep(mechanism);
      case ECB, CBC, CBC_PAD -> Parameters.blockCipher(row, mechanism);
      case CTR -> Parameters.ctr(mechanism);
      case GCM -> {
        var _ = encrypts ? gcmEncryption(mechanism) : Parameters.gcm(mechanism);
      }
      default -> throw unserved(row);
    }
    switch (row.family()) {
      case RSA_PKCS, RSA_OAEP ->
          (encrypts ? publicKey(by, blob, row) : privateKey(by, blob, row)).close();
      default -> secretKey(by, blob, row, encrypts ? CKA_ENCRYPT : CKA_DECRYPT).close();
    }
  }

  /** Some whole blocks of a longer message, under a native mechanism without padding. */
  byte[] blocks(
      Requester by,
      CryptoFunction function,
      MechanismRow row,
      Mechanism token,
      byte[] blob,
      ByteBuffer data) {
    boolean encrypts = function == CryptoFunction.ENCRYPT;
    try (var key = secretKey(by, blob, row, encrypts ? CKA_ENCRYPT : CKA_DECRYPT)) {
      if (!data.hasRemaining()) {
        return new byte[0];
      }
      return encrypts
          ? hsm.session().encrypt(token, key.handle(), data)
          : decrypt(token, key, data);
    }
  }

  /** Two messages under one IV give away the authentication key: the HSM draws it. */
  private AesGcm gcmEncryption(Mechanism mechanism) {
    var gcm = Parameters.gcm(mechanism);
    if (access.policy() == Policy.STRICT && gcm.iv().length > 0) {
      throw Parameters.invalid(mechanism, "draws its own IV under policy strict: leave it empty");
    }
    return gcm;
  }

  byte[] decrypt(Requester by, Mechanism mechanism, byte[] blob, ByteBuffer ciphered) {
    try (var memory = new CallMemory()) {
      return toArray(decrypt(by, mechanism, blob, ciphered, memory));
    }
  }

  /**
   * @param memory for a long result, which is valid until its end
   */
  ByteBuffer decrypt(
      Requester by, Mechanism mechanism, byte[] blob, ByteBuffer ciphered, CallMemory memory) {
    var row = catalog.require(mechanism, CryptoFunction.DECRYPT);
    return switch (row.family()) {
      case RSA_PKCS -> {
        Parameters.requireNone(mechanism);
        try (var key = privateKey(by, blob, row)) {
          requireModulusLength(key, ciphered);
          requireResidue(key, ciphered, Ckr.CKR_ENCRYPTED_DATA_INVALID);
          var seed = rejectionSeed(by, key, ciphered);
          try (var encoded = hsm.session().decryptSecret(RAW_RSA, key.handle(), ciphered)) {
            yield wrap(RsaPadding.pkcs1Decode(encoded.readOnly(), seed));
          }
        }
      }
      case RSA_OAEP -> {
        var oaep = Parameters.oaep(mechanism);
        try (var key = privateKey(by, blob, row)) {
          requireModulusLength(key, ciphered);
          if (isNative(oaep)) {
            yield decrypt(mechanism, key, ciphered, memory);
          }
          requireResidue(key, ciphered, Ckr.CKR_ENCRYPTED_DATA_INVALID);
          try (var encoded = hsm.session().decryptSecret(RAW_RSA, key.handle(), ciphered)) {
            yield wrap(
                RsaPadding.oaepDecode(oaep, encoded.readOnly()).orElseThrow(Ciphers::wrongPadding));
          }
        }
      }
      case ECB, CBC, CBC_PAD -> {
        var cipher = Parameters.blockCipher(row, mechanism);
        requireBlocks(ciphered, row, Ckr.CKR_ENCRYPTED_DATA_LEN_RANGE);
        try (var key = secretKey(by, blob, row, CKA_DECRYPT)) {
          yield decrypt(cipher, key, ciphered, memory);
        }
      }
      case CTR -> {
        Parameters.ctr(mechanism);
        try (var key = secretKey(by, blob, row, CKA_DECRYPT)) {
          yield ciphered.hasRemaining()
              ? decrypt(mechanism, key, ciphered, memory)
              : ByteBuffer.allocate(0);
        }
      }
      case GCM -> {
        var gcm = Parameters.gcm(mechanism);
        try (var key = secretKey(by, blob, row, CKA_DECRYPT)) {
          yield decryptGcm(row, gcm, key, ciphered, memory);
        }
      }
      default -> throw unserved(row);
    };
  }

  /** OAEP with a public key that may wrap or encrypt. */
  byte[] encryptOaep(WorkingKey key, RsaOaep oaep, ByteBuffer message) {
    var session = hsm.session();
    if (isNative(oaep)) {
      return session.encrypt(new Mechanism(Ckm.CKM_RSA_PKCS_OAEP, oaep), key.handle(), message);
    }
    var seed = session.random(Hash.ofMechanism(oaep.hash()).orElseThrow().length());
    var encoded = RsaPadding.oaepEncode(modulusLength(key), oaep, message, seed);
    try {
      return session.encrypt(RAW_RSA, key.handle(), wrap(encoded));
    } finally {
      Arrays.fill(encoded, (byte) 0);
    }
  }

  /**
   * Whether the token removes and adds this OAEP itself: SHA-1 without label anywhere, everything
   * where it has no raw RSA for the gateway to frame.
   */
  boolean isNative(RsaOaep oaep) {
    return Parameters.isNativeOaep(oaep) || !hsm.mechanisms().containsKey(Ckm.CKM_RSA_X_509);
  }

  /**
   * What implicit rejection draws from: it depends on the key and the ciphertext alone. Not on the
   * blob: of one key a client can have many, and a wrong padding would show by their different
   * answers.
   */
  byte[] rejectionSeed(Requester by, WorkingKey key, ByteBuffer ciphered) {
    var digest = Hash.SHA256.newDigest();
    var input = ByteBuffer.allocate(64);
    input.put(digest.digest(key.attributes().bytes(CKA_PUBLIC_KEY_INFO).orElseThrow()));
    digest.update(ciphered.duplicate());
    input.put(digest.digest());
    return sealer.derive(by.instance(), "rsa implicit rejection", input.array());
  }

  static int modulusLength(WorkingKey key) {
    return (modulusBits(key) + 7) / 8;
  }

  static int modulusBits(WorkingKey key) {
    return key.publicKey() instanceof PublicKeyInfo.Rsa rsa
        ? rsa.bits()
        : (int) key.attributes().ulong(CKA_MODULUS_BITS).orElseThrow();
  }

  private ByteBuffer encryptGcm(
      MechanismRow row, AesGcm gcm, WorkingKey key, ByteBuffer plain, CallMemory memory) {
    boolean drawn = gcm.iv().length == 0;
    var iv = drawn ? hsm.session().random(GCM_IV_LENGTH) : gcm.iv();
    return encrypt(
        new Mechanism(row.token(), new AesGcm(iv, gcm.aad(), gcm.tagBits())),
        key,
        plain,
        drawn ? iv : NO_PREFIX,
        memory);
  }

  private ByteBuffer decryptGcm(
      MechanismRow row, AesGcm gcm, WorkingKey key, ByteBuffer ciphered, CallMemory memory) {
    var iv = gcm.iv();
    var rest = ciphered;
    if (iv.length == 0) {
      requireAtLeast(ciphered, GCM_IV_LENGTH);
      iv = new byte[GCM_IV_LENGTH];
      rest = ciphered.duplicate();
      rest.get(iv);
      rest = rest.slice();
    }
    requireAtLeast(rest, gcm.tagBits() / 8);
    return decrypt(
        new Mechanism(row.token(), new AesGcm(iv, gcm.aad(), gcm.tagBits())), key, rest, memory);
  }

  private static byte[] toArray(ByteBuffer result) {
    var array = new byte[result.remaining()];
    result.get(array);
    return array;
  }

  /** The prefix and then the ciphertext, which the token writes to where it stays. */
  private ByteBuffer encrypt(
      Mechanism mechanism, WorkingKey key, ByteBuffer plain, byte[] prefix, CallMemory memory) {
    if (plain.remaining() < CallMemory.WORTHWHILE) {
      var ciphered = hsm.session().encrypt(mechanism, key.handle(), plain);
      return prefix.length == 0
          ? wrap(ciphered)
          : ByteBuffer.allocate(prefix.length + ciphered.length).put(prefix).put(ciphered).flip();
    }
    var result = memory.take(prefix.length + plain.remaining() + MOST_ADDED).put(prefix);
    int length = hsm.session().encrypt(mechanism, key.handle(), plain, result);
    return result.position(0).limit(prefix.length + length);
  }

  private byte[] decrypt(Mechanism mechanism, WorkingKey key, ByteBuffer ciphered) {
    return sayingNoMore(() -> hsm.session().decrypt(mechanism, key.handle(), ciphered));
  }

  private ByteBuffer decrypt(
      Mechanism mechanism, WorkingKey key, ByteBuffer ciphered, CallMemory memory) {
    if (ciphered.remaining() < CallMemory.WORTHWHILE) {
      return wrap(decrypt(mechanism, key, ciphered));
    }
    var plain = memory.take(ciphered.remaining());
    return plain.limit(
        sayingNoMore(() -> hsm.session().decrypt(mechanism, key.handle(), ciphered, plain)));
  }

  /** Tokens disagree on how they say that padding or tag are wrong: one answer for all. */
  private static <T> T sayingNoMore(Supplier<T> decryption) {
    try {
      return decryption.get();
    } catch (NotBegunException e) {
      throw e;
    } catch (Pkcs11Exception e) {
      if (e.returnValue() == Ckr.CKR_GENERAL_ERROR
          || e.returnValue() == Ckr.CKR_ENCRYPTED_DATA_INVALID
          || e.returnValue() == Ckr.CKR_ENCRYPTED_DATA_LEN_RANGE
          || e.returnValue() == Ckr.CKR_FUNCTION_FAILED) {
        throw new Pkcs11Exception(Ckr.CKR_ENCRYPTED_DATA_INVALID, "padding or tag");
      }
      throw e;
    }
  }

  private WorkingKey publicKey(Requester by, byte[] blob, MechanismRow row) {
    return access.borrow(by, blob, row, Cko.CKO_PUBLIC_KEY, CKA_ENCRYPT, KeyRole.KEY, KeyForm.USE);
  }

  private WorkingKey privateKey(Requester by, byte[] blob, MechanismRow row) {
    return access.borrow(by, blob, row, Cko.CKO_PRIVATE_KEY, CKA_DECRYPT, KeyRole.KEY, KeyForm.USE);
  }

  private WorkingKey secretKey(Requester by, byte[] blob, MechanismRow row, long usage) {
    return access.borrow(by, blob, row, Cko.CKO_SECRET_KEY, usage, KeyRole.KEY, KeyForm.USE);
  }

  private static void requireLength(ByteBuffer data, int most) {
    if (data.remaining() > most) {
      throw new Pkcs11Exception(Ckr.CKR_DATA_LEN_RANGE, "at most " + most + " bytes with this key");
    }
  }

  private static void requireModulusLength(WorkingKey key, ByteBuffer ciphered) {
    if (ciphered.remaining() != modulusLength(key)) {
      throw new Pkcs11Exception(
          Ckr.CKR_ENCRYPTED_DATA_LEN_RANGE, modulusLength(key) + " bytes with this key");
    }
  }

  /**
   * RFC 8017, 5.1.2: a ciphertext representative is below the modulus. Both are public, so this may
   * be told; a token says of it only that something failed.
   */
  static void requireResidue(WorkingKey key, ByteBuffer ciphered, long returnValue) {
    var modulus = key.attributes().bytes(CKA_MODULUS).orElseThrow();
    var representative = new byte[ciphered.remaining()];
    ciphered.duplicate().get(representative);
    if (Arrays.compareUnsigned(representative, modulus) >= 0) {
      throw new Pkcs11Exception(returnValue, "not a number below the modulus");
    }
  }

  private static void requireBlocks(ByteBuffer data, MechanismRow row, long returnValue) {
    int block = Parameters.blockLength(row);
    if (!data.hasRemaining() || data.remaining() % block != 0) {
      throw new Pkcs11Exception(returnValue, "needs whole blocks of " + block + " bytes");
    }
  }

  private static void requireAtLeast(ByteBuffer ciphered, int length) {
    if (ciphered.remaining() < length) {
      throw new Pkcs11Exception(Ckr.CKR_ENCRYPTED_DATA_LEN_RANGE, "shorter than its IV and tag");
    }
  }

  private static Pkcs11Exception wrongPadding() {
    return new Pkcs11Exception(Ckr.CKR_ENCRYPTED_DATA_INVALID, "padding or tag");
  }

  private static Pkcs11Exception unserved(MechanismRow row) {
    return new Pkcs11Exception(Ckr.CKR_MECHANISM_INVALID, row.name());
  }
}
