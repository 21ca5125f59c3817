package dev.grep11.certmgr;

import java.util.regex.Pattern;

/**
 * Text as it may be printed. Much of it comes from a server, or from whoever names things there.
 */
final class Shown {
  /**
   * Controls can move the cursor and rewrite what was printed; format characters, such as those for
   * the direction of text, and line separators make it look like something else (Unicode, UTS #39).
   */
  private static final Pattern UNFIT = Pattern.compile("[\\p{Cc}\\p{Cf}\\p{Zl}\\p{Zp}\\p{Cs}]");

  private static final Pattern PLAIN = Pattern.compile("[A-Za-z0-9_./:@%+=,-]+");

  private Shown() {}

  /** One line, with a question mark in the place of each character that is not for the eye. */
  static String line(String text) {
    return UNFIT.matcher(text).replaceAll("?");
  }

  /** A word of a command line that a POSIX shell takes as it is, whatever is in it. */
  static String word(String text) {
    return PLAIN.matcher(text).matches() ? text : "'" + text.replace("'", "'\\''") + "'";
  }
}
