package dev.grep11.gateway.hsm;

import static dev.grep11.gateway.pkcs11.Ckr.*;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.MechanismInfo;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeParseException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.locks.LockSupport;
import java.util.function.LongSupplier;

/** The slot whose token carries the configured label, and what may be asked of it by number. */
final class Slot implements Session.Token {
  // CK_TOKEN_INFO, PKCS #11 v2.40 section 3.2.
  private static final long TOKEN_INFO = 208;
  private static final long LABEL_OFFSET = 0;
  private static final long MANUFACTURER_OFFSET = 32;
  private static final long MODEL_OFFSET = 64;
  private static final long SERIAL_OFFSET = 80;
  private static final long FLAGS_OFFSET = 96;
  private static final long FIRMWARE_OFFSET = 186;
  private static final long UTC_TIME_OFFSET = 188;
  private static final int UTC_TIME_LENGTH = 14;
  private static final long CKF_CLOCK_ON_TOKEN = 0x40;
  private static final long CKF_USER_PIN_INITIALIZED = 0x8;
  private static final long CKF_TOKEN_INITIALIZED = 0x400;
  private static final long CKF_USER_PIN_COUNT_LOW = 0x10000;
  private static final long CKF_USER_PIN_FINAL_TRY = 0x20000;
  private static final long CKF_USER_PIN_LOCKED = 0x40000;

  // CK_SESSION_INFO: slot, state, flags, device error.
  private static final long SESSION_INFO = 32;
  private static final long STATE_OFFSET = 8;
  private static final long CKS_RW_USER_FUNCTIONS = 3;

  private static final long CKF_RW_SESSION = 2;
  private static final long CKF_SERIAL_SESSION = 4;
  private static final long CKU_USER = 1;

  private static final DateTimeFormatter UTC_TIME =
      DateTimeFormatter.ofPattern("uuuuMMddHHmmss", Locale.ROOT);

  private static final int LOGIN_ATTEMPTS = 5;
  private static final Duration LOGIN_PAUSE = Duration.ofMillis(50);
  private static final int LOOKS = 5;
  private static final Duration BETWEEN_LOOKS = Duration.ofMillis(40);

  private final Cryptoki cryptoki;
  private final long number;
  private final TokenInfo info;

  private Slot(Cryptoki cryptoki, long number, TokenInfo info) {
    this.cryptoki = cryptoki;
    this.number = number;
    this.info = info;
  }

  /**
   * The one slot.
   *
   * @throws HsmOpenException if not exactly one initialised token has the label
   */
  static Slot find(Cryptoki cryptoki, String label) {
    var all = all(cryptoki);
    var matches = all.stream().filter(slot -> slot.info.label().equals(label)).toList();
    if (matches.size() != 1) {
      var there =
          all.stream()
              .map(slot -> "\"%s\" (serial %s)".formatted(slot.info.label(), slot.info.serial()))
              .toList();
      throw new HsmOpenException(
          "%s with the label \"%s\"; there are: %s; name by hsm.tokenLabel a label that exactly one of them has"
              .formatted(
                  matches.isEmpty() ? "no token" : matches.size() + " tokens",
                  label,
                  there.isEmpty() ? "none" : String.join(", ", there)));
    }
    return matches.getFirst();
  }

  /** Whether some token has the label now. */
  static boolean isThere(Cryptoki cryptoki, String label) {
    return all(cryptoki).stream().anyMatch(slot -> slot.info.label().equals(label));
  }

  /** What each of them shows without a login. */
  static List<PresentToken> present(Cryptoki cryptoki) {
    var found = new ArrayList<PresentToken>();
    for (var slot : all(cryptoki)) {
      try (var arena = Arena.ofConfined()) {
        var info = arena.allocate(TOKEN_INFO, Long.BYTES);
        if (cryptoki.C_GetTokenInfo(slot.number, info.address()) == CKR_OK) {
          long flags = info.get(JAVA_LONG, FLAGS_OFFSET);
          found.add(
              new PresentToken(
                  slot.info, pin(flags), clock(flags, info), slot.mechanisms().keySet()));
        }
      }
    }
    return found;
  }

  private static PresentToken.Pin pin(long flags) {
    if ((flags & CKF_USER_PIN_INITIALIZED) == 0) {
      return PresentToken.Pin.NOT_SET;
    }
    if ((flags & CKF_USER_PIN_LOCKED) != 0) {
      return PresentToken.Pin.LOCKED;
    }
    if ((flags & CKF_USER_PIN_FINAL_TRY) != 0) {
      return PresentToken.Pin.FINAL_TRY;
    }
    return (flags & CKF_USER_PIN_COUNT_LOW) != 0
        ? PresentToken.Pin.COUNT_LOW
        : PresentToken.Pin.FRESH;
  }

