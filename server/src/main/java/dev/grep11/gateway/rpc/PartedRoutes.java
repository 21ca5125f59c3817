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
import dev.grep11.proto.DecryptResponse;
import dev.grep11.proto.DecryptUpdateResponse;
import dev.grep11.proto.DigestFinalResponse;
import dev.grep11.proto.DigestInitResponse;
import dev.grep11.proto.DigestKeyResponse;
import dev.grep11.proto.DigestResponse;
import dev.grep11.proto.DigestUpdateResponse;
import dev.grep11.proto.EncryptFinalResponse;
import dev.grep11.proto.EncryptInitResponse;
import dev.grep11.proto.EncryptResponse;
import dev.grep11.proto.EncryptUpdateResponse;
import dev.grep11.proto.SignFinalResponse;
import dev.grep11.proto.SignInitResponse;
import dev.grep11.proto.SignResponse;
import dev.grep11.proto.SignUpdateResponse;
import dev.grep11.proto.VerifyFinalResponse;
import dev.grep11.proto.VerifyInitResponse;
import dev.grep11.proto.VerifyResponse;
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
    routes.unary(
        CryptoGrpc.getDigestMethod(),
        r -> continued(DIGEST, r.getState(), r.getData()),
        (by, r) ->
            DigestResponse.newBuilder()
                .setDigest(
                    bytes(
                        parts.whole(
                            by, DIGEST, state(r.getState()), r.getData().asReadOnlyByteBuffer())))
                .build());
    routes.unary(
        CryptoGrpc.getDigestUpdateMethod(),
        r -> absorbing(DIGEST, r.getState(), r.getData()),
        (by, r) -> {
          var part =
              parts.update(by, DIGEST, state(r.getState()), r.getData().asReadOnlyByteBuffer());
          return DigestUpdateResponse.newBuilder().setState(bytes(part.state())).build();
        });
    routes.unary(
        CryptoGrpc.getDigestKeyMethod(),
        r -> absorbing(DIGEST, r.getState(), ByteString.EMPTY),
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
        r -> continued(DIGEST, r.getState(), ByteString.EMPTY),
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
    routes.unary(
        CryptoGrpc.getEncryptUpdateMethod(),
        r -> continued(ENCRYPT, r.getState(), r.getPlain()),
        (by, r) -> {
          var part =
              parts.update(by, ENCRYPT, state(r.getState()), r.getPlain().asReadOnlyByteBuffer());
          return EncryptUpdateResponse.newBuilder()
              .setState(bytes(part.state()))
              .setCiphered(bytes(part.output()))
              .build();
        });
    routes.unary(
        CryptoGrpc.getEncryptMethod(),
        r -> continued(ENCRYPT, r.getState(), r.getPlain()),
        (by, r) ->
            EncryptResponse.newBuilder()
                .setCiphered(
                    bytes(
                        parts.whole(
                            by, ENCRYPT, state(r.getState()), r.getPlain().asReadOnlyByteBuffer())))
                .build());
    routes.unary(
        CryptoGrpc.getEncryptFinalMethod(),
        r -> continued(ENCRYPT, r.getState(), ByteString.EMPTY),
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
    routes.unary(
        CryptoGrpc.getDecryptUpdateMethod(),
        r -> continued(DECRYPT, r.getState(), r.getCiphered()),
        (by, r) -> {
          var part =
              parts.update(
                  by, DECRYPT, state(r.getState()), r.getCiphered().asReadOnlyByteBuffer());
          return DecryptUpdateResponse.newBuilder()
              .setState(bytes(part.state()))
              .setPlain(bytes(part.output()))
              .build();
        });
    routes.unary(
        CryptoGrpc.getDecryptMethod(),
        r -> continued(DECRYPT, r.getState(), r.getCiphered()),
        (by, r) ->
            DecryptResponse.newBuilder()
                .setPlain(
                    bytes(
                        parts.whole(
                            by,
                            DECRYPT,
                            state(r.getState()),
                            r.getCiphered().asReadOnlyByteBuffer())))
                .build());
    routes.unary(
        CryptoGrpc.getDecryptFinalMethod(),
        r -> continued(DECRYPT, r.getState(), ByteString.EMPTY),
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
    routes.unary(
        CryptoGrpc.getSignUpdateMethod(),
        r -> absorbing(SIGN, r.getState(), r.getData()),
        (by, r) -> {
          var part =
              parts.update(by, SIGN, state(r.getState()), r.getData().asReadOnlyByteBuffer());
          return SignUpdateResponse.newBuilder().setState(bytes(part.state())).build();
        });
    routes.unary(
        CryptoGrpc.getSignMethod(),
        r -> continued(SIGN, r.getState(), r.getData()),
        (by, r) ->
            SignResponse.newBuilder()
                .setSignature(
                    bytes(
                        parts.whole(
                            by, SIGN, state(r.getState()), r.getData().asReadOnlyByteBuffer())))
                .build());
    routes.unary(
        CryptoGrpc.getSignFinalMethod(),
        r -> continued(SIGN, r.getState(), ByteString.EMPTY),
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
    routes.unary(
        CryptoGrpc.getVerifyUpdateMethod(),
        r -> absorbing(VERIFY, r.getState(), r.getData()),
        (by, r) -> {
          var part =
              parts.update(by, VERIFY, state(r.getState()), r.getData().asReadOnlyByteBuffer());
          return VerifyUpdateResponse.newBuilder().setState(bytes(part.state())).build();
        });
    routes.unary(
        CryptoGrpc.getVerifyMethod(),
        r -> continued(VERIFY, r.getState(), r.getData()),
        (by, r) -> {
          parts.wholeVerify(
              by,
              state(r.getState()),
              r.getData().asReadOnlyByteBuffer(),
              r.getSignature().toByteArray());
          return VerifyResponse.getDefaultInstance();
        });
    routes.unary(
        CryptoGrpc.getVerifyFinalMethod(),
        r -> continued(VERIFY, r.getState(), ByteString.EMPTY),
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
  private static Workload continued(CryptoFunction function, ByteString state, ByteString payload) {
    return workload(function, state, payload, false);
  }

  /** As {@link #continued}, of a call that only takes data of a hash or MAC. */
  private static Workload absorbing(CryptoFunction function, ByteString state, ByteString payload) {
    return workload(function, state, payload, true);
  }

  private static Workload workload(
      CryptoFunction function, ByteString state, ByteString payload, boolean absorbs) {
    if (state.size() < StateHeader.LENGTH) {
      return Workload.INFORMATION;
    }
    var header = StateHeader.parse(state.substring(0, StateHeader.LENGTH).toByteArray());
    return new Workload(
        Optional.of(function),
        OptionalLong.of(header.mechanism()),
        header.key(),
        payload.size(),
        absorbs);
  }
}
