package dev.grep11.gateway.command;

import dev.grep11.gateway.iam.Roles;
import java.util.Iterator;

/** The roles there are, for help texts. */
final class RoleNames implements Iterable<String> {
  @Override
  public Iterator<String> iterator() {
    return Roles.standard().names().iterator();
  }
}
