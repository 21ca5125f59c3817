package dev.grep11.gateway.host;

import dev.grep11.gateway.audit.AuditEvent;
import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.key.Keyring;
import dev.grep11.gateway.key.SealingKeys;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.ReplicaRecord;
import dev.grep11.gateway.store.SealingKeyGeneration;
import dev.grep11.gateway.store.SealingKeyGeneration.State;
import dev.grep11.gateway.store.SealingKeyUse;
import dev.grep11.gateway.store.Snapshot;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.token.HsmCalls;
import dev.grep11.gateway.token.KeyringFollower;
import dev.grep11.gateway.token.StartException;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.UUID;
import java.util.function.BooleanSupplier;
import java.util.function.Predicate;
import java.util.stream.Collectors;

/**
 * The generations of sealing keys of instances, for commands on the host (interfaces 5). Every step
 * is one transaction of the store, which sees what the running gateways have confirmed; token
 * objects are made before it and deleted after it. So a command that is killed has either done its
 * step or not begun it, and may be given again: named generations that are where they shall be are
 * no error.
 */
public final class MasterKeys {
  /** How long an answer waits for running gateways to follow (interfaces 7). */
  static final Duration LONGEST_WAIT = Duration.ofSeconds(2);

  private static final Duration LOOK = Duration.ofMillis(50);

  private final Hsm hsm;
  private final Store store;
  private final Duration quarantine;
  private final HostAudit audit;
  private final InstantSource clock;
  private final Duration wait;
  private final Pause pause;

  /** What happens between two looks at the store while gateways are waited for. */
  interface Pause {
    void between() throws InterruptedException;
  }

  MasterKeys(
      Hsm hsm,
      Store store,
      Duration quarantine,
      HostAudit audit,
      InstantSource clock,
      Duration wait) {
    this(hsm, store, quarantine, audit, clock, wait, () -> Thread.sleep(LOOK));
  }

  MasterKeys(
      Hsm hsm,
      Store store,
      Duration quarantine,
      HostAudit audit,
      InstantSource clock,
      Duration wait,
      Pause pause) {
    this.hsm = hsm;
    this.store = store;
    this.quarantine = quarantine;
    this.audit = audit;
    this.clock = clock;
    this.wait = wait;
    this.pause = pause;
  }

  /**
   * A generation as it stands.
   *
   * @param lastUsed as far as is known; empty when it never was
   * @param confirmed running gateways that do with it what its state says
   * @param waiting running gateways that do not yet
   * @param tokenObjects how many of its keys are in the token
   * @param changed whether the command that answers this did anything; false of a list
   */
  public record Standing(
      SealingKeyGeneration generation,
      long uses,
      Optional<Instant> lastUsed,
      List<ReplicaRecord> confirmed,
      List<ReplicaRecord> waiting,
      int tokenObjects,
      boolean changed) {
    private Standing withChange(boolean done) {
      return new Standing(generation, uses, lastUsed, confirmed, waiting, tokenObjects, done);
    }
  }

  /** What commands do with a generation, in words of the command line. */
  private enum Verb {
    ACTIVATE(State.NEXT, State.ACTIVE),
    RETIRE(State.PREVIOUS, State.RETIRED),
    REINSTATE(State.RETIRED, State.PREVIOUS),
    DESTROY(State.RETIRED, State.DESTROYED);

    private final State from;
    private final State to;

    Verb(State from, State to) {
      this.from = from;
      this.to = to;
    }

    private static final String MAKE_ONE = "make a next one: grep11 masterkey create-next";

    /** What leads on where there is none that it could be done with. */
    private String withoutAny() {
      return switch (this) {
        case ACTIVATE -> MAKE_ONE;
        case RETIRE -> "one becomes previous when the next one is activated";
        case REINSTATE -> "what the others sealed opens";
        case DESTROY -> "retire one first: grep11 masterkey retire";
      };
    }

