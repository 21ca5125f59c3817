package dev.grep11.gateway.host;

import dev.grep11.gateway.audit.AuditEvent;
import dev.grep11.gateway.iam.ApiKeySecret;
import dev.grep11.gateway.iam.ApiKeys;
import dev.grep11.gateway.iam.GrantRegister;
import dev.grep11.gateway.store.ApiKeyRecord;
import dev.grep11.gateway.store.Entitlement;
import dev.grep11.gateway.store.Grant;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.token.StartException;
import java.time.InstantSource;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.TreeSet;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * Who may use what: API keys, grants and instances, for commands on the host. What cannot be
 * recorded is not done.
 */
public final class Access {
  private final Store store;
  private final HostAudit audit;
  private final GrantRegister grants;
  private final InstantSource clock;

  Access(Store store, HostAudit audit, GrantRegister grants, InstantSource clock) {
    this.store = store;
    this.audit = audit;
    this.grants = grants;
    this.clock = clock;
  }

  // ---- API keys

  /**
   * As {@link ApiKeys#create(String, UUID, List, Optional)}.
   *
   * @throws IllegalArgumentException also when the name is an API key: names are shown and recorded
   */
  public ApiKeys.Created createKey(
      ApiKeys keys, String name, UUID instance, List<String> roles, Optional<UUID> keystore) {
    // What limits a grant comes before what it gives, each of which is told once.
    var gives =
        keystore.map(id -> "on keystore:" + id + " ").orElse("")
            + "with "
            + String.join(", ", new TreeSet<>(roles));
    var shown = ApiKeySecret.masked(name);
    var secret = ApiKeySecret.random();
    try {
      return recorded(
          change -> {
            if (!shown.equals(name)) {
              throw new IllegalArgumentException("that is an API key; choose another --name");
            }
            return keys.create(change, secret, name, instance, roles, keystore);
          },
          made -> keyEvent("create", made.record(), Optional.of(instance), "made, " + gives),
          why -> refusedKey("create", shown, Optional.of(instance), "refused: " + gives, why));
    } catch (RuntimeException e) {
      secret.close();
      throw e;
    }
  }

  /**
   * As {@link ApiKeys#confirm}.
   *
   * @throws StartException when there is no such key
   */
  public ApiKeyRecord confirmKey(ApiKeys keys, String idOrName) {
    var before =
        onKey(
            "confirm",
            idOrName,
            change -> keys.confirm(change, idOrName),
            key -> key.disabled().isPresent() ? "counts again" : "counts already");
    return before.disabled(Optional.empty());
  }

  /**
   * As {@link ApiKeys#delete}.
   *
   * @throws StartException when there is no such key
   */
  public void deleteKey(ApiKeys keys, String idOrName) {
    var _ =
        onKey(
            "delete",
            idOrName,
            change -> keys.delete(change, idOrName),
            _ -> "deleted, with its grants");
  }

  private ApiKeyRecord onKey(
      String verb,
      String idOrName,
      Function<Store.Change, Optional<ApiKeyRecord>> work,
      Function<ApiKeyRecord, String> done) {
    var shown = ApiKeySecret.masked(idOrName);
    return recorded(
        change ->
            work.apply(change)
                .orElseThrow(() ->
                    new StartException(
                        "there is no API key \"" + shown + "\"; see: grep11 apikey list")),
        key -> keyEvent(verb, key, Optional.empty(), done.apply(key)),
        why -> refusedKey(verb, shown, Optional.empty(), "refused", why));
  }

  private AuditEvent keyEvent(String verb, ApiKeyRecord key, Optional<UUID> instance, String done) {
    return event(
        "apikey",
        verb,
        new AuditEvent.Target(key.id().toString(), Optional.of(key.name()), "grep11/apikey"),
        new AuditEvent.RequestData("apikey " + verb, instance).withAccountId(key.subject().id()),
        done,
        Optional.empty());
  }

  /** The key may not be there, and then has no id. */
  private AuditEvent refusedKey(
      String verb, String idOrName, Optional<UUID> instance, String done, String why) {
    return event(
        "apikey",
        verb,
        new AuditEvent.Target("unknown", Optional.of(idOrName), "grep11/apikey"),
        new AuditEvent.RequestData("apikey " + verb, instance),
        done,
        Optional.of(why));
  }

