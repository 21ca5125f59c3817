package dev.grep11.agent.cryptoki;

import static dev.grep11.client.Ckr.CKR_USER_ALREADY_LOGGED_IN;
import static dev.grep11.client.Ckr.CKR_USER_ANOTHER_ALREADY_LOGGED_IN;

import dev.grep11.agent.cryptoki.Slot.Role;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.function.BooleanSupplier;

/**
 * Who one application is at each slot: whoever logged in there, otherwise the anonymous user. Used
 * by several threads.
 */
final class Logins implements AutoCloseable {
  private record Login(Role role, GatewayUser user) {}

  private final String who;

  /** Guarded by this. Who is not here is anonymous. */
  private final Map<Slot, Login> logins = new HashMap<>();

  /** Guarded by this. */
  private final Map<Slot, GatewayUser> anonymous = new HashMap<>();

  /**
   * @param who the user of this host
   */
  Logins(String who) {
    this.who = who;
  }

  /** CKR_USER_ALREADY_LOGGED_IN, CKR_USER_ANOTHER_ALREADY_LOGGED_IN. */
  synchronized void requireNobody(Slot slot, Role role) {
    var login = logins.get(slot);
    if (login != null) {
      throw new Refusal(
          login.role == role ? CKR_USER_ALREADY_LOGGED_IN : CKR_USER_ANOTHER_ALREADY_LOGGED_IN,
          "slot " + slot.number());
    }
  }

  /**
   * Whether the login begins; if not, the caller ends its use of the user.
   *
   * @param isWanted asked in the same moment
   */
  synchronized boolean begin(Slot slot, Role role, GatewayUser user, BooleanSupplier isWanted) {
    requireNobody(slot, role);
    if (!isWanted.getAsBoolean()) {
      return false;
    }
    logins.put(slot, new Login(role, user));
    return true;
  }

  /** Who was logged in; the caller ends its use of him. */
  synchronized Optional<GatewayUser> end(Slot slot) {
    return Optional.ofNullable(logins.remove(slot)).map(Login::user);
  }

  synchronized Role role(Slot slot) {
    var login = logins.get(slot);
    return login == null ? Role.ANONYMOUS : login.role;
  }

  /** The gateway as who is logged in, or as the anonymous user. */
  GatewayUser user(Slot slot) {
    var known = known(slot);
    if (known.isPresent()) {
      return known.get();
    }
    // Without the lock, which the event loop takes too: files are read for it.
    var made = slot.login(Role.ANONYMOUS, null, who);
    if (!keep(slot, made)) {
      slot.logout(made);
    }
    return made;
  }

  private synchronized Optional<GatewayUser> known(Slot slot) {
    var login = logins.get(slot);
    return Optional.ofNullable(login == null ? anonymous.get(slot) : login.user);
  }

  /** False where another thread was first: both have the same user of the slot, used once here. */
  private synchronized boolean keep(Slot slot, GatewayUser made) {
    return anonymous.putIfAbsent(slot, made) == null;
  }

  /** The anonymous user's connections, which no logout ends. */
  @Override
  public void close() {
    takeAll().forEach(Slot::logout);
  }

  private synchronized Map<Slot, GatewayUser> takeAll() {
    var all = Map.copyOf(anonymous);
    anonymous.clear();
    return all;
  }
}
