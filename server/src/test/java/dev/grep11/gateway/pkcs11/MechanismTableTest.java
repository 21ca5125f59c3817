package dev.grep11.gateway.pkcs11;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** {@code -Dgrep11.updateDocs=true} rewrites the page instead of failing. */
class MechanismTableTest {
  private static final Path PAGE = Path.of("..", "docs", "mechanisms.md");
  private static final String BEGIN = "<!-- begin of the table made from MechanismCatalog -->\n\n";
  private static final String END = "\n<!-- end of the table made from MechanismCatalog -->\n";

  @Test
  void pageOfMechanismsShowsTheCatalogAsItIs() throws IOException {
    var page = Files.readString(PAGE);
    int begin = page.indexOf(BEGIN);
    int end = page.indexOf(END);
    assertThat(begin).as("marks of the table in %s", PAGE).isNotNegative().isLessThan(end);

    var table = MechanismTable.markdown();
    if (Boolean.getBoolean("grep11.updateDocs")) {
      Files.writeString(PAGE, page.substring(0, begin) + BEGIN + table + page.substring(end));
      return;
    }

    assertThat(page.substring(begin + BEGIN.length(), end))
        .as("%s is stale; run this test with -Dgrep11.updateDocs=true", PAGE)
        .isEqualTo(table);
  }
}
