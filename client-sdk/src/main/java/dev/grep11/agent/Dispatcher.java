package dev.grep11.agent;

import static dev.grep11.client.Ckr.CKR_ARGUMENTS_BAD;
import static dev.grep11.client.Ckr.CKR_DEVICE_ERROR;
import static dev.grep11.client.Ckr.CKR_FUNCTION_NOT_SUPPORTED;
import static dev.grep11.client.Ckr.CKR_GENERAL_ERROR;
import static dev.grep11.client.Ckr.CKR_OK;
import static dev.grep11.client.Ckr.CKR_RANDOM_SEED_NOT_SUPPORTED;

import dev.grep11.agent.cryptoki.Answer;
import dev.grep11.agent.cryptoki.Application;
import dev.grep11.agent.cryptoki.Function;
import dev.grep11.agent.cryptoki.Output;
import dev.grep11.agent.cryptoki.Refusal;
import dev.grep11.agent.cryptoki.WouldWait;
import dev.grep11.agent.log.Log;
import dev.grep11.agent.rpc.Call;
import dev.grep11.agent.rpc.MalformedException;
import dev.grep11.agent.rpc.MessageReader;
import dev.grep11.agent.rpc.MessageWriter;
import dev.grep11.agent.rpc.RequestedMechanism;
import dev.grep11.agent.rpc.Room;
import dev.grep11.agent.rpc.WireAttribute;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import org.jspecify.annotations.Nullable;

/** Each call of the protocol, from its arguments to its results. */
final class Dispatcher {
  private static final byte[] HANDSHAKE =
      "PRIVATE-GNOME-KEYRING-PKCS11-PROTOCOL-V-1".getBytes(StandardCharsets.US_ASCII);
  private static final String MANUFACTURER = "IBM";
  private static final String MODEL = "GREP11";

  /** CK_UNAVAILABLE_INFORMATION. */
  private static final long UNAVAILABLE = -1;

  private static final long LONGEST_PIN = 1024;

  private final Application application;
  private final Log log;

  Dispatcher(Application application, Log log) {
    this.application = application;
    this.log = log;
  }

  /**
   * The answer to a call, whatever becomes of it.
   *
   * @param in at the first argument
   * @throws WouldWait on the event loop only: the call has to be made elsewhere, and nothing was
   *     done
   */
  MessageWriter answer(Call call, MessageReader in) {
    try {
      var answer = dispatch(call, in);
      log.trace(call + ": CKR_OK");
      return answer;
    } catch (WouldWait e) {
      throw e;
    } catch (Refusal e) {
      // Its text names objects and limits, never a value.
      log.debug(call + ": " + e.getMessage());
      return MessageWriter.refusal(e.returnValue());
    } catch (MalformedException e) {
      log.warning(call + ": malformed: " + e.getMessage());
      return MessageWriter.refusal(CKR_DEVICE_ERROR);
    } catch (RuntimeException | Error e) {
      log.error(
          "%s: a fault of the agent: %s at %s"
              .formatted(call, e.getClass().getName(), Arrays.toString(e.getStackTrace())));
      return MessageWriter.refusal(CKR_GENERAL_ERROR);
    }
  }

  /**
   * Whether the answer seems to need neither the gateway nor a store nor a file, and no lock that
   * is held while somebody waits for those. A hint: between this look and the call a list may
   * expire and an object go, and then {@link #answer} says so.
   *
   * @param in stays at the first argument
   */
  boolean isAtHand(Call call, MessageReader in) {
    return switch (call) {
      case C_Initialize, C_GetInfo, C_GetSessionInfo, C_FindObjects, C_FindObjectsFinal -> true;
      case C_EncryptInit, C_DecryptInit, C_DigestInit, C_SignInit, C_VerifyInit -> {
        var arguments = in.copy();
        try {
          long session = arguments.number();
          var mechanism = arguments.mechanism();
          long key = call == Call.C_DigestInit ? 0 : arguments.number();
          yield mechanism != null && application.isAtHand(session, mechanism.number(), key);
        } catch (Refusal | MalformedException e) {
          // Told in the ordinary way.
          yield false;
        }
      }
      default -> false;
    };
  }

