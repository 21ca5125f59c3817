package dev.grep11.gateway.rpc;

import static dev.grep11.gateway.pkcs11.Ckr.CKR_ARGUMENTS_BAD;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_DATA_LEN_RANGE;
import static dev.grep11.gateway.rpc.Codec.bytes;

import com.google.protobuf.ByteString;
import com.google.protobuf.Message;
import dev.grep11.gateway.iam.KeystoreRpc;
import dev.grep11.gateway.keystore.Access;
import dev.grep11.gateway.keystore.Keystore;
import dev.grep11.gateway.keystore.Keystores;
import dev.grep11.gateway.keystore.StoredKey;
import dev.grep11.gateway.operation.Workload;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.proto.KeyBlob;
import dev.grep11.proto.keystore.ChangePasswordRequest;
import dev.grep11.proto.keystore.CreateKeystoreRequest;
import dev.grep11.proto.keystore.DeleteKeyRequest;
import dev.grep11.proto.keystore.DeleteKeyResponse;
import dev.grep11.proto.keystore.DeleteKeystoreRequest;
import dev.grep11.proto.keystore.DeleteKeystoreResponse;
import dev.grep11.proto.keystore.KeyStoresGrpc;
import dev.grep11.proto.keystore.ListKeysByAttributesRequest;
import dev.grep11.proto.keystore.ListKeysByIdsRequest;
import dev.grep11.proto.keystore.ListKeysResponse;
import dev.grep11.proto.keystore.ListKeystoresByAttributesRequest;
import dev.grep11.proto.keystore.ListKeystoresByIdsRequest;
import dev.grep11.proto.keystore.ListKeystoresResponse;
import dev.grep11.proto.keystore.StoreNewKeyRequest;
import dev.grep11.proto.keystore.UpdateKeyRequest;
import io.grpc.ServerServiceDefinition;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.OptionalLong;
import java.util.UUID;
import java.util.function.Function;
import java.util.stream.Collectors;

/** The keystore service on the wire. */
final class KeystoreService {
  /** Two records, and the rest of a request. */
  private static final int LONGEST_REQUEST = 2 * Keystores.LONGEST_RECORD;

  private static final int MOST_IDS = 100;
  private static final int UUID_LENGTH = 16;

  private final Keystores keystores;
  private final KeystoreAccess access;

  private KeystoreService(Keystores keystores, KeystoreAccess access) {
    this.keystores = keystores;
    this.access = access;
  }

  static ServerServiceDefinition bind(
      Keystores keystores, KeystoreAccess access, Routes.Services services) {
    var service = new KeystoreService(keystores, access);
    var routes =
        new Routes(
            KeyStoresGrpc.getServiceDescriptor(),
            services,
            rpc -> KeystoreRpc.named(rpc).actions());
    routes.serving(
        KeyStoresGrpc.getCreateKeystoreMethod(), about(r -> name(r.getId())), service::create);
    routes.serving(
        KeyStoresGrpc.getDeleteKeystoreMethod(),
        about(r -> name(r.getKeystore())),
        service::deleteKeystore);
    routes.serving(
        KeyStoresGrpc.getListKeystoresByIdsMethod(),
        about(r -> names(r.getKeystoresList())),
        service::keystoresByIds);
    routes.serving(
        KeyStoresGrpc.getListKeystoresByAttributesMethod(),
        about(_ -> "all"),
        service::keystoresByAttributes);
    routes.serving(
        KeyStoresGrpc.getChangePasswordMethod(),
        about(r -> name(r.getKeystore())),
        service::changePassword);
    routes.serving(
        KeyStoresGrpc.getStoreNewKeyMethod(),
        about(r -> name(r.getKeystore()) + "/" + name(r.getKey().getKeyBlobID())),
        service::storeNewKey);
    routes.serving(
        KeyStoresGrpc.getUpdateKeyMethod(),
        about(r -> name(r.getKeystore()) + "/" + name(r.getKey().getKeyBlobID())),
        service::updateKey);
    routes.serving(
        KeyStoresGrpc.getDeleteKeyMethod(),
        about(r -> name(r.getKeystore()) + "/" + name(r.getKey())),
        service::deleteKey);
    routes.serving(
        KeyStoresGrpc.getListKeysByIdsMethod(),
        about(r -> name(r.getKeystore()) + "/" + names(r.getKeysList())),
        service::keysByIds);
    routes.serving(
        KeyStoresGrpc.getListKeysByAttributesMethod(),
        about(r -> name(r.getKeystore())),
        service::keysByAttributes);
    return routes.bind();
  }

