package dev.grep11.gateway.rpc;

import static dev.grep11.gateway.pkcs11.Ckr.CKR_KEY_HANDLE_INVALID;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_UNWRAPPING_KEY_HANDLE_INVALID;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_WRAPPING_KEY_HANDLE_INVALID;
import static dev.grep11.gateway.pkcs11.CryptoFunction.DECRYPT;
import static dev.grep11.gateway.pkcs11.CryptoFunction.DERIVE;
import static dev.grep11.gateway.pkcs11.CryptoFunction.DIGEST;
import static dev.grep11.gateway.pkcs11.CryptoFunction.ENCRYPT;
import static dev.grep11.gateway.pkcs11.CryptoFunction.GENERATE;
import static dev.grep11.gateway.pkcs11.CryptoFunction.GENERATE_KEY_PAIR;
import static dev.grep11.gateway.pkcs11.CryptoFunction.SIGN;
import static dev.grep11.gateway.pkcs11.CryptoFunction.UNWRAP;
import static dev.grep11.gateway.pkcs11.CryptoFunction.VERIFY;
import static dev.grep11.gateway.pkcs11.CryptoFunction.WRAP;
import static dev.grep11.gateway.rpc.Codec.attributes;
import static dev.grep11.gateway.rpc.Codec.attributesAsBytes;
import static dev.grep11.gateway.rpc.Codec.bytes;
import static dev.grep11.gateway.rpc.Codec.key;
import static dev.grep11.gateway.rpc.Codec.keyBlob;
import static dev.grep11.gateway.rpc.Codec.mechanism;
import static dev.grep11.gateway.rpc.Codec.required;
import static dev.grep11.gateway.rpc.Codec.template;
import static dev.grep11.gateway.rpc.Codec.types;

import dev.grep11.gateway.iam.Actions;
import dev.grep11.gateway.key.BlobDigest;
import dev.grep11.gateway.operation.Operations;
import dev.grep11.gateway.operation.Workload;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.CryptoFunction;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.DecryptSingleRequest;
import dev.grep11.proto.DecryptSingleResponse;
import dev.grep11.proto.DeriveKeyResponse;
import dev.grep11.proto.DigestSingleRequest;
import dev.grep11.proto.DigestSingleResponse;
import dev.grep11.proto.EncryptSingleRequest;
import dev.grep11.proto.EncryptSingleResponse;
import dev.grep11.proto.GenerateKeyPairResponse;
import dev.grep11.proto.GenerateKeyResponse;
import dev.grep11.proto.GenerateRandomResponse;
import dev.grep11.proto.GetAttributeValueResponse;
import dev.grep11.proto.GetMechanismInfoResponse;
import dev.grep11.proto.GetMechanismListResponse;
import dev.grep11.proto.LoginResponse;
import dev.grep11.proto.LogoutResponse;
import dev.grep11.proto.Mechanism;
import dev.grep11.proto.MechanismInfo;
import dev.grep11.proto.ReencryptSingleRequest;
import dev.grep11.proto.ReencryptSingleResponse;
import dev.grep11.proto.RewrapKeyBlobResponse;
import dev.grep11.proto.SetAttributeValueResponse;
import dev.grep11.proto.SignSingleRequest;
import dev.grep11.proto.SignSingleResponse;
import dev.grep11.proto.UnwrapKeyResponse;
import dev.grep11.proto.VerifySingleRequest;
import dev.grep11.proto.VerifySingleResponse;
import dev.grep11.proto.WrapKeyResponse;
import io.grpc.ServerServiceDefinition;
import java.nio.ByteBuffer;
import java.util.HashSet;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;

/** The GREP11 service: forty rpcs, each one expression. */
final class CryptoService {
  static final byte[] NO_KEY = {};

  private CryptoService() {}