  /**
   * Begins a call that has to wait for one answer of the gateway and for nothing else. Empty, and
   * nothing is done, for all others; an answer that is empty is one of these after all.
   *
   * @param in stays at the first argument
   */
  Optional<CompletableFuture<Optional<MessageWriter>>> begin(Call call, MessageReader in) {
    var function =
        switch (call) {
          case C_Encrypt -> Function.ENCRYPT;
          case C_Decrypt -> Function.DECRYPT;
          case C_Digest -> Function.DIGEST;
          case C_Sign -> Function.SIGN;
          default -> null;
        };
    if (function == null) {
      return Optional.empty();
    }
    var arguments = in.copy();
    try {
      long session = arguments.number();
      byte[] data = arguments.bytes();
      var room = last(arguments, arguments.room());
      return application
          .begin(function, session, data, room)
          .map(begun ->
              begun
                  .thenApply(output -> output.map(given -> output(call, given)))
                  .exceptionally(failure -> Optional.of(refusal(call, failure))));
    } catch (Refusal | MalformedException | IllegalArgumentException | WouldWait e) {
      // Told in the ordinary way.
      return Optional.empty();
    }
  }

  private MessageWriter refusal(Call call, Throwable failure) {
    var cause = failure instanceof CompletionException ? failure.getCause() : failure;
    if (cause instanceof Refusal refusal) {
      log.debug(call + ": " + refusal.getMessage());
      return MessageWriter.refusal(refusal.returnValue());
    }
    log.error("%s: a fault of the agent: %s".formatted(call, cause));
    return MessageWriter.refusal(CKR_GENERAL_ERROR);
  }

