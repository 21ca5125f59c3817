package dev.grep11.gateway.rpc;

import static dev.grep11.gateway.pkcs11.Ckr.CKR_IBM_BLOB_ERROR;
import static dev.grep11.gateway.pkcs11.CryptoFunction.DECRYPT;
import static dev.grep11.gateway.pkcs11.CryptoFunction.DIGEST;
import static dev.grep11.gateway.pkcs11.CryptoFunction.ENCRYPT;
import static dev.grep11.gateway.pkcs11.CryptoFunction.SIGN;
import static dev.grep11.gateway.pkcs11.CryptoFunction.VERIFY;
import static dev.grep11.gateway.rpc.Codec.bytes;
import static dev.grep11.gateway.rpc.Codec.key;
import static dev.grep11.gateway.rpc.Codec.mechanism;
import static dev.grep11.gateway.rpc.CryptoService.NO_KEY;
import static dev.grep11.gateway.rpc.CryptoService.load;
import static dev.grep11.gateway.rpc.CryptoService.requiredKey;

import com.google.protobuf.ByteString;
import dev.grep11.gateway.key.StateHeader;
import dev.grep11.gateway.key.StateSealer;
import dev.grep11.gateway.operation.PartedOperations;
import dev.grep11.gateway.operation.Workload;
import dev.grep11.gateway.pkcs11.CryptoFunction;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.DecryptFinalResponse;
import dev.grep11.proto.DecryptInitResponse;
import dev.grep11.proto.DecryptRequest;
import dev.grep11.proto.DecryptResponse;
import dev.grep11.proto.DecryptUpdateRequest;
import dev.grep11.proto.DecryptUpdateResponse;
import dev.grep11.proto.DigestFinalResponse;
import dev.grep11.proto.DigestInitResponse;
import dev.grep11.proto.DigestKeyResponse;
import dev.grep11.proto.DigestRequest;
import dev.grep11.proto.DigestResponse;
import dev.grep11.proto.DigestUpdateRequest;
import dev.grep11.proto.DigestUpdateResponse;
import dev.grep11.proto.EncryptFinalResponse;
import dev.grep11.proto.EncryptInitResponse;
import dev.grep11.proto.EncryptRequest;
import dev.grep11.proto.EncryptResponse;
import dev.grep11.proto.EncryptUpdateRequest;
import dev.grep11.proto.EncryptUpdateResponse;
import dev.grep11.proto.SignFinalResponse;
import dev.grep11.proto.SignInitResponse;
import dev.grep11.proto.SignRequest;
import dev.grep11.proto.SignResponse;
import dev.grep11.proto.SignUpdateRequest;
import dev.grep11.proto.SignUpdateResponse;
import dev.grep11.proto.VerifyFinalResponse;
import dev.grep11.proto.VerifyInitResponse;
import dev.grep11.proto.VerifyRequest;
import dev.grep11.proto.VerifyResponse;
import dev.grep11.proto.VerifyUpdateRequest;
import dev.grep11.proto.VerifyUpdateResponse;
import java.util.Optional;
import java.util.OptionalLong;

/** The rpcs of operations in parts: Init, Update, Final, and one part after an Init. */
final class PartedRoutes {
  private PartedRoutes() {}

