package dev.grep11.gateway.store;

import dev.grep11.gateway.store.SealingKeyGeneration.State;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;

/** What becomes of a master key of the store in place when a backup takes the place of that. */
public sealed interface Setback {
  UUID instance();

  /** The master key as it is in place. */
  SealingKeyGeneration generation();

  /** The backup does not have it: nothing that was sealed under it opens any more. */
  record Dropped(UUID instance, SealingKeyGeneration generation) implements Setback {}

  /**
   * It comes back in another state, as one that was retired since and seals again.
   *
   * @param back the state in which it comes back
   */
  record Reverted(UUID instance, SealingKeyGeneration generation, State back) implements Setback {}

  /**
   * Of every master key of every instance in place.
   *
   * @param back the instances as they come back
   */
  static List<Setback> between(List<InstanceRecord> inPlace, List<InstanceRecord> back) {
    List<Setback> found = new ArrayList<>();
    for (var instance : inPlace) {
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
