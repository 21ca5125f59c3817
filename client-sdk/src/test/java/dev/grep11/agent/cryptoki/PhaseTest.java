package dev.grep11.agent.cryptoki;

import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.agent.cryptoki.Phase.Event;
import dev.grep11.client.Ckr;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The state machine against the sentences of PKCS #11 v2.40, not against its own table. */
class PhaseTest {

  @Test
  void saysOneThingAboutEachEventInEachPhase() {
    for (Phase phase : Phase.values()) {
      for (Event event : Event.values()) {
        assertThat(Phase.TABLE)
            .as("%s on %s", phase, event)
            .filteredOn(step -> step.from() == phase && step.event() == event)
            .hasSize(1);
      }
    }
  }

  @ParameterizedTest
  @CsvSource({
    // "must call C_SignInit before": 5.11
    "IDLE, SINGLE, CKR_OPERATION_NOT_INITIALIZED, IDLE, IDLE",
    "IDLE, UPDATE, CKR_OPERATION_NOT_INITIALIZED, IDLE, IDLE",
    "IDLE, FINAL, CKR_OPERATION_NOT_INITIALIZED, IDLE, IDLE",
    "IDLE, INIT, CKR_OK, READY, IDLE",
    // "After calling C_SignInit, the application can either call C_Sign ... or C_SignUpdate"
    "READY, SINGLE, CKR_OK, IDLE, IDLE",
    "READY, UPDATE, CKR_OK, PARTS, IDLE",
    // "C_SignFinal ... zero or more times C_SignUpdate"
    "READY, FINAL, CKR_OK, IDLE, IDLE",
    "READY, INIT, CKR_OPERATION_ACTIVE, READY, READY",
    // "C_Sign cannot be used to terminate a multi-part operation"
    "PARTS, SINGLE, CKR_OPERATION_ACTIVE, IDLE, IDLE",
    // "A call to C_SignUpdate which results in an error terminates the operation"
    "PARTS, UPDATE, CKR_OK, PARTS, IDLE",
    "PARTS, FINAL, CKR_OK, IDLE, IDLE",
    "PARTS, INIT, CKR_OPERATION_ACTIVE, PARTS, PARTS",
    // v3.0, 5.1.6: a null mechanism ends what is active
    "READY, CANCEL, CKR_OK, IDLE, IDLE",
    "PARTS, CANCEL, CKR_OK, IDLE, IDLE",
  })
  void isThatOfTheStandard(Phase from, Event event, String refusal, Phase done, Phase failed) {
    var step = from.on(event);

    assertThat(Ckr.nameOf(step.refusal())).isEqualTo(refusal);
    if (step.refusal() == Ckr.CKR_OK) {
      assertThat(step.done()).isEqualTo(done);
    }
    assertThat(step.failed()).isEqualTo(failed);
  }
}
