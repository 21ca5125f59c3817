package dev.grep11.agent.cryptoki;

import static dev.grep11.client.Ckr.CKR_SAVED_STATE_INVALID;

import com.google.protobuf.ByteString;
import dev.grep11.proto.Mechanism;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import org.jspecify.annotations.Nullable;

/**
 * What C_GetOperationState gives: which operation it is, and its state, which the gateway sealed.
 * The state is what makes the operation, the rest describes it.
 */
final class SavedState {
  private static final int FORMAT = 1;

  static byte[] of(Operation operation, ByteString state) {
    var bytes = new ByteArrayOutputStream();
    try (var out = new DataOutputStream(bytes)) {
      out.writeByte(FORMAT);
      out.writeUTF(operation.function().name());
      out.writeUTF(operation.phase().name());
      byte[] mechanism = operation.mechanism().toByteArray();
      out.writeInt(mechanism.length);
      out.write(mechanism);
      out.write(state.toByteArray());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return bytes.toByteArray();
  }

  /**
   * The operation that goes on from there.
   *
   * @param key what the application names, if it does; the state carries the key itself
   * @throws Refusal CKR_SAVED_STATE_INVALID
   */
  static Operation operation(byte[] saved, @Nullable CkObject key) {
    try (var in = new DataInputStream(new ByteArrayInputStream(saved))) {
      if (in.readUnsignedByte() != FORMAT) {
        throw invalid();
      }
      var function = Function.valueOf(in.readUTF());
      var phase = Phase.valueOf(in.readUTF());
      int length = in.readInt();
      if (phase == Phase.IDLE || length < 0 || length > saved.length) {
        throw invalid();
      }
      var mechanism = Mechanism.parseFrom(in.readNBytes(length));
      var state = ByteString.copyFrom(in.readAllBytes());
      if (state.isEmpty()) {
        throw invalid();
      }
      return new Operation(function, mechanism, key, phase, state);
    } catch (IOException | IllegalArgumentException e) {
      throw invalid();
    }
  }

  private static Refusal invalid() {
    return new Refusal(CKR_SAVED_STATE_INVALID, "not a state that this agent saved");
  }

  private SavedState() {}
}
