package dev.grep11.gateway.store;

import java.util.Collections;
import java.util.Set;
import java.util.TreeSet;

/** What a grant gives: a role by name, or actions one by one. */
public sealed interface Entitlement {
  /** Every action that the role has, also those it gains later. */
  record Role(String name) implements Entitlement {
    public Role {
      Text.checked("role", name);
    }
  }

  /** Exactly these actions. */
  record Actions(Set<String> names) implements Entitlement {
    public Actions {
      if (names.isEmpty()) {
        throw new IllegalArgumentException("a grant of no action");
      }
      names.forEach(name -> Text.checked("action", name));
      // Sorted, so that equal grants have equal bytes.
      names = Collections.unmodifiableSet(new TreeSet<>(names));
    }
  }
}
