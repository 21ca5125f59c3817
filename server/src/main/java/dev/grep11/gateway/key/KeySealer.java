package dev.grep11.gateway.key;

import static dev.grep11.gateway.pkcs11.Cka.*;

import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.SecretBuffer;
import dev.grep11.gateway.hsm.Session;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismParameters.AesGcm;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Template;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.Optional;
import java.util.UUID;

/**
 * Turns keys in the token into blobs and blobs into keys in the token. Calls use the session of the
 * calling thread; the keys that seal never leave the token. Format and reasons: docs/key-blob.md.
 */
public final class KeySealer {
  private static final Mechanism WRAP = Mechanism.of(Ckm.CKM_AES_KEY_WRAP_PAD);
  private static final Mechanism MAC = Mechanism.of(Ckm.CKM_SHA256_HMAC);
  private static final int SALT_LENGTH = 16;
  private static final int GCM_IV_LENGTH = 12;

  private final Hsm hsm;
  private final Keyring keyring;
  private final boolean privateObjects;
  private final boolean softwareFallback;

  /**
   * @param privateObjects whether working copies carry CKA_PRIVATE; public ones are faster on
   *     SoftHSM and as well protected as the process that holds the login
   * @param softwareFallback whether keys that the token cannot wrap may pass through gateway memory
   */
  public KeySealer(Hsm hsm, Keyring keyring, boolean privateObjects, boolean softwareFallback) {
    this.hsm = hsm;
    this.keyring = keyring;
    this.privateObjects = privateObjects;
    this.softwareFallback = softwareFallback;
  }

  /** What a blob proved to be. */
  public sealed interface Opened {
    Template attributes();

    /** What it was sealed with; empty for a bare public key. */
    Optional<SealingKeys> keys();
  }

  /** A private or secret key whose MAC was right. */
  public static final class OpenedKey implements Opened {
    private final SealedKey blob;
    private final SealingKeys keys;

    private OpenedKey(SealedKey blob, SealingKeys keys) {
      this.blob = blob;
      this.keys = keys;
    }

    @Override
    public Template attributes() {
      return blob.attributes();
    }

    @Override
    public Optional<SealingKeys> keys() {
      return Optional.of(keys);
    }
  }

  /**
   * A public key: with its attributes when it had a trailer and that was right; bare otherwise,
   * with the right to verify and nothing else.
   */
  public record OpenedPublicKey(PublicKeyInfo key, Template attributes, Optional<SealingKeys> keys)
      implements Opened {
    public boolean bare() {
      return keys.isEmpty();
    }
  }

  /** Seals the extractable temporary object that is to become a key with these attributes. */
  public byte[] seal(UUID instance, long object, Template attributes) {
    return seal(keyring.active(instance), object, attributes);
  }

  private byte[] seal(SealingKeys keys, long object, Template attributes) {
    var session = hsm.session();
    boolean extractable = attributes.isTrue(CKA_EXTRACTABLE);
    var wrapped = session.wrapKey(WRAP, extractable ? keys.kekX() : keys.kekN(), object);
    var sealing = extractable ? Sealing.KEK_X : Sealing.KEK_N;
    if (wrapped.length < 16 || wrapped.length % 8 != 0) {
      // RFC 5649, 4.1. Sealed, it would be a key that is lost when it is first used.
      throw new Pkcs11Exception(Ckr.CKR_DEVICE_ERROR, "the token wrapped a part of the key");
    }
    requireLength(attributes, wrapped.length);
    return encode(session, keys, sealing, attributes, wrapped);
  }

  /** Seals the value of a key that the token cannot wrap. */
  public byte[] sealValue(UUID instance, SecretBuffer value, Template attributes) {
    return sealValue(keyring.active(instance), value, attributes);
  }

