package dev.grep11.certmgr;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import org.junit.jupiter.api.Test;

class ShownTest {
  @Test
  void whatIsPrintedHoldsNoControlAndNoFormatCharacter() {
    var out = new StringWriter();
    var err = new StringWriter();
    var printout =
        new Printout(new PrintWriter(out, true), new PrintWriter(err, true), Printout.Form.TEXT);
    printout.text("a\u001b[2Jb\u202ec\u2028d\u009be ä");
    printout.aside("note: \u001b]0;x\u0007");
    assertThat(out.toString()).isEqualTo("a?[2Jb?c?d?e ä" + System.lineSeparator());
    assertThat(err.toString()).isEqualTo("note: ?]0;x?" + System.lineSeparator());
  }

  @Test
  void aWordOfACommandLineIsQuotedWhereAShellWouldReadIt() {
    assertThat(Shown.word("https://issuer.example/a")).isEqualTo("https://issuer.example/a");
    assertThat(Shown.word("x; rm -rf '$HOME'")).isEqualTo("'x; rm -rf '\\''$HOME'\\'''");
    assertThat(Shown.word("")).isEqualTo("''");
  }
}
