package dev.grep11.agent.cryptoki;

import static dev.grep11.client.Cka.*;
import static dev.grep11.client.Ckr.*;

import dev.grep11.agent.cryptoki.Slot.Role;
import dev.grep11.agent.rpc.MessageReader.AttributeRoom;
import dev.grep11.agent.rpc.RequestedMechanism;
import dev.grep11.agent.rpc.Room;
import dev.grep11.agent.rpc.WireAttribute;
import dev.grep11.client.MechanismInfo;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * One application: its sessions, its logins, its session objects. It lives as long as its
 * connection.
 *
 * <p>Methods are functions of PKCS #11 v2.40 and throw {@link Refusal} for any return value but
 * CKR_OK. Calls of one session are made one after the other by the caller; everything else may run
 * at the same time.
 */
public final class Application implements AutoCloseable {
  /** More than anybody needs, less than what fills the memory. */
  private static final int MOST_SESSIONS = 100_000;

  private static final int LONGEST_RANDOM = 1_000_000;

  private static final long CKF_RW_SESSION = 2;
  private static final long CKF_SERIAL_SESSION = 4;

  private static final long CKF_TOKEN_PRESENT = 1;
  private static final long CKF_RNG = 1;
  private static final long CKF_LOGIN_REQUIRED = 4;
  private static final long CKF_USER_PIN_INITIALIZED = 8;
  private static final long CKF_DUAL_CRYPTO_OPERATIONS = 0x200;
  private static final long CKF_TOKEN_INITIALIZED = 0x400;

  private static final long CKU_SO = 0;
  private static final long CKU_USER = 1;

  /** CK_TOKEN_INFO, as far as it is not the same of all. */
  public record TokenInfo(
      String label, String serial, long flags, long sessions, long readWriteSessions) {}

  /** CK_SESSION_INFO. */
  public record SessionInfo(long slot, long state, long flags) {}

  private final Map<Long, Slot> slots;
  private final String who;
  private final AtomicLong nextSession = new AtomicLong(1);
  private final Map<Long, Session> sessions = new ConcurrentHashMap<>();
  private final Map<Long, ObjectTable> objects = new HashMap<>();

  private final Logins logins;

  private volatile boolean initialized;
  private volatile boolean closed;

  Application(Map<Long, Slot> slots, String who) {
    this.slots = slots;
    this.who = who;
    this.logins = new Logins(who);
    slots.forEach((number, slot) -> objects.put(number, new ObjectTable(slot, () -> user(number))));
  }

  // ---- General

  public void initialize() {
    if (initialized) {
      throw new Refusal(CKR_CRYPTOKI_ALREADY_INITIALIZED, "twice on one connection");
    }
    initialized = true;
  }

  public void finish() {
    requireInitialized();
    initialized = false;
    end();
  }

  private void requireInitialized() {
    if (!initialized) {
      throw new Refusal(CKR_CRYPTOKI_NOT_INITIALIZED, "C_Initialize comes first");
    }
  }

  /** The connection is gone: nothing of the application stays. */
  @Override
  public void close() {
    closed = true;
    end();
  }

  private void end() {
    slots.keySet().forEach(this::closeAll);
    logins.close();
  }

  // ---- Slots and tokens

  public List<Long> slots(boolean withToken) {
    requireInitialized();
    return slots.values().stream()
        .filter(slot -> !withToken || slot.isPresent())
        .map(Slot::number)
        .toList();
  }

  /** The gateway's address and CK_SLOT_INFO.flags. */
  public Map.Entry<String, Long> slotInfo(long number) {
    requireInitialized();
    var slot = slot(number);
    return Map.entry("gateway " + slot.address(), slot.isPresent() ? CKF_TOKEN_PRESENT : 0);
  }