    /** What leads on where the generation that was named is in this state. */
    private String otherwise(SealingKeyGeneration named) {
      return switch (this) {
        case ACTIVATE ->
            named.state() == State.RETIRED
                ? "to open what it sealed: grep11 masterkey reinstate; to seal under a new one, "
                    + MAKE_ONE
                : MAKE_ONE;
        case RETIRE ->
            named.state() == State.ACTIVE
                ? "activate a next one first: grep11 masterkey create-next, then activate"
                : "nothing of it is left to retire";
        case REINSTATE ->
            named.state() == State.DESTROYED
                ? "its keys were deleted and do not come back"
                : "what it sealed opens, so there is nothing to reinstate";
        case DESTROY ->
            named.state() == State.ACTIVE
                ? "activate a next one first, and retire this one"
                : "retire it first: grep11 masterkey retire --generation " + named.id();
      };
    }
  }

  /** All generations of an instance, oldest first. */
  public List<Standing> list(UUID instance) {
    var snapshot = store.snapshot();
    return require(snapshot, instance).generations().stream()
        .map(generation -> standing(snapshot, instance, generation))
        .toList();
  }

  /** Makes the next generation, which gateways then open; or gives it when there is one. */
  public Standing createNext(UUID instance) {
    var request = "masterkey create-next";
    var before = require(store.snapshot(), instance);
    var existing = before.first(State.NEXT);
    if (existing.isPresent()) {
      return settled(instance, existing.get().id(), false);
    }
    var next =
        NewGeneration.make(
            hsm,
            store,
            instance,
            State.NEXT,
            now(),
            made ->
                change(
                    "create-next",
                    request,
                    instance,
                    made.id(),
                    at -> {
                      if (at.instance().first(State.NEXT).isPresent()) {
                        throw new StartException("another command has just made a next generation");
                      }
                      at.put(made);
                    }));
    return settled(instance, next.id(), true);
  }

  /**
   * Makes the next generation the one that seals; the one before still opens.
   *
   * @param named empty for the next one
   * @throws StartException when there is none, or a running gateway has not shown that it opens it
   */
  public Standing activate(UUID instance, Optional<String> named) {
    var target = choose(instance, named, Verb.ACTIVATE, List.of());
    if (target.state() == State.ACTIVE) {
      return settled(instance, target.id(), false);
    }
    requireInToken(instance, target);
    change(
        "activate",
        "masterkey activate",
        instance,
        target.id(),
        at -> {
          var next = at.inState(State.NEXT);
          at.requireNone(
              at.live(replica -> !replica.opens().contains(next.id())),
              "%s not shown to open master key " + next.id());
          at.instance().active().ifPresent(old -> at.put(old.in(State.PREVIOUS, at.now())));
          at.put(next.in(State.ACTIVE, at.now()));
        });
    return settled(instance, target.id(), true);
  }

  /**
   * Makes gateways refuse what was sealed under a generation; {@link #reinstate} undoes it. A next
   * one is withdrawn first, so that it opens only: whoever still re-wrapped under it would give out
   * blobs that others refuse already. When a gateway has not followed in time, the step ends there,
   * and is given again.
   *
   * @param named empty for the one that is neither active, next nor retired
   * @param unusedFor for how long it must not have been used, by what every running gateway wrote
   *     after this was called; zero does not ask. Of one that never was active it is asked whether
   *     anything was ever sealed under it
   * @param force does not ask either, and is recorded as such
   * @throws StartException when something is still sealed under it, or it was used since
   */
  public Standing retire(UUID instance, Optional<String> named, Duration unusedFor, boolean force) {
    // A next one, too, may turn out to be unwanted; it is retired by its name only.
    var target = choose(instance, named, Verb.RETIRE, List.of(State.NEXT));
    if (target.state() == State.RETIRED) {
      return settled(instance, target.id(), false);
    }
    if (target.state() == State.NEXT) {
      withdraw(instance, target, force);
    }
    if (!force) {
      collectUses(target.id());
    }
    change(
        force ? "force-retire" : "retire",
        "masterkey retire --unused-for %ds%s"
            .formatted(unusedFor.toSeconds(), force ? " --force" : ""),
        instance,
        target.id(),
        at -> {
          var old = at.inState(State.PREVIOUS);
          at.requireNone(
              at.live(replica -> makesBlobs(replica, old.id())),
              "%s not ceased to seal under master key " + old.id());
          if (!force) {
            // One that was killed is waited for until its lease ends; then it counts as a use.
            at.requireNone(
                at.live(replica -> owesUses(replica, old.id())),
                "%s not written what was used of master key " + old.id());
            requireUnused(at, old, unusedFor);
            requireNoKeysInKeystores(
                at.instance(),
                old.id(),
                "--force retires it all the same; then they cannot be used until it is reinstated");
          }
          at.put(old.in(State.RETIRED, at.now()));
        });
    return settled(instance, target.id(), true);
  }