  static ServerServiceDefinition bind(
      Operations operations, Policy policy, Routes.Services services) {
    var routes =
        new Routes(CryptoGrpc.getServiceDescriptor(), services, rpc -> actions(rpc, policy));

    routes.unary(
        CryptoGrpc.getGenerateRandomMethod(),
        _ -> Workload.INFORMATION,
        (_, r) ->
            GenerateRandomResponse.newBuilder()
                .setRnd(bytes(operations.generateRandom(r.getLen())))
                .build());

    routes.taking(
        CryptoGrpc.getDigestSingleMethod(),
        DigestSingleRequest.DATA_FIELD_NUMBER,
        (r, data) -> load(DIGEST, r.hasMech(), r.getMech(), NO_KEY, data.remaining()),
        (_, r, data) ->
            DigestSingleResponse.newBuilder()
                .setDigest(
                    bytes(operations.digestSingle(mechanism(r.hasMech(), r.getMech()), data)))
                .build());

    routes.transforming(
        CryptoGrpc.getEncryptSingleMethod(),
        EncryptSingleRequest.PLAIN_FIELD_NUMBER,
        EncryptSingleResponse.CIPHERED_FIELD_NUMBER,
        (r, data) ->
            load(
                ENCRYPT,
                r.hasMech(),
                r.getMech(),
                key("Key", r.getKeyBytes(), r.getKey()),
                data.remaining()),
        (by, r, data, memory) ->
            operations.encryptSingle(
                by,
                mechanism(r.hasMech(), r.getMech()),
                requiredKey("Key", key("Key", r.getKeyBytes(), r.getKey())),
                data,
                memory));
    routes.transforming(
        CryptoGrpc.getDecryptSingleMethod(),
        DecryptSingleRequest.CIPHERED_FIELD_NUMBER,
        DecryptSingleResponse.PLAIN_FIELD_NUMBER,
        (r, data) ->
            load(
                DECRYPT,
                r.hasMech(),
                r.getMech(),
                key("Key", r.getKeyBytes(), r.getKey()),
                data.remaining()),
        (by, r, data, memory) ->
            operations.decryptSingle(
                by,
                mechanism(r.hasMech(), r.getMech()),
                requiredKey("Key", key("Key", r.getKeyBytes(), r.getKey())),
                data,
                memory));
    routes.transforming(
        CryptoGrpc.getReencryptSingleMethod(),
        ReencryptSingleRequest.CIPHERED_FIELD_NUMBER,
        ReencryptSingleResponse.RECIPHERED_FIELD_NUMBER,
        CryptoService::reencryption,
        (by, r, data, memory) ->
            operations.reencryptSingle(
                by,
                mechanism(r.hasDecMech(), r.getDecMech()),
                requiredKey("DecKey", key("DecKey", r.getDecKeyBytes(), r.getDecKey())),
                mechanism(r.hasEncMech(), r.getEncMech()),
                requiredKey("EncKey", key("EncKey", r.getEncKeyBytes(), r.getEncKey())),
                data,
                memory));

    routes.taking(
        CryptoGrpc.getSignSingleMethod(),
        SignSingleRequest.DATA_FIELD_NUMBER,
        (r, data) ->
            load(
                SIGN,
                r.hasMech(),
                r.getMech(),
                key("PrivKey", r.getPrivKeyBytes(), r.getPrivKey()),
                data.remaining()),
        (by, r, data) ->
            SignSingleResponse.newBuilder()
                .setSignature(
                    bytes(
                        operations.signSingle(
                            by,
                            mechanism(r.hasMech(), r.getMech()),
                            requiredKey(
                                r.getMech(),
                                "PrivKey",
                                key("PrivKey", r.getPrivKeyBytes(), r.getPrivKey())),
                            data)))
                .build());
    routes.taking(
        CryptoGrpc.getVerifySingleMethod(),
        VerifySingleRequest.DATA_FIELD_NUMBER,
        (r, data) ->
            load(
                VERIFY,
                r.hasMech(),
                r.getMech(),
                key("PubKey", r.getPubKeyBytes(), r.getPubKey()),
                data.remaining()),
        (by, r, data) -> {
          operations.verifySingle(
              by,
              mechanism(r.hasMech(), r.getMech()),
              requiredKey("PubKey", key("PubKey", r.getPubKeyBytes(), r.getPubKey())),
              data,
              r.getSignature().toByteArray());
          return VerifySingleResponse.getDefaultInstance();
        });

    routes.unary(
        CryptoGrpc.getGenerateKeyMethod(),
        r -> load(GENERATE, r.hasMech(), r.getMech(), NO_KEY, 0),
        (by, r) -> {
          var made =
              operations.generateKey(
                  by, mechanism(r.hasMech(), r.getMech()), template(r.getTemplateMap()));
          return GenerateKeyResponse.newBuilder()
              .setKeyBytes(bytes(made.blob()))
              .setKey(keyBlob(made))
              .setCheckSum(bytes(made.checkSum()))
              .build();
        });
    routes.unary(
        CryptoGrpc.getGenerateKeyPairMethod(),
        r -> load(GENERATE_KEY_PAIR, r.hasMech(), r.getMech(), NO_KEY, 0),
        (by, r) -> {
          var made =
              operations.generateKeyPair(
                  by,
                  mechanism(r.hasMech(), r.getMech()),
                  template(r.getPubKeyTemplateMap()),
                  template(r.getPrivKeyTemplateMap()));
          return GenerateKeyPairResponse.newBuilder()
              .setPrivKeyBytes(bytes(made.privateKey().blob()))
              .setPrivKey(keyBlob(made.privateKey()))
              .setPubKeyBytes(bytes(made.publicKey().blob()))
              .setPubKey(keyBlob(made.publicKey()))
              .build();
        });
    routes.unary(
        CryptoGrpc.getWrapKeyMethod(),
        r -> load(WRAP, r.hasMech(), r.getMech(), key("KeK", r.getKeKBytes(), r.getKeK()), 0),
        (by, r) ->
            WrapKeyResponse.newBuilder()
                .setWrapped(
                    bytes(
                        operations.wrapKey(
                            by,
                            mechanism(r.hasMech(), r.getMech()),
                            requiredKey("Key", key("Key", r.getKeyBytes(), r.getKey())),
                            required(
                                key("KeK", r.getKeKBytes(), r.getKeK()),
                                "KeK",
                                CKR_WRAPPING_KEY_HANDLE_INVALID),
                            key("MacKey", r.getMacKeyBytes(), r.getMacKey()))))
                .build());
    routes.unary(
        CryptoGrpc.getUnwrapKeyMethod(),
        r ->
            load(
                UNWRAP,
                r.hasMech(),
                r.getMech(),
                key("KeK", r.getKeKBytes(), r.getKeK()),
                r.getWrapped().size()),
        (by, r) -> {
          var kek = key("KeK", r.getKeKBytes(), r.getKeK());
          // The import of a public key has no key-encrypting key; samples send one all the same.
          var needsKek = r.getMech().getMechanism() != Ckm.CKM_IBM_TRANSPORTKEY;
          var made =
              operations.unwrapKey(
                  by,
                  mechanism(r.hasMech(), r.getMech()),
                  r.getWrapped().toByteArray(),
                  needsKek ? required(kek, "KeK", CKR_UNWRAPPING_KEY_HANDLE_INVALID) : kek,
                  key("MacKey", r.getMacKeyBytes(), r.getMacKey()),
                  template(r.getTemplateMap()));
          return UnwrapKeyResponse.newBuilder()
              .setUnwrappedBytes(bytes(made.blob()))
              .setUnwrapped(keyBlob(made))
              .setCheckSum(bytes(made.checkSum()))
              .build();
        });
    routes.unary(
        CryptoGrpc.getDeriveKeyMethod(),
        r ->
            load(
                DERIVE,
                r.hasMech(),
                r.getMech(),
                key("BaseKey", r.getBaseKeyBytes(), r.getBaseKey()),
                r.getData().size()),
        (by, r) -> {
          var made =
              operations.deriveKey(
                  by,
                  mechanism(r.hasMech(), r.getMech()),
                  requiredKey(
                      r.getMech(), "BaseKey", key("BaseKey", r.getBaseKeyBytes(), r.getBaseKey())),
                  r.getData().toByteArray(),
                  template(r.getTemplateMap()));
          return DeriveKeyResponse.newBuilder()
              .setNewKeyBytes(bytes(made.blob()))
              .setNewKey(keyBlob(made))
              .setCheckSum(bytes(made.checkSum()))
              .build();
        });

    routes.unary(
        CryptoGrpc.getGetMechanismListMethod(),
        _ -> Workload.INFORMATION,
        (_, _) ->
            GetMechanismListResponse.newBuilder().addAllMechs(operations.mechanisms()).build());
    routes.unary(
        CryptoGrpc.getGetMechanismInfoMethod(),
        _ -> Workload.INFORMATION,
        (_, r) -> {
          var info = operations.mechanismInfo(r.getMech());
          return GetMechanismInfoResponse.newBuilder()
              .setMechInfo(
                  MechanismInfo.newBuilder()
                      .setMinKeySize(info.minKeySize())
                      .setMaxKeySize(info.maxKeySize())
                      .setFlags(info.flags()))
              .build();
        });
    routes.unary(
        CryptoGrpc.getGetAttributeValueMethod(),
        _ -> Workload.INFORMATION,
        (by, r) -> {
          var found =
              operations.attributes(
                  by,
                  requiredKey("Object", r.getObject().toByteArray()),
                  types(r.getAttributesBytesMap(), r.getAttributesMap()));
          return GetAttributeValueResponse.newBuilder()
              .putAllAttributes(attributes(found))
              .putAllAttributesBytes(attributesAsBytes(found))
              .build();
        });
    routes.unary(
        CryptoGrpc.getSetAttributeValueMethod(),
        _ -> Workload.INFORMATION,
        (by, r) ->
            SetAttributeValueResponse.newBuilder()
                .setObject(
                    bytes(
                        operations.setAttributes(
                            by,
                            requiredKey("Object", r.getObject().toByteArray()),
                            template(r.getAttributesBytesMap(), r.getAttributesMap()))))
                .build());

    routes.unary(
        CryptoGrpc.getLoginMethod(),
        _ -> Workload.INFORMATION,
        (by, r) ->
            LoginResponse.newBuilder()
                .setPinblob(bytes(operations.login(by, r.getPin().toByteArray())))
                .build());
    routes.unary(
        CryptoGrpc.getLogoutMethod(),
        _ -> Workload.INFORMATION,
        (_, _) -> LogoutResponse.getDefaultInstance());

    PartedRoutes.bind(routes, operations.parts());

    routes.unary(
        CryptoGrpc.getRewrapKeyBlobMethod(),
        _ -> Workload.REWRAP,
        (by, r) -> {
          var made =
              operations.rewrap(
                  by,
                  requiredKey(
                      "WrappedKey", key("WrappedKey", r.getWrappedKeyBytes(), r.getWrappedKey())));
          return RewrapKeyBlobResponse.newBuilder()
              .setRewrappedKeyBytes(bytes(made.blob()))
              .setRewrappedKey(keyBlob(made))
              .build();
        });

    return routes.bind();
  }

