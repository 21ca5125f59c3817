package dev.grep11.agent.cryptoki;

import static dev.grep11.client.Ckr.*;

import com.google.protobuf.ByteString;
import dev.grep11.agent.cryptoki.Phase.Event;
import dev.grep11.agent.rpc.RequestedMechanism;
import dev.grep11.agent.rpc.Room;
import dev.grep11.client.Cko;
import dev.grep11.client.Grep11Exception;
import dev.grep11.proto.DigestKeyRequest;
import dev.grep11.proto.Mechanism;
import dev.grep11.proto.VerifyFinalRequest;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.Supplier;
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
  private final Session session;
  private final GatewayUser user;
  private final ObjectTable objects;
  private final Parts parts;

  Operations(Session session, GatewayUser user, ObjectTable objects) {
    this.session = session;
    this.user = user;
    this.objects = objects;
    this.parts = new Parts(user, objects);
  }

  /**
   * Has done nothing where it ends with {@link WouldWait}: what a step that is allowed changes is
   * changed last.
   *
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

  /**
   * The same where the gateway is asked once and nothing else has to be waited for, so that no
   * thread has to wait either. Empty, and nothing is done, where it takes {@link #single}; so does
   * an answer that is empty: after a rotation of master keys, or while a gateway is away.
   *
   * @return ends with a {@link Refusal} where it is refused
   */
  Optional<CompletableFuture<Optional<Output>>> begin(Function function, byte[] data, Room room) {
    var fresh = session.fresh(function);
    if (fresh.isEmpty() || room.asksLength() || !user.isAtHand()) {
      return Optional.empty();
    }
    Mechanism mechanism = fresh.get().mechanism();
    var key = Optional.ofNullable(fresh.get().key()).map(CkObject::key).orElse(null);
    CompletableFuture<byte[]> result;
    if (function == Function.DIGEST && data.length > 0) {
      result = user.start(client -> client.digest(mechanism, data));
    } else if (function == Function.SIGN && key != null) {
      result = user.start(client -> client.sign(mechanism, key, data));
    } else if (function == Function.ENCRYPT && key != null) {
      result = user.start(client -> client.encrypt(mechanism, key, data));
    } else if (function == Function.DECRYPT && key != null) {
      result = user.start(client -> client.decrypt(mechanism, key, data));
    } else {
      return Optional.empty();
    }
    var step = session.step(function, Event.SINGLE);
    return Optional.of(
        result.handle((bytes, failure) -> {
          if (failure == null) {
            return Optional.of(deliver(bytes, room, () -> session.take(function, step.done())));
          }
          var refusal = refusal(failure);
          if (refusal.returnValue() == CKR_IBM_WKID_MISMATCH || GatewayUser.isUnsent(failure)) {
            return Optional.empty();
          }
          session.take(function, step.failed());
          throw refusal;
        }));
  }

  private static Refusal refusal(Throwable failure) {
    var cause = failure instanceof CompletionException ? failure.getCause() : failure;
    return cause instanceof Grep11Exception e
        ? GatewayUser.refusal(e)
        : new Refusal(CKR_DEVICE_ERROR, String.valueOf(cause), cause);
  }

  private byte[] single(Operation operation, byte[] data) {
    if (operation.state() != null) {
      // A saved state that was restored before any data came.
      return parts.last(operation, parts.update(operation, data));
    }
    Mechanism mechanism = operation.mechanism();
    return switch (operation.function()) {
      case ENCRYPT ->
          parts.withKey(
              operation, key -> user.call(client -> client.encrypt(mechanism, key, data)));
      case DECRYPT ->
          parts.withKey(
              operation, key -> user.call(client -> client.decrypt(mechanism, key, data)));
      case SIGN ->
          parts.withKey(operation, key -> user.call(client -> client.sign(mechanism, key, data)));
      // GREP11 has no digest of nothing in one part.
      case DIGEST ->
          data.length == 0
              ? parts.last(operation, new Parts.Part(parts.begin(operation)))
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
              return parts.withKey(
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
    var part = orEnd(step, function, () -> parts.update(operation, data));
    operation.advance(step.done(), part.state());
  }

  Output update(Function function, byte[] data, Room room) {
    var step = session.step(function, Event.UPDATE);
    var operation = session.operation(function);
    var part = orEnd(step, function, () -> parts.update(operation, data));
    return deliver(part.output(), room, () -> operation.advance(step.done(), part.state()));
  }

  /** C_DigestEncryptUpdate and C_SignEncryptUpdate: both take the clear text. */
  Output absorbAndEncrypt(Function other, byte[] data, Room room) {
    var encryptStep = session.step(Function.ENCRYPT, Event.UPDATE);
    var otherStep = session.step(other, Event.UPDATE);
    var encryption = session.operation(Function.ENCRYPT);
    var absorbing = session.operation(other);
    var encrypted = orEnd(encryptStep, Function.ENCRYPT, () -> parts.update(encryption, data));
    return deliver(
        encrypted.output(),
        room,
        () -> {
          var absorbed = orEnd(otherStep, other, () -> parts.update(absorbing, data));
          absorbing.advance(otherStep.done(), absorbed.state());
          encryption.advance(encryptStep.done(), encrypted.state());
        });
  }

  /** C_DecryptDigestUpdate and C_DecryptVerifyUpdate: the other takes what was decrypted. */
  Output decryptAndAbsorb(Function other, byte[] data, Room room) {
    var decryptStep = session.step(Function.DECRYPT, Event.UPDATE);
    var otherStep = session.step(other, Event.UPDATE);
    var decryption = session.operation(Function.DECRYPT);
    var absorbing = session.operation(other);
    var decrypted = orEnd(decryptStep, Function.DECRYPT, () -> parts.update(decryption, data));
    return deliver(
        decrypted.output(),
        room,
        () -> {
          var absorbed = orEnd(otherStep, other, () -> parts.update(absorbing, decrypted.output()));
          absorbing.advance(otherStep.done(), absorbed.state());
          decryption.advance(decryptStep.done(), decrypted.state());
        });
  }

  Output last(Function function, Room room) {
    var step = session.step(function, Event.FINAL);
    var operation = session.operation(function);
    OptionalInt length = Lengths.last(operation);
    if (room.asksLength() && length.isPresent()) {
      return new Output.Length(length.getAsInt());
    }
    byte[] result =
        orEnd(
            step, function, () -> parts.last(operation, new Parts.Part(parts.stateOf(operation))));
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
                      .setState(parts.stateOf(operation))
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
              var so = parts.stateOf(operation);
              return objects.opened(
                  key,
                  by ->
                      user.part(stub ->
                          stub.digestKey(
                                  DigestKeyRequest.newBuilder()
                                      .setState(so)
                                      .setKey(by.toMessage())
                                      .build())
                              .getState()));
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
    // First: it may be what makes the state.
    var state = parts.stateOf(operation);
    return SavedState.of(operation, state);
  }

  /** As {@link SavedState#operation}, in the place of what is active. */
  void restore(byte[] saved, @Nullable CkObject key) {
    var operation = SavedState.operation(saved, key);
    session.active().forEach(active -> session.cancel(active.function()));
    session.begin(operation);
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