  private byte[] sealValue(SealingKeys keys, SecretBuffer value, Template attributes) {
    var session = hsm.session();
    var iv = session.random(GCM_IV_LENGTH);
    var encrypted = session.encryptSecret(valueMechanism(iv), keys.valueKey(), value);
    var sealed = Arrays.copyOf(iv, iv.length + encrypted.length);
    System.arraycopy(encrypted, 0, sealed, iv.length, encrypted.length);
    return encode(session, keys, Sealing.VALUE, attributes, sealed);
  }

  /** A public key with attributes under the instance's MAC. */
  public byte[] sealPublic(UUID instance, PublicKeyInfo key, Template attributes) {
    return sealPublic(keyring.active(instance), key, attributes);
  }

  /**
   * The same key with other attributes. Making it non-extractable moves it under the other KEK; a
   * key of an old generation moves to the one that seals.
   */
  public byte[] reseal(UUID instance, Opened opened, Template attributes) {
    var keys = opened.keys().map(keyring::activeOrNewer).orElseGet(() -> keyring.active(instance));
    return sealAgain(keys, opened, attributes);
  }

  /**
   * The same key under a newer generation of sealing keys that every gateway opens: the next one,
   * else the one that seals.
   *
   * @throws Pkcs11Exception CKR_IBM_WK_NOT_INITIALIZED when there is none, CKR_IBM_BLOB_ERROR for a
   *     bare public key
   */
  public byte[] rewrap(Opened opened) {
    var old =
        opened
            .keys()
            .orElseThrow(() ->
                new Pkcs11Exception(
                    Ckr.CKR_IBM_BLOB_ERROR, "a bare SubjectPublicKeyInfo is under no master key"));
    return sealAgain(keyring.newer(old), opened, opened.attributes());
  }

  private byte[] sealAgain(SealingKeys keys, Opened opened, Template attributes) {
    return switch (opened) {
      case OpenedPublicKey publicKey -> sealPublic(keys, publicKey.key(), attributes);
      case OpenedKey key -> {
        var session = hsm.session();
        boolean narrowed =
            key.blob.sealing() == Sealing.KEK_X && !attributes.isTrue(CKA_EXTRACTABLE);
        boolean rotated = !Arrays.equals(keys.masterKeyId(), key.keys.masterKeyId());
        if (!narrowed && !rotated) {
          yield encode(session, key.keys, key.blob.sealing(), attributes, key.blob.sealed());
        }
        if (key.blob.sealing() == Sealing.VALUE) {
          try (var value = value(session, key)) {
            yield sealValue(keys, value, attributes);
          }
        }
        long object = load(session, key, KeyForm.EXPORT);
        try {
          yield seal(keys, object, attributes);
        } finally {
          session.destroyObject(object);
        }
      }
    };
  }

  /**
   * Checks a blob and tells what it is.
   *
   * @throws Pkcs11Exception CKR_IBM_WKID_MISMATCH for a blob of another instance or master key,
   *     CKR_IBM_BLOB_ERROR for anything that is not exactly what this gateway made
   */
  public Opened open(UUID instance, byte[] blob) {
    SealedKey.requireLength(blob);
    if (SealedKey.looksLike(blob)) {
      var sealed = SealedKey.parse(blob);
      var keys = keyring.find(instance, sealed.instance(), sealed.masterKeyId());
      requireMac(keys, sealed.macInput(), sealed.mac());
      return new OpenedKey(sealed, keys);
    }
    if (!PublicKeyInfo.looksLike(blob)) {
      throw new Pkcs11Exception(Ckr.CKR_IBM_BLOB_ERROR, "not a key blob");
    }
    int spkiLength = PublicKeyInfo.leadingLength(blob);
    if (spkiLength == blob.length) {
      var key = PublicKeyInfo.parse(blob);
      return new OpenedPublicKey(key, bareAttributes(key), Optional.empty());
    }
    // Whatever follows the SubjectPublicKeyInfo must verify: no silent downgrade to a bare key.
    var maced = MacedPublicKey.parse(blob, spkiLength);
    var keys = keyring.find(instance, maced.instance(), maced.masterKeyId());
    requireMac(keys, maced.macInput(), maced.mac());
    return new OpenedPublicKey(
        PublicKeyInfo.parse(maced.spki()), maced.attributes(), Optional.of(keys));
  }

