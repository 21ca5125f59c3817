package dev.grep11.gateway.tls;

import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.gateway.trust.TestCertificates;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What a stranger's certificate may put into the log and the audit file. */
class ShownCertificateTest {
  private static String subject(String name) {
    return ShownCertificate.of(
            TestCertificates.certificates(TestCertificates.client(name).selfSigned()))
        .subject();
  }

  @ParameterizedTest
  @CsvSource({
    "right-to-left override, 202E",
    "right-to-left isolate, 2067",
    "zero width space, 200B",
    "byte order mark, FEFF",
    "tag, E0041",
    "line separator, 2028",
    "paragraph separator, 2029",
    "next line, 0085",
    "escape, 001B",
    "line feed, 000A"
  })
  void nothingInANameMovesOrTurnsALine(String name, String hex) {
    var unfit = Character.toString(Integer.parseInt(hex, 16));

    assertThat(subject("CN=pay" + unfit + "ments"))
        .as(name)
        .doesNotContain(unfit)
        .satisfiesAnyOf(
            shown -> assertThat(shown).isEqualTo("CN=pay?ments"),
            // The JDK writes some as the bytes of their encoding.
            shown -> assertThat(shown).matches("[ -~]+"));
  }

  @Test
  void lettersOfEveryLanguageStayAsTheyAre() {
    assertThat(subject("CN=Zoë Ω 支払い")).isEqualTo("CN=Zoë Ω 支払い");
  }

  @Test
  void aLongNameIsCutAndNoHalfOfAPairIsLeft() {
    var name = "x".repeat(124) + Character.toString(0x1F600).repeat(10);

    assertThat(subject("CN=" + name)).isEqualTo("CN=" + "x".repeat(124) + "?...");
  }

  @Test
  void noCertificateHasNoName() {
    assertThat(ShownCertificate.of(List.of()).subject()).isEqualTo("none");
  }
}
