package dev.grep11.agent.cryptoki;

import static dev.grep11.client.Ckr.CKR_OK;
import static dev.grep11.client.Ckr.CKR_OPERATION_ACTIVE;
import static dev.grep11.client.Ckr.CKR_OPERATION_NOT_INITIALIZED;

import java.util.List;

/**
 * Where an operation of a session is, and where each event takes it: the state machine of PKCS #11
 * v2.40, 5.8 to 5.12, which is the same for encryption, decryption, digest, signature and
 * verification.
 */
enum Phase {
  /** There is none. */
  IDLE,
  /** Initialized; no data yet. */
  READY,
  /** Some parts were given. */
  PARTS;

  /** What an application does. */
  enum Event {
    INIT,
    /** Init with a null mechanism: end the operation (v3.0, 5.9.1 and others). */
    CANCEL,
    /** All data at once: C_Sign. */
    SINGLE,
    /** C_SignUpdate. */
    UPDATE,
    /** C_SignFinal. */
    FINAL
  }

  /**
   * One row of the table.
   *
   * @param refusal CKR_OK, or what the event is refused with in this phase
   * @param done the phase after success
   * @param failed the phase after a refusal, by this table or by the gateway
   */
  record Step(Phase from, Event event, long refusal, Phase done, Phase failed) {}

  /**
   * A question for a length, or a buffer that is too small, is neither success nor refusal: the
   * phase stays (v2.40, 5.2).
   */
  static final List<Step> TABLE =
      List.of(
          new Step(IDLE, Event.INIT, CKR_OK, READY, IDLE),
          new Step(IDLE, Event.CANCEL, CKR_OK, IDLE, IDLE),
          new Step(IDLE, Event.SINGLE, CKR_OPERATION_NOT_INITIALIZED, IDLE, IDLE),
          new Step(IDLE, Event.UPDATE, CKR_OPERATION_NOT_INITIALIZED, IDLE, IDLE),
          new Step(IDLE, Event.FINAL, CKR_OPERATION_NOT_INITIALIZED, IDLE, IDLE),
          new Step(READY, Event.INIT, CKR_OPERATION_ACTIVE, READY, READY),
          new Step(READY, Event.CANCEL, CKR_OK, IDLE, IDLE),
          new Step(READY, Event.SINGLE, CKR_OK, IDLE, IDLE),
          new Step(READY, Event.UPDATE, CKR_OK, PARTS, IDLE),
          new Step(READY, Event.FINAL, CKR_OK, IDLE, IDLE),
          new Step(PARTS, Event.INIT, CKR_OPERATION_ACTIVE, PARTS, PARTS),
          new Step(PARTS, Event.CANCEL, CKR_OK, IDLE, IDLE),
          // "C_Encrypt cannot be used to terminate a multi-part operation."
          new Step(PARTS, Event.SINGLE, CKR_OPERATION_ACTIVE, IDLE, IDLE),
          new Step(PARTS, Event.UPDATE, CKR_OK, PARTS, IDLE),
          new Step(PARTS, Event.FINAL, CKR_OK, IDLE, IDLE));

  Step on(Event event) {
    return TABLE.stream()
        .filter(step -> step.from == this && step.event == event)
        .findFirst()
        .orElseThrow();
  }
}