  private void withdraw(UUID instance, SealingKeyGeneration next, boolean force) {
    change(
        "withdraw-next",
        "masterkey retire",
        instance,
        next.id(),
        at -> {
          var withdrawn = at.inState(State.NEXT);
          if (!force) {
            requireNothingSealed(at, withdrawn);
          }
          at.put(withdrawn.in(State.PREVIOUS, at.now()));
        });
    var _ =
        await(() ->
            store.snapshot().live(now()).stream()
                .noneMatch(replica -> makesBlobs(replica, next.id())));
  }

  /** Asks running gateways that open a generation to write their uses, and waits a little. */
  private void collectUses(String generation) {
    store.change(change -> {
      change.snapshot().live(now()).stream()
          .filter(replica -> replica.opens().contains(generation))
          .map(ReplicaRecord::asked)
          .forEach(change::put);
      return true;
    });
    var _ =
        await(() ->
            store.snapshot().live(now()).stream()
                .noneMatch(replica -> owesUses(replica, generation)));
  }

  private static boolean owesUses(ReplicaRecord replica, String generation) {
    return replica.isAsked() && replica.opens().contains(generation);
  }

  private static boolean makesBlobs(ReplicaRecord replica, String generation) {
    return replica.seals().contains(generation) || replica.rewrapsUnder().contains(generation);
  }

  private static boolean neverWasActive(InstanceRecord instance, SealingKeyGeneration generation) {
    // Generations become active in their order.
    var ids = instance.generations().stream().map(SealingKeyGeneration::id).toList();
    return instance
        .active()
        .filter(active -> ids.indexOf(active.id()) < ids.indexOf(generation.id()))
        .isPresent();
  }

  /** What was re-wrapped under a next one has no use before it is opened, whenever that will be. */
  private static void requireNothingSealed(Step at, SealingKeyGeneration next) {
    lastUsed(at.snapshot(), at.instance().id(), next)
        .ifPresent(last -> {
          throw new StartException(
              "blobs were re-wrapped under master key %s, or may have been, until %s; they would be refused (activate it, or --force retires it all the same; then they are lost until it is reinstated)"
                  .formatted(next.id(), last.truncatedTo(ChronoUnit.SECONDS)));
        });
  }

  private static void requireUnused(Step at, SealingKeyGeneration old, Duration unusedFor) {
    if (neverWasActive(at.instance(), old)) {
      requireNothingSealed(at, old);
      return;
    }
    if (unusedFor.isZero()) {
      return;
    }
    // Gateways write what they used within that time.
    var since =
        at.now().minus(unusedFor).minus(KeyringFollower.USES_WRITTEN_WITHIN.multipliedBy(2));
    var used = lastUsed(at.snapshot(), at.instance().id(), old);
    // Until it was replaced it sealed, whether anything was opened or not.
    var last = used.filter(time -> time.isAfter(old.since())).orElse(old.since());
    if (last.isAfter(since)) {
      throw new StartException(
          "master key %s was in use until %s, which is less than %s ago; what is still sealed under it would be refused (--unused-for takes another time, such as 12h; --force retires it all the same)"
              .formatted(old.id(), last.truncatedTo(ChronoUnit.SECONDS), readable(unusedFor)));
    }
  }