  public TokenInfo tokenInfo(long number) {
    requireInitialized();
    var slot = slot(number);
    requirePresent(slot);
    var own = sessions.values().stream().filter(session -> session.slot() == slot).toList();
    return new TokenInfo(
        slot.label(() -> user(number)),
        slot.serial(),
        CKF_RNG
            | CKF_LOGIN_REQUIRED
            | CKF_USER_PIN_INITIALIZED
            | CKF_DUAL_CRYPTO_OPERATIONS
            | CKF_TOKEN_INITIALIZED,
        own.size(),
        own.stream().filter(Session::readWrite).count());
  }

  public List<Long> mechanisms(long number) {
    requireInitialized();
    return slot(number).mechanisms(user(number));
  }

  public MechanismInfo mechanism(long number, long mechanism) {
    requireInitialized();
    return slot(number).mechanism(user(number), mechanism);
  }

  /** Empties both keystores, for the security officer. */
  public void initToken(long number, byte[] pin, String label) {
    requireInitialized();
    var slot = slot(number);
    requirePresent(slot);
    if (sessions.values().stream().anyMatch(session -> session.slot() == slot)) {
      throw new Refusal(CKR_SESSION_EXISTS, "the application has sessions with this token");
    }
    var officer = slot.login(Role.OFFICER, pin, who);
    try {
      slot.initialize(() -> officer, label);
    } finally {
      slot.logout(officer);
    }
  }

  private static void requirePresent(Slot slot) {
    if (!slot.isPresent()) {
      throw new Refusal(CKR_TOKEN_NOT_PRESENT, "gateway " + slot.address() + " cannot be reached");
    }
  }

  private Slot slot(long number) {
    var slot = slots.get(number);
    if (slot == null) {
      throw new Refusal(CKR_SLOT_ID_INVALID, "slot " + number);
    }
    return slot;
  }

  // ---- Sessions

  public long openSession(long number, long flags) {
    requireInitialized();
    var slot = slot(number);
    if ((flags & CKF_SERIAL_SESSION) == 0) {
      throw new Refusal(CKR_SESSION_PARALLEL_NOT_SUPPORTED, "CKF_SERIAL_SESSION is not set");
    }
    boolean readWrite = (flags & CKF_RW_SESSION) != 0;
    if (!readWrite && role(number) == Role.OFFICER) {
      throw new Refusal(CKR_SESSION_READ_WRITE_SO_EXISTS, "the security officer is logged in");
    }
    if (sessions.size() >= MOST_SESSIONS) {
      throw new Refusal(CKR_SESSION_COUNT, sessions.size() + " sessions are open");
    }
    long handle = nextSession.getAndIncrement();
    slot.enter();
    sessions.put(handle, new Session(handle, slot, readWrite));
    if (closed) {
      // It would be counted for good.
      closeAll(number);
    }
    return handle;
  }

  public void closeSession(long handle) {
    var session = session(handle);
    forget(session);
    long slot = session.slot().number();
    if (sessions.values().stream().noneMatch(other -> other.slot().number() == slot)) {
      // With the last session the login ends (v2.40, C_CloseSession).
      endLogin(slot);
    }
  }

  public void closeAllSessions(long number) {
    requireInitialized();
    slot(number);
    closeAll(number);
  }

  private void closeAll(long number) {
    for (var session : sessions.values()) {
      if (session.slot().number() == number) {
        forget(session);
      }
    }
    endLogin(number);
  }

  /** Two may close it at once: the slot counts it once. */
  private void forget(Session session) {
    if (sessions.remove(session.handle(), session)) {
      session.slot().leave();
    }
    objects(session).endOfSession(session.handle());
  }

  public SessionInfo sessionInfo(long handle) {
    var session = session(handle);
    var role = role(session);
    // CKS_RO_PUBLIC_SESSION 0, RO_USER 1, RW_PUBLIC 2, RW_USER 3, RW_SO 4
    long state =
        switch (role) {
          case ANONYMOUS -> session.readWrite() ? 2 : 0;
          case NORMAL -> session.readWrite() ? 3 : 1;
          case OFFICER -> 4;
        };
    return new SessionInfo(
        session.slot().number(),
        state,
        CKF_SERIAL_SESSION | (session.readWrite() ? CKF_RW_SESSION : 0));
  }

