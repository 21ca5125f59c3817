package dev.grep11.gateway.hsm;

import static dev.grep11.gateway.pkcs11.Ckr.CKR_DEVICE_ERROR;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_DEVICE_REMOVED;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_FUNCTION_FAILED;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_OK;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_SESSION_HANDLE_INVALID;

import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.token.HsmCalls;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * Stands between a gateway and a real module, makes one call fail by its number, and keeps account
 * of the sessions that are open and of the session objects that were made and not destroyed.
 */
@SuppressWarnings("restricted")
public final class NthCall {
  /** How a call fails. */
  public enum Fault {
    DEVICE_ERROR(CKR_DEVICE_ERROR),
    FUNCTION_FAILED(CKR_FUNCTION_FAILED),
    DEVICE_REMOVED(CKR_DEVICE_REMOVED),
    SESSION_HANDLE_INVALID(CKR_SESSION_HANDLE_INVALID),
    /** The call is made, and says that it gave one byte or object more than there was room for. */
    TOO_LONG(CKR_OK),
    /**
     * The call is made, and says that it gave one byte or object less than it did; of what the
     * gateway keeps for itself. A result for a client is as long as the token says.
     */
    TOO_SHORT(CKR_OK);

    private final long returnValue;

    Fault(long returnValue) {
      this.returnValue = returnValue;
    }

    /** Whether the gateway must take the token for lost. */
    public boolean losesTheToken() {
      return this == DEVICE_REMOVED || this == SESSION_HANDLE_INVALID;
    }

    private boolean appliesTo(String function) {
      return returnValue != CKR_OK
          || (LENGTHS.containsKey(function) && !(this == TOO_SHORT && RESULTS.contains(function)));
    }
  }

  /** For whom a call is made. */
  public enum Origin {
    /** Calls of clients. */
    CLIENT,
    /** The gateway itself: its store, its tokens, its audit. */
    GATEWAY,
    /** Whoever gets a lost token back, and watches it. */
    RECOVERY
  }

  /**
   * The call that had the number.
   *
   * @param failed false where the fault is none that this function can have
   */
  public record Hit(int number, String function, String arguments, Fault fault, boolean failed) {
    @Override
    public String toString() {
      return "call %d, %s(%s), by %s".formatted(number, function, arguments, fault);
    }
  }

  private record Armed(int number, Fault fault, Set<Origin> origins) {}

  /** By function, the argument that points to the length of what is given. */
  private static final Map<String, Integer> LENGTHS =
      Map.ofEntries(
          Map.entry("C_GetSlotList", 2),
          Map.entry("C_GetMechanismList", 2),
          Map.entry("C_GetAttributeValue", 2),
          Map.entry("C_FindObjects", 3),
          Map.entry("C_Encrypt", 4),
          Map.entry("C_Decrypt", 4),
          Map.entry("C_DecryptUpdate", 4),
          Map.entry("C_Digest", 4),
          Map.entry("C_Sign", 4),
          Map.entry("C_WrapKey", 5));

  /** Functions whose result may be a client's. */
  private static final Set<String> RESULTS =
      Set.of("C_Encrypt", "C_Decrypt", "C_Digest", "C_Sign", "C_GetAttributeValue");

  /** Offset of the length in CK_ATTRIBUTE, and its size. */
  private static final long ATTRIBUTE_LENGTH = 16;

  private static final long ATTRIBUTE = 24;

  private final StackWalker stack = StackWalker.getInstance();
  private final Set<Long> sessions = new TreeSet<>();

  /** By object, its session. */
  private final Map<Long, Long> objects = new HashMap<>();

  private final Set<Long> loggedIn = new TreeSet<>();
  private @Nullable Armed armed;
  private @Nullable Hit hit;
  private int seen;
  private boolean losing;

  /** The functions, for {@link Hsm#open(Cryptoki, HsmSettings)}. */
  public Cryptoki cryptoki() {
    return Faults.decorate(this::behave);
  }

  /** The call with this number from now on fails, counted from 1 among those of these origins. */
  public synchronized void arm(int number, Fault fault, Set<Origin> origins) {
    armed = new Armed(number, fault, origins);
    hit = null;
    seen = 0;
  }

  /** The next call for a client answers that the token is gone. */
  public synchronized void loseTheToken() {
    losing = true;
  }

  /** The call with the number; empty when there were not so many. */
  public synchronized Optional<Hit> disarm() {
    armed = null;
    return Optional.ofNullable(hit);
  }