  /**
   * Running gateways re-wrap what is in keystores by themselves, and what is in a keystore with a
   * password when somebody reads it with that.
   */
  private void requireNoKeysInKeystores(
      InstanceRecord instance, String generation, String otherwise) {
    var opening =
        instance.generations().stream()
            .filter(each -> each.state().opens())
            .map(SealingKeyGeneration::id)
            .toList();
    long dependents = store.keystores().dependents(instance.id(), generation, opening);
    if (dependents > 0) {
      throw new StartException(
          "%,d keys in keystores are sealed under master key %s only; running gateways re-wrap them within a minute or so, those of a keystore with a password when they are next read with it (%s)"
              .formatted(dependents, generation, otherwise));
    }
  }

  private static String readable(Duration duration) {
    return duration.toDaysPart() > 0 && duration.toSecondsPart() == 0
        ? duration.toDays() + " days"
        : duration.toSeconds() + " s";
  }

  /**
   * Makes gateways open again what was sealed under a retired generation.
   *
   * @param named empty for the only retired one
   */
  public Standing reinstate(UUID instance, Optional<String> named) {
    var target = choose(instance, named, Verb.REINSTATE, List.of());
    if (target.state() == State.PREVIOUS) {
      return settled(instance, target.id(), false);
    }
    requireInToken(instance, target);
    change(
        "reinstate",
        "masterkey reinstate",
        instance,
        target.id(),
        at -> at.put(at.inState(State.RETIRED).in(State.PREVIOUS, at.now())));
    return settled(instance, target.id(), true);
  }

  /**
   * Deletes the keys of a generation that was retired long enough ago. The record stays. Of an
   * instance's first generation the derivation root stays too: it opens nothing, and answers depend
   * on it that must not change ({@link Keyring.Generations}).
   *
   * @param named empty for the only retired one
   * @throws StartException when it was retired too lately, or used after that
   */
  public Standing destroy(UUID instance, Optional<String> named) {
    var target = choose(instance, named, Verb.DESTROY, List.of());
    if (target.state() == State.RETIRED) {
      change(
          "destroy",
          "masterkey destroy",
          instance,
          target.id(),
          at -> {
            var old = at.inState(State.RETIRED);
            var from = old.since().plus(quarantine);
            if (at.now().isBefore(from)) {
              throw new StartException(
                  "master key %s was retired on %s and can be destroyed from %s on"
                      .formatted(
                          old.id(),
                          old.since().truncatedTo(ChronoUnit.SECONDS),
                          from.truncatedTo(ChronoUnit.SECONDS)));
            }
            lastUsed(at.snapshot(), instance, old)
                .filter(last -> last.isAfter(old.since()))
                .ifPresent(last -> {
                  throw new StartException(
                      "master key %s was retired on %s and still used until %s, or may have been; reinstate it, have what it sealed re-wrapped, and retire it again"
                          .formatted(
                              old.id(),
                              old.since().truncatedTo(ChronoUnit.SECONDS),
                              last.truncatedTo(ChronoUnit.SECONDS)));
                });
            at.requireNone(
                at.live(replica -> replica.opens().contains(old.id())),
                "%s not ceased to open what was sealed under master key " + old.id());
            requireNoKeysInKeystores(
                at.instance(),
                old.id(),
                "reinstate it, let the gateways re-wrap them, and retire it again; or delete them");
            at.put(old.in(State.DESTROYED, at.now()));
          });
    }
    // After the commit: a record that says destroyed while keys are left is finished by the next
    // attempt, keys that are gone while the record says retired would be a loss.
    var ids = KeyringFollower.ids(target);
    var first = isFirst(require(store.snapshot(), instance), target);
    new HsmCalls(hsm)
        .call(session -> {
          SealingKeys.destroy(session, ids, first);
          return true;
        });
    return settled(instance, target.id(), target.state() != State.DESTROYED);
  }

