package dev.grep11.gateway.rpc;

import static dev.grep11.gateway.pkcs11.Ckr.CKR_ARGUMENTS_BAD;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_ATTRIBUTE_TYPE_INVALID;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_ATTRIBUTE_VALUE_INVALID;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_MECHANISM_INVALID;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_MECHANISM_PARAM_INVALID;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_TEMPLATE_INCONSISTENT;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import dev.grep11.gateway.operation.NewKey;
import dev.grep11.gateway.pkcs11.AttributeKind;
import dev.grep11.gateway.pkcs11.AttributeValue;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Hash;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismParameters;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.proto.AESCTRParm;
import dev.grep11.proto.AESGCMParm;
import dev.grep11.proto.ECDH1DeriveParm;
import dev.grep11.proto.KeyBlob;
import dev.grep11.proto.RSAOAEPParm;
import dev.grep11.proto.RSAPSSParm;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.security.SecureRandom;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/** Wire messages of both dialects to the vocabulary of PKCS #11 and back. */
final class Codec {
  /** More attributes than PKCS #11 has for any object; a longer template is an attack. */
  static final int MAX_TEMPLATE_ENTRIES = 64;

  static final int MAX_ATTRIBUTE_LENGTH = 8 * 1024;

  private static final Set<Long> BIG_INTEGERS =
      Set.of(
          Cka.CKA_MODULUS, Cka.CKA_PUBLIC_EXPONENT, Cka.CKA_PRIME, Cka.CKA_SUBPRIME, Cka.CKA_BASE);

  private static final long SALT_OF_HASH_LENGTH = 0xffff_ffffL;

  /** Vendor enum values lose their top bit on the wire, so that they fit a proto enum. */
  private static final int WIRE_VENDOR_BIT = 0x80_0000;

  private static final long HEADER_VENDOR_BIT = 0x8000_0000L;

  private static final SecureRandom RANDOM = new SecureRandom();

  private Codec() {}

  // ---- Mechanisms

  /** An absent mechanism is not number 0, which is CKM_RSA_PKCS_KEY_PAIR_GEN. */
  static Mechanism mechanism(boolean present, dev.grep11.proto.Mechanism wire) {
    if (!present) {
      throw new Pkcs11Exception(CKR_MECHANISM_INVALID, "Mech is absent");
    }
    return new Mechanism(wire.getMechanism(), parameters(wire));
  }

  private static MechanismParameters parameters(dev.grep11.proto.Mechanism wire) {
    return switch (wire.getParameterCase()) {
      case PARAMETER_NOT_SET -> MechanismParameters.None.NONE;
      // C_SignInit with a null parameter and with one of length 0 are the same.
      case PARAMETERB ->
          wire.getParameterB().isEmpty()
              ? MechanismParameters.None.NONE
              : new MechanismParameters.Bytes(wire.getParameterB().toByteArray());
      case RSAOAEPPARAMETER -> oaep(wire.getRSAOAEPParameter());
      case RSAPSSPARAMETER -> pss(wire.getRSAPSSParameter());
      case ECDH1DERIVEPARAMETER -> ecdh1(wire.getECDH1DeriveParameter());
      case AESGCMPARAMETER -> gcm(wire.getAESGCMParameter());
      case AESCTRPARAMETER -> ctr(wire.getAESCTRParameter());
      case EDDSAPARAMETER ->
          new MechanismParameters.EdDsa(
              wire.getEDDSAParameter().getPreHash(),
              wire.getEDDSAParameter().getContext().toByteArray());
      case BTCDERIVEPARAMETER -> new MechanismParameters.Unserved("BTCDeriveParameter");
      case ECSGPARAMETER -> new MechanismParameters.Unserved("ECSGParameter");
      case KYBERKEMPARAMETER -> new MechanismParameters.Unserved("KyberKEMParameter");
      case ECAGGPARAMETER -> new MechanismParameters.Unserved("ECAGGParameter");
    };
  }

