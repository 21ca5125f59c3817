package dev.grep11.gateway.iam;

import dev.grep11.gateway.store.Entitlement;
import dev.grep11.gateway.store.Grant;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.store.Subject;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;

/**
 * Gives and takes grants, for commands on the host. The gateway itself only reads them ({@link
 * Grants}).
 */
public final class GrantRegister {
  private final Store store;
  private final Roles roles;

  public GrantRegister(Store store, Roles roles) {
    this.store = store;
    this.roles = roles;
  }

  /**
   * Gives a grant; false when exactly this one exists already.
   *
   * @throws IllegalArgumentException when the instance, the role or an action does not exist, or
   *     when the subject would both manage certificates and use keys, in this instance or in two
   *     (security rules 6.2)
   */
  public boolean add(Grant grant) {
    return store.change(change -> add(change, grant));
  }

  /**
   * Takes a grant away; false when there is none like it. Binds within seconds, also for tokens
   * given out already.
   */
  public boolean remove(Grant grant) {
    return store.change(change -> remove(change, grant));
  }

  /** The same as a part of a change. */
  public boolean remove(Store.Change change, Grant grant) {
    // A role that the data file no longer has can still be removed, as it is written.
    return change.remove(grant) || change.remove(spelled(grant));
  }

  public List<Grant> list() {
    return store.grants();
  }

  /** As {@link #add(Grant)}, as a part of a change. */
  public boolean add(Store.Change change, Grant asked) {
    Grant grant = checked(asked);
    if (change.snapshot().instance(grant.instance()).isEmpty()) {
      throw new IllegalArgumentException(
          "there is no instance " + grant.instance() + "; see: grep11 instance list");
    }
    Subject subject = grant.subject();
    Set<String> together = new TreeSet<>(roles.actions(grant.entitlement()));
    change
        .snapshot()
        .grants(subject)
        .forEach(other -> together.addAll(roles.actions(other.entitlement())));
    if (Actions.joinSeparateDuties(together)) {
      throw new IllegalArgumentException(
          "subject "
              + subject.id()
              + " must not both manage certificates and use keys: make another for the second");
    }
    return change.add(grant);
  }

  private Grant checked(Grant grant) {
    switch (grant.entitlement()) {
      case Entitlement.Role role -> roles.named(role.name());
      case Entitlement.Actions actions -> {
        for (String action : actions.names()) {
          if (!Actions.known().contains(action)) {
            throw new IllegalArgumentException(
                "there is no action " + action + "; those there are: grep11 grant add --help");
          }
        }
      }
    }
    return spelled(grant);
  }

  private Grant spelled(Grant grant) {
    return switch (grant.entitlement()) {
      case Entitlement.Role role when roles.knows(role.name()) ->
          new Grant(
              grant.subject(),
              grant.instance(),
              new Entitlement.Role(roles.named(role.name())),
              grant.resource());
      case Entitlement.Role role -> grant;
      case Entitlement.Actions actions -> grant;
    };
  }
}
