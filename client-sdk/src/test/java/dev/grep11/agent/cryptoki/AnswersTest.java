package dev.grep11.agent.cryptoki;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.grep11.agent.rpc.MessageReader.AttributeRoom;
import dev.grep11.agent.store.Attributes;
import dev.grep11.client.Cka;
import dev.grep11.client.Cko;
import dev.grep11.client.Ckr;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** What C_GetAttributeValue answers (PKCS #11 v2.40, 5.7). */
class AnswersTest {
  private static final int KIB = 1024;

  private static CkObject object(long objectClass, int bytes) {
    return new CkObject(
        1,
        0,
        1,
        Optional.empty(),
        Attributes.empty()
            .with(Cka.CKA_CLASS, objectClass)
            .with(Cka.CKA_VALUE, new byte[bytes])
            .with(Cka.CKA_LABEL, new byte[10]),
        List.of());
  }

  private static List<AttributeRoom> times(int number, AttributeRoom asked) {
    return Collections.nCopies(number, asked);
  }

  @Test
  void aLongAttributeThatIsAskedForManyTimesIsNoAnswerWithoutEnd() {
    var data = object(Cko.CKO_DATA, 64 * KIB);
    var asked = new AttributeRoom(Cka.CKA_VALUE, 64 * KIB);

    assertThat(Answers.to(times(256, asked), data)).hasSize(256);

    var refused = catchThrowableOfType(Refusal.class, () -> Answers.to(times(257, asked), data));
    assertThat(refused.returnValue()).isEqualTo(Ckr.CKR_DEVICE_MEMORY);
    assertThat(refused).hasMessageContaining("an answer of " + 257 * 64 * KIB + " bytes");
  }

  @Test
  void lengthsAloneMayBeAskedForAsOften() {
    var data = object(Cko.CKO_DATA, 64 * KIB);

    assertThat(Answers.to(times(10_000, new AttributeRoom(Cka.CKA_VALUE, 0)), data))
        .hasSize(10_000)
        .allSatisfy(answer ->
            assertThat(answer)
                .isInstanceOfSatisfying(
                    Answer.Value.class, value -> assertThat(value.lengthOnly()).isTrue()));
  }

  @Test
  void eachAttributeHasAnAnswerOfItsOwn() {
    var asked =
        List.of(
            new AttributeRoom(Cka.CKA_LABEL, 10),
            new AttributeRoom(Cka.CKA_LABEL, 9),
            new AttributeRoom(Cka.CKA_VALUE, 32),
            new AttributeRoom(Cka.CKA_MODULUS, 32));

    var answers = Answers.to(asked, object(Cko.CKO_SECRET_KEY, 32));

    assertThat(answers.get(0)).isInstanceOf(Answer.Value.class);
    assertThat(answers.subList(1, 4))
        .containsExactly(
            new Answer.Unavailable(Ckr.CKR_BUFFER_TOO_SMALL),
            new Answer.Unavailable(Ckr.CKR_ATTRIBUTE_SENSITIVE),
            new Answer.Unavailable(Ckr.CKR_ATTRIBUTE_TYPE_INVALID));
  }
}
