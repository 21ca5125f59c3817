package dev.grep11.gateway.operation;

import static dev.grep11.gateway.pkcs11.Cka.*;

import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.Lane;
import dev.grep11.gateway.key.BlobDigest;
import dev.grep11.gateway.key.KeyForm;
import dev.grep11.gateway.key.KeySealer;
import dev.grep11.gateway.key.Keys;
import dev.grep11.gateway.key.StateSealer;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.CryptoFunction;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismCatalog;
import dev.grep11.gateway.pkcs11.MechanismFamily;
import dev.grep11.gateway.pkcs11.MechanismInfo;
import dev.grep11.gateway.pkcs11.MechanismRow;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.gateway.pkcs11.ServedBy;
import dev.grep11.gateway.pkcs11.Template;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;

/**
 * What the rpcs do. Calls run on a thread that owns a session of the token and throw {@link
 * Pkcs11Exception} for every refusal. A key argument is the raw blob; an empty one means that the
 * field was absent.
 */
public final class Operations {
  private static final long MAX_RANDOM = 1_000_000;

  /** Larger payloads would hold up the other calls of their event loop. */
  private static final int INLINE_PAYLOAD = 64 << 10;

  /** The same for a hash that runs along in the gateway: some 5 microseconds a KiB. */
  private static final int INLINE_ABSORBED = 8 << 10;

  /** What makes a key in the token of each call. */
  private static final Set<CryptoFunction> LOADING =
      EnumSet.of(CryptoFunction.WRAP, CryptoFunction.UNWRAP, CryptoFunction.DERIVE);

  private static final int MIN_PIN = 6;
  private static final int MAX_PIN = 16;
  private static final Set<Long> SECRET_VALUES =
      Set.of(
          CKA_PRIVATE_EXPONENT,
          CKA_PRIME_1,
          CKA_PRIME_2,
          CKA_EXPONENT_1,
          CKA_EXPONENT_2,
          CKA_COEFFICIENT);

  private final Hsm hsm;
  private final MechanismCatalog catalog;
  private final Keys keys;
  private final KeySealer sealer;
  private final KeyAccess access;
  private final AttributeRules rules;
  private final Ciphers ciphers;
  private final Signatures signatures;
  private final KeyGeneration generation;
  private final KeyTransport transport;
  private final Derivation derivation;
  private final PartedOperations parts;

  /**
   * @param catalog what this token and configuration offer
   * @param softwareFallback whether key values may pass through gateway memory where the token
   *     lacks a function (rows W)
   * @param bufferedBytes data that the state of an operation in parts may hold where the token
   *     cannot stop in between
   */
  public Operations(
      Hsm hsm,
      MechanismCatalog catalog,
      KeySealer sealer,
      StateSealer states,
      Keys keys,
      Policy policy,
      boolean softwareFallback,
      int bufferedBytes) {
    this.hsm = hsm;
    this.catalog = catalog;
    this.keys = keys;
    this.sealer = sealer;
    rules = new AttributeRules(policy);
    access = new KeyAccess(keys, sealer, policy);
    var values = new KeyValues(hsm, sealer, softwareFallback);
    var newKeys = new NewKeys(hsm, sealer, values, policy);
    ciphers = new Ciphers(hsm, catalog, access, sealer);
    signatures = new Signatures(hsm, catalog, access, values, softwareFallback);
    generation = new KeyGeneration(hsm, catalog, sealer, newKeys, rules, policy, softwareFallback);
    transport =
        new KeyTransport(
            hsm, catalog, access, sealer, values, ciphers, newKeys, rules, softwareFallback);
    derivation = new Derivation(hsm, catalog, access, newKeys, values, rules, softwareFallback);
    var digestedKeys = new DigestedKeys(access, values, softwareFallback);
    parts =
        new PartedOperations(
            hsm.mechanisms().keySet(),
            catalog,
            states,
            ciphers,
            signatures,
            this::digestSingle,
            digestedKeys,
            policy,
            bufferedBytes);
  }

  /** Init, Update, Final, and the calls with one part that follow an Init. */
  public PartedOperations parts() {
    return parts;
  }

  /** 1 to 1,000,000 random bytes of the token. */
  public byte[] generateRandom(long length) {
    if (length < 1 || length > MAX_RANDOM) {
      throw new Pkcs11Exception(Ckr.CKR_ARGUMENTS_BAD, "Len is 1 to 1,000,000");
    }
    return hsm.session().random((int) length);
  }

  public List<Long> mechanisms() {
    return catalog.listed();
  }

  public MechanismInfo mechanismInfo(long mechanism) {
    return catalog
        .find(mechanism)
        .orElseThrow(() ->
            new Pkcs11Exception(Ckr.CKR_MECHANISM_INVALID, Ckm.name(mechanism) + " is not offered"))
        .info();
  }

