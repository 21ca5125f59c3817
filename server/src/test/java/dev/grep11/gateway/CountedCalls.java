package dev.grep11.gateway;

import dev.grep11.gateway.hsm.Cryptoki;
import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.HsmSettings;
import dev.grep11.gateway.hsm.NativeCryptoki;
import java.lang.reflect.Proxy;
import java.time.Duration;
import java.time.Instant;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;

/** Counts the sessions that are open in a real module, and the objects that were made in it. */
final class CountedCalls {
  private static final long CKR_OK = 0;

  private final AtomicInteger sessions = new AtomicInteger();
  private final AtomicInteger objects = new AtomicInteger();
  private final AtomicInteger unwrapped = new AtomicInteger();
  private final AtomicInteger generated = new AtomicInteger();
  private volatile Duration unwrapping = Duration.ZERO;
  private volatile Instant lastGenerated = Instant.MIN;

  Hsm open(HsmSettings settings) {
    var real = NativeCryptoki.load(settings.module());
    var counted =
        (Cryptoki)
            Proxy.newProxyInstance(
                CountedCalls.class.getClassLoader(),
                new Class<?>[] {Cryptoki.class},
                (_, method, arguments) -> {
                  if (method.getName().equals("C_UnwrapKey")) {
                    LockSupport.parkNanos(unwrapping.toNanos());
                    unwrapped.incrementAndGet();
                  }
                  if (method.getName().equals("C_GenerateKey")) {
                    lastGenerated = Instant.now();
                    generated.incrementAndGet();
                  }
                  long returnValue = (long) method.invoke(real, arguments);
                  if (returnValue == CKR_OK) {
                    count(method.getName());
                  }
                  return returnValue;
                });
    return Hsm.open(counted, settings);
  }

  private void count(String function) {
    switch (function) {
      case "C_OpenSession" -> sessions.incrementAndGet();
      case "C_CloseSession" -> sessions.decrementAndGet();
      case "C_GenerateKey", "C_UnwrapKey", "C_CreateObject", "C_DeriveKey" ->
          objects.incrementAndGet();
      case "C_GenerateKeyPair" -> objects.addAndGet(2);
      case "C_DestroyObject" -> objects.decrementAndGet();
      // Whatever was open is gone with the module.
      case "C_Initialize", "C_Finalize" -> {
        sessions.set(0);
        objects.set(0);
      }
      default -> {}
    }
  }

  /** From now on the token takes at least this long to unwrap a key. */
  void slowUnwrapping(Duration atLeast) {
    unwrapping = atLeast;
  }

  /** Keys that it was asked to unwrap. */
  int unwrapped() {
    return unwrapped.get();
  }

  /** Secret keys that it was asked to generate. */
  int generated() {
    return generated.get();
  }

  /** When it was last asked to generate one, before it began to. */
  Instant lastGenerated() {
    return lastGenerated;
  }

  int openSessions() {
    return sessions.get();
  }

  /** Made less destroyed. */
  int objects() {
    return objects.get();
  }
}
