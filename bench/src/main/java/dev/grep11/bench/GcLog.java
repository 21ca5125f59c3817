package dev.grep11.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;

/**
 * The heap that a Java machine allocates, by its log of collections ({@code -Xlog:gc}): what is
 * used before one and was not after the one before it. Exact to a young generation over all, so it
 * is asked of many calls.
 */
record GcLog(Path file) {
  private static final Pattern COLLECTION = Pattern.compile(".*\\b(\\d+)M->(\\d+)M\\(\\d+M\\).*");
  private static final long MIB = 1 << 20;

  /** The lines of collections so far. */
  int position() {
    return collections().size();
  }

  /**
   * Bytes that were allocated since.
   *
   * @param position of the log at some time
   * @throws BenchException when fewer than four collections came since, which tells too little
   */
  long allocatedSince(int position) {
    return allocated(collections(), position);
  }

  static long allocated(List<String> collections, int position) {
    if (collections.size() < position + 4) {
      throw new BenchException(
          "only %d collections: too few to tell what was allocated"
              .formatted(collections.size() - position));
    }
    long bytes = 0;
    for (int i = Math.max(1, position); i < collections.size(); i++) {
      bytes += (used(collections.get(i), 1) - used(collections.get(i - 1), 2)) * MIB;
    }
    return bytes;
  }

  private static long used(String line, int group) {
    var found = COLLECTION.matcher(line);
    if (!found.matches()) {
      throw new IllegalArgumentException(line);
    }
    return Long.parseLong(found.group(group));
  }

  private List<String> collections() {
    try {
      var found = new ArrayList<String>();
      for (var line : Files.readAllLines(file)) {
        if (COLLECTION.matcher(line).matches()) {
          found.add(line);
        }
      }
      return found;
    } catch (IOException e) {
      throw new BenchException(file + " cannot be read: " + e.getMessage(), e);
    }
  }
}
