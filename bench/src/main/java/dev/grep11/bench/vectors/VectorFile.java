package dev.grep11.bench.vectors;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;

/** A file of Project Wycheproof, unedited. */
record VectorFile(String name, String algorithm, String schema, List<Case> cases) {

  /** Every JSON file below {@code directory}, or the one that it is, in the order of the names. */
  static List<Path> in(Path directory) {
    try (Stream<Path> files = Files.walk(directory)) {
      return files.filter(file -> file.toString().endsWith(".json")).sorted().toList();
    } catch (IOException e) {
      throw new VectorFormatException("cannot read " + directory, e);
    }
  }

  /**
   * @throws VectorFormatException when it is no such file, or counts its own cases otherwise
   */
  static VectorFile read(Path file) {
    var name = String.valueOf(file.getFileName());
    try {
      var json = JsonParser.parseString(Files.readString(file)).getAsJsonObject();
      var algorithm = json.get("algorithm").getAsString();
      var cases = new ArrayList<Case>();
      for (var group : json.getAsJsonArray("testGroups")) {
        for (var test : group.getAsJsonObject().getAsJsonArray("tests")) {
          cases.add(caseOf(algorithm, group.getAsJsonObject(), test.getAsJsonObject()));
        }
      }
      int stated = json.get("numberOfTests").getAsInt();
      if (stated != cases.size()) {
        throw new VectorFormatException(
            name + " states " + stated + " cases and holds " + cases.size());
      }
      return new VectorFile(name, algorithm, json.get("schema").getAsString(), cases);
    } catch (IOException | RuntimeException e) {
      throw e instanceof VectorFormatException known
          ? known
          : new VectorFormatException(name + " is no Wycheproof file: " + e.getMessage(), e);
    }
  }

  private static Case caseOf(String algorithm, JsonObject group, JsonObject test) {
    Set<String> flags = new TreeSet<>();
    for (JsonElement flag : test.getAsJsonArray("flags")) {
      flags.add(flag.getAsString());
    }
    return new Case(
        algorithm,
        test.get("tcId").getAsInt(),
        Case.Expected.valueOf(test.get("result").getAsString().toUpperCase(Locale.ROOT)),
        flags,
        group,
        test);
  }
}
