package dev.grep11.gateway.operation;

import static dev.grep11.gateway.pkcs11.Cka.*;

import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.NotBegunException;
import dev.grep11.gateway.hsm.SecretBuffer;
import dev.grep11.gateway.key.KeyForm;
import dev.grep11.gateway.key.KeySealer;
import dev.grep11.gateway.key.KeySealer.OpenedKey;
import dev.grep11.gateway.key.PublicKeyInfo;
import dev.grep11.gateway.key.WorkingKey;
import dev.grep11.gateway.operation.AttributeRules.Origin;
import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.CryptoFunction;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismCatalog;
import dev.grep11.gateway.pkcs11.MechanismFamily;
import dev.grep11.gateway.pkcs11.MechanismRow;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.gateway.pkcs11.Template;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Set;

/**
 * WrapKey and UnwrapKey. Where the token has the mechanism, the wrapped key never leaves it; the
 * forms it lacks (CBC, PKCS #1 v1.5 unwrapping, OAEP beyond SHA-1) show the value to the gateway
 * and are marked W.
 */
final class KeyTransport {
  private static final Mechanism RAW_RSA = Mechanism.of(Ckm.CKM_RSA_X_509);
  private static final Set<Long> SECRET_KEY_TYPES =
      Set.of(Ckk.CKK_AES, Ckk.CKK_DES2, Ckk.CKK_DES3, Ckk.CKK_GENERIC_SECRET);

  private final Hsm hsm;
  private final MechanismCatalog catalog;
  private final KeyAccess access;
  private final KeySealer sealer;
  private final KeyValues values;
  private final Ciphers ciphers;
  private final NewKeys newKeys;
  private final PrivateKeys privateKeys;
  private final KeyPayloads payloads;
  private final AttributeBoundTransport bound;
  private final AttributeRules rules;
  private final UnwrapFailures failures = new UnwrapFailures();
  private final boolean softwareFallback;

  KeyTransport(
      Hsm hsm,
      MechanismCatalog catalog,
      KeyAccess access,
      KeySealer sealer,
      KeyValues values,
      Ciphers ciphers,
      NewKeys newKeys,
      AttributeRules rules,
      boolean softwareFallback) {
    this.hsm = hsm;
    this.catalog = catalog;
    this.access = access;
    this.sealer = sealer;
    this.values = values;
    this.ciphers = ciphers;
    this.newKeys = newKeys;
    privateKeys = new PrivateKeys(hsm, values);
    payloads = new KeyPayloads(hsm, sealer, values, newKeys, privateKeys, rules);
    bound = new AttributeBoundTransport(hsm, access, values, payloads, rules);
    this.rules = rules;
    this.softwareFallback = softwareFallback;
  }

  /**
   * @param macKeyBlob empty but for CKM_IBM_ATTRIBUTEBOUND_WRAP
   */
  byte[] wrap(Requester by, Mechanism mechanism, byte[] blob, byte[] kekBlob, byte[] macKeyBlob) {
    var row = catalog.require(mechanism, CryptoFunction.WRAP);
    requireMacKeyOnlyWhereUsed(row, macKeyBlob);
    return switch (row.family()) {
      case RSA_PKCS, RSA_OAEP -> {
        try (var kek =
            access.borrow(
                by,
                kekBlob,
                row,
                Cko.CKO_PUBLIC_KEY,
                CKA_WRAP,
                KeyRole.WRAPPING_KEY,
                KeyForm.USE)) {
          yield wrapUnderRsa(
              row, mechanism, kek, access.openForWrapping(by, blob, kek.attributes()));
        }
      }
      case KEY_WRAP, KEY_WRAP_PAD -> {
        Parameters.requireNone(mechanism);
        try (var kek = secretKek(by, kekBlob, row, CKA_WRAP, KeyRole.WRAPPING_KEY)) {
          var key = access.openForWrapping(by, blob, kek.attributes());
          requireWrappableInToken(key);
          if (row.family() == MechanismFamily.KEY_WRAP) {
            requireSecret(key);
          }
          yield wrapInToken(Mechanism.of(row.token()), kek, key);
        }
      }
      case CBC, CBC_PAD -> {
        var cipher = Parameters.blockCipher(row, mechanism);
        try (var kek = secretKek(by, kekBlob, row, CKA_WRAP, KeyRole.WRAPPING_KEY)) {
          var key = access.openForWrapping(by, blob, kek.attributes());
          if (row.family() == MechanismFamily.CBC) {
            requireSecret(key);
            if (SecretKeys.length(key.attributes()) % Parameters.blockLength(row) != 0) {
              throw new Pkcs11Exception(
                  Ckr.CKR_KEY_SIZE_RANGE, "CBC without padding wraps whole blocks");
            }
          }
          try (var payload = payloads.open(key)) {
            yield hsm.session().encryptSecret(cipher, kek.handle(), payload);
          }
        }
      }
      case ATTRIBUTE_BOUND -> bound.wrap(by, row, mechanism, blob, kekBlob, macKeyBlob);
      default -> throw new Pkcs11Exception(Ckr.CKR_MECHANISM_INVALID, row.name());
    };
  }

