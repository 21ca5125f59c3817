package dev.grep11.gateway.operation;

import static dev.grep11.gateway.pkcs11.Cka.*;

import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.SecretBuffer;
import dev.grep11.gateway.key.KeyForm;
import dev.grep11.gateway.key.KeySealer.OpenedKey;
import dev.grep11.gateway.key.PublicKeyInfo;
import dev.grep11.gateway.key.WorkingKey;
import dev.grep11.gateway.operation.AttributeRules.Origin;
import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.CryptoFunction;
import dev.grep11.gateway.pkcs11.Hash;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismCatalog;
import dev.grep11.gateway.pkcs11.MechanismFamily;
import dev.grep11.gateway.pkcs11.MechanismParameters.Bytes;
import dev.grep11.gateway.pkcs11.MechanismParameters.Ecdh1Derive;
import dev.grep11.gateway.pkcs11.MechanismParameters.KeyDerivationString;
import dev.grep11.gateway.pkcs11.MechanismRow;
import dev.grep11.gateway.pkcs11.NamedCurve;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.gateway.pkcs11.Template;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * DeriveKey: Diffie-Hellman over elliptic curves and over primes, hashes of a key and encryptions
 * under one. Semantics section 10.
 */
final class Derivation {
  private static final Set<Long> SECRET_KEY_TYPES =
      Set.of(Ckk.CKK_AES, Ckk.CKK_DES2, Ckk.CKK_DES3, Ckk.CKK_GENERIC_SECRET);

  private final Hsm hsm;
  private final MechanismCatalog catalog;
  private final KeyAccess access;
  private final NewKeys newKeys;
  private final KeyValues values;
  private final AttributeRules rules;
  private final boolean softwareFallback;

  Derivation(
      Hsm hsm,
      MechanismCatalog catalog,
      KeyAccess access,
      NewKeys newKeys,
      KeyValues values,
      AttributeRules rules,
      boolean softwareFallback) {
    this.hsm = hsm;
    this.catalog = catalog;
    this.access = access;
    this.newKeys = newKeys;
    this.values = values;
    this.rules = rules;
    this.softwareFallback = softwareFallback;
  }

  NewKey derive(
      Requester by, Mechanism mechanism, byte[] baseBlob, byte[] data, Template template) {
    var row = catalog.require(mechanism, CryptoFunction.DERIVE);
    if (data.length > 0) {
      throw new Pkcs11Exception(Ckr.CKR_ARGUMENTS_BAD, row.name() + " takes no Data");
    }
    long keyType = keyType(row, template);
    if (!SECRET_KEY_TYPES.contains(keyType)) {
      throw new Pkcs11Exception(Ckr.CKR_TEMPLATE_INCONSISTENT, "CKA_KEY_TYPE");
    }
    AttributeRules.requireKind(template, Cko.CKO_SECRET_KEY, Set.of(keyType));
    var attributes = rules.secret(template, keyType, Origin.DERIVED);
    if (row.family() == MechanismFamily.HASH_DERIVATION) {
      Parameters.requireNone(mechanism);
      var base = access.open(by, baseBlob, row, Cko.CKO_SECRET_KEY, CKA_DERIVE, KeyRole.KEY);
      inherit(attributes, base.attributes(), template);
      return newKeys.secret(
          by.instance(), hashed(row.requireHash(), base, keyType, template), attributes, false);
    }
    long baseClass =
        row.family() == MechanismFamily.ENCRYPTED_DATA ? Cko.CKO_SECRET_KEY : Cko.CKO_PRIVATE_KEY;
    try (var base =
        access.borrow(by, baseBlob, row, baseClass, CKA_DERIVE, KeyRole.KEY, KeyForm.USE)) {
      inherit(attributes, base.attributes(), template);
      long object =
          switch (row.family()) {
            case ECDH, ECDH_RAW, XDH -> ecdh(row, mechanism, base, keyType, template);
            case DH, DH_RAW -> dh(row, mechanism, base, keyType, template);
            case ENCRYPTED_DATA -> encrypted(row, mechanism, base, keyType, template);
            default -> throw new Pkcs11Exception(Ckr.CKR_MECHANISM_INVALID, row.name());
          };
      return newKeys.secret(by.instance(), object, attributes, false);
    }
  }

