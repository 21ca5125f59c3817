package dev.grep11.agent.cryptoki;

import static dev.grep11.client.Ckr.*;

import dev.grep11.agent.config.ClientConfig;
import dev.grep11.agent.config.ClientConfig.User;
import dev.grep11.agent.log.Log;
import dev.grep11.agent.store.FileStore;
import dev.grep11.agent.store.NoStore;
import dev.grep11.agent.store.RemoteStore;
import dev.grep11.agent.store.Store;
import dev.grep11.agent.store.StoreException;
import dev.grep11.client.Grep11Client;
import dev.grep11.client.Grep11Exception;
import dev.grep11.client.MechanismInfo;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import java.util.stream.Stream;
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

  /** After so many wrong passwords nothing is compared for so long. */
  private static final int WRONG_PASSWORDS = 5;

  private static final long LOCKED = TimeUnit.MINUTES.toNanos(1);
  private static final Duration DEADLINE = Duration.ofSeconds(30);

  /** CK_USER_TYPE, and nobody. */
  enum Role {
    OFFICER,
    NORMAL,
    ANONYMOUS
  }

  private record Identity(Role role, String keyHash) {}

  private static final class Shared {
    final GatewayUser user;
    int users;

    Shared(GatewayUser user) {
      this.user = user;
    }
  }

  private record Label(String text, long since) {}

  /** Wrong passwords, one after the other, and when the last was. */
  private record Attempts(int wrong, long last) {}

  private record Mechanisms(List<Long> list, Map<Long, MechanismInfo> infos, long since) {}

  private final ClientConfig.Token config;
  private final Log log;

  /** Guarded by itself. */
  private final Map<Identity, Shared> users = new HashMap<>();

  private final Object storesLock = new Object();
  private @Nullable Store privateStore;
  private @Nullable Store publicStore;

  private volatile @Nullable Mechanisms mechanisms;
  private volatile @Nullable Label label;
  private volatile long reachedAt = System.nanoTime() - 2 * PRESENCE;

  /** Wrong passwords of keystores, by who asked; guarded by itself. */
  private final Map<String, Attempts> attempts = new HashMap<>();

  private final Object sessionsLock = new Object();
  private int sessions;

  private final Object presenceLock = new Object();
  private long askedAt = System.nanoTime() - 2 * PRESENCE;
  private boolean present;

  Slot(ClientConfig.Token config, Log log) {
    this.config = config;
    this.log = log;
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
    return HexFormat.of().formatHex(sha256(text.getBytes(StandardCharsets.UTF_8))).substring(0, 16);
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

  /**
   * The gateway as this user reaches it, who is checked there.
   *
   * @param pin the API key, or the keystore's password where no IAM is used; null of the anonymous
   *     user
   * @param who the user of this host who asks, for the count of wrong passwords
   */
  GatewayUser login(Role role, byte @Nullable [] pin, String who) {
    User user =
        switch (role) {
          case OFFICER -> config.officer();
          case NORMAL -> config.normal();
          case ANONYMOUS -> config.anonymous();
        };
    var iam = user.iam();
    if (iam.isEmpty() && pin != null) {
      requireKeystorePassword(user, pin, who);
    }
    // Everybody with the socket acts by that key already: it proves nothing about who asks.
    if (iam.isPresent() && pin != null && isAnonymousKey(pin)) {
      log.warning(
          "slot %d: a login as %s with the API key of the anonymous user is refused; each user needs a key of his own"
              .formatted(number(), role));
      throw new Refusal(CKR_PIN_INCORRECT, "the API key of the anonymous user");
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
          log.info("slot %d: %s logged in".formatted(number(), role));
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

  /** Where no gateway counts what is tried, this does. */
  private void requireKeystorePassword(User user, byte[] pin, String who) {
    synchronized (attempts) {
      long now = System.nanoTime();
      var before = attempts.get(who);
      if (before != null && now - before.last > LOCKED) {
        before = null;
      }
      if (before != null && before.wrong >= WRONG_PASSWORDS) {
        throw new Refusal(
            CKR_PIN_LOCKED, WRONG_PASSWORDS + " wrong passwords; try again in a minute");
      }
      if (user.keystorePassword().filter(password -> password.is(pin)).isPresent()) {
        attempts.remove(who);
        return;
      }
      int wrong = before == null ? 1 : before.wrong + 1;
      attempts.put(who, new Attempts(wrong, now));
      if (wrong == WRONG_PASSWORDS) {
        log.warning(
            "slot %d: user %s is locked out for a minute after %d wrong passwords"
                .formatted(number(), who, wrong));
      }
    }
    throw new Refusal(CKR_PIN_INCORRECT, "not the password of the keystore");
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
    char[] key = apiKey.clone();
    var connection = config.connection();
    var files =
        Stream.of(connection.ca(), connection.certificate(), connection.privateKey())
            .flatMap(java.util.Optional::stream)
            .toList();
    Supplier<Grep11Client> make =
        () -> {
          var builder = Grep11Client.builder(config.address()).deadline(DEADLINE);
          connection.ca().ifPresent(builder::trustedCa);
          if (connection.certificate().isPresent() && connection.privateKey().isPresent()) {
            Path certificate = connection.certificate().get();
            builder.clientCertificate(certificate, connection.privateKey().get());
          }
          user.iam()
              .ifPresent(iam -> {
                builder.apiKey(key, iam.endpoint());
                iam.instance().ifPresent(builder::instance);
              });
          return builder.build();
        };
    try {
      return new GatewayUser(
          make,
          new CertificateFiles(files),
          message -> log.warning("slot %d: %s".formatted(number(), message)),
          () -> reachedAt = System.nanoTime());
    } catch (IllegalArgumentException e) {
      log.error("slot %d: %s".formatted(number(), e.getMessage()));
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
    var hash = HexFormat.of().formatHex(sha256(bytes));
    Arrays.fill(bytes, (byte) 0);
    utf8.clear();
    while (utf8.hasRemaining()) {
      utf8.put((byte) 0);
    }
    return hash;
  }

  private static byte[] sha256(byte[] bytes) {
    try {
      return MessageDigest.getInstance("SHA-256").digest(bytes);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
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

  private Mechanisms known(GatewayUser user) {
    var known = mechanisms;
    if (known == null || System.nanoTime() - known.since > MECHANISMS) {
      known =
          new Mechanisms(
              user.call(Grep11Client::mechanisms), new ConcurrentHashMap<>(), System.nanoTime());
      mechanisms = known;
    }
    return known;
  }

  // ---- Keystores

  /**
   * The keystore of the normal user, or the public one.
   *
   * @param user who reaches into it; asked for only where the gateway keeps it
   */
  Store store(boolean isPrivate, Supplier<GatewayUser> user) {
    if (config.storage() instanceof ClientConfig.Storage.Remote) {
      var owner = isPrivate ? config.normal() : config.anonymous();
      return new RemoteStore(
          user.get()::ask, owner.keystore().orElseThrow(), owner.keystorePassword());
    }
    synchronized (storesLock) {
      var open = isPrivate ? privateStore : publicStore;
      if (open == null) {
        open = open(isPrivate ? config.normal() : config.anonymous());
        if (open instanceof FileStore files) {
          files.warning(problem -> log.error("slot %d: %s".formatted(number(), problem)));
        }
        if (isPrivate) {
          privateStore = open;
        } else {
          publicStore = open;
        }
      }
      return open;
    }
  }

  private Store open(User user) {
    if (config.storage() instanceof ClientConfig.Storage.Files files) {
      char[] password =
          user.keystorePassword().isPresent() ? user.keystorePassword().get().chars() : null;
      try {
        return FileStore.open(files.directory(), user.keystore().orElseThrow(), password);
      } catch (StoreException e) {
        throw refusal(e);
      } finally {
        if (password != null) {
          Arrays.fill(password, '\0');
        }
      }
    }
    return new NoStore();
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

  /** Work with a store, with its failures as return values. */
  <T> T stored(Supplier<T> work) {
    try {
      return work.get();
    } catch (StoreException e) {
      throw refusal(e);
    } catch (Grep11Exception e) {
      throw GatewayUser.refusal(e);
    }
  }

  /** What a store's failure is to an application; what an operator has to know is logged. */
  private Refusal refusal(StoreException e) {
    long returnValue =
        switch (e.reason()) {
          case CONFLICT -> CKR_IBM_GREP11_CONFLICT;
          case MISSING -> CKR_OBJECT_HANDLE_INVALID;
          case PASSWORD -> CKR_PIN_INCORRECT;
          case ABSENT -> CKR_TOKEN_WRITE_PROTECTED;
          case NO_KEYSTORE -> {
            log.error("slot %d: %s".formatted(number(), e.getMessage()));
            yield CKR_IBM_GREP11_MISSING;
          }
          case BROKEN -> {
            log.error("slot %d: %s".formatted(number(), e.getMessage()));
            yield CKR_DEVICE_ERROR;
          }
        };
    return new Refusal(returnValue, String.valueOf(e.getMessage()), e);
  }

  @Override
  public void close() {
    synchronized (users) {
      users.values().forEach(shared -> shared.user.close());
      users.clear();
    }
    synchronized (storesLock) {
      if (privateStore != null) {
        privateStore.close();
      }
      if (publicStore != null) {
        publicStore.close();
      }
    }
  }
}