  /** Calls since it was armed. */
  public synchronized int seen() {
    return seen;
  }

  public synchronized int openSessions() {
    return sessions.size();
  }

  /** Session objects outside of the sessions that hold the working copies of keys. */
  public synchronized int passingObjects() {
    return (int) objects.values().stream().filter(session -> !loggedIn.contains(session)).count();
  }

  /** Session objects in the sessions that hold the working copies of keys. */
  public synchronized int heldObjects() {
    return (int) objects.values().stream().filter(loggedIn::contains).count();
  }

  private long behave(String function, long[] arguments, Faults.Real real) throws Throwable {
    var fault = next(function, arguments);
    if (fault == null) {
      long returnValue = real.call();
      if (returnValue == CKR_OK) {
        account(function, arguments);
      }
      return returnValue;
    }
    if (fault.returnValue != CKR_OK) {
      return fault.returnValue;
    }
    int argument = LENGTHS.getOrDefault(function, 0);
    boolean attribute = function.equals("C_GetAttributeValue");
    long length = arguments[argument] + (attribute ? ATTRIBUTE_LENGTH : 0);
    long room = function.equals("C_FindObjects") ? arguments[2] : Faults.ulongAt(length);
    long returnValue = real.call();
    if (returnValue == CKR_OK) {
      account(function, arguments);
      Faults.setUlongAt(
          length,
          fault == Fault.TOO_LONG
              ? Math.max(room, Faults.ulongAt(length)) + 1
              : Math.max(0, Faults.ulongAt(length) - 1));
    }
    return returnValue;
  }

  private synchronized @Nullable Fault next(String function, long[] arguments) {
    if (losing && origin() == Origin.CLIENT) {
      losing = false;
      return Fault.DEVICE_REMOVED;
    }
    var now = armed;
    if (now == null || hit != null || !now.origins.contains(origin())) {
      return null;
    }
    seen++;
    if (seen != now.number) {
      return null;
    }
    hit =
        new Hit(
            seen,
            function,
            Arrays.stream(arguments).mapToObj(Long::toHexString).collect(Collectors.joining(", ")),
            now.fault,
            now.fault.appliesTo(function));
    return hit.failed() ? now.fault : null;
  }

  private Origin origin() {
    if (Thread.currentThread().getName().equals("hsm-recovery")) {
      return Origin.RECOVERY;
    }
    boolean own =
        stack.walk(frames ->
            frames.anyMatch(frame -> frame.getClassName().equals(HsmCalls.class.getName())));
    return own ? Origin.GATEWAY : Origin.CLIENT;
  }

  private synchronized void account(String function, long[] arguments) {
    switch (function) {
      case "C_OpenSession" -> sessions.add(Faults.ulongAt(arguments[4]));
      case "C_CloseSession" -> {
        sessions.remove(arguments[0]);
        loggedIn.remove(arguments[0]);
        objects.values().removeIf(session -> session == arguments[0]);
      }
      case "C_Login" -> loggedIn.add(arguments[0]);
      case "C_GenerateKey" -> made(arguments, 2, 3, 4);
      case "C_CreateObject" -> made(arguments, 1, 2, 3);
      case "C_UnwrapKey" -> made(arguments, 5, 6, 7);
      case "C_DeriveKey" -> made(arguments, 3, 4, 5);
      case "C_GenerateKeyPair" -> {
        made(arguments, 2, 3, 6);
        made(arguments, 4, 5, 7);
      }
      case "C_DestroyObject" -> objects.remove(arguments[1]);
      // Whatever was open is gone with the module.
      case "C_Finalize" -> {
        sessions.clear();
        loggedIn.clear();
        objects.clear();
      }
      default -> {}
    }
  }

  private void made(long[] arguments, int template, int count, int object) {
    if (!isOfTheToken(arguments[template], arguments[count])) {
      objects.put(Faults.ulongAt(arguments[object]), arguments[0]);
    }
  }

  private static boolean isOfTheToken(long template, long count) {
    for (long i = 0; i < count; i++) {
      long attribute = template + ATTRIBUTE * i;
      if (Faults.ulongAt(attribute) == Cka.CKA_TOKEN) {
        return MemorySegment.ofAddress(Faults.ulongAt(attribute + Long.BYTES))
                .reinterpret(1)
                .get(ValueLayout.JAVA_BYTE, 0)
            != 0;
      }
    }
    return false;
  }
}