  static void bind(Routes routes, PartedOperations parts) {
    routes.unary(
        CryptoGrpc.getDigestInitMethod(),
        r -> load(DIGEST, r.hasMech(), r.getMech(), NO_KEY, 0),
        (by, r) ->
            DigestInitResponse.newBuilder()
                .setState(
                    bytes(parts.begin(by, DIGEST, mechanism(r.hasMech(), r.getMech()), NO_KEY)))
                .build());
    routes.taking(
        CryptoGrpc.getDigestMethod(),
        DigestRequest.DATA_FIELD_NUMBER,
        (r, data) -> continued(DIGEST, r.getState(), data.remaining()),
        (by, r, data) ->
            DigestResponse.newBuilder()
                .setDigest(bytes(parts.whole(by, DIGEST, state(r.getState()), data)))
                .build());
    routes.taking(
        CryptoGrpc.getDigestUpdateMethod(),
        DigestUpdateRequest.DATA_FIELD_NUMBER,
        (r, data) -> absorbing(DIGEST, r.getState(), data.remaining()),
        (by, r, data) -> {
          var part = parts.update(by, DIGEST, state(r.getState()), data);
          return DigestUpdateResponse.newBuilder().setState(bytes(part.state())).build();
        });
    routes.unary(
        CryptoGrpc.getDigestKeyMethod(),
        r -> absorbing(DIGEST, r.getState(), 0),
        (by, r) ->
            DigestKeyResponse.newBuilder()
                .setState(
                    bytes(
                        parts.digestKey(
                            by,
                            state(r.getState()),
                            requiredKey("Key", key("Key", r.getKeyBytes(), r.getKey())))))
                .build());
    routes.unary(
        CryptoGrpc.getDigestFinalMethod(),
        r -> continued(DIGEST, r.getState(), 0),
        (by, r) ->
            DigestFinalResponse.newBuilder()
                .setDigest(bytes(parts.finish(by, DIGEST, state(r.getState()))))
                .build());
    routes.unary(
        CryptoGrpc.getEncryptInitMethod(),
        r -> load(ENCRYPT, r.hasMech(), r.getMech(), key("Key", r.getKeyBytes(), r.getKey()), 0),
        (by, r) ->
            EncryptInitResponse.newBuilder()
                .setState(
                    bytes(
                        parts.begin(
                            by,
                            ENCRYPT,
                            mechanism(r.hasMech(), r.getMech()),
                            requiredKey("Key", key("Key", r.getKeyBytes(), r.getKey())))))
                .build());
    routes.taking(
        CryptoGrpc.getEncryptUpdateMethod(),
        EncryptUpdateRequest.PLAIN_FIELD_NUMBER,
        (r, data) -> continued(ENCRYPT, r.getState(), data.remaining()),
        (by, r, data) -> {
          var part = parts.update(by, ENCRYPT, state(r.getState()), data);
          return EncryptUpdateResponse.newBuilder()
              .setState(bytes(part.state()))
              .setCiphered(bytes(part.output()))
              .build();
        });
    routes.transforming(
        CryptoGrpc.getEncryptMethod(),
        EncryptRequest.PLAIN_FIELD_NUMBER,
        EncryptResponse.CIPHERED_FIELD_NUMBER,
        (r, data) -> continued(ENCRYPT, r.getState(), data.remaining()),
        (by, r, data, memory) -> parts.wholeCipher(by, ENCRYPT, state(r.getState()), data, memory));
    routes.unary(
        CryptoGrpc.getEncryptFinalMethod(),
        r -> continued(ENCRYPT, r.getState(), 0),
        (by, r) ->
            EncryptFinalResponse.newBuilder()
                .setCiphered(bytes(parts.finish(by, ENCRYPT, state(r.getState()))))
                .build());
    routes.unary(
        CryptoGrpc.getDecryptInitMethod(),
        r -> load(DECRYPT, r.hasMech(), r.getMech(), key("Key", r.getKeyBytes(), r.getKey()), 0),
        (by, r) ->
            DecryptInitResponse.newBuilder()
                .setState(
                    bytes(
                        parts.begin(
                            by,
                            DECRYPT,
                            mechanism(r.hasMech(), r.getMech()),
                            requiredKey("Key", key("Key", r.getKeyBytes(), r.getKey())))))
                .build());
    routes.taking(
        CryptoGrpc.getDecryptUpdateMethod(),
        DecryptUpdateRequest.CIPHERED_FIELD_NUMBER,
        (r, data) -> continued(DECRYPT, r.getState(), data.remaining()),
        (by, r, data) -> {
          var part = parts.update(by, DECRYPT, state(r.getState()), data);
          return DecryptUpdateResponse.newBuilder()
              .setState(bytes(part.state()))
              .setPlain(bytes(part.output()))
              .build();
        });
    routes.transforming(
        CryptoGrpc.getDecryptMethod(),
        DecryptRequest.CIPHERED_FIELD_NUMBER,
        DecryptResponse.PLAIN_FIELD_NUMBER,
        (r, data) -> continued(DECRYPT, r.getState(), data.remaining()),
        (by, r, data, memory) -> parts.wholeCipher(by, DECRYPT, state(r.getState()), data, memory));
    routes.unary(
        CryptoGrpc.getDecryptFinalMethod(),
        r -> continued(DECRYPT, r.getState(), 0),
        (by, r) ->
            DecryptFinalResponse.newBuilder()
                .setPlain(bytes(parts.finish(by, DECRYPT, state(r.getState()))))
                .build());
    routes.unary(
        CryptoGrpc.getSignInitMethod(),
        r ->
            load(
                SIGN,
                r.hasMech(),
                r.getMech(),
                key("PrivKey", r.getPrivKeyBytes(), r.getPrivKey()),
                0),
        (by, r) ->
            SignInitResponse.newBuilder()
                .setState(
                    bytes(
                        parts.begin(
                            by,
                            SIGN,
                            mechanism(r.hasMech(), r.getMech()),
                            requiredKey(
                                "PrivKey", key("PrivKey", r.getPrivKeyBytes(), r.getPrivKey())))))
                .build());
    routes.taking(
        CryptoGrpc.getSignUpdateMethod(),
        SignUpdateRequest.DATA_FIELD_NUMBER,
        (r, data) -> absorbing(SIGN, r.getState(), data.remaining()),
        (by, r, data) -> {
          var part = parts.update(by, SIGN, state(r.getState()), data);
          return SignUpdateResponse.newBuilder().setState(bytes(part.state())).build();
        });
    routes.taking(
        CryptoGrpc.getSignMethod(),
        SignRequest.DATA_FIELD_NUMBER,
        (r, data) -> continued(SIGN, r.getState(), data.remaining()),
        (by, r, data) ->
            SignResponse.newBuilder()
                .setSignature(bytes(parts.whole(by, SIGN, state(r.getState()), data)))
                .build());
    routes.unary(
        CryptoGrpc.getSignFinalMethod(),
        r -> continued(SIGN, r.getState(), 0),
        (by, r) ->
            SignFinalResponse.newBuilder()
                .setSignature(bytes(parts.finish(by, SIGN, state(r.getState()))))
                .build());
    routes.unary(
        CryptoGrpc.getVerifyInitMethod(),
        r ->
            load(
                VERIFY,
                r.hasMech(),
                r.getMech(),
                key("PubKey", r.getPubKeyBytes(), r.getPubKey()),
                0),
        (by, r) ->
            VerifyInitResponse.newBuilder()
                .setState(
                    bytes(
                        parts.begin(
                            by,
                            VERIFY,
                            mechanism(r.hasMech(), r.getMech()),
                            requiredKey(
                                "PubKey", key("PubKey", r.getPubKeyBytes(), r.getPubKey())))))
                .build());
    routes.taking(
        CryptoGrpc.getVerifyUpdateMethod(),
        VerifyUpdateRequest.DATA_FIELD_NUMBER,
        (r, data) -> absorbing(VERIFY, r.getState(), data.remaining()),
        (by, r, data) -> {
          var part = parts.update(by, VERIFY, state(r.getState()), data);
          return VerifyUpdateResponse.newBuilder().setState(bytes(part.state())).build();
        });
    routes.taking(
        CryptoGrpc.getVerifyMethod(),
        VerifyRequest.DATA_FIELD_NUMBER,
        (r, data) -> continued(VERIFY, r.getState(), data.remaining()),
        (by, r, data) -> {
          parts.wholeVerify(by, state(r.getState()), data, r.getSignature().toByteArray());
          return VerifyResponse.getDefaultInstance();
        });
    routes.unary(
        CryptoGrpc.getVerifyFinalMethod(),
        r -> continued(VERIFY, r.getState(), 0),
        (by, r) -> {
          parts.finishVerify(by, state(r.getState()), r.getSignature().toByteArray());
          return VerifyFinalResponse.getDefaultInstance();
        });
  }

  /** Refuses, uncopied, what is longer than any state. */
  private static byte[] state(ByteString state) {
    if (state.size() > StateSealer.MAX_LENGTH) {
      throw new Pkcs11Exception(CKR_IBM_BLOB_ERROR, "longer than any state");
    }
    return state.toByteArray();
  }

  /** Of an operation in parts: its state says mechanism and key. */
  private static Workload continued(CryptoFunction function, ByteString state, int payloadLength) {
    return workload(function, state, payloadLength, false);
  }

  /** As {@link #continued}, of a call that only takes data of a hash or MAC. */
  private static Workload absorbing(CryptoFunction function, ByteString state, int payloadLength) {
    return workload(function, state, payloadLength, true);
  }

  private static Workload workload(
      CryptoFunction function, ByteString state, int payloadLength, boolean absorbs) {
    if (state.size() < StateHeader.LENGTH) {
      return Workload.INFORMATION;
    }
    var header = StateHeader.parse(state.substring(0, StateHeader.LENGTH).toByteArray());
    return new Workload(
        Optional.of(function),
        OptionalLong.of(header.mechanism()),
        header.key(),
        payloadLength,
        absorbs);
  }
}