  /**
   * The published Reader may set attributes. Under {@link Policy#STRICT} who makes keys may, and a
   * Reader may not (security rules 2.11).
   */
  static Set<String> actions(String rpc, Policy policy) {
    var needed = Actions.ofRpc(rpc);
    return switch (policy) {
      case COMPATIBLE -> needed;
      case STRICT -> {
        if (!rpc.equals("SetAttributeValue")) {
          yield needed;
        }
        var more = new HashSet<>(needed);
        more.addAll(Actions.ofRpc("GenerateKey"));
        yield Set.copyOf(more);
      }
    };
  }

  static Workload load(
      CryptoFunction function,
      boolean present,
      Mechanism mechanism,
      byte[] key,
      int payloadLength) {
    return new Workload(
        Optional.of(function),
        present ? OptionalLong.of(mechanism.getMechanism()) : OptionalLong.empty(),
        BlobDigest.of(key),
        payloadLength,
        false);
  }

  /**
   * Two keys, of which either may have to be unwrapped: never cheap, whatever the mechanisms are.
   */
  static Workload reencryption(ReencryptSingleRequest r, ByteBuffer data) {
    return new Workload(
        Optional.empty(),
        r.hasDecMech() ? OptionalLong.of(r.getDecMech().getMechanism()) : OptionalLong.empty(),
        Optional.empty(),
        data.remaining(),
        false);
  }

  static byte[] requiredKey(String role, byte[] blob) {
    return required(blob, role, CKR_KEY_HANDLE_INVALID);
  }

  /** Aggregation of BLS keys and signatures is the one mechanism without a key. */
  private static byte[] requiredKey(Mechanism mechanism, String role, byte[] blob) {
    return mechanism.getMechanism() == Ckm.CKM_IBM_EC_AGGREGATE ? blob : requiredKey(role, blob);
  }
}
