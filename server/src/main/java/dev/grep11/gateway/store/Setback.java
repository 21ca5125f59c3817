package dev.grep11.gateway.store;

import dev.grep11.gateway.store.SealingKeyGeneration.State;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.UUID;

/** What the store in place knows better than a backup that is to take its place. */
public sealed interface Setback {
  /**
   * The backup does not have a master key: nothing that was sealed under it opens any more.
   *
   * @param generation the master key as it is in place
   */
  record Dropped(UUID instance, SealingKeyGeneration generation) implements Setback {}

  /**
   * A master key comes back in another state, as one that was retired since and seals again.
   *
   * @param generation the master key as it is in place
   * @param back the state in which it comes back
   */
  record Reverted(UUID instance, SealingKeyGeneration generation, State back) implements Setback {}

  /**
   * A certificate administrator's key counts again that was replaced or removed since, perhaps
   * because somebody else has it.
   *
   * @param inPlace the administrator now; empty when removed
   * @param back the administrator as of the backup
   */
  record Readmitted(Optional<AdministratorRecord> inPlace, AdministratorRecord back)
      implements Setback {}

  /**
   * Of every master key in place, and every administrator of an instance in place.
   *
   * @param back the instances as they come back
   * @param administrators who come back
   */
  static List<Setback> between(
      Snapshot inPlace, List<InstanceRecord> back, List<AdministratorRecord> administrators) {
    List<Setback> found = new ArrayList<>();
    for (var instance : inPlace.instances()) {
      for (var generation : instance.generations()) {
        var state = state(back, instance.id(), generation.id());
        if (state.isEmpty()) {
          // Of one that was destroyed there is nothing to lose.
          if (generation.state() != State.DESTROYED) {
            found.add(new Dropped(instance.id(), generation));
          }
        } else if (state.get() != generation.state()) {
          found.add(new Reverted(instance.id(), generation, state.get()));
        }
      }
    }
    for (var administrator : administrators) {
      // Of an instance that is not in place, all come back as they were.
      if (inPlace.instance(administrator.instance()).isPresent()) {
        var now = inPlace.administrator(administrator.instance(), administrator.subject());
        if (now.filter(each -> Arrays.equals(each.publicKey(), administrator.publicKey()))
            .isEmpty()) {
          found.add(new Readmitted(now, administrator));
        }
      }
    }
    return List.copyOf(found);
  }

  private static Optional<State> state(List<InstanceRecord> back, UUID instance, String id) {
    return back.stream()
        .filter(each -> each.id().equals(instance))
        .flatMap(each -> each.generations().stream())
        .filter(each -> each.id().equals(id))
        .map(SealingKeyGeneration::state)
        .findFirst();
  }
}