  /** YYYYMMDDhhmmss in UTC, and two more digits. */
  private static Optional<Instant> clock(long flags, MemorySegment info) {
    if ((flags & CKF_CLOCK_ON_TOKEN) == 0) {
      return Optional.empty();
    }
    try {
      return Optional.of(
          LocalDateTime.parse(text(info, UTC_TIME_OFFSET, UTC_TIME_LENGTH), UTC_TIME)
              .toInstant(ZoneOffset.UTC));
    } catch (DateTimeParseException e) {
      return Optional.empty();
    }
  }

  /** Those with an initialised token. */
  private static List<Slot> all(Cryptoki cryptoki) {
    var found = new ArrayList<Slot>();
    try (var arena = Arena.ofConfined()) {
      for (long number : numbers(cryptoki, arena)) {
        var info = arena.allocate(TOKEN_INFO, Long.BYTES);
        // A slot whose token was pulled between the two calls is not the one.
        if (cryptoki.C_GetTokenInfo(number, info.address()) == CKR_OK
            && (info.get(JAVA_LONG, FLAGS_OFFSET) & CKF_TOKEN_INITIALIZED) != 0) {
          found.add(new Slot(cryptoki, number, tokenInfo(info)));
        }
      }
    }
    return found;
  }

  private static List<Long> numbers(Cryptoki cryptoki, Arena arena) {
    var count = arena.allocate(JAVA_LONG);
    // With a null list the module also looks for slots that came since (v2.40, C_GetSlotList).
    require("C_GetSlotList", cryptoki.C_GetSlotList(1, 0, count.address()));
    // A slot may appear between the two calls.
    long room = count.get(JAVA_LONG, 0) + 16;
    var slots = arena.allocate(JAVA_LONG, room);
    count.set(JAVA_LONG, 0, room);
    require("C_GetSlotList", cryptoki.C_GetSlotList(1, slots.address(), count.address()));
    long given = within("C_GetSlotList", count.get(JAVA_LONG, 0), room);
    return Arrays.stream(slots.asSlice(0, 8 * given).toArray(JAVA_LONG)).boxed().toList();
  }

  private static TokenInfo tokenInfo(MemorySegment info) {
    return new TokenInfo(
        text(info, LABEL_OFFSET, 32),
        text(info, SERIAL_OFFSET, 16),
        text(info, MANUFACTURER_OFFSET, 32),
        text(info, MODEL_OFFSET, 16),
        info.get(JAVA_BYTE, FIRMWARE_OFFSET) + "." + info.get(JAVA_BYTE, FIRMWARE_OFFSET + 1));
  }

  /** Blank-padded UTF-8, not null-terminated. */
  private static String text(MemorySegment info, long offset, int length) {
    return new String(info.asSlice(offset, length).toArray(JAVA_BYTE), StandardCharsets.UTF_8)
        .strip();
  }

  TokenInfo info() {
    return info;
  }

  @Override
  public long openSession() {
    try (var arena = Arena.ofConfined()) {
      var handle = arena.allocate(JAVA_LONG);
      require(
          "C_OpenSession",
          cryptoki.C_OpenSession(
              number, CKF_RW_SESSION | CKF_SERIAL_SESSION, 0, 0, handle.address()));
      return handle.get(JAVA_LONG, 0);
    }
  }

  /** Logs the user in, for all sessions of the process (v2.40, C_Login). */
  void login(long session, PinSource source) {
    try (var arena = Arena.ofConfined()) {
      var info = arena.allocate(TOKEN_INFO, Long.BYTES);
      require("C_GetTokenInfo", patiently(() -> cryptoki.C_GetTokenInfo(number, info.address())));
      requireTries(pin(info.get(JAVA_LONG, FLAGS_OFFSET)));
      var pin = source.read();
      int length = pin.length;
      var copy = arena.allocate(Math.max(1, length));
      long returnValue;
      try {
        MemorySegment.copy(pin, 0, copy, JAVA_BYTE, 0, length);
        returnValue = patiently(() -> cryptoki.C_Login(session, CKU_USER, copy.address(), length));
      } finally {
        Arrays.fill(pin, (byte) 0);
        copy.fill((byte) 0);
      }
      if (returnValue == CKR_PIN_INCORRECT
          || returnValue == CKR_PIN_LOCKED
          || returnValue == CKR_PIN_EXPIRED
          || returnValue == CKR_PIN_INVALID
          || returnValue == CKR_PIN_LEN_RANGE) {
        throw new PinRefusedException(
            "token \"%s\" refused the PIN %s: %s"
                .formatted(this.info.label(), source.place(), Ckr.name(returnValue)),
            "correct it before anything is started again: each start offers it once, and a few wrong"
                + " ones lock the token");
      }
      if (returnValue != CKR_USER_ALREADY_LOGGED_IN) {
        require("C_Login", returnValue);
      }
    }
  }