  private static boolean isFirst(InstanceRecord instance, SealingKeyGeneration generation) {
    return instance.generations().getFirst().id().equals(generation.id());
  }

  // ---- What a step is

  /** A transaction under way. */
  private record Step(Store.Change change, UUID id, String generation, Instant now) {
    Snapshot snapshot() {
      return change.snapshot();
    }

    InstanceRecord instance() {
      return require(snapshot(), id);
    }

    /** The generation that the step is about, which another command may have moved since. */
    SealingKeyGeneration inState(State state) {
      var found =
          instance().generations().stream()
              .filter(each -> each.id().equals(generation))
              .findFirst()
              .orElseThrow(() -> new StartException("there is no master key " + generation));
      if (found.state() != state) {
        throw new StartException(isIn(found));
      }
      return found;
    }

    void put(SealingKeyGeneration generation) {
      change.replace(instance().with(generation));
    }

    List<ReplicaRecord> live(Predicate<ReplicaRecord> which) {
      return snapshot().live(now).stream().filter(which).toList();
    }

    void requireNone(List<ReplicaRecord> replicas, String what) {
      if (!replicas.isEmpty()) {
        throw new StartException(
            "%s; try again, or stop it; if it was killed, wait: it counts until %s"
                .formatted(
                    what.formatted(
                        replicas.stream()
                                .map(replica -> "gateway " + replica.name())
                                .collect(Collectors.joining(", "))
                            + (replicas.size() == 1 ? " has" : " have")),
                    replicas.stream()
                        .map(ReplicaRecord::until)
                        .max(Instant::compareTo)
                        .orElseThrow()
                        .truncatedTo(ChronoUnit.SECONDS)));
      }
    }
  }

  private interface Work {
    void in(Step step);
  }

  private void change(String verb, String request, UUID instance, String generation, Work work) {
    audit.change(
        store,
        change -> {
          KeyringFollower.forgetDead(change, now());
          var step = new Step(change, instance, generation, now());
          work.in(step);
          return event(verb, request, step.instance(), generation, Optional.empty());
        },
        why ->
            event(
                verb, request, require(store.snapshot(), instance), generation, Optional.of(why)));
  }

  /**
   * @param request the command with its options
   */
  private AuditEvent event(
      String verb,
      String request,
      InstanceRecord instance,
      String generation,
      Optional<String> refusal) {
    return new AuditEvent(
        "hs-crypto.masterkey." + verb,
        now(),
        HostAudit.outcome(refusal),
        HostAudit.reason(refusal),
        HostAudit.operator("grep11 masterkey"),
        new AuditEvent.Target(instance.crn(), Optional.of(generation), "hs-crypto/masterkey"),
        UUID.randomUUID().toString(),
        new AuditEvent.RequestData(request, Optional.of(instance.id())));
  }

  private Instant now() {
    return clock.instant();
  }

  private static InstanceRecord require(Snapshot snapshot, UUID instance) {
    return snapshot
        .instance(instance)
        .orElseThrow(() ->
            new StartException("there is no instance " + instance + "; see: grep11 instance list"));
  }

