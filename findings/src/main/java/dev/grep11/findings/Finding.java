package dev.grep11.findings;

import java.util.List;

/**
 * One thing that was looked at.
 *
 * @param check what, in a few words: {@code slot 0, certificate}
 * @param level how it is
 * @param detail what was found, in one line, without secrets
 * @param remedy what to do; empty where all is well, and only there
 * @param items all of what {@code detail} only counts, for programs; mostly empty
 */
public record Finding(String check, Level level, String detail, String remedy, List<String> items) {
  /** From what is well to what does not work. */
  public enum Level {
    GOOD,
    /** It works and will not always, or it could not be looked at. */
    WARNING,
    BAD
  }

  public Finding {
    if (check.isBlank() || detail.isBlank() || remedy.isBlank() != (level == Level.GOOD)) {
      throw new IllegalArgumentException(check + ": what is not good has a remedy");
    }
    items = List.copyOf(items);
  }
}
