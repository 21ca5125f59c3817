package dev.grep11.bench.vectors;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.util.HexFormat;
import java.util.Optional;
import java.util.Set;

/**
 * One vector with what its group says for all.
 *
 * @param algorithm the file's, for instance {@code AES-GCM}
 */
record Case(
    String algorithm,
    int id,
    Expected expected,
    Set<String> flags,
    JsonObject group,
    JsonObject test) {

  /** What Wycheproof says of it. */
  enum Expected {
    VALID,
    INVALID,
    /** Correct, but of a kind that a careful implementation may refuse. */
    ACCEPTABLE
  }

  /** Bytes of the case or of its group, which are hexadecimal in the file. */
  byte[] bytes(String field) {
    return optionalBytes(field).orElseThrow(() -> new VectorFormatException("no " + field));
  }

  Optional<byte[]> optionalBytes(String field) {
    return find(field).map(value -> HexFormat.of().parseHex(value.getAsString()));
  }

  int number(String field) {
    return find(field)
        .map(JsonElement::getAsInt)
        .orElseThrow(() -> new VectorFormatException("no " + field));
  }

  String text(String field) {
    return find(field)
        .map(JsonElement::getAsString)
        .orElseThrow(() -> new VectorFormatException("no " + field));
  }

  private Optional<JsonElement> find(String field) {
    return Optional.ofNullable(test.has(field) ? test.get(field) : group.get(field));
  }

  @Override
  public String toString() {
    return "case " + id + " " + flags;
  }
}