  private Session session(long handle) {
    requireInitialized();
    var session = sessions.get(handle);
    if (session == null) {
      throw new Refusal(CKR_SESSION_HANDLE_INVALID, "session " + handle);
    }
    return session;
  }

  // ---- Login

  /**
   * Logs in for all sessions of the slot. The gateway is asked whether the PIN is good.
   *
   * @param pin wiped by the caller
   */
  public void login(long handle, long userType, byte[] pin) {
    var session = session(handle);
    long number = session.slot().number();
    if (userType != CKU_SO && userType != CKU_USER) {
      throw new Refusal(CKR_USER_TYPE_INVALID, "user type " + userType);
    }
    var role = userType == CKU_SO ? Role.OFFICER : Role.NORMAL;
    logins.requireNobody(session.slot(), role);
    if (role == Role.OFFICER && hasReadOnly(session.slot())) {
      throw new Refusal(CKR_SESSION_READ_ONLY_EXISTS, "a read-only session is open");
    }
    // Asked without a lock: it may take as long as the gateway does.
    var user = session.slot().login(role, pin, who);
    try {
      if (role == Role.NORMAL) {
        // A wrong password of the keystore is told now, not when the first key is missed.
        var slot = session.slot();
        slot.stored(() -> {
          slot.store(true, () -> user).requirePassword();
          return user;
        });
      }
      if (!logins.begin(session.slot(), role, user, () -> sessions.containsKey(handle))) {
        throw new Refusal(CKR_SESSION_HANDLE_INVALID, "session " + handle);
      }
      objectsOf(number).beginOfLogin();
    } catch (Refusal e) {
      session.slot().logout(user);
      throw e;
    }
  }

  private boolean hasReadOnly(Slot slot) {
    return sessions.values().stream()
        .anyMatch(session -> session.slot() == slot && !session.readWrite());
  }

  public void logout(long handle) {
    var session = session(handle);
    if (role(session) == Role.ANONYMOUS) {
      throw new Refusal(CKR_USER_NOT_LOGGED_IN, "nobody is logged in");
    }
    endLogin(session.slot().number());
  }

  private void endLogin(long number) {
    var slot = slot(number);
    logins
        .end(slot)
        .ifPresent(user -> {
          objectsOf(number).endOfLogin();
          slot.logout(user);
        });
  }

  /**
   * Changes the password of both keystores, for who knows it (C_SetPIN). A PIN that is an API key
   * is changed where API keys are made.
   *
   * @param before what is said to be the password, wiped by the caller
   * @param password the new one, wiped by the caller
   */
  public void setPin(long handle, byte[] before, byte[] password) {
    var session = session(handle);
    long number = session.slot().number();
    if (!session.readWrite()) {
      throw new Refusal(CKR_SESSION_READ_ONLY, "PINs are changed in read-write sessions");
    }
    switch (role(session)) {
      case OFFICER ->
          throw new Refusal(CKR_FUNCTION_NOT_SUPPORTED, "the officer's own PIN; use C_InitPIN");
      case ANONYMOUS -> {
        if (session.slot().hasIam()) {
          throw new Refusal(
              CKR_USER_NOT_LOGGED_IN, "C_Login by API key comes before C_SetPIN of the keystores");
        }
      }
      case NORMAL -> {}
    }
    session.slot().changePassword(before, password, who, () -> user(number));
  }

  /**
   * Changes the password of both keystores, for the security officer (C_InitPIN).
   *
   * @param password wiped by the caller
   */
  public void initPin(long handle, byte[] password) {
    var session = session(handle);
    long number = session.slot().number();
    if (role(session) != Role.OFFICER) {
      throw new Refusal(CKR_USER_NOT_LOGGED_IN, "C_InitPIN is the security officer's");
    }
    session.slot().setPassword(password, () -> user(number));
  }

  private Role role(Session session) {
    return role(session.slot().number());
  }

  private Role role(long slot) {
    return logins.role(slot(slot));
  }

