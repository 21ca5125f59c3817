package dev.grep11;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.regex.Pattern;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Which part of the SDK may use which: the SDK stands alone, the others stand on it. */
class ImportsTest {
  private static final Path SOURCES = Path.of("src/main/java/dev/grep11");
  private static final Pattern NAMED = Pattern.compile("\\bdev\\.grep11\\.((?:agent|jca)[\\w.]*)");

  @ParameterizedTest
  @CsvSource({
    "client, ''",
    "agent,  agent",
    // The provider's part of the agent: its configuration, and objects as it keeps them.
    "jca,    jca|agent\\.config|agent\\.store|agent\\.cryptoki\\.ObjectTemplates"
  })
  void usesOnlyWhatIsBelowIt(String part, String allowed) throws IOException {
    var wrong = new ArrayList<String>();
    int files = 0;
    try (var all = Files.walk(SOURCES.resolve(part))) {
      for (var file : all.filter(path -> path.toString().endsWith(".java")).toList()) {
        files++;
        var names = NAMED.matcher(Files.readString(file));
        while (names.find()) {
          if (!names.group(1).matches("(?:" + allowed + ")\\b.*")) {
            wrong.add(SOURCES.relativize(file) + " names " + names.group(1));
          }
        }
      }
    }
    assertThat(files).isGreaterThan(10);
    assertThat(wrong).isEmpty();
  }
}
