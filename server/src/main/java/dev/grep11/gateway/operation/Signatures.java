package dev.grep11.gateway.operation;

import static dev.grep11.gateway.pkcs11.Cka.*;

import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.NotBegunException;
import dev.grep11.gateway.key.KeyForm;
import dev.grep11.gateway.key.PublicKeyInfo;
import dev.grep11.gateway.key.WorkingKey;
import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.CryptoFunction;
import dev.grep11.gateway.pkcs11.Hash;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismCatalog;
import dev.grep11.gateway.pkcs11.MechanismFamily;
import dev.grep11.gateway.pkcs11.MechanismParameters.RsaPss;
import dev.grep11.gateway.pkcs11.MechanismRow;
import dev.grep11.gateway.pkcs11.NamedCurve;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import org.bouncycastle.asn1.DERNull;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.x509.DigestInfo;
import org.bouncycastle.operator.DefaultDigestAlgorithmIdentifierFinder;
import org.jspecify.annotations.Nullable;

/**
 * Signatures and message authentication codes. Mechanisms that hash first do so in the gateway
 * where the token has no such mechanism; the key acts in the token either way.
 */
final class Signatures {
  private static final DefaultDigestAlgorithmIdentifierFinder DIGESTS =
      new DefaultDigestAlgorithmIdentifierFinder();

  private final Hsm hsm;
  private final MechanismCatalog catalog;
  private final KeyAccess access;
  private final KeyValues values;
  private final boolean softwareFallback;

  Signatures(
      Hsm hsm,
      MechanismCatalog catalog,
      KeyAccess access,
      KeyValues values,
      boolean softwareFallback) {
    this.hsm = hsm;
    this.catalog = catalog;
    this.access = access;
    this.values = values;
    this.softwareFallback = softwareFallback;
  }

  byte[] sign(Requester by, Mechanism mechanism, byte[] blob, ByteBuffer data) {
    var row = catalog.require(mechanism, CryptoFunction.SIGN);
    return switch (row.family()) {
      case HMAC, CMAC -> mac(by, row, mechanism, blob, CKA_SIGN, data);
      default -> {
        requireParameters(row, mechanism);
        try (var key =
            access.borrow(by, blob, row, Cko.CKO_PRIVATE_KEY, CKA_SIGN, KeyRole.KEY, KeyForm.USE)) {
          int modulusLength = row.keyTypes().contains(Ckk.CKK_RSA) ? Ciphers.modulusLength(key) : 0;
          requireCurve(row, curve(key));
          requireRoom(row, mechanism, key);
          yield hsm.session()
              .sign(
                  nativeMechanism(row, mechanism),
                  key.handle(),
                  input(row, mechanism, modulusLength, data));
        }
      }
    };
  }

  /** Signs the finished hash of a mechanism that hashes first. */
  byte[] signHash(Requester by, Mechanism mechanism, byte[] blob, byte[] hash) {
    var row = catalog.require(mechanism, CryptoFunction.SIGN);
    try (var key =
        access.borrow(by, blob, row, Cko.CKO_PRIVATE_KEY, CKA_SIGN, KeyRole.KEY, KeyForm.USE)) {
      requireParameters(row, mechanism);
      requireCurve(row, curve(key));
      requireRoom(row, mechanism, key);
      return hsm.session().sign(ofHash(row, mechanism), key.handle(), inputOfHash(row, hash));
    }
  }

  /** As {@link #verify}, of the finished hash of a mechanism that hashes first. */
  void verifyHash(Requester by, Mechanism mechanism, byte[] blob, byte[] hash, byte[] signature) {
    var row = catalog.require(mechanism, CryptoFunction.VERIFY);
    try (var key =
        access.borrow(by, blob, row, Cko.CKO_PUBLIC_KEY, CKA_VERIFY, KeyRole.KEY, KeyForm.USE)) {
      requireParameters(row, mechanism);
      requireRoom(row, mechanism, key);
      requireSignatureLength(row, KeyAccess.publicKey(key), signature);
      verifyInToken(ofHash(row, mechanism), key, inputOfHash(row, hash), signature);
    }
  }