  /** Judges the size of a request before anything is made of it, and names what it is about. */
  private static <Q extends Message> Function<Q, Workload> about(Function<Q, String> target) {
    return request -> {
      if (request.getSerializedSize() > LONGEST_REQUEST) {
        throw new Pkcs11Exception(
            CKR_DATA_LEN_RANGE, "a request longer than %d bytes".formatted(LONGEST_REQUEST));
      }
      return Workload.about(target.apply(request));
    };
  }

  // ---- Keystores

  private dev.grep11.proto.keystore.Keystore create(
      CallContext context, CreateKeystoreRequest request) {
    var id = id("id", request.getId());
    if (!access.may(context, KeystoreRpc.CREATE_KEYSTORE, id)) {
      throw refused(Keystores.missing());
    }
    return wire(
        keystores.create(
            context.admitted().instance(),
            id,
            request.getName(),
            request.getPassword().toByteArray()));
  }

  private DeleteKeystoreResponse deleteKeystore(
      CallContext context, DeleteKeystoreRequest request) {
    return permitted(
        context,
        KeystoreRpc.DELETE_KEYSTORE,
        id("keystore", request.getKeystore()),
        keystore -> {
          keystores.delete(context.admitted().instance(), keystore);
          return DeleteKeystoreResponse.getDefaultInstance();
        });
  }

  private ListKeystoresResponse keystoresByIds(
      CallContext context, ListKeystoresByIdsRequest request) {
    var ids = ids("keystores", request.getKeystoresList());
    var rpc = KeystoreRpc.LIST_KEYSTORES_BY_IDS;
    return listed(context, rpc, keystore -> ids.contains(keystore.id()));
  }

  private ListKeystoresResponse keystoresByAttributes(
      CallContext context, ListKeystoresByAttributesRequest request) {
    return listed(
        context,
        KeystoreRpc.LIST_KEYSTORES_BY_ATTRIBUTES,
        keystore ->
            (request.getName().isEmpty() || keystore.name().equals(request.getName()))
                && (!request.hasPasswordProtected()
                    || keystore.passwordProtected() == request.getPasswordProtected()));
  }

  private ListKeystoresResponse listed(
      CallContext context, KeystoreRpc rpc, Function<Keystore, Boolean> wanted) {
    var answer = ListKeystoresResponse.newBuilder();
    for (var keystore : keystores.all(context.admitted().instance())) {
      if (wanted.apply(keystore) && access.may(context, rpc, keystore.id())) {
        answer.addKeystores(wire(keystore));
      }
    }
    return answer.build();
  }

  private dev.grep11.proto.keystore.Keystore changePassword(
      CallContext context, ChangePasswordRequest request) {
    return reaching(
        context,
        KeystoreRpc.CHANGE_PASSWORD,
        request.getKeystore(),
        request.getOldPassword(),
        reach -> wire(keystores.changePassword(reach, request.getNewPassword().toByteArray())));
  }

  // ---- Keys

  private dev.grep11.proto.keystore.StoredKey storeNewKey(
      CallContext context, StoreNewKeyRequest request) {
    var key = key(request.getKey());
    return reaching(
        context,
        KeystoreRpc.STORE_NEW_KEY,
        request.getKeystore(),
        request.getPassword(),
        reach -> stored(keystores.store(reach, key)));
  }

  private dev.grep11.proto.keystore.StoredKey updateKey(
      CallContext context, UpdateKeyRequest request) {
    var key = key(request.getKey());
    return reaching(
        context,
        KeystoreRpc.UPDATE_KEY,
        request.getKeystore(),
        request.getPassword(),
        reach -> stored(keystores.update(reach, key)));
  }

  private DeleteKeyResponse deleteKey(CallContext context, DeleteKeyRequest request) {
    var key = id("key", request.getKey());
    return reaching(
        context,
        KeystoreRpc.DELETE_KEY,
        request.getKeystore(),
        request.getPassword(),
        reach -> {
          keystores.delete(
              reach,
              key,
              request.hasVersion() ? OptionalLong.of(request.getVersion()) : OptionalLong.empty());
          return DeleteKeyResponse.getDefaultInstance();
        });
  }

  private ListKeysResponse keysByIds(CallContext context, ListKeysByIdsRequest request) {
    var ids = ids("keys", request.getKeysList());
    return reaching(
        context,
        KeystoreRpc.LIST_KEYS_BY_IDS,
        request.getKeystore(),
        request.getPassword(),
        reach ->
            ListKeysResponse.newBuilder()
                .addAllKeys(
                    keystores.byIds(reach, ids).stream().map(KeystoreService::wire).toList())
                .build());
  }

