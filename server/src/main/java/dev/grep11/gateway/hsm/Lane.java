package dev.grep11.gateway.hsm;

/** The kinds of work that must not wait behind each other; each lane has threads of its own. */
public enum Lane {
  /** Using a loaded key: sign, encrypt. */
  USE(0),
  /** Unwrapping keys into the token. */
  LOAD(5),
  /** Making keys; an RSA-8192 pair takes half a minute. */
  GENERATE(10),
  /** Making DH and DSA domain parameters, which takes minutes. */
  PARAMETERS(19);

  private final int niceness;

  Lane(int niceness) {
    this.niceness = niceness;
  }

  /**
   * What its threads yield to others when processors are short, on the scale of nice(1): a token in
   * this process computes with our processors, and minutes of prime search must not slow a
   * signature.
   */
  int niceness() {
    return niceness;
  }
}
