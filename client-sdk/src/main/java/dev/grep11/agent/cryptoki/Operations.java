package dev.grep11.agent.cryptoki;

import static dev.grep11.client.Ckr.*;

import com.google.protobuf.ByteString;
import dev.grep11.agent.cryptoki.Phase.Event;
import dev.grep11.agent.rpc.RequestedMechanism;
import dev.grep11.agent.rpc.Room;
import dev.grep11.client.Cko;
import dev.grep11.client.KeyBlob;
import dev.grep11.proto.DecryptFinalRequest;
import dev.grep11.proto.DecryptInitRequest;
import dev.grep11.proto.DecryptUpdateRequest;
import dev.grep11.proto.DigestFinalRequest;
import dev.grep11.proto.DigestInitRequest;
import dev.grep11.proto.DigestKeyRequest;
import dev.grep11.proto.DigestUpdateRequest;
import dev.grep11.proto.EncryptFinalRequest;
import dev.grep11.proto.EncryptInitRequest;
import dev.grep11.proto.EncryptUpdateRequest;
import dev.grep11.proto.Mechanism;
import dev.grep11.proto.SignFinalRequest;
import dev.grep11.proto.SignInitRequest;
import dev.grep11.proto.SignUpdateRequest;
import dev.grep11.proto.VerifyFinalRequest;
import dev.grep11.proto.VerifyInitRequest;
import dev.grep11.proto.VerifyUpdateRequest;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Arrays;
import java.util.OptionalInt;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Encryption, decryption, digest, signature and verification of a session, in one part and in
 * several.
 *
 * <p>Init asks nothing of the gateway, so that Init and a single part are one call of it. A result
 * that does not fit the application's buffer changes nothing: the gateway's states are values, and
 * the one before is as good as it was.
 */
final class Operations {
  private static final int SAVED_FORMAT = 1;
  private static final byte[] NOTHING = new byte[0];

  /** What a part gives: the next state, and output. */
  private record Part(ByteString state, byte[] output) {
    Part(ByteString state) {
      this(state, NOTHING);
    }
  }

  private final Session session;
  private final GatewayUser user;
  private final ObjectTable objects;

  Operations(Session session, GatewayUser user, ObjectTable objects) {
    this.session = session;
    this.user = user;
    this.objects = objects;
  }

  /**
   * @param mechanism null to cancel
   * @param key null for a digest
   */
  void init(Function function, @Nullable RequestedMechanism mechanism, @Nullable CkObject key) {
    var event = mechanism == null ? Event.CANCEL : Event.INIT;
    session.step(function, event);
    if (mechanism == null) {
      session.cancel(function);
      return;
    }
    var info = session.slot().mechanism(user, mechanism.number());
    if ((info.flags() & function.flag()) == 0) {
      throw new Refusal(
          CKR_MECHANISM_INVALID,
          "mechanism 0x%x does not %s".formatted(mechanism.number(), function));
    }
    if (key != null) {
      requireUsable(function, key);
    }
    session.begin(new Operation(function, mechanism.message(), key));
  }

  private static void requireUsable(Function function, CkObject key) {
    if (!key.isKey()) {
      throw new Refusal(CKR_KEY_HANDLE_INVALID, "object " + key.handle() + " is no key");
    }
    long objectClass = key.objectClass();
    boolean fits =
        switch (function) {
          case ENCRYPT, VERIFY -> objectClass != Cko.CKO_PRIVATE_KEY;
          case DECRYPT, SIGN -> objectClass != Cko.CKO_PUBLIC_KEY;
          case DIGEST -> true;
        };
    if (!fits) {
      throw new Refusal(CKR_KEY_TYPE_INCONSISTENT, "the other half of this key pair is needed");
    }
    if (!key.attributes().isTrue(function.usage())) {
      throw new Refusal(
          CKR_KEY_FUNCTION_NOT_PERMITTED,
          ObjectTemplates.name(function.usage()) + " of the key is false");
    }
  }

  // ---- One part

  Output single(Function function, byte[] data, Room room) {
    var step = session.step(function, Event.SINGLE);
    var operation = session.operation(function);
    var length = Lengths.single(operation, data.length);
    if (room.asksLength() && length.isPresent()) {
      return new Output.Length(length.getAsInt());
    }
    byte[] result = orEnd(step, function, () -> single(operation, data));
    return deliver(result, room, () -> session.take(function, step.done()));
  }

  private byte[] single(Operation operation, byte[] data) {
    if (operation.state() != null) {
      // A saved state that was restored before any data came.
      return last(operation, update(operation, data));
    }
    Mechanism mechanism = operation.mechanism();
    return switch (operation.function()) {
      case ENCRYPT ->
          withKey(operation, key -> user.call(client -> client.encrypt(mechanism, key, data)));
      case DECRYPT ->
          withKey(operation, key -> user.call(client -> client.decrypt(mechanism, key, data)));
      case SIGN ->
          withKey(operation, key -> user.call(client -> client.sign(mechanism, key, data)));
      // GREP11 has no digest of nothing in one part.
      case DIGEST ->
          data.length == 0
              ? last(operation, new Part(begin(operation)))
              : user.call(client -> client.digest(mechanism, data));
      case VERIFY -> throw new AssertionError("has a signature");
    };
  }