  private static MechanismParameters oaep(RSAOAEPParm wire) {
    var label =
        switch (wire.getEncodingParmTypeValue()) {
          case RSAOAEPParm.ParmType.CkzNoDataSpecified_VALUE -> new byte[0];
          case RSAOAEPParm.ParmType.CkzDataSpecifiied_VALUE -> wire.getEncodingParm().toByteArray();
          default -> throw parameterInvalid("EncodingParmType");
        };
    return new MechanismParameters.RsaOaep(wire.getHashMech(), mgf(wire.getMgfValue()), label);
  }

  private static MechanismParameters pss(RSAPSSParm wire) {
    var salt = wire.getSaltByteCount();
    if (Long.compareUnsigned(salt, SALT_OF_HASH_LENGTH) > 0) {
      throw parameterInvalid("SaltByteCount");
    }
    return new MechanismParameters.RsaPss(
        wire.getHashMech(),
        mgf(wire.getMgfValue()),
        salt == SALT_OF_HASH_LENGTH
            ? Hash.ofMechanism(wire.getHashMech())
                .orElseThrow(() -> parameterInvalid("HashMech"))
                .length()
            : salt);
  }

  private static long mgf(int wire) {
    if (wire >= RSAPSSParm.Mask.CkgMgf1Sha1_VALUE && wire <= RSAPSSParm.Mask.CkgMgf1Sha224_VALUE) {
      return wire;
    }
    if (wire >= RSAPSSParm.Mask.CkgIbmMgf1Sha3_224_VALUE
        && wire <= RSAPSSParm.Mask.CkgIbmMgf1Sha3_512_VALUE) {
      return HEADER_VENDOR_BIT | (wire & ~WIRE_VENDOR_BIT);
    }
    throw parameterInvalid("Mgf");
  }

  private static MechanismParameters ecdh1(ECDH1DeriveParm wire) {
    return switch (wire.getKdfValue()) {
      case ECDH1DeriveParm.KeyDerivationFunction.CkdNull_VALUE,
          ECDH1DeriveParm.KeyDerivationFunction.CkdSha1Kdf_VALUE,
          ECDH1DeriveParm.KeyDerivationFunction.CkdSha224Kdf_VALUE,
          ECDH1DeriveParm.KeyDerivationFunction.CkdSha256Kdf_VALUE,
          ECDH1DeriveParm.KeyDerivationFunction.CkdSha384Kdf_VALUE,
          ECDH1DeriveParm.KeyDerivationFunction.CkdSha512Kdf_VALUE,
          ECDH1DeriveParm.KeyDerivationFunction.CkdIbmHybridNull_VALUE ->
          new MechanismParameters.Ecdh1Derive(
              wire.getKdfValue(),
              wire.getSharedData().toByteArray(),
              wire.getPublicData().toByteArray());
      default -> throw parameterInvalid("Kdf");
    };
  }

  private static MechanismParameters gcm(AESGCMParm wire) {
    return new MechanismParameters.AesGcm(
        wire.getIv().toByteArray(),
        wire.getAad().toByteArray(),
        wire.getTagBits() == 0 ? 128 : wire.getTagBits());
  }

  private static MechanismParameters ctr(AESCTRParm wire) {
    return new MechanismParameters.AesCtr(
        wire.getCounterBits() == 0 ? 128 : wire.getCounterBits(),
        wire.getCounterBlock().toByteArray());
  }

  private static Pkcs11Exception parameterInvalid(String field) {
    return new Pkcs11Exception(CKR_MECHANISM_PARAM_INVALID, field + " has an unknown value");
  }

  // ---- Keys

  /**
   * The raw blob of a role, from the field of either dialect; empty when both are absent. Nothing
   * else that a client puts into a {@code KeyBlob} is looked at.
   */
  static byte[] key(String role, ByteString dialect1, KeyBlob dialect2) {
    var blob = dialect2.getKeyBlobsCount() == 0 ? ByteString.EMPTY : dialect2.getKeyBlobs(0);
    if (!dialect1.isEmpty() && !blob.isEmpty() && !dialect1.equals(blob)) {
      throw new Pkcs11Exception(CKR_ARGUMENTS_BAD, role + " differs between its two forms");
    }
    return (blob.isEmpty() ? dialect1 : blob).toByteArray();
  }

