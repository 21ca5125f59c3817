package dev.grep11.client;

import dev.grep11.proto.keystore.CreateKeystoreRequest;
import dev.grep11.proto.keystore.DeleteKeystoreRequest;
import dev.grep11.proto.keystore.KeyStoresGrpc;
import dev.grep11.proto.keystore.ListKeystoresByAttributesRequest;
import dev.grep11.proto.keystore.ListKeystoresByIdsRequest;
import io.grpc.MethodDescriptor;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.function.Function;

/**
 * The keystores of an instance, from {@link Grep11Client#keystores()}. Who has no right on a
 * keystore gets the answer for one that does not exist, {@link Ckr#CKR_IBM_GREP11_MISSING}.
 *
 * <p>Every method throws {@link Grep11Exception} when it does not succeed. Safe for use by several
 * threads.
 */
public final class Keystores {
  private final Grep11Client client;

  Keystores(Grep11Client client) {
    this.client = client;
  }

  /** Makes an empty keystore, and a reach into it. */
  public Keystore create(UUID id, String name) {
    return create(id, name, KeystorePassword.NONE);
  }

  /**
   * Makes an empty keystore whose contents open with this password only. Lost, it is lost for good,
   * and the keys with it.
   *
   * @param password 6 to 8 characters; copied, wipe yours
   */
  public Keystore create(UUID id, String name, char[] password) {
    return create(id, name, new KeystorePassword(password));
  }

  private Keystore create(UUID id, String name, KeystorePassword password) {
    client.run(
        once(
            KeyStoresGrpc.getCreateKeystoreMethod(),
            CreateKeystoreRequest.newBuilder()
                .setId(StoredKey.bytes(id))
                .setName(name)
                .setPassword(password.bytes())
                .build(),
            Keystores::info));
    return new Keystore(client, id, password);
  }

  /** A reach into a keystore; nothing is asked yet. */
  public Keystore open(UUID id) {
    return new Keystore(client, id, KeystorePassword.NONE);
  }

  /**
   * A reach into a keystore with a password; nothing is asked yet.
   *
   * @param password copied; wipe yours
   */
  public Keystore open(UUID id, char[] password) {
    return new Keystore(client, id, new KeystorePassword(password));
  }

  /** Removes a keystore with all its keys; no password is needed. */
  public void delete(UUID id) {
    client.run(
        once(
            KeyStoresGrpc.getDeleteKeystoreMethod(),
            DeleteKeystoreRequest.newBuilder().setKeystore(StoredKey.bytes(id)).build(),
            Function.identity()));
  }

  /** All keystores that the caller has a right on. */
  public List<KeystoreInfo> list() {
    return list("");
  }

  /** Those with this name. */
  public List<KeystoreInfo> list(String name) {
    return client.run(
        repeatable(
            KeyStoresGrpc.getListKeystoresByAttributesMethod(),
            ListKeystoresByAttributesRequest.newBuilder().setName(name).build(),
            answer -> answer.getKeystoresList().stream().map(Keystores::info).toList()));
  }

  /** What there is to say of a keystore; empty when there is none, or no right on it. */
  public Optional<KeystoreInfo> find(UUID id) {
    return client.run(
        repeatable(
            KeyStoresGrpc.getListKeystoresByIdsMethod(),
            ListKeystoresByIdsRequest.newBuilder().addKeystores(StoredKey.bytes(id)).build(),
            answer -> answer.getKeystoresList().stream().map(Keystores::info).findFirst()));
  }

  static KeystoreInfo info(dev.grep11.proto.keystore.Keystore wire) {
    return new KeystoreInfo(
        StoredKey.uuid(wire.getId()),
        wire.getName(),
        wire.getPasswordProtected(),
        wire.getKeys(),
        Instant.ofEpochMilli(wire.getCreatedMillis()));
  }

  static <Q, A, T> Call<Q, A, T> repeatable(
      MethodDescriptor<Q, A> method, Q request, Function<A, T> result) {
    return new Call<>(method, request, true, result, refusal -> Optional.empty());
  }

  static <Q, A, T> Call<Q, A, T> once(
      MethodDescriptor<Q, A> method, Q request, Function<A, T> result) {
    return new Call<>(method, request, false, result, refusal -> Optional.empty());
  }
}