  private static void requireMacKeyOnlyWhereUsed(MechanismRow row, byte[] macKeyBlob) {
    if (macKeyBlob.length > 0 && row.family() != MechanismFamily.ATTRIBUTE_BOUND) {
      throw new Pkcs11Exception(Ckr.CKR_ARGUMENTS_BAD, row.name() + " takes no MAC key");
    }
  }

  NewKey unwrap(
      Requester by,
      Mechanism mechanism,
      byte[] wrapped,
      byte[] kekBlob,
      byte[] macKeyBlob,
      Template template) {
    var row = catalog.require(mechanism, CryptoFunction.UNWRAP);
    requireMacKeyOnlyWhereUsed(row, macKeyBlob);
    if (row.family() == MechanismFamily.TRANSPORT_KEY) {
      return importPublicKey(by, mechanism, wrapped, template);
    }
    long keyType =
        template
            .ulong(CKA_KEY_TYPE)
            .orElseThrow(() ->
                new Pkcs11Exception(
                    Ckr.CKR_TEMPLATE_INCOMPLETE, "the template lacks CKA_KEY_TYPE"));
    boolean secret = SECRET_KEY_TYPES.contains(keyType);
    if (!secret && !KeyGeneration.PRIVATE_KEY_TYPES.contains(keyType)) {
      throw new Pkcs11Exception(Ckr.CKR_TEMPLATE_INCONSISTENT, "CKA_KEY_TYPE");
    }
    AttributeRules.requireKind(
        template, secret ? Cko.CKO_SECRET_KEY : Cko.CKO_PRIVATE_KEY, Set.of(keyType));
    if (row.family() == MechanismFamily.ATTRIBUTE_BOUND) {
      return bound.unwrap(by, row, mechanism, wrapped, kekBlob, macKeyBlob, template);
    }
    // The rules first: a contradiction is told before any key is opened.
    var attributes =
        secret
            ? rules.secret(template, keyType, Origin.UNWRAPPED)
            : rules.privateKey(template, keyType, null, Origin.UNWRAPPED);
    long stated = template.ulong(CKA_VALUE_LEN).orElse(0);
    if (secret && stated != 0 && !SecretKeys.isDes(keyType)) {
      attributes.put(CKA_VALUE_LEN, stated);
    }
    return switch (row.family()) {
      case RSA_PKCS, RSA_OAEP -> {
        if (!secret) {
          throw new Pkcs11Exception(
              Ckr.CKR_TEMPLATE_INCONSISTENT, row.name() + " unwraps secret keys only");
        }
        try (var kek =
            access.borrow(
                by,
                kekBlob,
                row,
                Cko.CKO_PRIVATE_KEY,
                CKA_UNWRAP,
                KeyRole.UNWRAPPING_KEY,
                KeyForm.USE)) {
          if (wrapped.length != Ciphers.modulusLength(kek)) {
            throw new Pkcs11Exception(
                Ckr.CKR_WRAPPED_KEY_LEN_RANGE, Ciphers.modulusLength(kek) + " bytes with this key");
          }
          Ciphers.requireResidue(kek, ByteBuffer.wrap(wrapped), Ckr.CKR_WRAPPED_KEY_INVALID);
          yield newKeys.secret(
              by.instance(),
              unwrapUnderRsa(by, row, mechanism, kek, wrapped, keyType, template),
              attributes,
              true);
        }
      }
      case KEY_WRAP, KEY_WRAP_PAD -> {
        Parameters.requireNone(mechanism);
        try (var kek = secretKek(by, kekBlob, row, CKA_UNWRAP, KeyRole.UNWRAPPING_KEY)) {
          if (wrapped.length < 16 || wrapped.length % 8 != 0) {
            throw new Pkcs11Exception(
                Ckr.CKR_WRAPPED_KEY_LEN_RANGE, "a multiple of 8 bytes, 16 or more");
          }
          yield secret
              ? newKeys.secret(
                  by.instance(), unwrapByKeyWrap(row, kek, wrapped, keyType), attributes, true)
              : payloads.privateKey(
                  by.instance(),
                  privateKeys.fromToken(
                      unwrapInToken(
                          row,
                          kek,
                          wrapped,
                          NewKeys.passing(Cko.CKO_PRIVATE_KEY, keyType)
                              .put(CKA_SIGN, keyType != Ckk.CKK_DH)
                              .put(CKA_DERIVE, keyType == Ckk.CKK_EC || keyType == Ckk.CKK_DH)),
                      keyType),
                  attributes);
        }
      }
      case CBC, CBC_PAD -> {
        var cipher = Parameters.blockCipher(row, mechanism);
        if (row.family() == MechanismFamily.CBC && !secret) {
          throw new Pkcs11Exception(
              Ckr.CKR_TEMPLATE_INCONSISTENT, row.name() + " unwraps secret keys only");
        }
        int block = Parameters.blockLength(row);
        if (wrapped.length == 0 || wrapped.length % block != 0) {
          throw new Pkcs11Exception(
              Ckr.CKR_WRAPPED_KEY_LEN_RANGE, "whole blocks of " + block + " bytes");
        }
        try (var kek = secretKek(by, kekBlob, row, CKA_UNWRAP, KeyRole.UNWRAPPING_KEY)) {
          var budget = failures.of(by.instance(), kek.attributes());
          budget.requireLeft();
          try (var payload = decryptPayload(row, cipher, kek, wrapped)) {
            yield payloads.key(by.instance(), payload, attributes);
          } catch (Pkcs11Exception e) {
            if (e.returnValue() == Ckr.CKR_WRAPPED_KEY_INVALID) {
              budget.spend();
            }
            throw e;
          }
        }
      }
      default -> throw new Pkcs11Exception(Ckr.CKR_MECHANISM_INVALID, row.name());
    };
  }

