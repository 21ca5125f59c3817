package dev.grep11.agent.cryptoki;

import static dev.grep11.client.Ckr.*;

import dev.grep11.agent.config.ClientConfig;
import dev.grep11.agent.log.Log;
import dev.grep11.agent.store.Store;
import dev.grep11.client.Ckm;
import dev.grep11.client.EventLoop;
import dev.grep11.client.Grep11Client;
import dev.grep11.client.MechanismInfo;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * A slot with its token: one gateway and two keystores, shared by all applications of the agent.
 * Used by any number of threads.
 */
final class Slot implements AutoCloseable {
  /** How long an answer about the gateway's presence holds. */
  private static final long PRESENCE = TimeUnit.SECONDS.toNanos(1);

  private static final long MECHANISMS = TimeUnit.MINUTES.toNanos(1);
  private static final long LABEL = TimeUnit.SECONDS.toNanos(10);
  private static final int CONNECT_MILLIS = 2000;

  /** CK_USER_TYPE, and nobody. */
  enum Role {
    OFFICER,
    NORMAL,
    ANONYMOUS
  }

  private record Label(String text, long since) {}

  /** What they make are objects that no keystore holds: not listed, so that nobody relies on it. */
  private static final Set<Long> OF_DOMAIN_PARAMETERS =
      Set.of(Ckm.CKM_DSA_PARAMETER_GEN, Ckm.CKM_DH_PKCS_PARAMETER_GEN);

  private record Mechanisms(List<Long> list, Map<Long, MechanismInfo> infos, long since) {}

  private final ClientConfig.Token config;
  private final Log log;

  private final KeystorePasswords passwords;
  private final GatewayUsers users;
  private final TokenStores stores;
  private @Nullable MasterKeyFollower follower;

  /** Guarded by this. */
  private @Nullable GatewayUser guest;

  private volatile @Nullable Mechanisms mechanisms;
  private volatile @Nullable Label label;
  private volatile long reachedAt = System.nanoTime() - 2 * PRESENCE;

  private final Object sessionsLock = new Object();
  private int sessions;

  private final Object presenceLock = new Object();
  private long askedAt = System.nanoTime() - 2 * PRESENCE;
  private boolean present;

  Slot(ClientConfig.Token config, EventLoop loop, Log log) {
    this.config = config;
    this.log = log;
    this.passwords =
        new KeystorePasswords(
            config.normal().keystorePassword(),
            message -> log.warning("slot %d: %s".formatted(number(), message)));
    this.users =
        new GatewayUsers(config, loop, passwords, () -> reachedAt = System.nanoTime(), log);
    this.stores = new TokenStores(config, passwords, log);
  }

  /**
   * Brings keys that the gateway cannot see under its newest master key from now on.
   *
   * @param pause from one look to the next
   */
  void followMasterKeys(Duration pause) {
    if (stores.areLocal()) {
      follower = new MasterKeyFollower(number(), stores, this::guest, pause, log);
    }
  }

  /** Held until the slot is closed. A blob is all that re-wrapping it takes. */
  private synchronized GatewayUser guest() {
    if (guest == null) {
      guest = users.login(Role.ANONYMOUS, null, "agent");
    }
    return guest;
  }

  long number() {
    return config.slot();
  }

  String address() {
    return config.address();
  }

  /**
   * Given by C_InitToken, otherwise the name of the normal user.
   *
   * @param user who asks
   */
  String label(Supplier<GatewayUser> user) {
    var known = label;
    if (known != null && System.nanoTime() - known.since < LABEL) {
      return known.text;
    }
    try {
      var text = stored(() -> store(false, user).label()).orElse(config.normal().name());
      label = new Label(text, System.nanoTime());
      return text;
    } catch (Refusal e) {
      return config.normal().name();
    }
  }

  /** Sixteen digits that are the same wherever this keystore is used. */
  String serial() {
    var text = config.address() + config.anonymous().keystore().map(UUID::toString).orElse("");
    return Sha256.hex(text.getBytes(StandardCharsets.UTF_8)).substring(0, 16);
  }

  // ---- Presence

  /** Whether the gateway can be reached. Asked with every list of slots, so it is quick. */
  boolean isPresent() {
    long now = System.nanoTime();
    if (now - reachedAt < PRESENCE) {
      return true;
    }
    synchronized (presenceLock) {
      if (now - askedAt >= PRESENCE) {
        boolean answered = connects();
        if (present && !answered) {
          log.error("slot %d: gateway %s cannot be reached".formatted(number(), address()));
        }
        present = answered;
        askedAt = System.nanoTime();
      }
      return present;
    }
  }