  void verify(byte[] data, byte[] signature) {
    var step = session.step(Function.VERIFY, Event.SINGLE);
    var operation = session.operation(Function.VERIFY);
    boolean genuine =
        orEnd(
            step,
            Function.VERIFY,
            () -> {
              requireLength(operation, signature);
              return withKey(
                  operation,
                  key ->
                      user.call(
                          client -> client.verify(operation.mechanism(), key, data, signature)));
            });
    session.take(Function.VERIFY, step.done());
    requireGenuine(genuine);
  }

  /** Told here, since the SDK says of both refusals that the signature is not genuine. */
  private static void requireLength(Operation operation, byte[] signature) {
    var length = Lengths.signature(operation.mechanism(), operation.key());
    if (length.isPresent() && length.getAsInt() != signature.length) {
      throw new Refusal(CKR_SIGNATURE_LEN_RANGE, signature.length + " bytes");
    }
  }

  private static void requireGenuine(boolean genuine) {
    if (!genuine) {
      throw new Refusal(CKR_SIGNATURE_INVALID, "the signature is not genuine");
    }
  }

  // ---- Several parts

  /** For functions that give nothing before the end. */
  void absorb(Function function, byte[] data) {
    var step = session.step(function, Event.UPDATE);
    var operation = session.operation(function);
    var part = orEnd(step, function, () -> update(operation, data));
    operation.advance(step.done(), part.state);
  }

  Output update(Function function, byte[] data, Room room) {
    var step = session.step(function, Event.UPDATE);
    var operation = session.operation(function);
    var part = orEnd(step, function, () -> update(operation, data));
    return deliver(part.output, room, () -> operation.advance(step.done(), part.state));
  }

  /** C_DigestEncryptUpdate and C_SignEncryptUpdate: both take the clear text. */
  Output absorbAndEncrypt(Function other, byte[] data, Room room) {
    var encryptStep = session.step(Function.ENCRYPT, Event.UPDATE);
    var otherStep = session.step(other, Event.UPDATE);
    var encryption = session.operation(Function.ENCRYPT);
    var absorbing = session.operation(other);
    var encrypted = orEnd(encryptStep, Function.ENCRYPT, () -> update(encryption, data));
    return deliver(
        encrypted.output,
        room,
        () -> {
          var absorbed = orEnd(otherStep, other, () -> update(absorbing, data));
          absorbing.advance(otherStep.done(), absorbed.state);
          encryption.advance(encryptStep.done(), encrypted.state);
        });
  }

  /** C_DecryptDigestUpdate and C_DecryptVerifyUpdate: the other takes what was decrypted. */
  Output decryptAndAbsorb(Function other, byte[] data, Room room) {
    var decryptStep = session.step(Function.DECRYPT, Event.UPDATE);
    var otherStep = session.step(other, Event.UPDATE);
    var decryption = session.operation(Function.DECRYPT);
    var absorbing = session.operation(other);
    var decrypted = orEnd(decryptStep, Function.DECRYPT, () -> update(decryption, data));
    return deliver(
        decrypted.output,
        room,
        () -> {
          var absorbed = orEnd(otherStep, other, () -> update(absorbing, decrypted.output));
          absorbing.advance(otherStep.done(), absorbed.state);
          decryption.advance(decryptStep.done(), decrypted.state);
        });
  }

  Output last(Function function, Room room) {
    var step = session.step(function, Event.FINAL);
    var operation = session.operation(function);
    OptionalInt length = Lengths.last(operation);
    if (room.asksLength() && length.isPresent()) {
      return new Output.Length(length.getAsInt());
    }
    byte[] result = orEnd(step, function, () -> last(operation, new Part(stateOf(operation))));
    return deliver(result, room, () -> session.take(function, step.done()));
  }

  void verifyLast(byte[] signature) {
    var step = session.step(Function.VERIFY, Event.FINAL);
    var operation = session.operation(Function.VERIFY);
    orEnd(
        step,
        Function.VERIFY,
        () -> {
          requireLength(operation, signature);
          return user.part(stub ->
              stub.verifyFinal(
                  VerifyFinalRequest.newBuilder()
                      .setState(stateOf(operation))
                      .setSignature(ByteString.copyFrom(signature))
                      .build()));
        });
    session.take(Function.VERIFY, step.done());
  }

  /** The value of a secret key into the digest, where its attributes allow it. */
  void digestKey(CkObject key) {
    var step = session.step(Function.DIGEST, Event.UPDATE);
    var operation = session.operation(Function.DIGEST);
    var state =
        orEnd(
            step,
            Function.DIGEST,
            () -> {
              if (!key.isKey() || key.objectClass() != Cko.CKO_SECRET_KEY) {
                throw new Refusal(CKR_KEY_INDIGESTIBLE, "no secret key");
              }
              return user.part(stub ->
                  stub.digestKey(
                          DigestKeyRequest.newBuilder()
                              .setState(stateOf(operation))
                              .setKey(key.key().toMessage())
                              .build())
                      .getState());
            });
    operation.advance(step.done(), state);
  }

