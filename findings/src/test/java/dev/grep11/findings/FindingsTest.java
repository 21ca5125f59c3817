package dev.grep11.findings;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.gson.JsonParser;
import java.util.List;
import org.junit.jupiter.api.Test;

class FindingsTest {
  private final Findings findings = new Findings();

  @Test
  void aLineTellsLevelCheckDetailAndRemedy() {
    findings.good("Java", "Java 25");
    findings.bad("the port", "is in use", "stop it");

    assertThat(findings.as(Findings.Format.TEXT).lines())
        .containsExactly("good     Java      Java 25", "bad      the port  is in use; stop it");
  }

  @Test
  void whatALibraryPutsIntoAMessageStaysOneLine() {
    findings.warning("a", "first\nsecond\u001b[31m", "do\r\nthis");

    assertThat(findings.as(Findings.Format.TEXT))
        .isEqualTo("warning  a  first second [31m; do this");
  }

  @Test
  void itemsAreForProgramsOnly() {
    findings.warning("mechanisms", "2 are missing", "load another", List.of("CKM_A", "CKM_B"));

    assertThat(findings.as(Findings.Format.TEXT)).doesNotContain("CKM_A");
    var json = JsonParser.parseString(findings.as(Findings.Format.JSON)).getAsJsonArray().get(0);
    assertThat(json.getAsJsonObject().get("level").getAsString()).isEqualTo("warning");
    assertThat(json.getAsJsonObject().get("items").getAsJsonArray()).hasSize(2);
  }

  @Test
  void onlyWhatIsBadMakesTheExitCodeOne() {
    findings.warning("a", "b", "c");
    assertThat(findings.exitCode()).isZero();
    findings.bad("a", "b", "c");
    assertThat(findings.exitCode()).isEqualTo(1);
  }

  @Test
  void whatIsNotGoodHasARemedy() {
    assertThatThrownBy(() -> findings.bad("a", "b", " "))
        .isInstanceOf(IllegalArgumentException.class);
  }
}
