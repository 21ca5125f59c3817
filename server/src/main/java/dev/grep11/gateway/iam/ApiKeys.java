package dev.grep11.gateway.iam;

import dev.grep11.gateway.store.ApiKeyRecord;
import dev.grep11.gateway.store.Entitlement;
import dev.grep11.gateway.store.Grant;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.store.Subject;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.UUID;

/** Makes and deletes API keys of the embedded token service, for commands on the host. */
public final class ApiKeys {
  private final Store store;
  private final GrantRegister grants;
  private final String issuer;

  /**
   * Over this store.
   *
   * @param issuer of the embedded token service
   */
  public ApiKeys(Store store, Roles roles, String issuer) {
    this.store = store;
    this.grants = new GrantRegister(store, roles);
    this.issuer = issuer;
  }

  /** A new API key: its record, and the key, which is nowhere else. */
  public record Created(ApiKeyRecord record, ApiKeySecret secret) {}

  /** As {@link #create(String, UUID, List, Optional)} with one role on the whole instance. */
  public Created create(String name, UUID instance, String role) {
    return create(name, instance, List.of(role), Optional.empty());
  }

  /**
   * Makes a subject of its own, its grants and a key, in one transaction.
   *
   * @param keystore limits the grants to the keystore with this UUID
   * @throws IllegalArgumentException when the name is taken, the instance or a role does not exist,
   *     or the roles would both manage certificates and use keys (security rules 6.2)
   */
  public Created create(String name, UUID instance, List<String> roles, Optional<UUID> keystore) {
    ApiKeySecret secret = ApiKeySecret.random();
    try {
      return store.change(change -> create(change, secret, name, instance, roles, keystore));
    } catch (RuntimeException e) {
      secret.close();
      throw e;
    }
  }

  /** The same as a part of a change; the secret stays the caller's to wipe. */
  public Created create(
      Store.Change change,
      ApiKeySecret secret,
      String name,
      UUID instance,
      List<String> roles,
      Optional<UUID> keystore) {
    if (roles.isEmpty()) {
      throw new IllegalArgumentException("an API key needs a role");
    }
    Subject subject = new Subject(issuer, "iam-ServiceId-" + UUID.randomUUID());
    ApiKeyRecord record =
        new ApiKeyRecord(UUID.randomUUID(), name, secret.hash(), subject, Instant.now());
    if (!change.addApiKey(record)) {
      throw new IllegalArgumentException(
          "there is an API key \"" + name + "\" already; choose another --name");
    }
    Optional<String> resource = keystore.map(id -> "keystore:" + id);
    for (String role : roles) {
      // False where a role is named twice.
      boolean _ =
          grants.add(change, new Grant(subject, instance, new Entitlement.Role(role), resource));
    }
    return new Created(record, secret);
  }

  public List<ApiKeyRecord> list() {
    return store.apiKeys();
  }

  /**
   * Lets a key count again that is disabled since a restore.
   *
   * @return its record as it was before; empty when there is no such key
   */
  public Optional<ApiKeyRecord> confirm(String idOrName) {
    return store.change(change -> confirm(change, idOrName));
  }

  /** The same as a part of a change. */
  public Optional<ApiKeyRecord> confirm(Store.Change change, String idOrName) {
    Optional<ApiKeyRecord> found = find(change, idOrName);
    found
        .filter(key -> key.disabled().isPresent())
        .ifPresent(key -> change.replace(key.disabled(Optional.empty())));
    return found;
  }

  private static Optional<ApiKeyRecord> find(Store.Change change, String idOrName) {
    return change.snapshot().apiKeys().stream()
        .filter(key -> key.id().toString().equals(idOrName) || key.name().equals(idOrName))
        .findFirst();
  }

  /**
   * Deletes a key by its id or name, with its subject's grants; false when there is none. Tokens
   * given for it end within seconds.
   */
  public boolean delete(String idOrName) {
    return store.change(change -> delete(change, idOrName)).isPresent();
  }

  /** The same as a part of a change; what was deleted. */
  public Optional<ApiKeyRecord> delete(Store.Change change, String idOrName) {
    Optional<ApiKeyRecord> found = find(change, idOrName);
    found.ifPresent(key -> {
      change.snapshot().grants(key.subject()).forEach(change::remove);
      change.remove(key);
    });
    return found;
  }
}
