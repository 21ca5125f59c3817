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

  /**
   * What others made of it, as it can be shown: a control character, or one that hides or turns
   * text around, becomes a question mark.
   *
   * @throws IllegalArgumentException when it is too long
   */
  static String shown(String what, String value) {
    if (value.length() > MAX_LENGTH) {
      throw new IllegalArgumentException(what + " has more than " + MAX_LENGTH + " characters");
    }
    return value
        .codePoints()
        .map(each -> isShown(each) ? each : '?')
        .collect(StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append)
        .toString();
  }

  private static boolean isShown(int codePoint) {
    return !Character.isISOControl(codePoint)
        && switch (Character.getType(codePoint)) {
          case Character.FORMAT,
              Character.LINE_SEPARATOR,
              Character.PARAGRAPH_SEPARATOR,
              Character.SURROGATE ->
              false;
          default -> true;
        };
  }
}