  private ListKeysResponse keysByAttributes(
      CallContext context, ListKeysByAttributesRequest request) {
    var attributes = Codec.template(request.getAttributesMap());
    return reaching(
        context,
        KeystoreRpc.LIST_KEYS_BY_ATTRIBUTES,
        request.getKeystore(),
        request.getPassword(),
        reach -> {
          var page =
              keystores.byAttributes(
                  reach, attributes, request.getPage().toByteArray(), request.getPageSize());
          return ListKeysResponse.newBuilder()
              .addAllKeys(page.keys().stream().map(KeystoreService::wire).toList())
              .setNextPage(bytes(page.next().orElse(new byte[0])))
              .build();
        });
  }

  // ---- Rights

  private <P> P reaching(
      CallContext context,
      KeystoreRpc rpc,
      ByteString keystore,
      ByteString password,
      Function<Access, P> work) {
    return permitted(
        context,
        rpc,
        id("keystore", keystore),
        id ->
            work.apply(
                new Access(
                    context.admitted().instance(),
                    id,
                    context.requester().subject(),
                    password.toByteArray())));
  }

  /** With the id of the keystore, or for who may not, with one that does not exist. */
  private <P> P permitted(
      CallContext context, KeystoreRpc rpc, UUID keystore, Function<UUID, P> work) {
    if (access.may(context, rpc, keystore)) {
      return work.apply(keystore);
    }
    try {
      return work.apply(UUID.randomUUID());
    } catch (Pkcs11Exception e) {
      throw e.returnValue() == Ckr.CKR_IBM_GREP11_MISSING ? refused(e) : e;
    }
  }

  /** The answer stays; the operator reads why. */
  private static Pkcs11Exception refused(Pkcs11Exception missing) {
    return Pkcs11Exception.recorded(
        missing.returnValue(), missing.detail(), "the caller has no right on this keystore");
  }

  // ---- Messages

  private static UUID id(String field, ByteString id) {
    if (id.size() != UUID_LENGTH) {
      throw new Pkcs11Exception(CKR_ARGUMENTS_BAD, field + " is not a UUID of 16 bytes");
    }
    var in = id.asReadOnlyByteBuffer();
    return new UUID(in.getLong(), in.getLong());
  }

  private static List<UUID> ids(String field, List<ByteString> ids) {
    if (ids.isEmpty() || ids.size() > MOST_IDS) {
      throw new Pkcs11Exception(
          CKR_ARGUMENTS_BAD, "%s has 1 to %d entries".formatted(field, MOST_IDS));
    }
    return ids.stream().map(id -> id(field, id)).toList();
  }

  /** For the record of a call, before it is known whether it is one. */
  private static String name(ByteString id) {
    return id.size() == UUID_LENGTH ? id("id", id).toString() : "no UUID";
  }

  private static String names(List<ByteString> ids) {
    return ids.stream().limit(MOST_IDS).map(KeystoreService::name).collect(Collectors.joining(","));
  }

  private static ByteString wire(UUID id) {
    return bytes(
        ByteBuffer.allocate(UUID_LENGTH)
            .putLong(id.getMostSignificantBits())
            .putLong(id.getLeastSignificantBits())
            .array());
  }

  private static StoredKey key(KeyBlob wire) {
    var given = Codec.template(wire.getAttributesMap());
    var attributes = Template.builder();
    given
        .values()
        .forEach((type, value) -> {
          // The service's own: what a client read, it may send back.
          if (type != Cka.CKA_GREP11_KEYBLOB_HAS_ROTATION) {
            attributes.put(type, value);
          }
        });
    if (wire.getVersion() < 0) {
      throw new Pkcs11Exception(CKR_ARGUMENTS_BAD, "Version is negative");
    }
    return new StoredKey(
        id("KeyBlobID", wire.getKeyBlobID()),
        wire.getVersion(),
        id("TxID", wire.getTxID()),
        attributes.build(),
        wire.getKeyBlobsList().stream().map(ByteString::toByteArray).toList());
  }

  private static KeyBlob wire(StoredKey key) {
    return KeyBlob.newBuilder()
        .setKeyBlobID(wire(key.id()))
        .setVersion(key.version())
        .setTxID(wire(key.transaction()))
        .putAllAttributes(Codec.attributes(key.shownAttributes()))
        .addAllKeyBlobs(key.blobs().stream().map(Codec::bytes).toList())
        .build();
  }

  private static dev.grep11.proto.keystore.StoredKey stored(StoredKey key) {
    return dev.grep11.proto.keystore.StoredKey.newBuilder().setKey(wire(key)).build();
  }

  private static dev.grep11.proto.keystore.Keystore wire(Keystore keystore) {
    return dev.grep11.proto.keystore.Keystore.newBuilder()
        .setId(wire(keystore.id()))
        .setName(keystore.name())
        .setPasswordProtected(keystore.passwordProtected())
        .setKeys(keystore.keys())
        .setCreatedMillis(keystore.created().toEpochMilli())
        .build();
  }
}