  public byte[] digestSingle(Mechanism mechanism, ByteBuffer data) {
    var row = catalog.require(mechanism, CryptoFunction.DIGEST);
    Parameters.requireNone(mechanism);
    if (!data.hasRemaining()) {
      throw new Pkcs11Exception(Ckr.CKR_DATA_LEN_RANGE, "no data");
    }
    if (row.service(CryptoFunction.DIGEST).orElseThrow().by() == ServedBy.G) {
      var digest = row.requireHash().newDigest();
      digest.update(data.duplicate());
      return digest.digest();
    }
    return hsm.session().digest(Mechanism.of(row.token()), data);
  }

  /**
   * Encrypts the data in one part.
   *
   * @param memory for a long result, which is valid until its end
   */
  public ByteBuffer encryptSingle(
      Requester by, Mechanism mechanism, byte[] key, ByteBuffer plain, CallMemory memory) {
    return ciphers.encrypt(by, mechanism, key, plain, memory);
  }

  /**
   * Decrypts the data in one part.
   *
   * @param memory for a long result, which is valid until its end
   */
  public ByteBuffer decryptSingle(
      Requester by, Mechanism mechanism, byte[] key, ByteBuffer ciphered, CallMemory memory) {
    return ciphers.decrypt(by, mechanism, key, ciphered, memory);
  }

  /**
   * Decrypts under one key and encrypts under another; the clear text is wiped.
   *
   * @param memory for a long result, which is valid until its end
   */
  public ByteBuffer reencryptSingle(
      Requester by,
      Mechanism decryption,
      byte[] decryptionKey,
      Mechanism encryption,
      byte[] encryptionKey,
      ByteBuffer ciphered,
      CallMemory memory) {
    // The second half first: a key that cannot encrypt must not cost a decryption.
    catalog.require(encryption, CryptoFunction.ENCRYPT);
    try (var clear = new CallMemory()) {
      var plain = ciphers.decrypt(by, decryption, decryptionKey, ciphered, clear);
      try {
        return ciphers.encrypt(by, encryption, encryptionKey, plain.duplicate(), memory);
      } finally {
        wipe(plain);
      }
    }
  }

  /** A short text lies on the heap, where the end of the memory does not wipe it. */
  private static void wipe(ByteBuffer text) {
    for (int i = text.position(); i < text.limit(); i++) {
      text.put(i, (byte) 0);
    }
  }

  public byte[] signSingle(Requester by, Mechanism mechanism, byte[] key, ByteBuffer data) {
    return signatures.sign(by, mechanism, key, data);
  }

  /**
   * Returns when the signature is right.
   *
   * @throws Pkcs11Exception CKR_SIGNATURE_INVALID or CKR_SIGNATURE_LEN_RANGE when it is not
   */
  public void verifySingle(
      Requester by, Mechanism mechanism, byte[] key, ByteBuffer data, byte[] signature) {
    signatures.verify(by, mechanism, key, data, signature);
  }

  public NewKey generateKey(Requester by, Mechanism mechanism, Template template) {
    return generation.generateKey(by, mechanism, template);
  }

  public NewKeyPair generateKeyPair(
      Requester by, Mechanism mechanism, Template publicTemplate, Template privateTemplate) {
    return generation.generateKeyPair(by, mechanism, publicTemplate, privateTemplate);
  }

  public byte[] wrapKey(
      Requester by, Mechanism mechanism, byte[] key, byte[] wrappingKey, byte[] macKey) {
    return transport.wrap(by, mechanism, key, wrappingKey, macKey);
  }

  public NewKey unwrapKey(
      Requester by,
      Mechanism mechanism,
      byte[] wrapped,
      byte[] unwrappingKey,
      byte[] macKey,
      Template template) {
    return transport.unwrap(by, mechanism, wrapped, unwrappingKey, macKey, template);
  }

  public NewKey deriveKey(
      Requester by, Mechanism mechanism, byte[] baseKey, byte[] data, Template template) {
    return derivation.derive(by, mechanism, baseKey, data, template);
  }

  /** The requested attributes, all or none. */
  public Template attributes(Requester by, byte[] object, Set<Long> types) {
    if (types.isEmpty()) {
      throw new Pkcs11Exception(Ckr.CKR_ARGUMENTS_BAD, "no attribute is asked for");
    }
    var attributes = access.open(by, object).attributes();
    boolean isPublic = attributes.ulong(CKA_CLASS).orElseThrow() == 2;
    var asked = Template.builder();
    for (long type : types) {
      if (SECRET_VALUES.contains(type) || (type == CKA_VALUE && !isPublic)) {
        throw new Pkcs11Exception(Ckr.CKR_ATTRIBUTE_SENSITIVE, Cka.name(type));
      }
      asked.put(
          type,
          attributes
              .get(type)
              .orElseThrow(
                  () -> new Pkcs11Exception(Ckr.CKR_ATTRIBUTE_TYPE_INVALID, Cka.name(type))));
    }
    return asked.build();
  }