  /**
   * Refuses now what signing or verifying with this mechanism and key would refuse whatever the
   * data.
   */
  void check(Requester by, CryptoFunction function, Mechanism mechanism, byte[] blob) {
    var row = catalog.require(mechanism, function);
    requireParameters(row, mechanism);
    try (var key =
        access.borrow(
            by,
            blob,
            row,
            objectClass(row, function),
            usage(function),
            KeyRole.KEY,
            row.family() == MechanismFamily.HMAC ? KeyForm.HMAC : KeyForm.USE)) {
      requireCurve(row, key.publicKey() instanceof PublicKeyInfo.Ec ec ? ec.curve() : curve(key));
      requireRoom(row, mechanism, key);
      if (row.family() == MechanismFamily.HMAC && !isServedByToken(row, key)) {
        requireFallback(row);
      }
    }
  }

  /** As {@link #check}, and loads nothing. */
  void checkRights(Requester by, CryptoFunction function, MechanismRow row, byte[] blob) {
    access.check(by, blob, row, objectClass(row, function), usage(function), KeyRole.KEY);
  }

  private static long objectClass(MechanismRow row, CryptoFunction function) {
    return switch (row.family()) {
      case HMAC, CMAC -> Cko.CKO_SECRET_KEY;
      default -> function == CryptoFunction.SIGN ? Cko.CKO_PRIVATE_KEY : Cko.CKO_PUBLIC_KEY;
    };
  }

  private static long usage(CryptoFunction function) {
    return function == CryptoFunction.SIGN ? CKA_SIGN : CKA_VERIFY;
  }

  void verify(Requester by, Mechanism mechanism, byte[] blob, ByteBuffer data, byte[] signature) {
    var row = catalog.require(mechanism, CryptoFunction.VERIFY);
    switch (row.family()) {
      case HMAC, CMAC -> {
        var expected = mac(by, row, mechanism, blob, CKA_VERIFY, data);
        requireSignatureLength(signature, expected.length);
        if (!MessageDigest.isEqual(expected, signature)) {
          throw new Pkcs11Exception(Ckr.CKR_SIGNATURE_INVALID, "the MAC is wrong");
        }
      }
      default -> {
        requireParameters(row, mechanism);
        try (var key =
            access.borrow(
                by, blob, row, Cko.CKO_PUBLIC_KEY, CKA_VERIFY, KeyRole.KEY, KeyForm.USE)) {
          var info = KeyAccess.publicKey(key);
          requireRoom(row, mechanism, key);
          requireSignatureLength(row, info, signature);
          int modulusLength = info instanceof PublicKeyInfo.Rsa rsa ? (rsa.bits() + 7) / 8 : 0;
          verifyInToken(
              nativeMechanism(row, mechanism),
              key,
              input(row, mechanism, modulusLength, data),
              signature);
        }
      }
    }
  }

  /**
   * Whether hash, salt and padding fit the modulus: RFC 8017, 9.1.1 and 9.2. Tokens say of it that
   * something failed, or that the signature is wrong.
   */
  private static void requireRoom(MechanismRow row, Mechanism mechanism, WorkingKey key) {
    switch (row.family()) {
      case RSA_PKCS_HASHED -> {
        int needed = inputOfHash(row, new byte[row.requireHash().length()]).remaining();
        if (needed > RsaPadding.pkcs1Limit(Ciphers.modulusLength(key))) {
          throw new Pkcs11Exception(
              Ckr.CKR_KEY_SIZE_RANGE, "the key is too short for " + row.name());
        }
      }
      case RSA_PSS, RSA_PSS_HASHED -> {
        if (mechanism.parameters() instanceof RsaPss pss) {
          long needed = Hash.ofMechanism(pss.hash()).orElseThrow().length() + pss.saltLength() + 2;
          if (needed > (Ciphers.modulusBits(key) - 1 + 7) / 8) {
            throw Parameters.invalid(mechanism, "has a salt too long for this key");
          }
        }
      }
      default -> {
        // A curve or a group takes any hash.
      }
    }
  }