  private MessageWriter dispatch(Call call, MessageReader in) {
    return switch (call) {
      case C_Initialize -> {
        byte[] handshake = in.bytes();
        in.oneByte();
        in.bytes();
        in.requireEnd();
        if (!Arrays.equals(handshake, HANDSHAKE)) {
          throw new MalformedException("another handshake");
        }
        application.initialize();
        yield done(call);
      }
      case C_Finalize -> {
        in.requireEnd();
        application.finish();
        yield done(call);
      }
      case C_GetInfo -> {
        in.requireEnd();
        yield done(call)
            .version(2, 40)
            .padded(MANUFACTURER, 32)
            .number(0)
            .padded("grep11 agent", 32)
            .version(0, 1);
      }
      case C_GetSlotList -> {
        boolean withToken = in.oneByte() != 0;
        var room = last(in, in.room());
        yield done(call).numbers(application.slots(withToken), room);
      }
      case C_GetSlotInfo -> {
        var info = application.slotInfo(last(in, in.number()));
        yield done(call)
            .padded(info.getKey(), 64)
            .padded(MANUFACTURER, 32)
            .number(info.getValue())
            .version(0, 1)
            .version(0, 1);
      }
      case C_GetTokenInfo -> tokenInfo(call, last(in, in.number()));
      case C_GetMechanismList -> {
        long slot = in.number();
        var room = last(in, in.room());
        yield done(call).numbers(application.mechanisms(slot), room);
      }
      case C_GetMechanismInfo -> {
        long slot = in.number();
        var info = application.mechanism(slot, last(in, in.number()));
        yield done(call).number(info.minKeySize()).number(info.maxKeySize()).number(info.flags());
      }
      case C_InitToken, C_InitToken2 -> {
        long slot = in.number();
        byte[] pin = in.bytes();
        byte[] label = last(in, in.string());
        try {
          application.initToken(slot, pin, new String(label, StandardCharsets.UTF_8).strip());
        } finally {
          Arrays.fill(pin, (byte) 0);
        }
        yield done(call);
      }
      case C_OpenSession -> {
        long slot = in.number();
        yield done(call).number(application.openSession(slot, last(in, in.number())));
      }
      case C_CloseSession -> {
        application.closeSession(last(in, in.number()));
        yield done(call);
      }
      case C_CloseAllSessions -> {
        application.closeAllSessions(last(in, in.number()));
        yield done(call);
      }
      case C_GetSessionInfo -> {
        var info = application.sessionInfo(last(in, in.number()));
        yield done(call).number(info.slot()).number(info.state()).number(info.flags()).number(0);
      }
      case C_Login -> {
        long session = in.number();
        long userType = in.number();
        byte[] pin = last(in, in.bytes());
        try {
          application.login(session, userType, pin);
        } finally {
          Arrays.fill(pin, (byte) 0);
        }
        yield done(call);
      }
      case C_LoginUser -> {
        long session = in.number();
        long userType = in.number();
        byte[] pin = in.bytes();
        byte[] name = last(in, in.bytes());
        try {
          if (name.length > 0) {
            throw Refusal.of(CKR_ARGUMENTS_BAD, "users have no names");
          }
          application.login(session, userType, pin);
        } finally {
          Arrays.fill(pin, (byte) 0);
        }
        yield done(call);
      }
      case C_Logout -> {
        application.logout(last(in, in.number()));
        yield done(call);
      }
      case C_InitPIN -> {
        long session = in.number();
        byte[] pin = last(in, in.bytes());
        try {
          application.initPin(session, pin);
        } finally {
          Arrays.fill(pin, (byte) 0);
        }
        yield done(call);
      }
      case C_SetPIN -> {
        long session = in.number();
        byte[] before = in.bytes();
        byte[] pin = last(in, in.bytes());
        try {
          application.setPin(session, before, pin);
        } finally {
          Arrays.fill(before, (byte) 0);
          Arrays.fill(pin, (byte) 0);
        }
        yield done(call);
      }
      case C_GetOperationState -> {
        long session = in.number();
        var room = last(in, in.room());
        yield output(call, application.operationState(session, room));
      }
      case C_SetOperationState -> {
        long session = in.number();
        byte[] state = in.bytes();
        long encryptionKey = in.number();
        long authenticationKey = last(in, in.number());
        application.setOperationState(session, state, encryptionKey, authenticationKey);
        yield done(call);
      }
      case C_CreateObject -> {
        long session = in.number();
        yield done(call).number(application.createObject(session, last(in, in.attributes())));
      }
      case C_CopyObject -> {
        long session = in.number();
        long object = in.number();
        yield done(call).number(application.copyObject(session, object, last(in, in.attributes())));
      }
      case C_DestroyObject -> {
        long session = in.number();
        application.destroyObject(session, last(in, in.number()));
        yield done(call);
      }
      case C_GetObjectSize -> {
        long session = in.number();
        yield done(call).number(application.objectSize(session, last(in, in.number())));
      }
      case C_GetAttributeValue -> attributes(call, in);
      case C_SetAttributeValue -> {
        long session = in.number();
        long object = in.number();
        application.setAttributes(session, object, last(in, in.attributes()));
        yield done(call);
      }
      case C_FindObjectsInit -> {
        long session = in.number();
        application.findInit(session, last(in, in.attributes()));
        yield done(call);
      }
      case C_FindObjects -> {
        long session = in.number();
        var room = last(in, in.room());
        yield done(call)
            .numbers(application.find(session, room.bytes()), new Room(room.bytes(), true));
      }
      case C_FindObjectsFinal -> {
        application.findFinal(last(in, in.number()));
        yield done(call);
      }
      case C_EncryptInit -> initialized(call, in, application::encryptInit);
      case C_DecryptInit -> initialized(call, in, application::decryptInit);
      case C_SignInit -> initialized(call, in, application::signInit);
      case C_VerifyInit -> initialized(call, in, application::verifyInit);
      case C_DigestInit -> {
        long session = in.number();
        application.digestInit(session, last(in, in.mechanism()));
        yield done(call);
      }
      case C_Encrypt -> transformed(call, in, application::encrypt);
      case C_EncryptUpdate -> transformed(call, in, application::encryptUpdate);
      case C_EncryptFinal -> finished(call, in, application::encryptFinal);
      case C_Decrypt -> transformed(call, in, application::decrypt);
      case C_DecryptUpdate -> transformed(call, in, application::decryptUpdate);
      case C_DecryptFinal -> finished(call, in, application::decryptFinal);
      case C_Digest -> transformed(call, in, application::digest);
      case C_DigestUpdate -> absorbed(call, in, application::digestUpdate);
      case C_DigestKey -> {
        long session = in.number();
        application.digestKey(session, last(in, in.number()));
        yield done(call);
      }
      case C_DigestFinal -> finished(call, in, application::digestFinal);
      case C_Sign -> transformed(call, in, application::sign);
      case C_SignUpdate -> absorbed(call, in, application::signUpdate);
      case C_SignFinal -> finished(call, in, application::signFinal);
      case C_Verify -> {
        long session = in.number();
        byte[] data = in.bytes();
        application.verify(session, data, last(in, in.bytes()));
        yield done(call);
      }
      case C_VerifyUpdate -> absorbed(call, in, application::verifyUpdate);
      case C_VerifyFinal -> absorbed(call, in, application::verifyFinal);
      case C_DigestEncryptUpdate -> transformed(call, in, application::digestEncryptUpdate);
      case C_DecryptDigestUpdate -> transformed(call, in, application::decryptDigestUpdate);
      case C_SignEncryptUpdate -> transformed(call, in, application::signEncryptUpdate);
      case C_DecryptVerifyUpdate -> transformed(call, in, application::decryptVerifyUpdate);
      case C_GenerateKey -> {
        long session = in.number();
        var mechanism = in.mechanism();
        yield done(call)
            .number(application.generateKey(session, mechanism, last(in, in.attributes())));
      }
      case C_GenerateKeyPair -> {
        long session = in.number();
        var mechanism = in.mechanism();
        List<WireAttribute> publicTemplate = in.attributes();
        var pair =
            application.generateKeyPair(
                session, mechanism, publicTemplate, last(in, in.attributes()));
        yield done(call).number(pair.get(0)).number(pair.get(1));
      }
      case C_WrapKey -> {
        long session = in.number();
        var mechanism = in.mechanism();
        long kek = in.number();
        long key = in.number();
        yield output(call, application.wrapKey(session, mechanism, kek, key, last(in, in.room())));
      }
      case C_UnwrapKey -> {
        long session = in.number();
        var mechanism = in.mechanism();
        long kek = in.number();
        byte[] wrapped = in.bytes();
        yield done(call)
            .number(
                application.unwrapKey(session, mechanism, kek, wrapped, last(in, in.attributes())));
      }
      case C_DeriveKey -> {
        long session = in.number();
        var mechanism = in.mechanism();
        long base = in.number();
        yield done(call)
            .number(application.deriveKey(session, mechanism, base, last(in, in.attributes())));
      }
      case C_DeriveKey2 -> derived(call, in);
      case C_GenerateRandom -> {
        long session = in.number();
        var room = last(in, in.room());
        yield done(call).bytes(application.random(session, room.bytes()));
      }
      case C_SeedRandom -> throw Refusal.of(CKR_RANDOM_SEED_NOT_SUPPORTED, "no seed");
      case C_SessionCancel -> {
        long session = in.number();
        application.cancel(session, last(in, in.number()));
        yield done(call);
      }
      case C_SignRecoverInit,
          C_SignRecover,
          C_VerifyRecoverInit,
          C_VerifyRecover,
          C_WaitForSlotEvent ->
          throw Refusal.of(CKR_FUNCTION_NOT_SUPPORTED, "not offered");
    };
  }