  /**
   * PKCS #11 v2.40, 2.20.8 and 2.14: a hash or an encryption is a generic secret if nobody says
   * what it is. The type of an agreed secret must be said.
   */
  private static long keyType(MechanismRow row, Template template) {
    var stated = template.ulong(CKA_KEY_TYPE);
    return switch (row.family()) {
      case HASH_DERIVATION, ENCRYPTED_DATA -> stated.orElse(Ckk.CKK_GENERIC_SECRET);
      default ->
          stated.orElseThrow(() ->
              new Pkcs11Exception(Ckr.CKR_TEMPLATE_INCOMPLETE, "the template lacks CKA_KEY_TYPE"));
    };
  }

  /** PKCS #11 v2.40, C_DeriveKey for each of them: what the base key was, the new one was. */
  private static void inherit(Template.Builder attributes, Template base, Template template) {
    attributes.put(CKA_ALWAYS_SENSITIVE, base.isTrue(CKA_ALWAYS_SENSITIVE));
    attributes.put(
        CKA_NEVER_EXTRACTABLE,
        base.isTrue(CKA_NEVER_EXTRACTABLE) && !template.isTrue(CKA_EXTRACTABLE));
  }

  private long ecdh(
      MechanismRow row, Mechanism mechanism, WorkingKey base, long keyType, Template template) {
    var curve = NamedCurve.ofParameters(base.attributes().bytes(CKA_EC_PARAMS).orElseThrow());
    requireCurve(row, curve);
    var parameters =
        switch (mechanism.parameters()) {
          case Bytes(byte[] point) -> new Ecdh1Derive(Ecdh1Derive.CKD_NULL, new byte[0], point);
          case Ecdh1Derive derive -> derive;
          default ->
              throw Parameters.invalid(
                  mechanism, "needs the peer's point or CK_ECDH1_DERIVE_PARAMS");
        };
    var peer = peerPoint(mechanism, curve, parameters.publicData());
    if (parameters.kdf() == Ecdh1Derive.CKD_NULL) {
      if (parameters.sharedData().length > 0) {
        throw Parameters.invalid(mechanism, "takes no shared data with KDF null");
      }
      long length = length(row, keyType, template, curve.length());
      return agree(
          peer, base, NewKeys.passingSecret(keyType), SecretKeys.isDes(keyType) ? 0 : length);
    }
    return withKdf(mechanism, parameters, peer, base, curve, keyType, template);
  }

  private long agree(byte[] peer, WorkingKey base, Template.Builder passing, long length) {
    if (length > 0) {
      passing.put(CKA_VALUE_LEN, length);
    }
    try {
      return agreeRaw(peer, base, passing.build());
    } catch (Pkcs11Exception e) {
      if (!isFailure(e)) {
        throw e;
      }
    }
    try {
      if (readsAsOctetString(peer)) {
        return agreeRaw(octetString(peer), base, passing.build());
      }
    } catch (Pkcs11Exception e) {
      if (!isFailure(e)) {
        throw e;
      }
    }
    throw new Pkcs11Exception(Ckr.CKR_MECHANISM_PARAM_INVALID, "the peer's public value");
  }

  private long agreeRaw(byte[] peer, WorkingKey base, Template passing) {
    return hsm.session()
        .deriveKey(
            new Mechanism(
                Ckm.CKM_ECDH1_DERIVE, new Ecdh1Derive(Ecdh1Derive.CKD_NULL, new byte[0], peer)),
            base.handle(),
            passing);
  }

  /** A point that is not on the curve, or of small order, fails in the token's own way. */
  private static boolean isFailure(Pkcs11Exception e) {
    return e.returnValue() == Ckr.CKR_GENERAL_ERROR || e.returnValue() == Ckr.CKR_FUNCTION_FAILED;
  }

  /**
   * Whether a raw point happens to be a DER OCTET STRING as well: 04 and then the length of the
   * rest. SoftHSM takes it for one, except on P-256, P-384 and P-521, and fails; one point in 256.
   */
  private static boolean readsAsOctetString(byte[] point) {
    return point[0] == DerReader.OCTET_STRING
        && (point[1] == point.length - 2
            || (point[1] == (byte) 0x81 && (point[2] & 0xff) == point.length - 3));
  }