  private static void requireSignatureLength(
      MechanismRow row, PublicKeyInfo key, byte[] signature) {
    switch (key) {
      case PublicKeyInfo.Rsa rsa -> requireSignatureLength(signature, (rsa.bits() + 7) / 8);
      case PublicKeyInfo.Ec ec -> {
        requireCurve(row, ec.curve());
        requireSignatureLength(signature, 2 * ec.curve().length());
      }
      case PublicKeyInfo.Dsa dsa ->
          requireSignatureLength(signature, (dsa.q().bitLength() + 7) / 8 * 2);
      case PublicKeyInfo.Dh ignored ->
          throw new Pkcs11Exception(Ckr.CKR_KEY_TYPE_INCONSISTENT, "DH keys do not sign");
    }
  }

  private void verifyInToken(Mechanism token, WorkingKey key, ByteBuffer input, byte[] signature) {
    try {
      hsm.session().verify(token, key.handle(), input, signature);
    } catch (NotBegunException e) {
      throw e;
    } catch (Pkcs11Exception e) {
      // Of a signature that is no group element or integer some tokens say only that it failed.
      if (e.returnValue() == Ckr.CKR_SIGNATURE_INVALID
          || e.returnValue() == Ckr.CKR_GENERAL_ERROR
          || e.returnValue() == Ckr.CKR_FUNCTION_FAILED) {
        throw new Pkcs11Exception(Ckr.CKR_SIGNATURE_INVALID, "the signature is wrong");
      }
      throw e;
    }
  }

  private byte[] mac(
      Requester by,
      MechanismRow row,
      Mechanism mechanism,
      byte[] blob,
      long usage,
      ByteBuffer data) {
    Parameters.requireNone(mechanism);
    if (row.hash() == null) {
      try (var key =
          access.borrow(by, blob, row, Cko.CKO_SECRET_KEY, usage, KeyRole.KEY, KeyForm.USE)) {
        boolean aes = key.attributes().ulong(CKA_KEY_TYPE).orElseThrow() == Ckk.CKK_AES;
        return hsm.session()
            .sign(Mechanism.of(aes ? Ckm.CKM_AES_CMAC : Ckm.CKM_DES3_CMAC), key.handle(), data);
      }
    }
    try (var key =
        access.borrow(by, blob, row, Cko.CKO_SECRET_KEY, usage, KeyRole.KEY, KeyForm.HMAC)) {
      if (isServedByToken(row, key)) {
        return hsm.session().sign(Mechanism.of(row.token()), key.handle(), data);
      }
    }
    requireFallback(row);
    try (var value =
        values.open(access.open(by, blob, row, Cko.CKO_SECRET_KEY, usage, KeyRole.KEY))) {
      return SoftwareHmac.of(row.requireHash(), value, data);
    }
  }

  /** SoftHSM takes no HMAC key that is shorter than the digest, and pads long ones. */
  private void requireFallback(MechanismRow row) {
    if (!softwareFallback) {
      throw new Pkcs11Exception(
          Ckr.CKR_KEY_SIZE_RANGE, "the token takes no " + row.name() + " key of this length");
    }
  }

  private boolean isServedByToken(MechanismRow row, WorkingKey key) {
    return isServedByToken(row, SecretKeys.length(key.attributes()));
  }

  /** Whether the token itself makes this HMAC with a key of so many bytes. */
  boolean isServedByToken(MechanismRow row, long keyLength) {
    var info = hsm.mechanisms().get(row.token());
    return row.token() == row.type() && info != null && keyLength >= info.minKeySize();
  }

  private static void requireParameters(MechanismRow row, Mechanism mechanism) {
    switch (row.family()) {
      case RSA_PSS, RSA_PSS_HASHED -> Parameters.pss(row, mechanism);
      case EDDSA -> Parameters.requirePureEdDsa(mechanism);
      default -> Parameters.requireNone(mechanism);
    }
  }

  private static Mechanism nativeMechanism(MechanismRow row, Mechanism mechanism) {
    return switch (row.family()) {
      case RSA_PSS, RSA_PSS_HASHED -> mechanism;
      default -> Mechanism.of(row.token());
    };
  }

