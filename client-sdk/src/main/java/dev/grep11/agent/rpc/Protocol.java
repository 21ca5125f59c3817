package dev.grep11.agent.rpc;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** What both sides of the socket agree on, from {@code protocol.txt}. */
final class Protocol {
  static final Protocol INSTANCE = read();

  /** One call: its number, and the types of its arguments and results. */
  record Signature(int number, String request, String response) {}

  /** How the value of an attribute travels. */
  enum AttributeForm {
    FLAG,
    NUMBER,
    TEMPLATE,
    MECHANISMS,
    DATE,
    BYTES
  }

  /** How the parameter of a mechanism travels. */
  enum ParameterForm {
    NONE,
    PSS,
    OAEP,
    ECDH,
    EDDSA,
    CTR,
    GCM,
    NUMBER,
    BTC,
    BYTES
  }

  private final Map<String, Signature> calls = new HashMap<>();
  private final Map<Long, AttributeForm> attributes = new HashMap<>();
  private final Map<Long, ParameterForm> mechanisms = new HashMap<>();

  private Protocol() {}

  Signature signature(String call) {
    var signature = calls.get(call);
    if (signature == null) {
      throw new IllegalStateException(call + " is not in protocol.txt");
    }
    return signature;
  }

  AttributeForm attribute(long type) {
    return attributes.getOrDefault(type, AttributeForm.BYTES);
  }

  ParameterForm parameter(long mechanism) {
    return mechanisms.getOrDefault(mechanism, ParameterForm.BYTES);
  }

  /** Names in the order of the file, for the test that compares them with {@link Call}. */
  Map<String, Signature> calls() {
    return Map.copyOf(calls);
  }

  private static Protocol read() {
    var protocol = new Protocol();
    try (var stream = Protocol.class.getResourceAsStream("protocol.txt")) {
      if (stream == null) {
        throw new IllegalStateException("protocol.txt is missing");
      }
      var lines = new BufferedReader(new InputStreamReader(stream, StandardCharsets.US_ASCII));
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        if (!line.isBlank() && !line.startsWith("#")) {
          protocol.add(line.split(" ", -1));
        }
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return protocol;
  }

  private void add(String[] row) {
    switch (row[0]) {
      case "call" ->
          calls.put(row[2], new Signature(Integer.parseInt(row[1]), types(row[3]), types(row[4])));
      case "attribute" -> attributes.put(Long.decode(row[2]), form(AttributeForm.class, row[1]));
      case "mechanism" -> mechanisms.put(Long.decode(row[2]), form(ParameterForm.class, row[1]));
      default -> throw new IllegalStateException("protocol.txt: row of kind " + row[0]);
    }
  }

  private static String types(String column) {
    return column.equals("-") ? "" : column;
  }

  private static <E extends Enum<E>> E form(Class<E> forms, @Nullable String name) {
    return Enum.valueOf(forms, String.valueOf(name).toUpperCase(Locale.ROOT));
  }
}
