package dev.grep11.bench.vectors;

import dev.grep11.client.Ckr;
import dev.grep11.client.Grep11Exception;
import java.util.Set;

/** What a refusal says about the input of a case. */
final class Verdicts {
  /** Return values that are a judgement on key, parameter or data. Any other one is a failure. */
  private static final Set<Long> JUDGEMENTS =
      Set.of(
          Ckr.CKR_SIGNATURE_INVALID,
          Ckr.CKR_SIGNATURE_LEN_RANGE,
          Ckr.CKR_ENCRYPTED_DATA_INVALID,
          Ckr.CKR_ENCRYPTED_DATA_LEN_RANGE,
          Ckr.CKR_WRAPPED_KEY_INVALID,
          Ckr.CKR_WRAPPED_KEY_LEN_RANGE,
          Ckr.CKR_MECHANISM_PARAM_INVALID,
          Ckr.CKR_KEY_SIZE_RANGE,
          Ckr.CKR_ATTRIBUTE_VALUE_INVALID,
          Ckr.CKR_DOMAIN_PARAMS_INVALID,
          Ckr.CKR_CURVE_NOT_SUPPORTED,
          Ckr.CKR_IBM_BLOB_ERROR);

  static Outcome of(Grep11Exception refusal) {
    return refusal.answered() && JUDGEMENTS.contains(refusal.returnValue())
        ? new Outcome.Rejected(refusal.returnValueName())
        : new Outcome.Failed(String.valueOf(refusal.getMessage()));
  }

  /** A curve or a size of the file that this gateway does not have at all. */
  static Outcome of(Case vector, Grep11Exception refusal) {
    return vector.expected() == Case.Expected.VALID
            && refusal.returnValue() == Ckr.CKR_CURVE_NOT_SUPPORTED
        ? new Outcome.NotOffered(refusal.detail())
        : of(refusal);
  }

  private Verdicts() {}
}