  private static MessageWriter done(Call call) {
    return MessageWriter.answer(call);
  }

  /** The last argument, after which nothing may come. */
  private static <T> T last(MessageReader in, T argument) {
    in.requireEnd();
    return argument;
  }

  private static @Nullable RequestedMechanism last(
      MessageReader in, @Nullable RequestedMechanism argument) {
    in.requireEnd();
    return argument;
  }

  private MessageWriter tokenInfo(Call call, long slot) {
    var info = application.tokenInfo(slot);
    var out =
        done(call)
            .padded(info.label(), 32)
            .padded(MANUFACTURER, 32)
            .padded(MODEL, 16)
            .padded(info.serial(), 16)
            .number(info.flags())
            // CK_EFFECTIVELY_INFINITE
            .number(0)
            .number(info.sessions())
            .number(0)
            .number(info.readWriteSessions())
            .number(LONGEST_PIN)
            .number(1);
    for (int memory = 0; memory < 4; memory++) {
      out.number(UNAVAILABLE);
    }
    return out.version(0, 1).version(0, 1).padded("", 16);
  }

  private MessageWriter attributes(Call call, MessageReader in) {
    long session = in.number();
    long object = in.number();
    var asked = last(in, in.attributeRooms());
    var answers = application.attributes(session, object, asked);
    var out = done(call).attributeCount(answers.size());
    long returnValue = CKR_OK;
    for (int i = 0; i < answers.size(); i++) {
      long type = asked.get(i).type();
      var answer = answers.get(i);
      if (answer instanceof Answer.Value value) {
        out.attribute(type, value.value(), value.lengthOnly());
      } else if (answer instanceof Answer.Unavailable unavailable) {
        // "If several apply, any of them" (v2.40, C_GetAttributeValue): the first.
        returnValue = returnValue == CKR_OK ? unavailable.returnValue() : returnValue;
        out.unavailable(type);
      }
    }
    return out.number(returnValue);
  }