  private byte[] wrapUnderRsa(
      MechanismRow row, Mechanism mechanism, WorkingKey kek, OpenedKey key) {
    requireSecret(key);
    long length = SecretKeys.length(key.attributes());
    int modulusLength = Ciphers.modulusLength(kek);
    if (row.family() == MechanismFamily.RSA_PKCS) {
      Parameters.requireNone(mechanism);
      requireFits(length, RsaPadding.pkcs1Limit(modulusLength));
      return wrapInToken(Mechanism.of(row.token()), kek, key);
    }
    var oaep = Parameters.oaep(mechanism);
    requireFits(length, RsaPadding.oaepLimit(modulusLength, oaep));
    if (ciphers.isNative(oaep)) {
      return wrapInToken(mechanism, kek, key);
    }
    requireSoftware(mechanism);
    try (var value = values.open(key)) {
      return ciphers.encryptOaep(kek, oaep, value.readOnly());
    }
  }

  private byte[] wrapInToken(Mechanism mechanism, WorkingKey kek, OpenedKey key) {
    long object = sealer.export(key);
    try {
      return hsm.session().wrapKey(mechanism, kek.handle(), object);
    } finally {
      hsm.session().destroyObject(object);
    }
  }

  private long unwrapUnderRsa(
      Requester by,
      MechanismRow row,
      Mechanism mechanism,
      WorkingKey kek,
      byte[] wrapped,
      long keyType,
      Template template) {
    if (row.family() == MechanismFamily.RSA_PKCS) {
      Parameters.requireNone(mechanism);
      int length = transportedLength(keyType, template);
      requireFits(length, RsaPadding.pkcs1Limit(wrapped.length));
      var seed = ciphers.rejectionSeed(by, kek, ByteBuffer.wrap(wrapped));
      try (var encoded =
              hsm.session().decryptSecret(RAW_RSA, kek.handle(), ByteBuffer.wrap(wrapped));
          var value = SecretBuffer.allocate(length)) {
        RsaPadding.pkcs1DecodeKey(encoded.readOnly(), seed, value.buffer());
        return payloads.create(keyType, value);
      }
    }
    var oaep = Parameters.oaep(mechanism);
    if (ciphers.isNative(oaep)) {
      long object = unwrap(mechanism, kek, wrapped, NewKeys.passingSecret(keyType));
      if (tellsLength(object, keyType)) {
        return object;
      }
    } else {
      requireSoftware(mechanism);
    }
    try (var encoded =
        hsm.session().decryptSecret(RAW_RSA, kek.handle(), ByteBuffer.wrap(wrapped))) {
      var message =
          RsaPadding.oaepDecode(oaep, encoded.readOnly()).orElseThrow(KeyTransport::invalid);
      try (var value = SecretBuffer.allocate(message.length)) {
        value.buffer().put(message);
        return payloads.create(keyType, value);
      } finally {
        Arrays.fill(message, (byte) 0);
      }
    }
  }

