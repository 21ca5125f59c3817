package dev.grep11.agent.cryptoki;

import static dev.grep11.client.Ckr.CKR_ATTRIBUTE_SENSITIVE;
import static dev.grep11.client.Ckr.CKR_ATTRIBUTE_TYPE_INVALID;
import static dev.grep11.client.Ckr.CKR_BUFFER_TOO_SMALL;
import static dev.grep11.client.Ckr.CKR_DEVICE_MEMORY;

import dev.grep11.agent.rpc.MessageReader.AttributeRoom;
import dev.grep11.client.Cko;
import java.util.List;

/** What an application is told of an object's attributes. */
final class Answers {
  /** Bytes together: the same long attribute may be asked for many times in one call. */
  private static final int LONGEST = 16 << 20;

  /** In the order of the request. */
  static List<Answer> to(List<AttributeRoom> asked, CkObject object) {
    var answers = asked.stream().map(room -> answer(object, room)).toList();
    long bytes = 0;
    for (var answer : answers) {
      bytes +=
          answer instanceof Answer.Value value && !value.lengthOnly() ? value.value().length : 0;
    }
    if (bytes > LONGEST) {
      throw new Refusal(CKR_DEVICE_MEMORY, "an answer of " + bytes + " bytes");
    }
    return answers;
  }

  private static Answer answer(CkObject object, AttributeRoom asked) {
    if (isHidden(object, asked.type())) {
      return new Answer.Unavailable(CKR_ATTRIBUTE_SENSITIVE);
    }
    var value = object.attributes().get(asked.type());
    if (value.isEmpty()) {
      return new Answer.Unavailable(CKR_ATTRIBUTE_TYPE_INVALID);
    }
    if (asked.bytes() == 0) {
      return new Answer.Value(value.get(), true);
    }
    // A number is eight bytes on the way and four in an application of 32 bits.
    boolean fits =
        value.get().length <= asked.bytes()
            || (asked.bytes() == 4 && object.attributes().number(asked.type()).isPresent());
    return fits
        ? new Answer.Value(value.get(), false)
        : new Answer.Unavailable(CKR_BUFFER_TOO_SMALL);
  }

  private static boolean isHidden(CkObject object, long type) {
    return ObjectTemplates.SECRET.contains(type)
        && (object.objectClass() == Cko.CKO_PRIVATE_KEY
            || object.objectClass() == Cko.CKO_SECRET_KEY);
  }

  private Answers() {}
}