  /** A new blob with these attributes; the old one stays valid with its own. */
  public byte[] setAttributes(Requester by, byte[] object, Template changes) {
    var opened = access.open(by, object);
    if (opened instanceof KeySealer.OpenedPublicKey publicKey && publicKey.bare()) {
      throw new Pkcs11Exception(
          Ckr.CKR_IBM_BLOB_ERROR, "a bare SubjectPublicKeyInfo has no attributes to set");
    }
    return sealer.reseal(by.instance(), opened, rules.changed(opened.attributes(), changes));
  }

  /**
   * The same key under a newer generation of the instance's sealing keys.
   *
   * @throws Pkcs11Exception CKR_IBM_WK_NOT_INITIALIZED when there is none that every gateway opens
   */
  public NewKey rewrap(Requester by, byte[] object) {
    var opened = access.open(by, object);
    return new NewKey(sealer.rewrap(opened), new byte[0], opened.attributes());
  }

  /** A PIN blob, which no other call takes (semantics section 1, session binding). */
  public byte[] login(Requester by, byte[] pin) {
    if (pin.length < MIN_PIN || pin.length > MAX_PIN) {
      throw new Pkcs11Exception(
          Ckr.CKR_PIN_LEN_RANGE, "a PIN has " + MIN_PIN + " to " + MAX_PIN + " bytes");
    }
    var subject = by.subject().getBytes(StandardCharsets.UTF_8);
    return sealer.derive(
        by.instance(),
        "login",
        ByteBuffer.allocate(Integer.BYTES + subject.length + pin.length)
            .putInt(subject.length)
            .put(subject)
            .put(pin)
            .array());
  }

  /**
   * Where a call belongs: the lane whose other work it may wait behind.
   *
   * @return empty when the call is so cheap on a local token that handing it over would cost more
   */
  public Optional<Lane> lane(UUID instance, Workload load) {
    if (load.absorbs()) {
      return load.payloadLength() <= INLINE_ABSORBED ? Optional.empty() : Optional.of(Lane.USE);
    }
    if (load.function().filter(LOADING::contains).isPresent()) {
      return Optional.of(Lane.LOAD);
    }
    var row =
        load.mechanism().isPresent()
            ? catalog.find(load.mechanism().getAsLong())
            : Optional.<MechanismRow>empty();
    if (load.function().isEmpty() || row.isEmpty()) {
      return Optional.of(Lane.USE);
    }
    var family = row.get().family();
    return switch (load.function().get()) {
      case GENERATE ->
          Optional.of(
              family == MechanismFamily.DSA_PARAMETERS || family == MechanismFamily.DH_PARAMETERS
                  ? Lane.PARAMETERS
                  : Lane.USE);
      case GENERATE_KEY_PAIR -> Optional.of(Lane.GENERATE);
      case WRAP, UNWRAP, DERIVE -> Optional.of(Lane.LOAD);
      case DIGEST, ENCRYPT, DECRYPT, SIGN, VERIFY -> {
        var form = family == MechanismFamily.HMAC ? KeyForm.HMAC : KeyForm.USE;
        var key = load.key();
        if (key.isPresent() && !keys.isLoaded(instance, key.get(), form)) {
          yield Optional.of(Lane.LOAD);
        }
        if (family == MechanismFamily.HMAC && !isMadeInToken(instance, row.get(), key)) {
          // Its key is opened for every call, which is the work of that lane.
          yield Optional.of(Lane.LOAD);
        }
        boolean cheap = isCheap(family) && load.payloadLength() <= INLINE_PAYLOAD;
        yield cheap ? Optional.empty() : Optional.of(Lane.USE);
      }
    };
  }

  private boolean isMadeInToken(UUID instance, MechanismRow row, Optional<BlobDigest> key) {
    return key.flatMap(digest -> keys.attributesIfLoaded(instance, digest, KeyForm.HMAC))
        .filter(attributes -> attributes.ulong(CKA_CLASS).orElse(-1) == Cko.CKO_SECRET_KEY)
        .filter(attributes -> signatures.isServedByToken(row, SecretKeys.length(attributes)))
        .isPresent();
  }

  /** Below about a tenth of a millisecond on SoftHSM: all but RSA and DSA. */
  private static boolean isCheap(MechanismFamily family) {
    return switch (family) {
      case DIGEST, ECB, CBC, CBC_PAD, CTR, GCM, HMAC, CMAC, ECDSA, ECDSA_HASHED, EDDSA -> true;
      default -> false;
    };
  }
}
