package dev.grep11.fuzz;

import com.sun.management.ThreadMXBean;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.HsmUnavailableException;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import java.lang.management.ManagementFactory;
import java.util.Optional;
import java.util.function.Supplier;

/** What must hold of every call, whatever its bytes. Time is bounded by libFuzzer's timeout. */
final class Property {
  /** On the heap, for one call with an input of at most {@link Fuzz#MAX_INPUT} bytes. */
  private static final long MAX_ALLOCATION = 16L << 20;

  private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

  /**
   * The call's answer, or empty when it is refused as it may be. Another exception than {@link
   * Pkcs11Exception} passes through, and is the finding.
   */
  static <T> Optional<T> answerOrRefusal(Supplier<T> call) {
    long before = THREADS.getCurrentThreadAllocatedBytes();
    var answer = unbounded(call);
    if (THREADS.getCurrentThreadAllocatedBytes() - before > MAX_ALLOCATION) {
      // The first call of its kind loads classes; only the input's own work shows again.
      before = THREADS.getCurrentThreadAllocatedBytes();
      unbounded(call);
      long allocated = THREADS.getCurrentThreadAllocatedBytes() - before;
      if (allocated > MAX_ALLOCATION) {
        throw new AssertionError("one call took " + allocated + " bytes of heap");
      }
    }
    return answer;
  }

  private static <T> Optional<T> unbounded(Supplier<T> call) {
    try {
      return Optional.of(call.get());
    } catch (HsmUnavailableException e) {
      throw new AssertionError("the input cost the gateway its token", e);
    } catch (Pkcs11Exception e) {
      if (Ckr.name(e.returnValue()).startsWith("0x")) {
        throw new AssertionError("refused without a name", e);
      }
      return Optional.empty();
    }
  }

  /** The same of a call without an answer; whether it was taken. */
  static boolean isTaken(Runnable call) {
    return answerOrRefusal(
            () -> {
              call.run();
              return true;
            })
        .isPresent();
  }

  static void refused(String what, Runnable call) {
    if (isTaken(call)) {
      throw new AssertionError("taken: " + what);
    }
  }

  private Property() {}
}
