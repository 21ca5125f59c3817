package dev.grep11.bench.vectors;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import dev.grep11.bench.Line;
import dev.grep11.bench.vectors.Case.Expected;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The judgement of cases; that the gateway's answers are right is shown by running the files. */
class VectorsTest {
  @TempDir Path directory;

  private static Case vector(String algorithm, Expected expected, String group, String test) {
    return new Case(algorithm, 1, expected, Set.of(), object(group), object(test));
  }

  private static Case vector(Expected expected) {
    return vector("HMACSHA256", expected, "{}", "{}");
  }

  private static JsonObject object(String json) {
    return JsonParser.parseString(json).getAsJsonObject();
  }

  private static String tally(Case vector, Outcome outcome) {
    var tally = new Tally();
    tally.add(vector, outcome);
    return tally.describe(new Line()).toString();
  }

  @ParameterizedTest
  @CsvSource({
    "VALID, accepted=1",
    "ACCEPTABLE, accepted=1",
    "INVALID, mismatches=1",
  })
  void countsAnAcceptedCase(Expected expected, String counted) {
    assertThat(tally(vector(expected), Outcome.accepted())).contains("executed=1", counted);
  }

  @ParameterizedTest
  @CsvSource({
    "VALID, mismatches=1",
    "ACCEPTABLE, rejected=1",
    "INVALID, rejected=1",
  })
  void countsARejectedCase(Expected expected, String counted) {
    assertThat(tally(vector(expected), new Outcome.Rejected("CKR_SIGNATURE_INVALID")))
        .contains("executed=1", counted);
  }

  @ParameterizedTest
  @EnumSource(Expected.class)
  void neverExcusesAnotherAnswerOrAFailure(Expected expected) {
    for (var outcome :
        new Outcome[] {
          new Outcome.Different("message"),
          new Outcome.Partly("direction"),
          new Outcome.Failed("CKR_GENERAL_ERROR")
        }) {
      assertThat(tally(vector(expected), outcome)).contains("mismatches=1");
    }
  }

  @Test
  void doesNotCountAsExecutedWhatIsNotOffered() {
    assertThat(tally(vector(Expected.VALID), new Outcome.NotOffered("curve")))
        .contains("executed=0", "not_offered=1", "mismatches=0");
  }

  @ParameterizedTest
  @CsvSource({"88, deviations=1", "96, mismatches=1", "2048, mismatches=1", "2056, deviations=1"})
  void refusesAnIvByItsSizeAndByNothingElse(int ivSize, String counted) {
    var vector = vector("AES-GCM", Expected.VALID, "{\"ivSize\":" + ivSize + "}", "{}");
    assertThat(tally(vector, new Outcome.Rejected("CKR_MECHANISM_PARAM_INVALID")))
        .contains("executed=1", counted);
  }

  @Test
  void givesEveryDeviationAReason() {
    assertThat(Deviation.RULES).isNotEmpty().allMatch(rule -> rule.reason().length() > 20);
  }

  @ParameterizedTest
  @ValueSource(strings = {"{", "[]", "{\"algorithm\":\"DSA\"}", ""})
  void doesNotPassOverAFileItCannotRead(String content) throws IOException {
    var file = Files.writeString(directory.resolve("some.json"), content);
    assertThatExceptionOfType(VectorFormatException.class)
        .isThrownBy(() -> VectorFile.read(file))
        .withMessageContaining("some.json");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "{\"algorithm\":\"FOO\",\"testGroups\":[]}|\"schema\" is missing",
        "{\"algorithm\":\"FOO\",\"schema\":\"s\"}|\"testGroups\" is missing",
        "{\"algorithm\":\"FOO\",\"schema\":\"s\",\"testGroups\":[]}|\"numberOfTests\" is missing",
        "{\"algorithm\":5}|\"algorithm\" is no text",
        "{\"algorithm\":\"FOO\",\"schema\":\"s\",\"testGroups\":{}}|\"testGroups\" is no list",
        "[]|the file is no object",
        "{\"algorithm\":|it is no JSON",
        "{\"algorithm\"|it is no JSON",
      })
  void saysWhatIsWrongWithAFileAndWhichItIs(String content, String why) throws IOException {
    var file = Files.writeString(directory.resolve("some.json"), content);
    assertThatExceptionOfType(VectorFormatException.class)
        .isThrownBy(() -> VectorFile.read(file))
        .withMessageStartingWith(file + " is no Wycheproof file: " + why)
        .withMessageNotContainingAny("Exception", "com.google", "java.");
  }

  @Test
  void saysThatADirectoryHoldsNoFilesOrIsNone() throws IOException {
    Files.writeString(directory.resolve("LICENSE"), "");
    assertThatExceptionOfType(VectorFormatException.class)
        .isThrownBy(() -> VectorFile.in(directory))
        .withMessageContaining(directory + " holds no *.json");
    var none = directory.resolve("none");
    assertThatExceptionOfType(VectorFormatException.class)
        .isThrownBy(() -> VectorFile.in(none))
        .withMessage("there is no " + none);
  }

  @Test
  void refusesAFileThatCountsItsCasesOtherwise() throws IOException {
    var file =
        Files.writeString(
            directory.resolve("some.json"),
            """
            {"algorithm": "DSA", "schema": "s", "numberOfTests": 2, "testGroups": [
              {"tests": [{"tcId": 1, "flags": [], "result": "valid"}]}]}
            """);
    assertThatExceptionOfType(VectorFormatException.class)
        .isThrownBy(() -> VectorFile.read(file))
        .withMessageContaining("states 2 cases and holds 1");
  }

  @Test
  void findsTheFilesAtAnyDepth() throws IOException {
    Files.createDirectories(directory.resolve("a/b"));
    var deep = Files.writeString(directory.resolve("a/b/some.json"), "{}");
    Files.writeString(directory.resolve("LICENSE"), "");
    assertThat(VectorFile.in(directory)).containsExactly(deep);
  }
}
