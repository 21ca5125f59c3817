package dev.grep11.gateway.iam;

import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.dataformat.yaml.YAMLMapper;
import dev.grep11.gateway.store.Entitlement;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

/** Roles by name, each a set of actions, from a data file. */
public final class Roles {
  // Of two definitions of a role, none is the right one.
  private static final YAMLMapper YAML =
      YAMLMapper.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build();

  private final Map<String, Set<String>> actions;
  private final Map<String, String> spellings = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);

  private Roles(Map<String, Set<String>> actions) {
    this.actions = Collections.unmodifiableMap(actions);
    for (String name : actions.keySet()) {
      spellings.put(name, name);
      spellings.put(name.replace(' ', '-'), name);
      spellings.put(name.replace(" ", ""), name);
    }
  }

  /** The roles that come with the program. */
  public static Roles standard() {
    try (InputStream in = Roles.class.getResourceAsStream("roles.yaml")) {
      if (in == null) {
        throw new IllegalStateException("roles.yaml is missing from the program");
      }
      return read(in, "roles.yaml");
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /**
   * Roles from an operator's file, for a stricter profile.
   *
   * @throws IOException when it cannot be read, or is not YAML of lists by name
   * @throws IllegalArgumentException when it names an action that does not exist, or joins separate
   *     duties in a role
   */
  public static Roles load(Path file) throws IOException {
    try (InputStream in = Files.newInputStream(file)) {
      return read(in, file.toString());
    }
  }

  private static Roles read(InputStream in, String file) throws IOException {
    Map<String, List<String>> written =
        YAML.readValue(in, new TypeReference<LinkedHashMap<String, List<String>>>() {});
    Map<String, Set<String>> roles = new LinkedHashMap<>();
    written.forEach((role, entries) -> roles.put(role, resolve(file, role, entries, roles)));
    return new Roles(roles);
  }

  private static Set<String> resolve(
      String file, String role, List<String> entries, Map<String, Set<String>> rolesAbove) {
    Set<String> actions = new TreeSet<>();
    for (String entry : entries) {
      if (Actions.known().contains(entry)) {
        actions.add(entry);
      } else if (rolesAbove.containsKey(entry)) {
        actions.addAll(rolesAbove.get(entry));
      } else {
        throw new IllegalArgumentException(
            file
                + ": role \""
                + role
                + "\" has \""
                + entry
                + "\", which is neither an action nor a role above it");
      }
    }
    if (Actions.joinSeparateDuties(actions)) {
      throw new IllegalArgumentException(
          file
              + ": role \""
              + role
              + "\" both manages certificates and uses keys (security rules 6.2)");
    }
    return Collections.unmodifiableSet(actions);
  }

  /** The names of all roles, as the file spells and orders them. */
  public List<String> names() {
    return List.copyOf(actions.keySet());
  }

  /**
   * The role as it is spelled in the file; capitals do not matter, and a space may be a hyphen or
   * left out.
   *
   * @throws IllegalArgumentException for another name, naming those there are
   */
  public String named(String name) {
    String spelled = spellings.get(name);
    if (spelled == null) {
      throw new IllegalArgumentException(
          "no role \"" + name + "\"; there are " + String.join(", ", names()));
    }
    return spelled;
  }

  boolean knows(String name) {
    return spellings.containsKey(name);
  }

  /** What a role may do: nothing, if there is no such role. */
  public Set<String> actions(String role) {
    return actions.getOrDefault(role, Set.of());
  }

  /** What an entitlement gives. A granted action that does not exist gives nothing. */
  public Set<String> actions(Entitlement entitlement) {
    return switch (entitlement) {
      case Entitlement.Role role -> actions(role.name());
      case Entitlement.Actions listed -> {
        Set<String> known = new TreeSet<>(listed.names());
        known.retainAll(Actions.known());
        yield known;
      }
    };
  }
}