  /** The other form in which PKCS #11 v2.40 lets a token take a point. */
  private static byte[] octetString(byte[] point) {
    boolean isShort = point.length < 0x80;
    var header =
        isShort
            ? new byte[] {DerReader.OCTET_STRING, (byte) point.length}
            : new byte[] {DerReader.OCTET_STRING, (byte) 0x81, (byte) point.length};
    var encoded = Arrays.copyOf(header, header.length + point.length);
    System.arraycopy(point, 0, encoded, header.length, point.length);
    return encoded;
  }

  /** ANSI X9.63 KDF over the shared coordinate, which the gateway sees: row W. */
  private long withKdf(
      Mechanism mechanism,
      Ecdh1Derive parameters,
      byte[] peer,
      WorkingKey base,
      NamedCurve curve,
      long keyType,
      Template template) {
    var hash = kdfHash(mechanism, parameters.kdf());
    if (!softwareFallback) {
      throw Parameters.invalid(
          mechanism, "with a KDF needs softwareFallback: the token has KDF null only");
    }
    long length = length(null, keyType, template, hash.length());
    var session = hsm.session();
    long shared =
        agree(
            peer,
            base,
            NewKeys.passing(Cko.CKO_SECRET_KEY, Ckk.CKK_GENERIC_SECRET),
            curve.length());
    try (var coordinate = values.openObject(shared).truncate(curve.length());
        var key = SecretBuffer.allocate((int) length)) {
      var out = key.buffer();
      var digest = hash.newDigest();
      for (int counter = 1; out.hasRemaining(); counter++) {
        digest.update(coordinate.readOnly());
        digest.update(ByteBuffer.allocate(4).putInt(0, counter));
        var block = digest.digest(parameters.sharedData());
        out.put(block, 0, Math.min(block.length, out.remaining()));
        Arrays.fill(block, (byte) 0);
      }
      return create(keyType, key);
    } finally {
      session.destroyObject(shared);
    }
  }

  /** The leading bytes of the hash of the base key's value: PKCS #11 v2.40, 2.20.8. Row W. */
  private long hashed(Hash hash, OpenedKey base, long keyType, Template template) {
    long length = length(null, keyType, template, hash.length());
    requireAtMost(length, hash.length());
    try (var value = values.open(base);
        var key = SecretBuffer.allocate((int) length)) {
      var digest = hash.newDigest();
      digest.update(value.readOnly());
      var hashed = digest.digest();
      key.buffer().put(hashed, 0, key.size());
      Arrays.fill(hashed, (byte) 0);
      return create(keyType, key);
    }
  }

  /** The leading bytes of the data's encryption, all of it in the token: PKCS #11 v2.40, 2.14. */
  private long encrypted(
      MechanismRow row, Mechanism mechanism, WorkingKey base, long keyType, Template template) {
    if (!(mechanism.parameters() instanceof Bytes(byte[] data))
        || data.length == 0
        || data.length % Parameters.blockLength(row) != 0) {
      throw Parameters.invalid(
          mechanism, "needs data of whole blocks of " + Parameters.blockLength(row) + " bytes");
    }
    long length = length(null, keyType, template, data.length);
    requireAtMost(length, data.length);
    var passing = NewKeys.passingSecret(keyType);
    if (!SecretKeys.isDes(keyType)) {
      passing.put(CKA_VALUE_LEN, length);
    }
    return hsm.session()
        .deriveKey(
            new Mechanism(row.token(), new KeyDerivationString(data)),
            base.handle(),
            passing.build());
  }

  private static void requireAtMost(long length, int available) {
    if (length > available) {
      throw new Pkcs11Exception(
          Ckr.CKR_KEY_SIZE_RANGE, "the mechanism gives %d bytes".formatted(available));
    }
  }

  /** A passing object of a derived value; PKCS #11 v2.40 wants the parity of a DES key right. */
  private long create(long keyType, SecretBuffer value) {
    if (SecretKeys.isDes(keyType)) {
      SecretKeys.setOddParity(value.buffer());
    }
    return hsm.session()
        .createObject(NewKeys.passingSecret(keyType).putOffHeap(CKA_VALUE, value.buffer()).build());
  }

