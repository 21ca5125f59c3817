package dev.grep11.gateway.hsm;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.grep11.softhsm.SoftHsmToken;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.reflect.Proxy;
import java.util.Arrays;
import java.util.function.LongUnaryOperator;

/** Stands between the gateway and a real module, to count calls and to make them fail. */
@SuppressWarnings("restricted")
final class Faults {
  private Faults() {}

  /** Decides what one call answers. */
  interface Behaviour {
    long call(String function, long[] arguments, Real real) throws Throwable;
  }

  /** The real function with the real arguments. */
  interface Real {
    long call() throws Throwable;
  }

  static Cryptoki decorate(Behaviour behaviour) {
    var real = NativeCryptoki.load(SoftHsmToken.findModule());
    return (Cryptoki)
        Proxy.newProxyInstance(
            Faults.class.getClassLoader(),
            new Class<?>[] {Cryptoki.class},
            (proxy, method, arguments) ->
                behaviour.call(
                    method.getName(),
                    Arrays.stream(arguments).mapToLong(Long.class::cast).toArray(),
                    () -> (long) method.invoke(real, arguments)));
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