  /** Of newer clients: the return value is part of the answer, since a parameter may come back. */
  private MessageWriter derived(Call call, MessageReader in) {
    long session = in.number();
    var mechanism = in.mechanism();
    long base = in.number();
    var template = last(in, in.attributes());
    long key = application.deriveKey(session, mechanism, base, template);
    var out = done(call).number(CKR_OK);
    if (mechanism != null && mechanism.mayReturnParameter()) {
      out.oneByte(0);
    }
    return out.number(key);
  }

  // ---- Calls of one shape

  private interface Initialization {
    void of(long session, @Nullable RequestedMechanism mechanism, long key);
  }

  private static MessageWriter initialized(Call call, MessageReader in, Initialization init) {
    long session = in.number();
    var mechanism = in.mechanism();
    init.of(session, mechanism, last(in, in.number()));
    return done(call);
  }

  private interface Transformation {
    Output of(long session, byte[] data, Room room);
  }

  private static MessageWriter transformed(Call call, MessageReader in, Transformation transform) {
    long session = in.number();
    byte[] data = in.bytes();
    return output(call, transform.of(session, data, last(in, in.room())));
  }

  private interface Absorption {
    void of(long session, byte[] data);
  }

  private static MessageWriter absorbed(Call call, MessageReader in, Absorption absorb) {
    long session = in.number();
    absorb.of(session, last(in, in.bytes()));
    return done(call);
  }

  private interface End {
    Output of(long session, Room room);
  }

  private static MessageWriter finished(Call call, MessageReader in, End end) {
    long session = in.number();
    return output(call, end.of(session, last(in, in.room())));
  }

  private static MessageWriter output(Call call, Output output) {
    if (output instanceof Output.Bytes bytes) {
      return done(call).bytes(bytes.value());
    }
    return done(call).bytesOfLength(((Output.Length) output).bytes());
  }
}
