package dev.grep11.fuzz;

import dev.grep11.agent.MessageDoor;
import dev.grep11.agent.rpc.Call;
import dev.grep11.gateway.pkcs11.Ckr;
import java.nio.ByteBuffer;

/**
 * Messages of PKCS #11 applications to the agent: the first byte is the number of the call, the
 * second chooses the dialect, the rest are the arguments. They are answered, whatever they are: by
 * the call, or by an error that says that the message is wrong or what it names is not there.
 */
public final class AgentMessagesTarget {
  private static final int DIALECTS = 3;

  public static void fuzzerTestOneInput(byte[] input) {
    if (input.length < 2) {
      return;
    }
    var known = Call.of(Byte.toUnsignedInt(input[0]));
    if (known.isEmpty()) {
      return; // The connection answers it without reading on.
    }
    var call = known.get();
    int dialect = Byte.toUnsignedInt(input[1]) % DIALECTS;
    var answer =
        Property.answerOrRefusal(() ->
                MessageDoor.answer(
                    call, dialect, ByteBuffer.wrap(input, 2, input.length - 2).slice()))
            .orElseThrow();
    int number = answer.getInt();
    if (number != 0 && number != call.number()) {
      throw new AssertionError("an answer to another call: " + number);
    }
    if (number == 0 && answer.getLong(answer.limit() - 8) == Ckr.CKR_GENERAL_ERROR) {
      throw new AssertionError("a fault of the agent in " + call);
    }
  }

  private AgentMessagesTarget() {}
}
