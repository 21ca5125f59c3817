package dev.grep11.client;

import com.google.protobuf.ByteString;
import dev.grep11.proto.keystore.ChangePasswordRequest;
import dev.grep11.proto.keystore.DeleteKeyRequest;
import dev.grep11.proto.keystore.KeyStoresGrpc;
import dev.grep11.proto.keystore.ListKeysByAttributesRequest;
import dev.grep11.proto.keystore.ListKeysByIdsRequest;
import dev.grep11.proto.keystore.StoreNewKeyRequest;
import dev.grep11.proto.keystore.UpdateKeyRequest;
import io.grpc.MethodDescriptor;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * A reach into one keystore, from {@link Keystores}: stores, finds, updates and deletes keys.
 *
 * <p>Two writers of one key do not overwrite each other: who comes second with an older version
 * gets {@link Ckr#CKR_IBM_GREP11_CONFLICT}, reads the key and tries again. A lost answer is no
 * danger either: every change is a transaction with a number of its own, so that it is repeated
 * when the gateway cannot be reached, and carried out once.
 *
 * <p>Every method throws {@link Grep11Exception} when it does not succeed; with a wrong password
 * {@link Ckr#CKR_PIN_INCORRECT}, and after a few of those {@link Ckr#CKR_PIN_LOCKED} for a quarter
 * of an hour. Safe for use by several threads.
 */
public final class Keystore {
  private static final int IDS_PER_CALL = 100;

  private final Grep11Client client;
  private final UUID id;
  private final KeystorePassword password;

  Keystore(Grep11Client client, UUID id, KeystorePassword password) {
    this.client = client;
    this.id = id;
    this.password = password;
  }

  public UUID id() {
    return id;
  }

  // ---- Changing

  /**
   * Adds a key.
   *
   * @param attributes what it shall be found by; CKA_CLASS is required. They describe the key; what
   *     it may do stands in its blob
   */
  public StoredKey store(Template attributes, KeyBlob key) {
    return store(UUID.randomUUID(), UUID.randomUUID(), attributes, Optional.of(key));
  }

  /** Adds a certificate or data object. */
  public StoredKey store(Template attributes) {
    return store(UUID.randomUUID(), UUID.randomUUID(), attributes, Optional.empty());
  }

  /**
   * As {@link #store(Template, KeyBlob)}, of a caller who repeats the call himself, also over
   * another connection: with the same two numbers it is carried out once, and a repetition answers
   * what the first one did.
   *
   * @param key the id that the object is to have
   * @param transaction a random number of this change
   * @param blob empty for a certificate or data object
   */
  public StoredKey store(UUID key, UUID transaction, Template attributes, Optional<KeyBlob> blob) {
    var fresh = StoredKey.fresh(key, attributes, blob.map(KeyBlob::wireBytes).stream().toList());
    return client.run(
        written(
            key,
            KeyStoresGrpc.getStoreNewKeyMethod(),
            StoreNewKeyRequest.newBuilder()
                .setKeystore(StoredKey.bytes(id))
                .setPassword(password.bytes())
                .setKey(fresh.toMessage(transaction))
                .build()));
  }

  /**
   * Puts attributes and blob of {@code key} in the place of those that are there.
   *
   * @param key as it was read, changed by {@code with}
   * @return the same with its new version
   */
  public StoredKey update(StoredKey key) {
    return update(key, UUID.randomUUID());
  }

  /**
   * As {@link #update(StoredKey)}, of a caller who repeats the call himself.
   *
   * @param transaction a random number of this change, the same with each repetition
   */
  public StoredKey update(StoredKey key, UUID transaction) {
    return client.run(
        written(
            key.id(),
            KeyStoresGrpc.getUpdateKeyMethod(),
            UpdateKeyRequest.newBuilder()
                .setKeystore(StoredKey.bytes(id))
                .setPassword(password.bytes())
                .setKey(key.toMessage(transaction))
                .build()));
  }

  /** Repeated with its transaction: when that was carried out already, the key tells its result. */
  private <Q> Call<Q, ?, StoredKey> written(
      UUID key, MethodDescriptor<Q, dev.grep11.proto.keystore.StoredKey> method, Q request) {
    return new Call<>(
        method,
        request,
        true,
        answer -> StoredKey.of(answer.getKey()),
        refusal ->
            refusal.returnValue() == Ckr.CKR_IBM_GREP11_REPLAY ? find(key) : Optional.empty());
  }

  /** Removes a key, whatever its version. */
  public void delete(UUID key) {
    delete(key, null);
  }

  /** Removes a key if nobody has changed it since it was read. */
  public void delete(StoredKey key) {
    delete(key.id(), key.version());
  }

  private void delete(UUID key, @Nullable Long version) {
    var request =
        DeleteKeyRequest.newBuilder()
            .setKeystore(StoredKey.bytes(id))
            .setPassword(password.bytes())
            .setKey(StoredKey.bytes(key));
    if (version != null) {
      request.setVersion(version);
    }
    client.run(
        Keystores.once(KeyStoresGrpc.getDeleteKeyMethod(), request.build(), Function.identity()));
  }

  // ---- Reading

  /**
   * The key with this id.
   *
   * @throws Grep11Exception {@link Ckr#CKR_IBM_GREP11_MISSING} when there is none
   */
  public StoredKey get(UUID key) {
    return get(List.of(key)).get(0);
  }

  /**
   * The keys with these ids, in their order.
   *
   * @throws Grep11Exception {@link Ckr#CKR_IBM_GREP11_MISSING} when one of them is not there
   */
  public List<StoredKey> get(List<UUID> keys) {
    var found = new ArrayList<StoredKey>(keys.size());
    for (int from = 0; from < keys.size(); from += IDS_PER_CALL) {
      var some = keys.subList(from, Math.min(from + IDS_PER_CALL, keys.size()));
      found.addAll(
          client.run(
              Keystores.repeatable(
                  KeyStoresGrpc.getListKeysByIdsMethod(),
                  ListKeysByIdsRequest.newBuilder()
                      .setKeystore(StoredKey.bytes(id))
                      .setPassword(password.bytes())
                      .addAllKeys(StoredKey.bytes(some))
                      .build(),
                  answer -> answer.getKeysList().stream().map(StoredKey::of).toList())));
    }
    return found;
  }

  /** The key with this id; empty when it, or the keystore, is not there. */
  public Optional<StoredKey> find(UUID key) {
    try {
      return Optional.of(get(key));
    } catch (Grep11Exception e) {
      if (e.returnValue() == Ckr.CKR_IBM_GREP11_MISSING) {
        return Optional.empty();
      }
      throw e;
    }
  }

  /**
   * All keys that have these attributes, each with this value; every key for an empty template.
   * Read page by page: a key that is stored or deleted meanwhile may or may not be among them.
   */
  public List<StoredKey> find(Template attributes) {
    var found = new ArrayList<StoredKey>();
    var page = firstPage(attributes, 0);
    found.addAll(page.keys());
    while (page.hasNext()) {
      page = nextPage(page);
      found.addAll(page.keys());
    }
    return found;
  }

  /**
   * Some of the keys that {@link #find(Template)} finds.
   *
   * @param size at most so many, 1 to 500; 0 leaves it to the gateway
   */
  public Page firstPage(Template attributes, int size) {
    return page(attributes, size, ByteString.EMPTY);
  }

  /** What comes after a page that has a next one; it may be empty and still have a next one. */
  public Page nextPage(Page before) {
    return page(before.attributes, before.size, before.next);
  }

  private Page page(Template attributes, int size, ByteString from) {
    return client.run(
        Keystores.repeatable(
            KeyStoresGrpc.getListKeysByAttributesMethod(),
            ListKeysByAttributesRequest.newBuilder()
                .setKeystore(StoredKey.bytes(id))
                .setPassword(password.bytes())
                .putAllAttributes(attributes.toMap())
                .setPageSize(size)
                .setPage(from)
                .build(),
            answer ->
                new Page(
                    attributes,
                    size,
                    answer.getKeysList().stream().map(StoredKey::of).toList(),
                    answer.getNextPage())));
  }

  /** A part of what was found. */
  public static final class Page {
    private final Template attributes;
    private final int size;
    private final List<StoredKey> keys;
    private final ByteString next;

    private Page(Template attributes, int size, List<StoredKey> keys, ByteString next) {
      this.attributes = attributes;
      this.size = size;
      this.keys = keys;
      this.next = next;
    }

    public List<StoredKey> keys() {
      return keys;
    }

    public boolean hasNext() {
      return !next.isEmpty();
    }
  }

  // ---- Password

  /**
   * Gives the keystore another password. This reach keeps the old one and is of no use any more.
   *
   * @param newPassword 6 to 8 characters; copied, wipe yours
   * @return a reach with the new one
   */
  public Keystore changePassword(char[] newPassword) {
    var other = new KeystorePassword(newPassword);
    client.run(
        Keystores.once(
            KeyStoresGrpc.getChangePasswordMethod(),
            ChangePasswordRequest.newBuilder()
                .setKeystore(StoredKey.bytes(id))
                .setOldPassword(password.bytes())
                .setNewPassword(other.bytes())
                .build(),
            Keystores::info));
    return new Keystore(client, id, other);
  }

  @Override
  public String toString() {
    return "Keystore[" + id + "]";
  }
}