  /**
   * Counts the use of a working copy.
   *
   * @throws Pkcs11Exception CKR_IBM_WKID_MISMATCH when what its blob was sealed with is retired
   */
  void requireLiving(WorkingKey key) {
    key.sealedWith().ifPresent(keyring::use);
  }

  /** Whether the blob of a working copy would still open. */
  boolean lives(WorkingKey key) {
    return key.sealedWith().map(keyring::lives).orElse(true);
  }

  /** Makes a session object of the key in that session. */
  long load(Session session, Opened opened, KeyForm form) {
    return switch (opened) {
      case OpenedPublicKey publicKey -> session.createObject(publicTemplate(publicKey));
      case OpenedKey key ->
          switch (key.blob.sealing()) {
            case KEK_N, KEK_X -> unwrap(session, key, form);
            case VALUE -> {
              try (var value = value(session, key)) {
                yield session.createObject(valueTemplate(key.attributes(), form, value));
              }
            }
          };
    };
  }

  /** An extractable copy in the calling thread's session, which the caller destroys. */
  public long export(OpenedKey key) {
    return load(hsm.session(), key, KeyForm.EXPORT);
  }

  /** Whether the token cannot wrap this key, so that it has a value to open instead. */
  public boolean isSealedValue(OpenedKey key) {
    return key.blob.sealing() == Sealing.VALUE;
  }

  /** The value of a key that the token cannot wrap. */
  public SecretBuffer openValue(OpenedKey key) {
    return value(hsm.session(), key);
  }

  /**
   * HMAC-SHA256 under the instance's first derivation root, so that the answer does not change with
   * the master key: a client that saw which ones do would know which messages are made up. The
   * label separates purposes and is free of NUL.
   */
  public byte[] derive(UUID instance, String label, byte[] input) {
    var prefix = (label + '\0').getBytes(java.nio.charset.StandardCharsets.US_ASCII);
    var message = Arrays.copyOf(prefix, prefix.length + input.length);
    System.arraycopy(input, 0, message, prefix.length, input.length);
    return hsm.session().sign(MAC, keyring.constantRoot(instance), ByteBuffer.wrap(message));
  }

  private long unwrap(Session session, OpenedKey key, KeyForm form) {
    var attributes = key.attributes();
    boolean secret = attributes.ulong(CKA_CLASS).orElseThrow() == Cko.CKO_SECRET_KEY;
    var template = secret ? secretTemplate(attributes, form) : privateTemplate(attributes, form);
    requireLength(attributes, key.blob.sealed().length);
    long kek = key.blob.sealing() == Sealing.KEK_N ? key.keys.kekN() : key.keys.kekX();
    long object = session.unwrapKey(WRAP, kek, key.blob.sealed(), template.build());
    try {
      // SoftHSM unwraps 20 bytes as an AES key without complaint, and then says 0 of its length.
      long length = hasValueLength(attributes) ? valueLength(session, object) : 0;
      if (secret && length != 0 && length != attributes.ulong(CKA_VALUE_LEN).orElseThrow()) {
        throw new Pkcs11Exception(Ckr.CKR_IBM_BLOB_ERROR, "length of the sealed key");
      }
      return object;
    } catch (Pkcs11Exception e) {
      session.destroyObject(object);
      throw e;
    }
  }