  /** The gateway as who is logged in, or as the anonymous user. */
  private GatewayUser user(long number) {
    return logins.user(slot(number));
  }

  // ---- Objects

  public long createObject(long handle, List<WireAttribute> template) {
    var session = session(handle);
    return new KeyImport(session, user(session.slot().number()), role(session), objects(session))
        .create(ObjectTemplates.parse(template))
        .handle();
  }

  public long copyObject(long handle, long object, List<WireAttribute> changes) {
    var session = session(handle);
    return making(session).copy(object(session, object), ObjectTemplates.parse(changes)).handle();
  }

  public void destroyObject(long handle, long object) {
    var session = session(handle);
    var destroyed = object(session, object);
    if (destroyed.isToken() && !session.readWrite()) {
      throw new Refusal(
          CKR_SESSION_READ_ONLY, "token objects are destroyed in read-write sessions");
    }
    if (destroyed.attributes().has(CKA_DESTROYABLE)
        && !destroyed.attributes().isTrue(CKA_DESTROYABLE)) {
      throw new Refusal(CKR_ACTION_PROHIBITED, "CKA_DESTROYABLE of the object is false");
    }
    objects(session).remove(destroyed);
  }

  public long objectSize(long handle, long object) {
    var session = session(handle);
    var sized = object(session, object);
    long attributes =
        sized.attributes().toMap().values().stream().mapToLong(value -> 8 + value.length).sum();
    return attributes + sized.blobs().stream().mapToLong(blob -> blob.length).sum();
  }

  /** In the order of the request; the caller tells the return value of the whole from it. */
  public List<Answer> attributes(long handle, long object, List<AttributeRoom> asked) {
    var session = session(handle);
    return Answers.to(asked, object(session, object));
  }

  public void setAttributes(long handle, long object, List<WireAttribute> changes) {
    var session = session(handle);
    making(session).change(object(session, object), ObjectTemplates.parse(changes));
  }

  public void findInit(long handle, List<WireAttribute> template) {
    var session = session(handle);
    session.requireNoSearch();
    session.beginSearch(objects(session).find(ObjectTemplates.parse(template), role(session)));
  }

  public List<Long> find(long handle, long most) {
    return session(handle).search(most);
  }

  public void findFinal(long handle) {
    session(handle).endSearch();
  }

  private CkObject object(Session session, long object) {
    return objects(session).get(object, role(session));
  }

  /** A key, for which PKCS #11 has return values of its own. */
  private CkObject key(Session session, long object, long invalid) {
    try {
      return object(session, object);
    } catch (Refusal e) {
      throw e.returnValue() == CKR_OBJECT_HANDLE_INVALID
          ? new Refusal(invalid, "object " + object)
          : e;
    }
  }

  private ObjectTable objects(Session session) {
    return objectsOf(session.slot().number());
  }

  private ObjectTable objectsOf(long slot) {
    var table = objects.get(slot);
    if (table == null) {
      throw new Refusal(CKR_SLOT_ID_INVALID, "slot " + slot);
    }
    return table;
  }

  private KeyMaking making(Session session) {
    return new KeyMaking(session, user(session.slot().number()), role(session), objects(session));
  }

  // ---- Keys

  public long generateKey(
      long handle, @Nullable RequestedMechanism mechanism, List<WireAttribute> template) {
    var session = session(handle);
    return making(session).generate(required(mechanism), ObjectTemplates.parse(template)).handle();
  }

  /** The public key, then the private one. */
  public List<Long> generateKeyPair(
      long handle,
      @Nullable RequestedMechanism mechanism,
      List<WireAttribute> publicTemplate,
      List<WireAttribute> privateTemplate) {
    var session = session(handle);
    return making(session)
        .generatePair(
            required(mechanism),
            ObjectTemplates.parse(publicTemplate),
            ObjectTemplates.parse(privateTemplate))
        .stream()
        .map(CkObject::handle)
        .toList();
  }

