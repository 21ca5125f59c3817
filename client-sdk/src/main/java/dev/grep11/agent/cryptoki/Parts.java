package dev.grep11.agent.cryptoki;

import static dev.grep11.client.Ckr.CKR_KEY_NEEDED;

import com.google.protobuf.ByteString;
import dev.grep11.client.KeyBlob;
import dev.grep11.proto.DecryptFinalRequest;
import dev.grep11.proto.DecryptInitRequest;
import dev.grep11.proto.DecryptUpdateRequest;
import dev.grep11.proto.DigestFinalRequest;
import dev.grep11.proto.DigestInitRequest;
import dev.grep11.proto.DigestUpdateRequest;
import dev.grep11.proto.EncryptFinalRequest;
import dev.grep11.proto.EncryptInitRequest;
import dev.grep11.proto.EncryptUpdateRequest;
import dev.grep11.proto.Mechanism;
import dev.grep11.proto.SignFinalRequest;
import dev.grep11.proto.SignInitRequest;
import dev.grep11.proto.SignUpdateRequest;
import dev.grep11.proto.VerifyInitRequest;
import dev.grep11.proto.VerifyUpdateRequest;
import java.util.Arrays;

/** Operations in parts as the gateway makes them, whatever their function. */
final class Parts {
  private static final byte[] NOTHING = new byte[0];

  /** What a part gives: the next state, and output. */
  record Part(ByteString state, byte[] output) {
    Part(ByteString state) {
      this(state, NOTHING);
    }

    @Override
    public String toString() {
      return "Part[" + output.length + "]";
    }
  }

  private final GatewayUser user;
  private final ObjectTable objects;

  Parts(GatewayUser user, ObjectTable objects) {
    this.user = user;
    this.objects = objects;
  }

  Part update(Operation operation, byte[] data) {
    if (data.length == 0) {
      return new Part(stateOf(operation));
    }
    var bytes = ByteString.copyFrom(data);
    var state = stateOf(operation);
    return switch (operation.function()) {
      case ENCRYPT ->
          user.part(stub -> {
            var answer =
                stub.encryptUpdate(
                    EncryptUpdateRequest.newBuilder().setState(state).setPlain(bytes).build());
            return new Part(answer.getState(), answer.getCiphered().toByteArray());
          });
      case DECRYPT ->
          user.part(stub -> {
            var answer =
                stub.decryptUpdate(
                    DecryptUpdateRequest.newBuilder().setState(state).setCiphered(bytes).build());
            return new Part(answer.getState(), answer.getPlain().toByteArray());
          });
      case DIGEST ->
          user.part(stub ->
              new Part(
                  stub.digestUpdate(
                          DigestUpdateRequest.newBuilder().setState(state).setData(bytes).build())
                      .getState()));
      case SIGN ->
          user.part(stub ->
              new Part(
                  stub.signUpdate(
                          SignUpdateRequest.newBuilder().setState(state).setData(bytes).build())
                      .getState()));
      case VERIFY ->
          user.part(stub ->
              new Part(
                  stub.verifyUpdate(
                          VerifyUpdateRequest.newBuilder().setState(state).setData(bytes).build())
                      .getState()));
    };
  }

  byte[] last(Operation operation, Part part) {
    var state = part.state();
    byte[] end =
        switch (operation.function()) {
          case ENCRYPT ->
              user.part(stub ->
                      stub.encryptFinal(EncryptFinalRequest.newBuilder().setState(state).build()))
                  .getCiphered()
                  .toByteArray();
          case DECRYPT ->
              user.part(stub ->
                      stub.decryptFinal(DecryptFinalRequest.newBuilder().setState(state).build()))
                  .getPlain()
                  .toByteArray();
          case DIGEST ->
              user.part(stub ->
                      stub.digestFinal(DigestFinalRequest.newBuilder().setState(state).build()))
                  .getDigest()
                  .toByteArray();
          case SIGN ->
              user.part(
                      stub -> stub.signFinal(SignFinalRequest.newBuilder().setState(state).build()))
                  .getSignature()
                  .toByteArray();
          case VERIFY -> throw new AssertionError("has a signature");
        };
    if (part.output().length == 0) {
      return end;
    }
    byte[] both = Arrays.copyOf(part.output(), part.output().length + end.length);
    System.arraycopy(end, 0, both, part.output().length, end.length);
    return both;
  }

  /** The state so far; the first time it is asked for, the gateway makes it. */
  ByteString stateOf(Operation operation) {
    var state = operation.state();
    if (state == null) {
      state = begin(operation);
      operation.advance(operation.phase(), state);
    }
    return state;
  }

  ByteString begin(Operation operation) {
    Mechanism mechanism = operation.mechanism();
    return switch (operation.function()) {
      case ENCRYPT ->
          withKey(
              operation,
              key ->
                  user.part(stub ->
                      stub.encryptInit(
                              EncryptInitRequest.newBuilder()
                                  .setMech(mechanism)
                                  .setKey(key.toMessage())
                                  .build())
                          .getState()));
      case DECRYPT ->
          withKey(
              operation,
              key ->
                  user.part(stub ->
                      stub.decryptInit(
                              DecryptInitRequest.newBuilder()
                                  .setMech(mechanism)
                                  .setKey(key.toMessage())
                                  .build())
                          .getState()));
      case DIGEST ->
          user.part(stub ->
              stub.digestInit(DigestInitRequest.newBuilder().setMech(mechanism).build())
                  .getState());
      case SIGN ->
          withKey(
              operation,
              key ->
                  user.part(stub ->
                      stub.signInit(
                              SignInitRequest.newBuilder()
                                  .setMech(mechanism)
                                  .setPrivKey(key.toMessage())
                                  .build())
                          .getState()));
      case VERIFY ->
          withKey(
              operation,
              key ->
                  user.part(stub ->
                      stub.verifyInit(
                              VerifyInitRequest.newBuilder()
                                  .setMech(mechanism)
                                  .setPubKey(key.toMessage())
                                  .build())
                          .getState()));
    };
  }

  /** With the operation's key, by whichever of its blobs opens. */
  <T> T withKey(Operation operation, java.util.function.Function<KeyBlob, T> work) {
    var key = operation.key();
    if (key == null) {
      throw new Refusal(CKR_KEY_NEEDED, "the operation's key is needed to go on");
    }
    return objects.opened(key, work);
  }
}
