package dev.grep11.gateway;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.grep11.gateway.hsm.NthCall;
import dev.grep11.softhsm.SoftHsmToken;
import java.nio.file.Path;
import java.time.Duration;
import java.util.EnumSet;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** On SQLite, and each call of the token. */
class KeystoreCallFaultsTest extends KeystoreCallFaults {
  private static final Duration PATIENCE = Duration.ofSeconds(30);

  @Override
  Map<String, Object> store(Path demo) {
    return Map.of();
  }

  @Test
  void noFailedCallOfTheTokenLosesAKeyOrGivesOneAway() throws Exception {
    everyCall(false);
  }

  @Test
  @Tag("long")
  void noFailedCallOfTheTokenLosesAKeyOrGivesOneAwayByAnyFault() throws Exception {
    everyCall(true);
  }

  /** Of a key under an older master key, so that it is re-wrapped on its way into the keystore. */
  private void everyCall(boolean everyFault) throws Exception {
    var keys = host.masterKeys();
    var next = keys.createNext(running.instance).generation().id();
    await()
        .atMost(PATIENCE)
        .untilAsserted(() -> keys.activate(running.instance, Optional.of(next)));
    await()
        .atMost(PATIENCE)
        .until(
            () -> keys.list(running.instance).stream().allMatch(each -> each.waiting().isEmpty()));
    int sessions = token.openSessions();
    int held = token.heldObjects();
    var directory = parent.resolve("demo/token");
    long objects = SoftHsmToken.objectsBelow(directory);
    boolean more = true;
    for (int n = 1; more; n += everyFault ? 1 : 1 + random.nextInt(2)) {
      more = false;
      for (var kind : kinds(everyFault)) {
        // A password takes its time.
        boolean guarded = random.nextInt(everyFault ? 2 : 4) == 0;
        more |= new Life(n, ofTheToken(kind), guarded).lived();
        // Whoever looks after keystores may be re-wrapping a key at this moment.
        await()
            .atMost(PATIENCE)
            .untilAsserted(() -> {
              assertThat(token.passingObjects()).as("objects of calls").isZero();
              assertThat(token.heldObjects()).as("working copies").isLessThanOrEqualTo(held);
              assertThat(token.openSessions()).as("sessions").isEqualTo(sessions);
            });
        assertThat(SoftHsmToken.objectsBelow(directory)).as("keys in the token").isEqualTo(objects);
      }
    }
    tell("calls of the token");
  }

  private Set<NthCall.Fault> kinds(boolean every) {
    if (every) {
      return EnumSet.allOf(NthCall.Fault.class);
    }
    var some = EnumSet.of(random.nextBoolean() ? NthCall.Fault.TOO_LONG : NthCall.Fault.TOO_SHORT);
    some.add(random.nextBoolean() ? NthCall.Fault.DEVICE_ERROR : NthCall.Fault.FUNCTION_FAILED);
    if (random.nextInt(4) == 0) {
      some.add(
          random.nextBoolean()
              ? NthCall.Fault.DEVICE_REMOVED
              : NthCall.Fault.SESSION_HANDLE_INVALID);
    }
    return some;
  }
}
