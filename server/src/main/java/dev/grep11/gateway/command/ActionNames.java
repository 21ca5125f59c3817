package dev.grep11.gateway.command;

import dev.grep11.gateway.iam.Actions;
import java.util.Iterator;

/** The actions there are, for help texts. */
final class ActionNames implements Iterable<String> {
  @Override
  public Iterator<String> iterator() {
    return Actions.known().stream().sorted().iterator();
  }
}