  public Output wrapKey(
      long handle, @Nullable RequestedMechanism mechanism, long kek, long key, Room room) {
    var session = session(handle);
    var by = required(mechanism);
    byte[] wrapped =
        making(session)
            .wrap(
                by,
                key(session, kek, CKR_WRAPPING_KEY_HANDLE_INVALID),
                key(session, key, CKR_KEY_HANDLE_INVALID),
                macKey(session, by).orElse(null));
    return room.asksLength() || wrapped.length > room.bytes()
        ? new Output.Length(wrapped.length)
        : new Output.Bytes(wrapped);
  }

  public long unwrapKey(
      long handle,
      @Nullable RequestedMechanism mechanism,
      long kek,
      byte[] wrapped,
      List<WireAttribute> template) {
    var session = session(handle);
    var by = required(mechanism);
    return making(session)
        .unwrap(
            by,
            key(session, kek, CKR_UNWRAPPING_KEY_HANDLE_INVALID),
            wrapped,
            ObjectTemplates.parse(template),
            macKey(session, by).orElse(null))
        .handle();
  }

  public long deriveKey(
      long handle,
      @Nullable RequestedMechanism mechanism,
      long base,
      List<WireAttribute> template) {
    var session = session(handle);
    return making(session)
        .derive(
            required(mechanism),
            key(session, base, CKR_KEY_HANDLE_INVALID),
            ObjectTemplates.parse(template))
        .handle();
  }

  private Optional<CkObject> macKey(Session session, RequestedMechanism mechanism) {
    return mechanism.macKey() == 0
        ? Optional.empty()
        : Optional.of(key(session, mechanism.macKey(), CKR_KEY_HANDLE_INVALID));
  }

  private static RequestedMechanism required(@Nullable RequestedMechanism mechanism) {
    if (mechanism == null) {
      throw new Refusal(CKR_ARGUMENTS_BAD, "no mechanism");
    }
    return mechanism;
  }

  /** Bytes of the HSM. */
  public byte[] random(long handle, long length) {
    var session = session(handle);
    if (length > LONGEST_RANDOM) {
      throw new Refusal(CKR_ARGUMENTS_BAD, "at most 1,000,000 bytes are given");
    }
    if (length == 0) {
      return new byte[0];
    }
    return user(session.slot().number()).call(client -> client.generateRandom((int) length));
  }

  // ---- Operations

  public void encryptInit(long handle, @Nullable RequestedMechanism mechanism, long key) {
    init(Function.ENCRYPT, handle, mechanism, key);
  }

  public void decryptInit(long handle, @Nullable RequestedMechanism mechanism, long key) {
    init(Function.DECRYPT, handle, mechanism, key);
  }

  public void signInit(long handle, @Nullable RequestedMechanism mechanism, long key) {
    init(Function.SIGN, handle, mechanism, key);
  }

  public void verifyInit(long handle, @Nullable RequestedMechanism mechanism, long key) {
    init(Function.VERIFY, handle, mechanism, key);
  }

  public void digestInit(long handle, @Nullable RequestedMechanism mechanism) {
    operations(handle).init(Function.DIGEST, mechanism, null);
  }

  private void init(
      Function function, long handle, @Nullable RequestedMechanism mechanism, long key) {
    var session = session(handle);
    operations(handle)
        .init(
            function,
            mechanism,
            mechanism == null ? null : key(session, key, CKR_KEY_HANDLE_INVALID));
  }

  /**
   * Whether an Init of this mechanism and key seems to need neither the gateway nor a store. What
   * is known may be gone when the Init is made, which is then a {@link WouldWait} on the event
   * loop.
   */
  public boolean isAtHand(long handle, long mechanism, long key) {
    var session = sessions.get(handle);
    return session != null
        && session.slot().knows(mechanism)
        && (key == 0 || objects(session).knows(key));
  }

  /** C_Sign, C_Encrypt, C_Decrypt and C_Digest as {@link Operations#begin} has them. */
  public Optional<CompletableFuture<Optional<Output>>> begin(
      Function function, long handle, byte[] data, Room room) {
    return sessions.containsKey(handle)
        ? operations(handle).begin(function, data, room)
        : Optional.empty();
  }