  private Template.Builder secretTemplate(Template attributes, KeyForm form) {
    long keyType =
        form == KeyForm.HMAC
            ? Ckk.CKK_GENERIC_SECRET
            : attributes.ulong(CKA_KEY_TYPE).orElseThrow();
    var template = workingCopy(Cko.CKO_SECRET_KEY, keyType, form);
    boolean uses = form == KeyForm.USE;
    // A MAC is verified by making it, since a token compares with memcmp.
    return template
        .put(CKA_SIGN, attributes.isTrue(CKA_SIGN) || attributes.isTrue(CKA_VERIFY))
        .put(CKA_VERIFY, false)
        // Wrapping by CBC is encryption of a value, and unwrapping decryption.
        .put(CKA_ENCRYPT, uses && (attributes.isTrue(CKA_ENCRYPT) || attributes.isTrue(CKA_WRAP)))
        .put(CKA_DECRYPT, uses && (attributes.isTrue(CKA_DECRYPT) || attributes.isTrue(CKA_UNWRAP)))
        .put(CKA_WRAP, uses && attributes.isTrue(CKA_WRAP))
        .put(CKA_UNWRAP, uses && attributes.isTrue(CKA_UNWRAP))
        .put(CKA_DERIVE, uses && attributes.isTrue(CKA_DERIVE));
  }

  private Template valueTemplate(Template attributes, KeyForm form, SecretBuffer value) {
    boolean secret = attributes.ulong(CKA_CLASS).orElseThrow() == Cko.CKO_SECRET_KEY;
    var template =
        secret
            ? secretTemplate(attributes, form)
            : privateTemplate(attributes, form)
                .put(CKA_EC_PARAMS, attributes.bytes(CKA_EC_PARAMS).orElseThrow());
    return template.putOffHeap(CKA_VALUE, value.buffer()).build();
  }

  private Template.Builder privateTemplate(Template attributes, KeyForm form) {
    long keyType = attributes.ulong(CKA_KEY_TYPE).orElseThrow();
    return workingCopy(Cko.CKO_PRIVATE_KEY, nativeKeyType(attributes, keyType), form)
        .put(CKA_SIGN, attributes.isTrue(CKA_SIGN))
        // Unwrapping with a padding the token lacks is raw decryption inside it.
        .put(CKA_DECRYPT, attributes.isTrue(CKA_DECRYPT) || attributes.isTrue(CKA_UNWRAP))
        .put(CKA_UNWRAP, attributes.isTrue(CKA_UNWRAP))
        .put(CKA_DERIVE, attributes.isTrue(CKA_DERIVE));
  }

  private Template publicTemplate(OpenedPublicKey key) {
    var template =
        key.key().components().toBuilder().put(CKA_TOKEN, false).put(CKA_PRIVATE, privateObjects);
    var attributes = key.attributes();
    return switch (key.key()) {
      case PublicKeyInfo.Rsa ignored ->
          template
              .put(CKA_VERIFY, attributes.isTrue(CKA_VERIFY))
              // OAEP with a hash the token lacks is raw encryption of a framed value.
              .put(CKA_ENCRYPT, attributes.isTrue(CKA_ENCRYPT) || attributes.isTrue(CKA_WRAP))
              .put(CKA_WRAP, attributes.isTrue(CKA_WRAP))
              .build();
      case PublicKeyInfo.Ec ignored -> template.put(CKA_VERIFY, true).build();
      case PublicKeyInfo.Dsa ignored -> template.put(CKA_VERIFY, true).build();
      case PublicKeyInfo.Dh ignored -> template.build();
    };
  }

  private Template.Builder workingCopy(long objectClass, long keyType, KeyForm form) {
    return Template.builder()
        .put(CKA_CLASS, objectClass)
        .put(CKA_KEY_TYPE, keyType)
        .put(CKA_TOKEN, false)
        .put(CKA_PRIVATE, privateObjects)
        .put(CKA_SENSITIVE, true)
        .put(CKA_EXTRACTABLE, form == KeyForm.EXPORT);
  }

  private SecretBuffer value(Session session, OpenedKey key) {
    if (!softwareFallback) {
      throw new Pkcs11Exception(
          Ckr.CKR_IBM_STATIC_POLICY, "the key is sealed by value, and softwareFallback is off");
    }
    var sealed = key.blob.sealed();
    if (sealed.length <= GCM_IV_LENGTH) {
      throw new Pkcs11Exception(Ckr.CKR_IBM_BLOB_ERROR, "sealed value");
    }
    return session.decryptSecret(
        valueMechanism(Arrays.copyOf(sealed, GCM_IV_LENGTH)),
        key.keys.valueKey(),
        ByteBuffer.wrap(sealed, GCM_IV_LENGTH, sealed.length - GCM_IV_LENGTH).slice());
  }