  // ---- Saved states

  /** The one active operation, for C_SetOperationState of any session. */
  byte[] save() {
    var active = session.active();
    if (active.isEmpty()) {
      throw new Refusal(CKR_OPERATION_NOT_INITIALIZED, "no operation is active");
    }
    if (active.size() > 1) {
      throw new Refusal(CKR_STATE_UNSAVEABLE, "two operations are active");
    }
    var operation = active.get(0);
    var bytes = new ByteArrayOutputStream();
    try (var out = new DataOutputStream(bytes)) {
      out.writeByte(SAVED_FORMAT);
      out.writeUTF(operation.function().name());
      out.writeUTF(operation.phase().name());
      byte[] mechanism = operation.mechanism().toByteArray();
      out.writeInt(mechanism.length);
      out.write(mechanism);
      // Sealed by the gateway; it is what makes the operation, the rest describes it.
      out.write(stateOf(operation).toByteArray());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return bytes.toByteArray();
  }

  /**
   * @param key what the application names, if it does; the state carries the key itself
   */
  void restore(byte[] saved, @Nullable CkObject key) {
    try (var in = new DataInputStream(new java.io.ByteArrayInputStream(saved))) {
      if (in.readUnsignedByte() != SAVED_FORMAT) {
        throw savedStateInvalid();
      }
      var function = Function.valueOf(in.readUTF());
      var phase = Phase.valueOf(in.readUTF());
      int length = in.readInt();
      if (phase == Phase.IDLE || length < 0 || length > saved.length) {
        throw savedStateInvalid();
      }
      var mechanism = Mechanism.parseFrom(in.readNBytes(length));
      var state = ByteString.copyFrom(in.readAllBytes());
      if (state.isEmpty()) {
        throw savedStateInvalid();
      }
      session.active().forEach(operation -> session.cancel(operation.function()));
      session.begin(new Operation(function, mechanism, key, phase, state));
    } catch (IOException | IllegalArgumentException e) {
      throw savedStateInvalid();
    }
  }

  private static Refusal savedStateInvalid() {
    return new Refusal(CKR_SAVED_STATE_INVALID, "not a state that this agent saved");
  }

  // ---- What the gateway does

  private Part update(Operation operation, byte[] data) {
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

  private byte[] last(Operation operation, Part part) {
    var state = part.state;
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
    if (part.output.length == 0) {
      return end;
    }
    byte[] both = Arrays.copyOf(part.output, part.output.length + end.length);
    System.arraycopy(end, 0, both, part.output.length, end.length);
    return both;
  }

  /** The state so far; the first time it is asked for, the gateway makes it. */
  private ByteString stateOf(Operation operation) {
    var state = operation.state();
    if (state == null) {
      state = begin(operation);
      operation.advance(operation.phase(), state);
    }
    return state;
  }

  private ByteString begin(Operation operation) {
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

  /**
   * With the operation's key. An application may hold its handle through rotations of master keys,
   * after which the blob that was read first opens no more; and a gateway that is a moment behind
   * opens the older of two. So the key's other blobs are tried, those of its present record last.
   */
  private <T> T withKey(Operation operation, java.util.function.Function<KeyBlob, T> work) {
    var key = operation.key();
    if (key == null) {
      throw new Refusal(CKR_KEY_NEEDED, "the operation's key is needed to go on");
    }
    try {
      return work.apply(key.key());
    } catch (Refusal e) {
      if (e.returnValue() != CKR_IBM_WKID_MISMATCH) {
        throw e;
      }
      var tried = key.blobs().get(0);
      var others = Stream.concat(key.blobs().stream(), objects.reread(key).blobs().stream());
      for (byte[] blob : others.filter(other -> !Arrays.equals(other, tried)).toList()) {
        try {
          return work.apply(key.key(blob));
        } catch (Refusal again) {
          if (again.returnValue() != CKR_IBM_WKID_MISMATCH) {
            throw again;
          }
        }
      }
      throw e;
    }
  }

  // ---- Results

  private <T> T orEnd(Phase.Step step, Function function, Supplier<T> work) {
    try {
      return work.get();
    } catch (Refusal e) {
      session.take(function, step.failed());
      throw e;
    }
  }

  /**
   * Gives the result and moves on, or says how long it is and changes nothing. Where nobody gave a
   * buffer it is a question, even if the answer is that there will be no bytes: the same data comes
   * again.
   */
  private static Output deliver(byte[] result, Room room, Runnable then) {
    if (result.length > room.bytes() || room.asksLength()) {
      return new Output.Length(result.length);
    }
    then.run();
    return new Output.Bytes(result);
  }
}