  // ---- Grants

  /**
   * As {@link GrantRegister#add(Grant)}.
   *
   * @throws StartException when exactly this one exists already
   */
  public void add(Grant grant) {
    change(
        "add",
        grant,
        change -> grants.add(change, grant),
        "gave",
        " has this grant already; see: grep11 grant list");
  }

  /**
   * As {@link GrantRegister#remove(Grant)}.
   *
   * @throws StartException when there is none like it
   */
  public void remove(Grant grant) {
    change(
        "remove",
        grant,
        change -> grants.remove(change, grant),
        "took away",
        " has no such grant; see: grep11 grant list");
  }

  private void change(
      String verb,
      Grant grant,
      Function<Store.Change, Boolean> work,
      String done,
      String otherwise) {
    var _ =
        recorded(
            change -> {
              if (!work.apply(change)) {
                throw new StartException(grant.subject().id() + otherwise);
              }
              return grant;
            },
            _ -> grantEvent(verb, grant, done + " " + what(grant), Optional.empty()),
            why -> grantEvent(verb, grant, "refused: " + what(grant), Optional.of(why)));
  }

  private static String what(Grant grant) {
    var entitlement =
        switch (grant.entitlement()) {
          case Entitlement.Role(var name) -> name;
          case Entitlement.Actions(var names) -> String.join(",", new TreeSet<>(names));
        };
    return grant.resource().map(resource -> "on " + resource + ": ").orElse("") + entitlement;
  }

  private AuditEvent grantEvent(String verb, Grant grant, String done, Optional<String> refusal) {
    return event(
        "grant",
        verb,
        new AuditEvent.Target(
            grant.subject().id(), Optional.of(grant.subject().issuer()), "grep11/grant"),
        new AuditEvent.RequestData("grant " + verb, Optional.of(grant.instance()))
            .withAccountId(grant.subject().id()),
        done,
        refusal);
  }

  // ---- Instances

  static StartException taken(InstanceRecord instance) {
    return new StartException(
        "there is an instance " + instance.id() + " already; name another by --id");
  }

  /** Of one that is there already, before keys are made for it. */
  StartException refused(InstanceRecord instance) {
    var why = taken(instance);
    audit.refused(
        instanceEvent(instance, "refused", Optional.of(String.valueOf(why.getMessage()))), why);
    return why;
  }

  /** Adds an instance whose sealing keys are made. */
  void add(InstanceRecord instance) {
    var _ =
        recorded(
            change -> {
              if (!change.addInstance(instance)) {
                throw taken(instance);
              }
              return instance;
            },
            _ -> instanceEvent(instance, "made, with sealing keys", Optional.empty()),
            why -> instanceEvent(instance, "refused", Optional.of(why)));
  }

  private AuditEvent instanceEvent(InstanceRecord instance, String done, Optional<String> refusal) {
    return event(
        "instance",
        "create",
        new AuditEvent.Target(instance.crn(), Optional.of(instance.name()), "grep11/instance"),
        new AuditEvent.RequestData("instance create", Optional.of(instance.id())),
        done,
        refusal);
  }

  // ---- Recording

  private <T> T recorded(
      Function<Store.Change, T> work,
      Function<T, AuditEvent> event,
      Function<String, AuditEvent> refusal) {
    var done = new AtomicReference<@Nullable T>();
    audit.change(
        store,
        change -> {
          var result = work.apply(change);
          done.set(result);
          return event.apply(result);
        },
        refusal);
    return Objects.requireNonNull(done.get());
  }

  private AuditEvent event(
      String object,
      String verb,
      AuditEvent.Target target,
      AuditEvent.RequestData request,
      String done,
      Optional<String> refusal) {
    return new AuditEvent(
        "grep11." + object + "." + verb,
        clock.instant(),
        HostAudit.outcome(refusal),
        HostAudit.reason(refusal),
        HostAudit.operator("grep11 " + object),
        target,
        UUID.randomUUID().toString(),
        request,
        Optional.of(new AuditEvent.ResponseData(done)),
        Optional.of(UUID.randomUUID()));
  }
}