  private byte[] sealPublic(SealingKeys keys, PublicKeyInfo key, Template attributes) {
    var session = hsm.session();
    var instance = keys.instance();
    var spki = key.encoded();
    var unsigned =
        new MacedPublicKey(
            instance, keys.masterKeyId(), spki, attributes, new byte[SealedKey.MAC_LENGTH]);
    var mac = mac(session, keys, unsigned.macInput());
    keyring.requireStillOpens(keys);
    return new MacedPublicKey(instance, keys.masterKeyId(), spki, attributes, mac).encoded();
  }

  private byte[] encode(
      Session session, SealingKeys keys, Sealing sealing, Template attributes, byte[] sealed) {
    var salt = session.random(SALT_LENGTH);
    var unsigned =
        new SealedKey(
            keys.instance(),
            keys.masterKeyId(),
            sealing,
            salt,
            attributes,
            sealed,
            new byte[SealedKey.MAC_LENGTH]);
    var mac = mac(session, keys, unsigned.macInput());
    keyring.requireStillOpens(keys);
    return new SealedKey(
            keys.instance(), keys.masterKeyId(), sealing, salt, attributes, sealed, mac)
        .encoded();
  }

  private void requireMac(SealingKeys keys, byte[] input, byte[] claimed) {
    if (!MessageDigest.isEqual(mac(hsm.session(), keys, input), claimed)) {
      throw new Pkcs11Exception(Ckr.CKR_IBM_BLOB_ERROR, "the blob was altered");
    }
  }

  /** Fails when the keys of a generation are found and yet do not work. */
  static void requireWorks(Session session, SealingKeys keys) {
    mac(session, keys, keys.masterKeyId());
  }

  private static byte[] mac(Session session, SealingKeys keys, byte[] input) {
    return session.sign(MAC, keys.macKey(), ByteBuffer.wrap(input));
  }

  private static Mechanism valueMechanism(byte[] iv) {
    return new Mechanism(Ckm.CKM_AES_GCM, new AesGcm(iv, new byte[0], 128));
  }

  /** RFC 5649: the wrapped length tells the length of the key up to a multiple of 8. */
  private static void requireLength(Template attributes, int wrapped) {
    var length = attributes.ulong(CKA_VALUE_LEN);
    if (length.isPresent() && wrapped != 8 + (length.getAsLong() + 7) / 8 * 8) {
      throw new Pkcs11Exception(Ckr.CKR_KEY_SIZE_RANGE, Cka.name(CKA_VALUE_LEN));
    }
  }

  private static long valueLength(Session session, long object) {
    return session.attributes(object, CKA_VALUE_LEN).ulong(CKA_VALUE_LEN).orElseThrow();
  }

  private static boolean hasValueLength(Template attributes) {
    long keyType = attributes.ulong(CKA_KEY_TYPE).orElseThrow();
    return keyType == Ckk.CKK_AES || keyType == Ckk.CKK_GENERIC_SECRET;
  }

  private static long nativeKeyType(Template attributes, long keyType) {
    if (keyType != Ckk.CKK_EC) {
      return keyType;
    }
    var curve =
        dev.grep11.gateway.pkcs11.NamedCurve.ofParameters(
            attributes.bytes(CKA_EC_PARAMS).orElseThrow());
    return PublicKeyInfo.nativeKeyType(curve);
  }

  private static Template bareAttributes(PublicKeyInfo key) {
    return Template.builder()
        .put(CKA_CLASS, Cko.CKO_PUBLIC_KEY)
        .put(CKA_KEY_TYPE, key.keyType())
        .put(CKA_VERIFY, true)
        .build();
  }
}