  private long dh(
      MechanismRow row, Mechanism mechanism, WorkingKey base, long keyType, Template template) {
    if (!(mechanism.parameters() instanceof Bytes(byte[] value)) || value.length == 0) {
      throw Parameters.invalid(mechanism, "needs the peer's public value");
    }
    var group =
        DomainParameters.parseTrusted(base.attributes().bytes(CKA_IBM_STRUCT_PARAMS).orElseThrow());
    var p = group.p();
    var peer = new BigInteger(1, value);
    if (peer.compareTo(BigInteger.ONE) <= 0 || peer.compareTo(p.subtract(BigInteger.ONE)) >= 0) {
      throw Parameters.invalid(mechanism, "peer's public value out of range");
    }
    int primeLength = (p.bitLength() + 7) / 8;
    long length =
        length(
            row.type() == Ckm.CKM_IBM_DH_PKCS_DERIVE_RAW ? row : null,
            keyType,
            template,
            primeLength);
    var passing = NewKeys.passingSecret(keyType);
    if (!SecretKeys.isDes(keyType)) {
      passing.put(CKA_VALUE_LEN, length);
    }
    return hsm.session()
        .deriveKey(
            Mechanism.of(row.token(), PublicKeyInfo.unsigned(peer)),
            base.handle(),
            passing.build());
  }

  /** CKA_VALUE_LEN, or what stands for it: samples send 0 or leave it out. */
  private long length(@Nullable MechanismRow row, long keyType, Template template, int full) {
    if (SecretKeys.isDes(keyType)) {
      return SecretKeys.length(Template.builder().put(CKA_KEY_TYPE, keyType).build());
    }
    boolean raw =
        row != null
            && (row.type() == Ckm.CKM_IBM_ECDH1_DERIVE_RAW
                || row.type() == Ckm.CKM_IBM_DH_PKCS_DERIVE_RAW);
    long stated = template.ulong(CKA_VALUE_LEN).orElse(0);
    if (raw && stated != 0 && stated != full) {
      throw new Pkcs11Exception(
          Ckr.CKR_TEMPLATE_INCONSISTENT, "a raw derivation gives " + full + " bytes");
    }
    if (stated == 0 && keyType == Ckk.CKK_AES && !raw) {
      throw new Pkcs11Exception(Ckr.CKR_TEMPLATE_INCOMPLETE, "the template lacks CKA_VALUE_LEN");
    }
    long length = stated == 0 ? full : stated;
    SecretKeys.requireLength(keyType, length, Policy.COMPATIBLE);
    return length;
  }

  private static Hash kdfHash(Mechanism mechanism, long kdf) {
    return switch ((int) kdf) {
      case 2 -> Hash.SHA_1;
      case 5 -> Hash.SHA224;
      case 6 -> Hash.SHA256;
      case 7 -> Hash.SHA384;
      case 8 -> Hash.SHA512;
      default -> throw Parameters.invalid(mechanism, "has an unknown KDF");
    };
  }

  private static void requireCurve(MechanismRow row, NamedCurve curve) {
    boolean fits =
        switch (row.family()) {
          case XDH ->
              curve == (row.type() == Ckm.CKM_IBM_EC_X25519 ? NamedCurve.X25519 : NamedCurve.X448);
          default -> curve.form() == NamedCurve.Form.WEIERSTRASS;
        };
    if (!fits) {
      throw new Pkcs11Exception(
          Ckr.CKR_KEY_TYPE_INCONSISTENT, "curve of the key is not of " + row.name());
    }
  }

  /** The raw point or coordinate; also in a DER OCTET STRING or a SubjectPublicKeyInfo. */
  private static byte[] peerPoint(Mechanism mechanism, NamedCurve curve, byte[] data) {
    int length = curve.publicLength();
    if (data.length == length) {
      return data;
    }
    if (data.length > length && data[0] == DerReader.SEQUENCE) {
      if (PublicKeyInfo.parse(Arrays.copyOf(data, PublicKeyInfo.leadingLength(data)))
              instanceof PublicKeyInfo.Ec ec
          && ec.curve() == curve) {
        return ec.publicValue();
      }
    } else if (data.length > length && data[0] == DerReader.OCTET_STRING) {
      var content = new DerReader(ByteBuffer.wrap(data)).take(DerReader.OCTET_STRING);
      if (content.remaining() == length) {
        return DerReader.copy(content);
      }
    }
    throw Parameters.invalid(
        mechanism, "needs a public value of " + length + " bytes on the key's curve");
  }
}