  public Output encrypt(long handle, byte[] data, Room room) {
    return operations(handle).single(Function.ENCRYPT, data, room);
  }

  public Output encryptUpdate(long handle, byte[] data, Room room) {
    return operations(handle).update(Function.ENCRYPT, data, room);
  }

  public Output encryptFinal(long handle, Room room) {
    return operations(handle).last(Function.ENCRYPT, room);
  }

  public Output decrypt(long handle, byte[] data, Room room) {
    return operations(handle).single(Function.DECRYPT, data, room);
  }

  public Output decryptUpdate(long handle, byte[] data, Room room) {
    return operations(handle).update(Function.DECRYPT, data, room);
  }

  public Output decryptFinal(long handle, Room room) {
    return operations(handle).last(Function.DECRYPT, room);
  }

  public Output digest(long handle, byte[] data, Room room) {
    return operations(handle).single(Function.DIGEST, data, room);
  }

  public void digestUpdate(long handle, byte[] data) {
    operations(handle).absorb(Function.DIGEST, data);
  }

  public void digestKey(long handle, long key) {
    var session = session(handle);
    operations(handle).digestKey(key(session, key, CKR_KEY_HANDLE_INVALID));
  }

  public Output digestFinal(long handle, Room room) {
    return operations(handle).last(Function.DIGEST, room);
  }

  public Output sign(long handle, byte[] data, Room room) {
    return operations(handle).single(Function.SIGN, data, room);
  }

  public void signUpdate(long handle, byte[] data) {
    operations(handle).absorb(Function.SIGN, data);
  }

  public Output signFinal(long handle, Room room) {
    return operations(handle).last(Function.SIGN, room);
  }

  public void verify(long handle, byte[] data, byte[] signature) {
    operations(handle).verify(data, signature);
  }

  public void verifyUpdate(long handle, byte[] data) {
    operations(handle).absorb(Function.VERIFY, data);
  }

  public void verifyFinal(long handle, byte[] signature) {
    operations(handle).verifyLast(signature);
  }

  public Output digestEncryptUpdate(long handle, byte[] data, Room room) {
    return operations(handle).absorbAndEncrypt(Function.DIGEST, data, room);
  }

  public Output signEncryptUpdate(long handle, byte[] data, Room room) {
    return operations(handle).absorbAndEncrypt(Function.SIGN, data, room);
  }

  public Output decryptDigestUpdate(long handle, byte[] data, Room room) {
    return operations(handle).decryptAndAbsorb(Function.DIGEST, data, room);
  }

  public Output decryptVerifyUpdate(long handle, byte[] data, Room room) {
    return operations(handle).decryptAndAbsorb(Function.VERIFY, data, room);
  }

  public Output operationState(long handle, Room room) {
    byte[] saved = operations(handle).save();
    return room.asksLength() || saved.length > room.bytes()
        ? new Output.Length(saved.length)
        : new Output.Bytes(saved);
  }

  /** The keys are in the state; those that are named must exist all the same. */
  public void setOperationState(
      long handle, byte[] state, long encryptionKey, long authenticationKey) {
    var session = session(handle);
    CkObject named = null;
    for (long key : new long[] {authenticationKey, encryptionKey}) {
      if (key != 0) {
        named = key(session, key, CKR_KEY_HANDLE_INVALID);
      }
    }
    operations(handle).restore(state, named);
  }

  /** C_SessionCancel (PKCS #11 v3.0): ends the operations that the flags name. */
  public void cancel(long handle, long flags) {
    var session = session(handle);
    for (Function function : Function.values()) {
      if ((flags & function.flag()) != 0) {
        session.cancel(function);
      }
    }
    // CKF_FIND_OBJECTS
    if ((flags & 0x40) != 0) {
      session.cancelSearch();
    }
  }

  private Operations operations(long handle) {
    var session = session(handle);
    return new Operations(session, user(session.slot().number()), objects(session));
  }
}