  /** A blob that the call cannot do without; its absence has a return value of its own. */
  static byte[] required(byte[] blob, String role, long returnValueIfAbsent) {
    if (blob.length == 0) {
      throw new Pkcs11Exception(returnValueIfAbsent, role + " is absent");
    }
    return blob;
  }

  /** A new key in the form of dialect 2; identifier and transaction number are random. */
  static KeyBlob keyBlob(NewKey key) {
    return KeyBlob.newBuilder()
        .setKeyBlobID(random(16))
        .setTxID(random(16))
        .putAllAttributes(attributes(key.attributes()))
        .addKeyBlobs(bytes(key.blob()))
        .build();
  }

  private static ByteString random(int length) {
    var bytes = new byte[length];
    RANDOM.nextBytes(bytes);
    return bytes(bytes);
  }

  // ---- Attributes

  static Template template(Map<Long, dev.grep11.proto.AttributeValue> wire) {
    checkSize(wire.size());
    var template = Template.builder();
    wire.forEach((type, value) -> template.put(type, attribute(type, value)));
    return template.build();
  }

  /** A template of which an older schema carried parts as bare bytes. */
  static Template template(
      Map<Long, ByteString> asBytes, Map<Long, dev.grep11.proto.AttributeValue> wire) {
    checkSize(asBytes.size() + wire.size());
    var template = template(wire);
    var all = template.toBuilder();
    asBytes.forEach((type, bytes) -> {
      var value = fromBytes(type, bytes.toByteArray());
      if (template.get(type).filter(other -> !other.equals(value)).isPresent()) {
        throw new Pkcs11Exception(
            CKR_ARGUMENTS_BAD, Cka.name(type) + " differs between its two forms");
      }
      all.put(type, value);
    });
    return all.build();
  }

  /** The numbers asked for; values in a question mean nothing. */
  static Set<Long> types(
      Map<Long, ByteString> asBytes, Map<Long, dev.grep11.proto.AttributeValue> wire) {
    checkSize(asBytes.size() + wire.size());
    var types = new TreeSet<Long>(Long::compareUnsigned);
    types.addAll(asBytes.keySet());
    types.addAll(wire.keySet());
    if (types.isEmpty()) {
      throw new Pkcs11Exception(CKR_ARGUMENTS_BAD, "no attribute is asked for");
    }
    return types;
  }

  private static void checkSize(int entries) {
    if (entries > MAX_TEMPLATE_ENTRIES) {
      throw new Pkcs11Exception(
          CKR_TEMPLATE_INCONSISTENT, "more than " + MAX_TEMPLATE_ENTRIES + " attributes");
    }
  }

  private static AttributeValue attribute(long type, dev.grep11.proto.AttributeValue wire) {
    return switch (wire.getOneAttrCase()) {
      case ATTRIBUTETF -> {
        if (AttributeKind.of(type) != AttributeKind.BOOL) {
          throw wrongArm(type);
        }
        yield new AttributeValue.Bool(wire.getAttributeTF());
      }
      case ATTRIBUTEI -> fromInteger(type, wire.getAttributeI());
      case ATTRIBUTEB -> fromBytes(type, wire.getAttributeB().toByteArray());
      case ONEATTR_NOT_SET -> throw valueInvalid(type, "has no value");
    };
  }

  private static AttributeValue fromInteger(long type, long value) {
    if (value < 0) {
      throw valueInvalid(type, "is negative");
    }
    return switch (AttributeKind.of(type)) {
      case BOOL -> {
        if (value > 1) {
          throw valueInvalid(type, "is neither 0 nor 1");
        }
        yield new AttributeValue.Bool(value == 1);
      }
      case ULONG -> new AttributeValue.Ulong(value);
      case BYTES -> {
        if (!BIG_INTEGERS.contains(type)) {
          throw wrongArm(type);
        }
        yield new AttributeValue.Bytes(unsigned(BigInteger.valueOf(value)));
      }
    };
  }