  /** What the token signs: the data, or its hash where the token's mechanism has none. */
  private static ByteBuffer input(
      MechanismRow row, Mechanism mechanism, int modulusLength, ByteBuffer data) {
    return switch (row.family()) {
      case RSA_PKCS -> {
        requireInput(data, RsaPadding.pkcs1Limit(modulusLength));
        yield data;
      }
      case RSA_PSS -> {
        int length =
            mechanism.parameters() instanceof RsaPss pss
                ? Hash.ofMechanism(pss.hash()).orElseThrow().length()
                : 0;
        if (data.remaining() != length) {
          throw new Pkcs11Exception(Ckr.CKR_DATA_LEN_RANGE, "needs the hash itself");
        }
        yield data;
      }
      case RSA_X9_31 -> {
        // PKCS #11 v2.40, 2.1.7: two bytes shorter than the modulus.
        requireInput(data, modulusLength - 2);
        yield data;
      }
      case ECDSA, DSA -> {
        requireInput(data, Integer.MAX_VALUE);
        yield data;
      }
      case ECDSA_HASHED, DSA_HASHED -> {
        var digest = row.requireHash().newDigest();
        digest.update(data.duplicate());
        yield ByteBuffer.wrap(digest.digest());
      }
      default -> data;
    };
  }

  /** The token's mechanism over a finished hash. */
  private static Mechanism ofHash(MechanismRow row, Mechanism mechanism) {
    return switch (row.family()) {
      case RSA_PKCS_HASHED -> Mechanism.of(Ckm.CKM_RSA_PKCS);
      case RSA_PSS_HASHED -> new Mechanism(Ckm.CKM_RSA_PKCS_PSS, mechanism.parameters());
      case ECDSA_HASHED, DSA_HASHED -> Mechanism.of(row.token());
      default -> throw new IllegalArgumentException(row.name() + " does not hash first");
    };
  }

  private static ByteBuffer inputOfHash(MechanismRow row, byte[] hash) {
    if (row.family() != MechanismFamily.RSA_PKCS_HASHED) {
      return ByteBuffer.wrap(hash);
    }
    try {
      // RFC 8017, 9.2: the parameters are NULL, not absent.
      var algorithm = DIGESTS.find(row.requireHash().jcaName()).getAlgorithm();
      return ByteBuffer.wrap(
          new DigestInfo(new AlgorithmIdentifier(algorithm, DERNull.INSTANCE), hash).getEncoded());
    } catch (IOException e) {
      throw new IllegalStateException("DER in memory", e);
    }
  }

  private static void requireInput(ByteBuffer data, int most) {
    if (!data.hasRemaining() || data.remaining() > most) {
      throw new Pkcs11Exception(
          Ckr.CKR_DATA_LEN_RANGE,
          data.hasRemaining() ? "at most " + most + " bytes with this key" : "no data");
    }
  }

  private static @Nullable NamedCurve curve(WorkingKey key) {
    return key.attributes().bytes(CKA_EC_PARAMS).map(NamedCurve::ofParameters).orElse(null);
  }

  private static void requireCurve(MechanismRow row, @Nullable NamedCurve curve) {
    if (curve == null) {
      return;
    }
    boolean fits =
        switch (row.family()) {
          case EDDSA ->
              curve.form() == NamedCurve.Form.EDWARDS
                  && (row.type() != Ckm.CKM_IBM_ED25519_SHA512 || curve == NamedCurve.ED25519)
                  && (row.type() != Ckm.CKM_IBM_ED448_SHA3 || curve == NamedCurve.ED448);
          default -> curve.form() == NamedCurve.Form.WEIERSTRASS;
        };
    if (!fits) {
      throw new Pkcs11Exception(
          Ckr.CKR_KEY_TYPE_INCONSISTENT, "curve of the key is not of " + row.name());
    }
  }

  private static void requireSignatureLength(byte[] signature, int length) {
    if (signature.length != length) {
      throw new Pkcs11Exception(Ckr.CKR_SIGNATURE_LEN_RANGE, "needs " + length + " bytes");
    }
  }
}
