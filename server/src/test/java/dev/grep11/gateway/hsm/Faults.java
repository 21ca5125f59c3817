package dev.grep11.gateway.hsm;

import static dev.grep11.gateway.pkcs11.Ckr.CKR_OK;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.nio.charset.StandardCharsets.US_ASCII;

import dev.grep11.softhsm.SoftHsmToken;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.reflect.Proxy;
import java.util.Arrays;
import java.util.Map;
import java.util.Set;
import java.util.function.LongSupplier;
import java.util.function.LongUnaryOperator;

/** Stands between the gateway and a real module, to count calls and to make them fail. */
@SuppressWarnings("restricted")
public final class Faults {
  /** Offset in CK_TOKEN_INFO. */
  private static final long FLAGS = 96;

  /** Likewise. */
  private static final long UTC_TIME = 188;

  private static final long CLOCK_ON_TOKEN = 0x40;

  private Faults() {}

  /** Decides what one call answers. */
  interface Behaviour {
    long call(String function, long[] arguments, Real real) throws Throwable;
  }

  /** The real function with the arguments as the behaviour left them. */
  interface Real {
    long call() throws Throwable;
  }

  static Cryptoki decorate(Behaviour behaviour) {
    var real = NativeCryptoki.load(SoftHsmToken.findModule());
    return (Cryptoki)
        Proxy.newProxyInstance(
            Faults.class.getClassLoader(),
            new Class<?>[] {Cryptoki.class},
            (proxy, method, boxed) -> {
              var arguments = Arrays.stream(boxed).mapToLong(Long.class::cast).toArray();
              return behaviour.call(
                  method.getName(),
                  arguments,
                  () -> (long) method.invoke(real, Arrays.stream(arguments).boxed().toArray()));
            });
  }

  /**
   * A module that has mechanisms which SoftHSM lacks.
   *
   * @param standIns by number of a mechanism that it lists too, the one that does its work
   */
  public static Cryptoki alsoListing(Map<Long, Long> standIns) {
    return decorate((function, arguments, real) ->
        switch (function) {
          case "C_GetMechanismList" -> {
            long returnValue = real.call();
            long list = arguments[1];
            long count = ulongAt(arguments[2]);
            if (list != 0) {
              for (long number : standIns.keySet()) {
                setUlongAt(list + Long.BYTES * count++, number);
              }
            }
            setUlongAt(arguments[2], list != 0 ? count : count + standIns.size());
            yield returnValue;
          }
          case "C_GetMechanismInfo" -> {
            arguments[1] = standIns.getOrDefault(arguments[1], arguments[1]);
            yield real.call();
          }
          case "C_SignInit", "C_VerifyInit", "C_GenerateKeyPair" -> {
            long asked = ulongAt(arguments[1]);
            setUlongAt(arguments[1], standIns.getOrDefault(asked, asked));
            yield real.call();
          }
          default -> real.call();
        });
  }

  /**
   * A module that lists all but these mechanisms.
   *
   * @param numbers of those that are missing
   */
  public static Cryptoki lacking(Set<Long> numbers) {
    return decorate((function, arguments, real) -> {
      long returnValue = real.call();
      if (function.equals("C_GetMechanismList") && arguments[1] != 0) {
        long count = ulongAt(arguments[2]);
        long kept = 0;
        for (long i = 0; i < count; i++) {
          long number = ulongAt(arguments[1] + Long.BYTES * i);
          if (!numbers.contains(number)) {
            setUlongAt(arguments[1] + Long.BYTES * kept++, number);
          }
        }
        setUlongAt(arguments[2], kept);
      }
      return returnValue;
    });
  }

  /**
   * A module whose tokens have these flags too, and to which nobody may log in.
   *
   * @param flags of CK_TOKEN_INFO
   */
  public static Cryptoki flagged(long flags) {
    return decorate((function, arguments, real) ->
        switch (function) {
          case "C_GetTokenInfo" -> {
            long returnValue = real.call();
            setUlongAt(arguments[1] + FLAGS, ulongAt(arguments[1] + FLAGS) | flags);
            yield returnValue;
          }
          case "C_Login" -> throw new AssertionError("a PIN was tried");
          default -> real.call();
        });
  }

  /**
   * A module whose tokens have a clock.
   *
   * @param time that it shows: YYYYMMDDhhmmssxx
   */
  public static Cryptoki clocked(String time) {
    return decorate((function, arguments, real) -> {
      long returnValue = real.call();
      if (function.equals("C_GetTokenInfo")) {
        setUlongAt(arguments[1] + FLAGS, ulongAt(arguments[1] + FLAGS) | CLOCK_ON_TOKEN);
        MemorySegment.ofAddress(arguments[1] + UTC_TIME)
            .reinterpret(time.length())
            .copyFrom(MemorySegment.ofArray(time.getBytes(US_ASCII)));
      }
      return returnValue;
    });
  }

  /**
   * A module of which one signature may fail or hang.
   *
   * @param data that C_Sign is given
   * @param before what comes before that signature; what it returns is answered instead, unless it
   *     is CKR_OK, and the operation is over in any case
   */
  public static Cryptoki signing(byte[] data, LongSupplier before) {
    return decorate((function, arguments, real) -> {
      if (!function.equals("C_Sign")
          || arguments[2] != data.length
          || !Arrays.equals(
              MemorySegment.ofAddress(arguments[1]).reinterpret(data.length).toArray(JAVA_BYTE),
              data)) {
        return real.call();
      }
      long instead = before.getAsLong();
      long returnValue = real.call();
      return instead == CKR_OK ? returnValue : instead;
    });
  }

  static long ulongAt(long address) {
    return MemorySegment.ofAddress(address).reinterpret(8).get(JAVA_LONG, 0);
  }

  static void setUlongAt(long address, long value) {
    MemorySegment.ofAddress(address).reinterpret(8).set(JAVA_LONG, 0, value);
  }

  /** Lends a CK_MECHANISM without parameter. */
  static long mechanism(long type, LongUnaryOperator use) {
    try (var arena = Arena.ofConfined()) {
      var mechanism = arena.allocate(24, 8);
      mechanism.set(JAVA_LONG, 0, type);
      return use.applyAsLong(mechanism.address());
    }
  }
}
