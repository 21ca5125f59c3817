package dev.grep11.gateway.hsm;

/**
 * The token refuses the user PIN, or may lock it at the next wrong one: who repeats it locks it.
 */
public final class PinRefusedException extends HsmOpenException {
  private static final long serialVersionUID = 1;

  private final String remedy;

  PinRefusedException(String message, String remedy) {
    super(message);
    this.remedy = remedy;
  }

  /** What the operator does before anybody offers a PIN again. */
  public String remedy() {
    return remedy;
  }
}
