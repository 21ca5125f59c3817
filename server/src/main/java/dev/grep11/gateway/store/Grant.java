package dev.grep11.gateway.store;

import java.util.Optional;
import java.util.UUID;
import java.util.regex.Pattern;

/**
 * What a subject may do in an instance (interfaces 4).
 *
 * @param resource limits the grant to {@code key}, {@code keystore}, or {@code keystore:<UUID>}
 */
public record Grant(
    Subject subject, UUID instance, Entitlement entitlement, Optional<String> resource)
    implements Stored {
  private static final Pattern RESOURCE =
      Pattern.compile("key|keystore|keystore:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}");

  public Grant {
    resource.ifPresent(name -> {
      if (!RESOURCE.matcher(name).matches()) {
        throw new IllegalArgumentException(
            "resource \"%s\" is none; it is key, keystore or keystore:UUID in lower case"
                .formatted(name));
      }
    });
  }

  /** A grant on the whole instance. */
  public static Grant ofRole(Subject subject, UUID instance, String role) {
    return new Grant(subject, instance, new Entitlement.Role(role), Optional.empty());
  }
}