  /** The generation that is named, in full or by its beginning; else the only one in this state. */
  private SealingKeyGeneration choose(
      UUID instance, Optional<String> named, Verb verb, List<State> byName) {
    var generations = require(store.snapshot(), instance).generations();
    var candidates =
        generations.stream()
            .filter(each ->
                named.map(name -> each.id().startsWith(name)).orElse(each.state() == verb.from))
            .toList();
    if (candidates.size() == 1) {
      var chosen = candidates.getFirst();
      var state = chosen.state();
      if (state != verb.from && state != verb.to && !byName.contains(state)) {
        throw new StartException("%s; %s".formatted(isIn(chosen), verb.otherwise(chosen)));
      }
      return chosen;
    }
    if (named.isPresent()) {
      throw new StartException(
          candidates.isEmpty()
              ? "there is no master key %s; there are: %s"
                  .formatted(named.get(), names(generations, _ -> true))
              : "several master keys begin with %s: %s"
                  .formatted(
                      named.get(), names(generations, each -> each.id().startsWith(named.get()))));
    }
    throw new StartException(
        candidates.isEmpty()
            ? "there is no %s master key to %s; %s (%s: %s)"
                .formatted(
                    word(verb.from),
                    verb.name().toLowerCase(Locale.ROOT),
                    verb.withoutAny(),
                    word(verb.to),
                    names(generations, each -> each.state() == verb.to))
            : "there are several %s master keys, name one by --generation: %s"
                .formatted(word(verb.from), names(generations, each -> each.state() == verb.from)));
  }

  private static String isIn(SealingKeyGeneration generation) {
    return "master key %s is %s".formatted(generation.id(), word(generation.state()));
  }

  private static String word(State state) {
    return state.name().toLowerCase(Locale.ROOT);
  }

  private static String names(
      List<SealingKeyGeneration> generations, Predicate<SealingKeyGeneration> which) {
    var names = generations.stream().filter(which).map(SealingKeyGeneration::id).toList();
    return names.isEmpty() ? "none" : String.join(", ", names);
  }

  private void requireInToken(UUID instance, SealingKeyGeneration generation) {
    new HsmCalls(hsm)
        .call(session -> {
          Keyring.requireOpens(session, instance, KeyringFollower.ids(generation));
          return true;
        });
  }

  // ---- How a generation stands

  /** Waits a little for running gateways to follow. */
  private Standing settled(UUID instance, String generation, boolean changed) {
    var _ = await(() -> standing(instance, generation).waiting().isEmpty());
    return standing(instance, generation).withChange(changed);
  }

  /** Looks again and again, for a bounded time; false when it did not come true. */
  private boolean await(BooleanSupplier condition) {
    long limit = System.nanoTime() + wait.toNanos();
    while (!condition.getAsBoolean()) {
      if (System.nanoTime() - limit >= 0) {
        return false;
      }
      try {
        pause.between();
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        return false;
      }
    }
    return true;
  }

  private Standing standing(UUID instance, String generation) {
    var snapshot = store.snapshot();
    return require(snapshot, instance).generations().stream()
        .filter(each -> each.id().equals(generation))
        .findFirst()
        .map(found -> standing(snapshot, instance, found))
        .orElseThrow();
  }

  private Standing standing(Snapshot snapshot, UUID instance, SealingKeyGeneration generation) {
    var follows = followed(generation);
    var live = snapshot.live(now());
    return new Standing(
        generation,
        snapshot.use(instance, generation.id()).map(SealingKeyUse::count).orElse(0L),
        lastUsed(snapshot, instance, generation),
        live.stream().filter(follows).toList(),
        live.stream().filter(follows.negate()).toList(),
        new HsmCalls(hsm)
            .call(session -> SealingKeys.count(session, KeyringFollower.ids(generation))),
        false);
  }

  private static Predicate<ReplicaRecord> followed(SealingKeyGeneration generation) {
    var id = generation.id();
    return switch (generation.state()) {
      case NEXT -> replica -> replica.rewrapsUnder().contains(id);
      case PREVIOUS -> replica -> replica.opens().contains(id) && !replica.seals().contains(id);
      case ACTIVE -> replica -> replica.seals().contains(id);
      case RETIRED, DESTROYED -> replica -> !replica.opens().contains(id);
    };
  }

  /** Uses of gateways that ended without a word count until the end of their lease. */
  private static Optional<Instant> lastUsed(
      Snapshot snapshot, UUID instance, SealingKeyGeneration generation) {
    return snapshot.use(instance, generation.id()).map(SealingKeyUse::lastUsed);
  }
}