  private static AttributeValue fromBytes(long type, byte[] value) {
    if (value.length > MAX_ATTRIBUTE_LENGTH) {
      throw valueInvalid(type, "is longer than " + MAX_ATTRIBUTE_LENGTH + " bytes");
    }
    return switch (AttributeKind.of(type)) {
      case BOOL -> {
        if (value.length != 1 || (value[0] != 0 && value[0] != 1)) {
          throw valueInvalid(type, "is not one byte 00 or 01");
        }
        yield new AttributeValue.Bool(value[0] == 1);
      }
      case ULONG -> {
        if (value.length == 0 || value.length > Long.BYTES) {
          throw valueInvalid(type, "is not 1 to 8 bytes");
        }
        yield fromInteger(type, new BigInteger(1, value).longValue());
      }
      case BYTES ->
          new AttributeValue.Bytes(
              BIG_INTEGERS.contains(type) ? unsigned(new BigInteger(1, value)) : value);
    };
  }

  /** PKCS #11 big integer: most significant byte first, no leading zero. */
  private static byte[] unsigned(BigInteger value) {
    var bytes = value.toByteArray();
    return bytes.length > 1 && bytes[0] == 0 ? Arrays.copyOfRange(bytes, 1, bytes.length) : bytes;
  }

  private static Pkcs11Exception wrongArm(long type) {
    // A number that no header names is refused as such, so that the client looks at the right end.
    return Cka.name(type).startsWith("0x")
        ? new Pkcs11Exception(CKR_ATTRIBUTE_TYPE_INVALID, Cka.name(type) + " is not known")
        : valueInvalid(type, "is of another type");
  }

  private static Pkcs11Exception valueInvalid(long type, String why) {
    return new Pkcs11Exception(CKR_ATTRIBUTE_VALUE_INVALID, Cka.name(type) + " " + why);
  }

  /** Attributes in their canonical arms. */
  static Map<Long, dev.grep11.proto.AttributeValue> attributes(Template template) {
    var wire = new LinkedHashMap<Long, dev.grep11.proto.AttributeValue>();
    template
        .values()
        .forEach((type, value) -> {
          var arm = dev.grep11.proto.AttributeValue.newBuilder();
          switch (value) {
            case AttributeValue.Bool(var flag) -> arm.setAttributeTF(flag);
            case AttributeValue.Ulong(var number) -> arm.setAttributeI(number);
            case AttributeValue.Bytes(var bytes) -> arm.setAttributeB(bytes(bytes));
            case AttributeValue.OffHeap _, AttributeValue.Nested _ -> throw nativeOnly(type);
          }
          wire.put(type, arm.build());
        });
    return wire;
  }

  /** Attributes as bare bytes: a flag one byte, a number eight, most significant first. */
  static Map<Long, ByteString> attributesAsBytes(Template template) {
    var wire = new LinkedHashMap<Long, ByteString>();
    template
        .values()
        .forEach((type, value) ->
            wire.put(
                type,
                switch (value) {
                  case AttributeValue.Bool(var flag) -> bytes(new byte[] {(byte) (flag ? 1 : 0)});
                  case AttributeValue.Ulong(var number) ->
                      bytes(ByteBuffer.allocate(Long.BYTES).putLong(number).array());
                  case AttributeValue.Bytes(var bytes) -> bytes(bytes);
                  case AttributeValue.OffHeap _, AttributeValue.Nested _ -> throw nativeOnly(type);
                }));
    return wire;
  }

  private static IllegalStateException nativeOnly(long type) {
    return new IllegalStateException(Cka.name(type) + " must not reach the wire");
  }

  // ---- Bytes

  /** The array is handed over: nobody writes to it afterwards. */
  static ByteString bytes(byte[] handedOver) {
    return UnsafeByteOperations.unsafeWrap(handedOver);
  }
}
