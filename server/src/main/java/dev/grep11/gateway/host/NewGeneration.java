package dev.grep11.gateway.host;

import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.key.SealingKeyIds;
import dev.grep11.gateway.key.SealingKeys;
import dev.grep11.gateway.store.SealingKeyGeneration;
import dev.grep11.gateway.store.SealingKeyGeneration.State;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.store.UncertainChangeException;
import dev.grep11.gateway.token.HsmCalls;
import java.time.Instant;
import java.util.UUID;
import java.util.function.Consumer;

/** The sealing keys of another generation: in the token first, then in the store. */
final class NewGeneration {
  private NewGeneration() {}

  /**
   * Makes the keys and has them recorded. Where they certainly were not, they are deleted again;
   * where that is not known they stay, since something may come to be sealed under them.
   *
   * @param record puts them into the store
   * @return what was recorded
   * @throws RuntimeException what the recording threw
   */
  static SealingKeyGeneration make(
      Hsm hsm,
      Store store,
      UUID instance,
      State state,
      Instant now,
      Consumer<SealingKeyGeneration> record) {
    SealingKeys.requireMechanisms(hsm.mechanisms().keySet());
    var calls = new HsmCalls(hsm);
    var ids = calls.call(session -> SealingKeys.create(session, instance));
    var made =
        new SealingKeyGeneration(
            ids.masterKeyId(),
            state,
            ids.kekN(),
            ids.kekX(),
            ids.macKey(),
            ids.valueKey(),
            ids.root(),
            now);
    try {
      record.accept(made);
    } catch (UncertainChangeException e) {
      throw e;
    } catch (RuntimeException e) {
      try {
        deleteUnrecorded(calls, store, made, ids);
      } catch (RuntimeException also) {
        e.addSuppressed(also);
      }
      throw e;
    }
    return made;
  }

  private static void deleteUnrecorded(
      HsmCalls calls, Store store, SealingKeyGeneration made, SealingKeyIds ids) {
    boolean recorded =
        store.snapshot().instances().stream()
            .flatMap(instance -> instance.generations().stream())
            .anyMatch(generation -> generation.id().equals(made.id()));
    if (!recorded) {
      calls.call(session -> {
        SealingKeys.destroy(session, ids, false);
        return true;
      });
    }
  }
}
