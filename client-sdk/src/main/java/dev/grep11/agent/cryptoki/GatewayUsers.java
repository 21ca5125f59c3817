package dev.grep11.agent.cryptoki;

import static dev.grep11.client.Ckr.CKR_DEVICE_ERROR;
import static dev.grep11.client.Ckr.CKR_PIN_INCORRECT;
import static dev.grep11.client.Ckr.CKR_PIN_INVALID;
import static dev.grep11.client.Ckr.CKR_USER_NOT_LOGGED_IN;

import dev.grep11.agent.config.ClientConfig;
import dev.grep11.agent.config.ClientConfig.User;
import dev.grep11.agent.config.UserConnection;
import dev.grep11.agent.log.Log;
import dev.grep11.client.EventLoop;
import dev.grep11.client.Grep11Client;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.Semaphore;
import org.jspecify.annotations.Nullable;

/**
 * Who reaches the gateway of a slot: one connection for each user and API key, shared by all
 * applications that logged in with it. Used by any number of threads.
 */
final class GatewayUsers implements AutoCloseable {
  private record Identity(Slot.Role role, String keyHash) {}

  private static final class Shared {
    final GatewayUser user;
    int users;

    Shared(GatewayUser user) {
      this.user = user;
    }
  }

  private final ClientConfig.Token config;
  private final EventLoop loop;
  private final KeystorePasswords passwords;
  private final Runnable reached;
  private final Log log;
  private final RefusedLogins refused;
  private final Semaphore waiting = new Semaphore(GatewayUser.MOST_WAITING);

  /** Guarded by itself. */
  private final Map<Identity, Shared> users = new HashMap<>();

  /**
   * @param loop which reads what the gateway answers
   * @param reached told when the gateway answered
   */
  GatewayUsers(
      ClientConfig.Token config,
      EventLoop loop,
      KeystorePasswords passwords,
      Runnable reached,
      Log log) {
    this.config = config;
    this.loop = loop;
    this.passwords = passwords;
    this.reached = reached;
    this.log = log;
    this.refused =
        new RefusedLogins(
            message -> log.warning("slot %d: %s".formatted(config.slot(), message)),
            System::nanoTime);
  }

  /**
   * The gateway as this user reaches it, who is checked there.
   *
   * @param pin the API key, or the keystore's password where no IAM is used; null of the anonymous
   *     user
   * @param who the user of this host who asks, for the count of wrong passwords
   */
  GatewayUser login(Slot.Role role, byte @Nullable [] pin, String who) {
    // It reads files, with a lock held.
    WouldWait.unlessElsewhere();
    try {
      return tryToLogIn(role, pin, who);
    } catch (Refusal e) {
      if (pin != null) {
        refused.refused(who, role, e);
      }
      throw e;
    }
  }

  private GatewayUser tryToLogIn(Slot.Role role, byte @Nullable [] pin, String who) {
    User user =
        switch (role) {
          case OFFICER -> config.officer();
          case NORMAL -> config.normal();
          case ANONYMOUS -> config.anonymous();
        };
    var iam = user.iam();
    if (iam.isEmpty() && pin != null) {
      passwords.require(pin, who);
    }
    // Everybody with the socket acts by that key already: it proves nothing about who asks.
    if (iam.isPresent() && pin != null && isAnonymousKey(pin)) {
      throw new Refusal(
          CKR_PIN_INCORRECT, "the API key of the anonymous user; each user needs a key of his own");
    }
    char[] apiKey = new char[0];
    if (iam.isPresent()) {
      apiKey = pin == null ? anonymousKey(iam.get()) : characters(pin);
    }
    var identity = new Identity(role, hash(apiKey));
    Shared shared;
    boolean isNew;
    synchronized (users) {
      var known = users.get(identity);
      isNew = known == null;
      shared = known == null ? new Shared(connect(user, apiKey)) : known;
      users.put(identity, shared);
      shared.users++;
    }
    Arrays.fill(apiKey, '\0');
    if (pin != null) {
      try {
        // Even of a known user: his API key may have been deleted since.
        shared.user.call(Grep11Client::mechanisms);
        if (isNew) {
          log.info("slot %d: %s logged in".formatted(config.slot(), role));
        }
      } catch (Refusal e) {
        logout(shared.user);
        throw e.returnValue() == CKR_USER_NOT_LOGGED_IN
            ? new Refusal(CKR_PIN_INCORRECT, "the gateway or its token service refused the API key")
            : e;
      }
    }
    return shared.user;
  }

  /** Ends one use of what {@link #login} gave. */
  void logout(GatewayUser user) {
    synchronized (users) {
      users
          .values()
          .removeIf(shared -> {
            if (shared.user == user && --shared.users == 0) {
              closeInTheBackground(user);
              return true;
            }
            return false;
          });
    }
  }

  /** Its last calls may still run. */
  private static void closeInTheBackground(GatewayUser user) {
    var closing = new Thread(user::close, "agent-closing");
    closing.setDaemon(true);
    closing.start();
  }

  private boolean isAnonymousKey(byte[] pin) {
    return config
        .anonymous()
        .iam()
        .flatMap(ClientConfig.Iam::apiKey)
        .filter(key -> key.is(pin))
        .isPresent();
  }

  private static char[] anonymousKey(ClientConfig.Iam iam) {
    return iam.apiKey()
        .orElseThrow(() -> new Refusal(CKR_USER_NOT_LOGGED_IN, "no API key for the anonymous user"))
        .chars();
  }

  private GatewayUser connect(User user, char[] apiKey) {
    try {
      var connection =
          new UserConnection(
              config,
              user,
              apiKey,
              loop,
              message -> log.warning("slot %d: %s".formatted(config.slot(), message)));
      return new GatewayUser(connection, reached, waiting);
    } catch (IllegalArgumentException e) {
      log.error("slot %d: %s".formatted(config.slot(), e.getMessage()));
      throw new Refusal(CKR_DEVICE_ERROR, "the configuration's files cannot be used", e);
    }
  }

  private static char[] characters(byte[] pin) {
    try {
      var decoded = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(pin));
      char[] characters = new char[decoded.remaining()];
      decoded.get(characters);
      Arrays.fill(decoded.array(), '\0');
      if (characters.length == 0) {
        throw new Refusal(CKR_PIN_INCORRECT, "the PIN is empty");
      }
      return characters;
    } catch (CharacterCodingException e) {
      throw new Refusal(CKR_PIN_INVALID, "the PIN is not UTF-8");
    }
  }

  private static String hash(char[] key) {
    var utf8 = StandardCharsets.UTF_8.encode(CharBuffer.wrap(key));
    byte[] bytes = new byte[utf8.remaining()];
    utf8.get(bytes);
    var hash = Sha256.hex(bytes);
    Arrays.fill(bytes, (byte) 0);
    utf8.clear();
    while (utf8.hasRemaining()) {
      utf8.put((byte) 0);
    }
    return hash;
  }

  @Override
  public void close() {
    synchronized (users) {
      users.values().forEach(shared -> shared.user.close());
      users.clear();
    }
  }
}
