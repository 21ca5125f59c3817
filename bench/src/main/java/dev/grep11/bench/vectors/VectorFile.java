package dev.grep11.bench.vectors;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import java.io.EOFException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;

/** A file of Project Wycheproof, unedited. */
record VectorFile(String name, String algorithm, String schema, List<Case> cases) {

  /** Every JSON file below {@code directory}, or the one that it is, in the order of the names. */
  static List<Path> in(Path directory) {
    List<Path> found;
    try (Stream<Path> files = Files.walk(directory)) {
      found = files.filter(file -> file.toString().endsWith(".json")).sorted().toList();
    } catch (NoSuchFileException e) {
      throw new VectorFormatException("there is no " + e.getMessage(), e);
    } catch (IOException | UncheckedIOException e) {
      throw new VectorFormatException("cannot read " + directory + ": " + e.getMessage(), e);
    }
    if (found.isEmpty()) {
      throw new VectorFormatException(
          directory + " holds no *.json; the vectors are in testvectors_v1 of Project Wycheproof");
    }
    return found;
  }

  /**
   * @throws VectorFormatException when it is no such file, or counts its own cases otherwise; the
   *     message names the file by its path and what is wrong with it
   */
  static VectorFile read(Path file) {
    try {
      var json = object(JsonParser.parseString(Files.readString(file)), "the file");
      var algorithm = text(json, "algorithm");
      var schema = text(json, "schema");
      var cases = new ArrayList<Case>();
      for (var element : list(json, "testGroups")) {
        var group = object(element, "a test group");
        for (var test : list(group, "tests")) {
          cases.add(caseOf(algorithm, group, object(test, "a test")));
        }
      }
      int stated = number(json, "numberOfTests");
      if (stated != cases.size()) {
        throw new VectorFormatException("it states " + stated + " cases and holds " + cases.size());
      }
      return new VectorFile(String.valueOf(file.getFileName()), algorithm, schema, cases);
    } catch (JsonParseException e) {
      throw unreadable(file, "it is no JSON: " + withoutClassNames(e), e);
    } catch (CharacterCodingException e) {
      throw unreadable(file, "it is no UTF-8", e);
    } catch (IOException e) {
      throw unreadable(file, "it cannot be read", e);
    } catch (VectorFormatException e) {
      throw unreadable(file, String.valueOf(e.getMessage()), e);
    }
  }

  private static VectorFormatException unreadable(Path file, String why, Exception cause) {
    return new VectorFormatException(file + " is no Wycheproof file: " + why, cause);
  }

  /** Gson puts the class of a cause into its message. */
  private static String withoutClassNames(JsonParseException failure) {
    return failure.getCause() instanceof EOFException
        ? "it ends in the middle"
        : String.valueOf(failure.getMessage()).replaceAll("^(?:[a-z0-9]+\\.)+[A-Za-z]+: ", "");
  }

  private static Case caseOf(String algorithm, JsonObject group, JsonObject test) {
    Set<String> flags = new TreeSet<>();
    for (JsonElement flag : list(test, "flags")) {
      flags.add(text(flag, "flags"));
    }
    var result = text(test, "result");
    return new Case(
        algorithm,
        number(test, "tcId"),
        Arrays.stream(Case.Expected.values())
            .filter(expected -> expected.name().toLowerCase(Locale.ROOT).equals(result))
            .findFirst()
            .orElseThrow(() -> new VectorFormatException("no result is named \"" + result + "\"")),
        flags,
        group,
        test);
  }

  private static JsonObject object(JsonElement element, String what) {
    if (!element.isJsonObject()) {
      throw new VectorFormatException(what + " is no object");
    }
    return element.getAsJsonObject();
  }

  private static JsonElement field(JsonObject object, String name) {
    var field = object.get(name);
    if (field == null) {
      throw new VectorFormatException("\"" + name + "\" is missing");
    }
    return field;
  }

  private static JsonArray list(JsonObject object, String name) {
    if (!(field(object, name) instanceof JsonArray list)) {
      throw new VectorFormatException("\"" + name + "\" is no list");
    }
    return list;
  }

  private static String text(JsonObject object, String name) {
    return text(field(object, name), name);
  }

  private static String text(JsonElement element, String name) {
    if (!(element instanceof JsonPrimitive text) || !text.isString()) {
      throw new VectorFormatException("\"" + name + "\" is no text");
    }
    return text.getAsString();
  }

  private static int number(JsonObject object, String name) {
    try {
      if (field(object, name) instanceof JsonPrimitive number && number.isNumber()) {
        return number.getAsInt();
      }
    } catch (NumberFormatException e) {
      // Told below.
    }
    throw new VectorFormatException("\"" + name + "\" is no whole number");
  }
}
