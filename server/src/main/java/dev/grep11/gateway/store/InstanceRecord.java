package dev.grep11.gateway.store;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;

/**
 * A service instance: its name for people, its CRN parts, and its sealing-key generations, oldest
 * first.
 */
public record InstanceRecord(
    UUID id, String name, String account, String location, List<SealingKeyGeneration> generations)
    implements Stored {

  public InstanceRecord {
    Text.checked("instance name", name);
    crnPart("account", account);
    crnPart("location", location);
    generations = List.copyOf(generations);
    if (count(generations, SealingKeyGeneration.State.ACTIVE) > 1
        || count(generations, SealingKeyGeneration.State.NEXT) > 1) {
      throw new IllegalArgumentException(
          "an instance has at most one ACTIVE and one NEXT generation");
    }
    long distinct =
        generations.stream().map(g -> ByteBuffer.wrap(g.masterKeyId())).distinct().count();
    if (distinct != generations.size()) {
      throw new IllegalArgumentException("two generations with the same master-key id");
    }
  }

  private static long count(
      List<SealingKeyGeneration> generations, SealingKeyGeneration.State state) {
    return generations.stream().filter(g -> g.state() == state).count();
  }

  private static void crnPart(String what, String value) {
    Text.checked(what, value);
    if (value.indexOf(':') >= 0 || value.indexOf('/') >= 0) {
      throw new IllegalArgumentException(
          what + " must not contain ':' or '/', it is a part of the CRN");
    }
  }

  /** The generation in this state: the oldest, where several may be. */
  public Optional<SealingKeyGeneration> first(SealingKeyGeneration.State state) {
    return generations.stream().filter(g -> g.state() == state).findFirst();
  }

  /** The same with this generation: in the place of the one with its id, or as the newest. */
  public InstanceRecord with(SealingKeyGeneration generation) {
    var changed = new ArrayList<>(generations);
    for (int i = 0; i < changed.size(); i++) {
      if (changed.get(i).id().equals(generation.id())) {
        changed.set(i, generation);
        return new InstanceRecord(id, name, account, location, changed);
      }
    }
    changed.add(generation);
    return new InstanceRecord(id, name, account, location, changed);
  }

  /** The generation that seals, if there is one. */
  public Optional<SealingKeyGeneration> active() {
    return first(SealingKeyGeneration.State.ACTIVE);
  }

  /** The instance's cloud resource name (interfaces 3). */
  public String crn() {
    return "crn:v1:grep11:public:hs-crypto:" + location + ":a/" + account + ":" + id + "::";
  }
}
