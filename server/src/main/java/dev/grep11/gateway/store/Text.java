package dev.grep11.gateway.store;

/**
 * The one rule for names that people choose: bounded, and nothing that could forge a line in a
 * terminal or log.
 */
final class Text {
  private static final int MAX_LENGTH = 256;

  private Text() {}

  static String checked(String what, String value) {
    if (value.isBlank() || value.length() > MAX_LENGTH) {
      throw new IllegalArgumentException(what + " must have 1 to " + MAX_LENGTH + " characters");
    }
    if (value.codePoints().anyMatch(Character::isISOControl)) {
      throw new IllegalArgumentException(what + " must not contain control characters");
    }
    return value;
  }
}