  /** A PIN that may be wrong never gets the token's last try: who knows the right one needs it. */
  private void requireTries(PresentToken.Pin pin) {
    switch (pin) {
      case LOCKED ->
          throw new PinRefusedException(
              "the user PIN of token \"%s\" is locked (CKF_USER_PIN_LOCKED)"
                  .formatted(info.label()),
              "set a new one as security officer with the vendor's tool, and put it into what"
                  + " hsm.pinFile or hsm.pinEnv names");
      case FINAL_TRY ->
          throw new PinRefusedException(
              "one more wrong PIN locks token \"%s\" (CKF_USER_PIN_FINAL_TRY); ours was not offered"
                  .formatted(info.label()),
              "log in once with the right PIN by the vendor's tool, see that it is the one that"
                  + " hsm.pinFile or hsm.pinEnv gives, then start again");
      case NOT_SET, COUNT_LOW, FRESH -> {}
    }
  }

  /**
   * Calls again while the answer is CKR_GENERAL_ERROR, for half a second: every login has SoftHSM
   * write the token's file, and meanwhile other processes cannot look at it, nor log in. A PIN that
   * is wrong has other answers, so that none of its few attempts is spent here.
   */
  private static long patiently(LongSupplier call) {
    long returnValue = call.getAsLong();
    for (int attempt = 1; returnValue == CKR_GENERAL_ERROR && attempt < LOGIN_ATTEMPTS; attempt++) {
      LockSupport.parkNanos(LOGIN_PAUSE.multipliedBy(attempt).toNanos());
      returnValue = call.getAsLong();
    }
    return returnValue;
  }

  /**
   * Whether the session is logged in and the token still is the one it was. SoftHSM does not know
   * its token for a moment while another process logs in: that alone is asked again.
   */
  @Override
  public boolean answers(long session) {
    try (var arena = Arena.ofConfined()) {
      var state = arena.allocate(SESSION_INFO, Long.BYTES);
      for (int attempt = 1; ; attempt++) {
        if (cryptoki.C_GetSessionInfo(session, state.address()) != CKR_OK
            || state.get(JAVA_LONG, STATE_OFFSET) != CKS_RW_USER_FUNCTIONS) {
          return false;
        }
        if (isTheOneItWas(arena)) {
          return true;
        }
        if (attempt == LOOKS) {
          return false;
        }
        LockSupport.parkNanos(BETWEEN_LOOKS.toNanos());
      }
    }
  }

  private boolean isTheOneItWas(Arena arena) {
    var token = arena.allocate(TOKEN_INFO, Long.BYTES);
    return cryptoki.C_GetTokenInfo(number, token.address()) == CKR_OK
        && tokenInfo(token).equals(info);
  }

  Map<Long, MechanismInfo> mechanisms() {
    try (var arena = Arena.ofConfined()) {
      var count = arena.allocate(JAVA_LONG);
      require("C_GetMechanismList", cryptoki.C_GetMechanismList(number, 0, count.address()));
      long room = count.get(JAVA_LONG, 0);
      var types = arena.allocate(JAVA_LONG, Math.max(1, room));
      require(
          "C_GetMechanismList",
          cryptoki.C_GetMechanismList(number, types.address(), count.address()));
      var info = arena.allocate(JAVA_LONG, 3);
      var mechanisms = new TreeMap<Long, MechanismInfo>(Long::compareUnsigned);
      long given = within("C_GetMechanismList", count.get(JAVA_LONG, 0), room);
      for (long i = 0; i < given; i++) {
        long type = types.getAtIndex(JAVA_LONG, i);
        require("C_GetMechanismInfo", cryptoki.C_GetMechanismInfo(number, type, info.address()));
        mechanisms.put(
            type,
            new MechanismInfo(
                info.getAtIndex(JAVA_LONG, 0),
                info.getAtIndex(JAVA_LONG, 1),
                info.getAtIndex(JAVA_LONG, 2)));
      }
      return mechanisms;
    }
  }

  private static long within(String function, long given, long room) {
    if (given < 0 || given > room) {
      throw new HsmOpenException(function + " says that it gave more than there was room for");
    }
    return given;
  }

  private static void require(String function, long returnValue) {
    if (returnValue != CKR_OK) {
      throw new HsmOpenException(function + " answered " + Ckr.name(returnValue));
    }
  }
}