  private boolean connects() {
    try (var socket = new Socket()) {
      socket.connect(
          new InetSocketAddress(config.connection().host(), config.connection().port()),
          CONNECT_MILLIS);
      return true;
    } catch (IOException e) {
      return false;
    }
  }

  // ---- Users

  /** As {@link GatewayUsers#login}. */
  GatewayUser login(Role role, byte @Nullable [] pin, String who) {
    return users.login(role, pin, who);
  }

  /** As {@link GatewayUsers#logout}. */
  void logout(GatewayUser user) {
    users.logout(user);
  }

  // ---- Sessions of all applications

  /** A session with the token begins; {@link #leave} ends it. */
  void enter() {
    synchronized (sessionsLock) {
      sessions++;
    }
  }

  void leave() {
    synchronized (sessionsLock) {
      sessions--;
    }
  }

  // ---- Mechanisms

  List<Long> mechanisms(GatewayUser user) {
    return known(user).list;
  }

  /** CKR_MECHANISM_INVALID when the gateway does not offer it. */
  MechanismInfo mechanism(GatewayUser user, long number) {
    var known = known(user);
    if (!known.list.contains(number)) {
      throw new Refusal(CKR_MECHANISM_INVALID, "mechanism 0x" + Long.toHexString(number));
    }
    var info = known.infos.get(number);
    if (info == null) {
      info = user.call(client -> client.mechanismInfo(number));
      known.infos.put(number, info);
    }
    return info;
  }

  /** Whether {@link #mechanism} has its answer without the gateway. */
  boolean knows(long mechanism) {
    var known = mechanisms;
    return known != null
        && System.nanoTime() - known.since <= MECHANISMS
        && known.infos.containsKey(mechanism);
  }

  private Mechanisms known(GatewayUser user) {
    var known = mechanisms;
    if (known == null || System.nanoTime() - known.since > MECHANISMS) {
      known =
          new Mechanisms(
              user.call(Grep11Client::mechanisms).stream()
                  .filter(mechanism -> !OF_DOMAIN_PARAMETERS.contains(mechanism))
                  .toList(),
              new ConcurrentHashMap<>(),
              System.nanoTime());
      mechanisms = known;
    }
    return known;
  }

  // ---- Keystores

  /** As {@link TokenStores#store}. */
  Store store(boolean isPrivate, Supplier<GatewayUser> user) {
    return stores.store(isPrivate, user);
  }

  /** As {@link TokenStores#stored}. */
  <T> T stored(Supplier<T> work) {
    return stores.stored(work);
  }

  /**
   * Empties both keystores and gives the token its label. No session begins meanwhile.
   *
   * @throws Refusal CKR_SESSION_EXISTS while any application has a session
   */
  void initialize(Supplier<GatewayUser> officer, String text) {
    synchronized (sessionsLock) {
      if (sessions > 0) {
        throw new Refusal(
            CKR_SESSION_EXISTS,
            "applications have %d sessions with this token".formatted(sessions));
      }
      label = null;
      for (boolean isPrivate : new boolean[] {true, false}) {
        stored(() -> {
          store(isPrivate, officer).initialize(text);
          return isPrivate;
        });
      }
    }
    log.warning("slot %d: the token was initialized, its objects are gone".formatted(number()));
  }

  // ---- Passwords of the keystores

  /** Whether a login is checked by the gateway, and not by the password of the keystores. */
  boolean hasIam() {
    return config.normal().iam().isPresent();
  }

  /**
   * Changes the password for who knows the present one (C_SetPIN).
   *
   * @param before what is said to be the password; the caller's to wipe
   * @param password the new one; the caller's to wipe
   * @param who the user of this host
   */
  void changePassword(byte[] before, byte[] password, String who, Supplier<GatewayUser> user) {
    passwords.requireUse();
    var next = KeystorePasswords.acceptable(password);
    passwords.require(before, who);
    stores.changePassword(next, user);
  }

  /** Changes the password for the security officer, who need not know it (C_InitPIN). */
  void setPassword(byte[] password, Supplier<GatewayUser> officer) {
    passwords.requireUse();
    stores.changePassword(KeystorePasswords.acceptable(password), officer);
  }

  @Override
  public void close() {
    if (follower != null) {
      follower.close();
    }
    users.close();
    stores.close();
  }
}