  /** PKCS #1 v1.5 needs the length beforehand, so that a wrong padding yields a key as well. */
  private static int transportedLength(long keyType, Template template) {
    if (keyType == Ckk.CKK_DES2) {
      return 16;
    }
    if (keyType == Ckk.CKK_DES3) {
      return 24;
    }
    long length =
        template
            .ulong(CKA_VALUE_LEN)
            .orElseThrow(() ->
                new Pkcs11Exception(
                    Ckr.CKR_TEMPLATE_INCOMPLETE,
                    "the template lacks CKA_VALUE_LEN, which CKM_RSA_PKCS needs beforehand"));
    SecretKeys.requireLength(keyType, length, Policy.COMPATIBLE);
    return (int) length;
  }

  private long unwrapByKeyWrap(MechanismRow row, WorkingKey kek, byte[] wrapped, long keyType) {
    long object = unwrapInToken(row, kek, wrapped, NewKeys.passingSecret(keyType));
    if (row.family() == MechanismFamily.KEY_WRAP) {
      // RFC 3394 wraps multiples of 8 bytes, so nothing is appended to what the token exports.
      if (!softwareFallback || hasKnownLength(object, keyType)) {
        return object;
      }
      try (var value = values.openObject(object)) {
        return payloads.create(keyType, value);
      } finally {
        hsm.session().destroyObject(object);
      }
    }
    if (tellsLength(object, keyType)) {
      return object;
    }
    try (var value = hsm.session().openKeyWrapPad(kek.handle(), wrapped)) {
      return payloads.create(keyType, value);
    }
  }

  /** The object is destroyed where the question fails. */
  private boolean hasKnownLength(long object, long keyType) {
    try {
      return values.length(object, keyType).isPresent();
    } catch (Pkcs11Exception e) {
      hsm.session().destroyObject(object);
      throw e;
    }
  }

  /**
   * Whether the length of an unwrapped key is known inside the token. Otherwise the object is
   * destroyed and, with softwareFallback, made again of a value in gateway memory.
   */
  private boolean tellsLength(long object, long keyType) {
    if (hasKnownLength(object, keyType)) {
      return true;
    }
    if (softwareFallback) {
      hsm.session().destroyObject(object);
      return false;
    }
    return true;
  }

  private long unwrapInToken(
      MechanismRow row, WorkingKey kek, byte[] wrapped, Template.Builder passing) {
    return unwrap(Mechanism.of(row.token()), kek, wrapped, passing);
  }

  private long unwrap(
      Mechanism mechanism, WorkingKey kek, byte[] wrapped, Template.Builder passing) {
    try {
      return hsm.session().unwrapKey(mechanism, kek.handle(), wrapped, passing.build());
    } catch (Pkcs11Exception e) {
      if (e.retry()) {
        throw e;
      }
      // One answer whatever the cause: what is inside was not the caller's to learn.
      throw invalid();
    }
  }

