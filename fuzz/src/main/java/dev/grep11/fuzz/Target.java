package dev.grep11.fuzz;

import java.util.Arrays;
import java.util.Optional;
import java.util.stream.Collectors;

/** What is fuzzed. */
enum Target {
  MECHANISMS("mechanisms", MechanismsTarget.class),
  TEMPLATES("templates", TemplatesTarget.class),
  KEY_BLOBS("key-blobs", KeyBlobsTarget.class),
  STATE_BLOBS("state-blobs", StateBlobsTarget.class),
  PUBLIC_KEYS("public-keys", PublicKeysTarget.class),
  PAYLOADS("payloads", PayloadsTarget.class),
  AGENT_MESSAGES("agent-messages", AgentMessagesTarget.class);

  private final String label;
  private final Class<?> entry;

  Target(String label, Class<?> entry) {
    this.label = label;
    this.entry = entry;
  }

  static Optional<Target> named(String label) {
    return Arrays.stream(values()).filter(target -> target.label.equals(label)).findFirst();
  }

  /** All of them, for people. */
  static String labels() {
    return Arrays.stream(values()).map(Target::toString).collect(Collectors.joining(", "));
  }

  /** The class with {@code fuzzerTestOneInput}. */
  Class<?> entry() {
    return entry;
  }

  @Override
  public String toString() {
    return label;
  }
}