  /** CBC in the token; the padding, if there is one, off-heap and in constant time. */
  private SecretBuffer decryptPayload(
      MechanismRow row, Mechanism cipher, WorkingKey kek, byte[] wrapped) {
    boolean padded = row.family() == MechanismFamily.CBC_PAD;
    var blocks = padded ? new Mechanism(unpadded(row), cipher.parameters()) : cipher;
    var payload = decryptBlocks(blocks, kek, wrapped);
    if (!padded) {
      return payload;
    }
    int length = BlockPadding.unpaddedLength(payload.readOnly(), Parameters.blockLength(row));
    if (length < 0) {
      payload.close();
      throw invalid();
    }
    return payload.truncate(length);
  }

  private SecretBuffer decryptBlocks(Mechanism cipher, WorkingKey kek, byte[] wrapped) {
    try {
      return hsm.session().decryptSecret(cipher, kek.handle(), ByteBuffer.wrap(wrapped));
    } catch (NotBegunException e) {
      throw e;
    } catch (Pkcs11Exception e) {
      if (e.retry()) {
        throw e;
      }
      throw invalid();
    }
  }

  private static long unpadded(MechanismRow row) {
    return row.token() == Ckm.CKM_AES_CBC_PAD ? Ckm.CKM_AES_CBC : Ckm.CKM_DES3_CBC;
  }

  private NewKey importPublicKey(
      Requester by, Mechanism mechanism, byte[] spki, Template template) {
    Parameters.requireNone(mechanism);
    if (spki.length == 0 || PublicKeyInfo.leadingLength(spki) != spki.length) {
      throw new Pkcs11Exception(
          Ckr.CKR_WRAPPED_KEY_INVALID, "expected a SubjectPublicKeyInfo and nothing else");
    }
    var info = PublicKeyInfo.parse(spki);
    AttributeRules.requireKind(template, Cko.CKO_PUBLIC_KEY, Set.of(info.keyType()));
    var curve = info instanceof PublicKeyInfo.Ec ec ? ec.curve() : null;
    var attributes = rules.publicKey(template, info.keyType(), curve, Origin.UNWRAPPED);
    PrivateKeys.describe(attributes, info);
    rules.requireImportable(attributes.build());
    var complete = attributes.build();
    var blob = sealer.sealPublic(by.instance(), info, complete);
    return new NewKey(blob, NewKeys.withBits(blob, info.bits()), complete);
  }

  private WorkingKey secretKek(
      Requester by, byte[] blob, MechanismRow row, long usage, KeyRole role) {
    return access.borrow(by, blob, row, Cko.CKO_SECRET_KEY, usage, role, KeyForm.USE);
  }

  private void requireSoftware(Mechanism mechanism) {
    if (!softwareFallback) {
      throw Parameters.invalid(
          mechanism,
          "with this hash, mask or label needs softwareFallback: the token has SHA-1 only");
    }
  }

  private void requireWrappableInToken(OpenedKey key) {
    if (!sealer.isSealedValue(key)) {
      return;
    }
    throw isSecret(key)
        ? new Pkcs11Exception(
            Ckr.CKR_KEY_SIZE_RANGE, "the token wraps multiples of 8 bytes only; CBC_PAD any")
        : new Pkcs11Exception(
            Ckr.CKR_KEY_NOT_WRAPPABLE, "the token wraps no Edwards or X keys; CBC_PAD does");
  }

  private static boolean isSecret(OpenedKey key) {
    return key.attributes().ulong(CKA_CLASS).orElseThrow() == Cko.CKO_SECRET_KEY;
  }

  private static void requireSecret(OpenedKey key) {
    if (!isSecret(key)) {
      throw new Pkcs11Exception(Ckr.CKR_KEY_NOT_WRAPPABLE, "this mechanism wraps secret keys only");
    }
  }

  private static void requireFits(long length, int most) {
    if (length > most) {
      throw new Pkcs11Exception(
          Ckr.CKR_KEY_SIZE_RANGE, "at most " + most + " bytes under this key");
    }
  }

  private static Pkcs11Exception invalid() {
    return DerReader.malformed();
  }
}
