package dev.grep11.agent.cryptoki;

import static dev.grep11.client.Cka.*;
import static dev.grep11.client.Ckr.*;

import com.google.protobuf.ByteString;
import dev.grep11.agent.cryptoki.Slot.Role;
import dev.grep11.agent.rpc.RequestedMechanism;
import dev.grep11.agent.store.Attributes;
import dev.grep11.client.Cko;
import dev.grep11.client.Curve;
import dev.grep11.client.KeyBlob;
import dev.grep11.client.KeyPair;
import dev.grep11.client.KeyPairTemplate;
import dev.grep11.client.Template;
import dev.grep11.proto.DeriveKeyRequest;
import dev.grep11.proto.UnwrapKeyRequest;
import dev.grep11.proto.WrapKeyRequest;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/** Making keys of nothing and of other keys, copying and changing objects. */
final class KeyMaking {
  private static final long GENERATE = 0x8000;
  private static final long GENERATE_KEY_PAIR = 0x10000;
  private static final long WRAP = 0x20000;
  private static final long UNWRAP = 0x40000;
  private static final long DERIVE = 0x80000;

  private final Session session;
  private final GatewayUser user;
  private final Role role;
  private final ObjectTable objects;
  private final NewKeys made;

  KeyMaking(Session session, GatewayUser user, Role role, ObjectTable objects) {
    this.session = session;
    this.user = user;
    this.role = role;
    this.objects = objects;
    this.made = new NewKeys(session, user, role, objects);
  }

  // ---- Generated

  CkObject generate(RequestedMechanism mechanism, Attributes template) {
    requireOffered(mechanism, GENERATE);
    ObjectTemplates.requireOfKey(template, Set.of());
    var recorded = made.placed(template);
    var key =
        user.call(client ->
            client.generateKey(mechanism.message(), ObjectTemplates.forGateway(template)));
    return made.add(Cko.CKO_SECRET_KEY, key, recorded, mechanism.number(), key.checkSum());
  }

  /** Public, then private. */
  List<CkObject> generatePair(
      RequestedMechanism mechanism, Attributes publicTemplate, Attributes privateTemplate) {
    requireOffered(mechanism, GENERATE_KEY_PAIR);
    ObjectTemplates.requireOfKey(publicTemplate, Set.of());
    ObjectTemplates.requireOfKey(privateTemplate, Set.of());
    requireClass(publicTemplate, Cko.CKO_PUBLIC_KEY);
    requireClass(privateTemplate, Cko.CKO_PRIVATE_KEY);
    // Halves of a pair are placed independently.
    var publicRecorded = made.placed(publicTemplate);
    var privateRecorded = made.placed(privateTemplate);
    KeyPair pair =
        user.call(client ->
            client.generateKeyPair(
                new KeyPairTemplate(
                    mechanism.message(),
                    ObjectTemplates.forGateway(curveByOid(publicTemplate)),
                    ObjectTemplates.forGateway(
                        privateTemplate.without(CKA_EC_PARAMS).without(CKA_MODULUS_BITS)))));
    byte[] publicBlob = pair.publicKey().bytes();
    long number = mechanism.number();
    var publicHalf = SubjectPublicKey.attributes(publicBlob);
    // The private half first: a public key without it would be of no use to anybody.
    var privateKey =
        made.add(Cko.CKO_PRIVATE_KEY, pair.privateKey(), privateRecorded, number, publicBlob);
    try {
      var publicKey =
          made.add(
              Cko.CKO_PUBLIC_KEY,
              pair.publicKey(),
              publicRecorded.with(publicHalf),
              number,
              publicBlob);
      return List.of(publicKey, privateKey);
    } catch (Refusal e) {
      objects.remove(privateKey);
      throw e;
    }
  }

  /** Older applications name Edwards curves as PrintableString. */
  private static Attributes curveByOid(Attributes template) {
    var curve = template.get(CKA_EC_PARAMS).map(bytes -> HexFormat.of().formatHex(bytes));
    if (curve.isEmpty()) {
      return template;
    }
    return switch (curve.get()) {
      case "130c656477617264733235353139" ->
          template.with(CKA_EC_PARAMS, Curve.ED25519.parameters());
      case "130a65647761726473343438" -> template.with(CKA_EC_PARAMS, Curve.ED448.parameters());
      default -> template;
    };
  }

  // ---- Wrapped and derived

  byte[] wrap(RequestedMechanism mechanism, CkObject kek, CkObject key, @Nullable CkObject macKey) {
    requireOffered(mechanism, WRAP);
    requireKek(kek, CKA_WRAP, CKR_WRAPPING_KEY_HANDLE_INVALID);
    if (!key.isKey()) {
      throw new Refusal(CKR_KEY_HANDLE_INVALID, "no key");
    }
    var request = WrapKeyRequest.newBuilder().setMech(mechanism.message());
    return objects.opened(
        kek,
        by ->
            objects.opened(
                key,
                wrapped -> {
                  request.setKeK(by.toMessage()).setKey(wrapped.toMessage());
                  return withMacKey(
                      macKey,
                      mac -> {
                        mac.ifPresent(blob -> request.setMacKey(blob.toMessage()));
                        return user.part(
                            stub -> stub.wrapKey(request.build()).getWrapped().toByteArray());
                      });
                }));
  }

  /** CKM_IBM_ATTRIBUTEBOUND_WRAP has a third key. */
  private <T> T withMacKey(@Nullable CkObject macKey, Function<Optional<KeyBlob>, T> work) {
    return macKey == null
        ? work.apply(Optional.empty())
        : objects.opened(macKey, blob -> work.apply(Optional.of(blob)));
  }

  CkObject unwrap(
      RequestedMechanism mechanism,
      CkObject kek,
      byte[] wrapped,
      Attributes template,
      @Nullable CkObject macKey) {
    requireOffered(mechanism, UNWRAP);
    requireKek(kek, CKA_UNWRAP, CKR_UNWRAPPING_KEY_HANDLE_INVALID);
    ObjectTemplates.requireOfKey(template, Set.of());
    var recorded = made.placed(template);
    var request =
        UnwrapKeyRequest.newBuilder()
            .setMech(mechanism.message())
            .setWrapped(ByteString.copyFrom(wrapped))
            .putAllTemplate(ObjectTemplates.forGateway(template).toMap());
    var answer =
        objects.opened(
            kek,
            by -> {
              request.setKeK(by.toMessage());
              return withMacKey(
                  macKey,
                  mac -> {
                    mac.ifPresent(blob -> request.setMacKey(blob.toMessage()));
                    return user.part(stub -> stub.unwrapKey(request.build()));
                  });
            });
    return made.added(
        answer.getUnwrappedBytes().toByteArray(), answer.getCheckSum().toByteArray(), recorded);
  }

  CkObject derive(RequestedMechanism mechanism, CkObject base, Attributes template) {
    requireOffered(mechanism, DERIVE);
    requireKek(base, CKA_DERIVE, CKR_KEY_HANDLE_INVALID);
    ObjectTemplates.requireOfKey(template, Set.of());
    var recorded = made.placed(template);
    var request =
        DeriveKeyRequest.newBuilder()
            .setMech(withBarePoint(mechanism))
            .putAllTemplate(ObjectTemplates.forGateway(template).toMap());
    var answer =
        objects.opened(
            base,
            by -> {
              request.setBaseKey(by.toMessage());
              return user.part(stub -> stub.deriveKey(request.build()));
            });
    return made.added(
        answer.getNewKeyBytes().toByteArray(), answer.getCheckSum().toByteArray(), recorded);
  }

  /**
   * Applications pass a peer's point in DER too (PKCS #11 v2.40, 2.3.9); the gateway takes it bare.
   */
  private static dev.grep11.proto.Mechanism withBarePoint(RequestedMechanism mechanism) {
    var message = mechanism.message();
    byte[] point = message.getECDH1DeriveParameter().getPublicData().toByteArray();
    byte[] bare = SubjectPublicKey.barePoint(point);
    return bare.length == point.length
        ? message
        : message.toBuilder()
            .setECDH1DeriveParameter(
                message.getECDH1DeriveParameter().toBuilder()
                    .setPublicData(ByteString.copyFrom(bare)))
            .build();
  }

  private static void requireKek(CkObject kek, long usage, long invalid) {
    if (!kek.isKey()) {
      throw new Refusal(invalid, "object " + kek.handle() + " is no key");
    }
    if (!kek.attributes().isTrue(usage)) {
      throw new Refusal(
          CKR_KEY_FUNCTION_NOT_PERMITTED, ObjectTemplates.name(usage) + " of the key is false");
    }
  }

  // ---- Copied and changed

  /** The same key under another record. */
  CkObject copy(CkObject original, Attributes changes) {
    if (original.attributes().has(CKA_COPYABLE) && !original.attributes().isTrue(CKA_COPYABLE)) {
      throw new Refusal(CKR_ACTION_PROHIBITED, "CKA_COPYABLE of the object is false");
    }
    var attributes = original.attributes();
    var ofTheKey = Template.empty();
    for (long type : changes.types()) {
      boolean recordOnly =
          type == CKA_TOKEN
              || type == CKA_PRIVATE
              || type == CKA_COPYABLE
              || ObjectTemplates.DESCRIPTIVE.contains(type);
      byte[] value = changes.get(type).orElseThrow();
      if (!recordOnly && original.isKey() && isFlagOf(original, type)) {
        if (attributes.isTrue(type) != (value[0] != 0)) {
          ofTheKey = ofTheKey.with(type, value[0] != 0);
        }
      } else if (!recordOnly && type != CKA_MODIFIABLE) {
        throw new Refusal(CKR_ATTRIBUTE_READ_ONLY, ObjectTemplates.name(type));
      }
      attributes = attributes.with(type, value);
    }
    if (original.isPrivate() && !attributes.isTrue(CKA_PRIVATE)) {
      throw new Refusal(
          CKR_TEMPLATE_INCONSISTENT, "a private object is not copied to a public one");
    }
    ObjectTable.requirePlace(attributes, session.readWrite(), role);
    // A blob that opens no more would make a copy that is no key.
    var blobs = objects.reread(original).blobs();
    if (!ofTheKey.attributes().isEmpty()) {
      blobs = List.of(changedBlob(original, ofTheKey));
      attributes = attributes.with(made.flags(original.objectClass(), blobs.get(0)));
    }
    return objects.add(session.handle(), session.readWrite(), role, attributes, blobs);
  }

  CkObject change(CkObject object, Attributes changes) {
    if (object.isToken() && !session.readWrite()) {
      throw new Refusal(CKR_SESSION_READ_ONLY, "token objects are changed in read-write sessions");
    }
    if (!object.attributes().isTrue(CKA_MODIFIABLE)) {
      throw new Refusal(CKR_ACTION_PROHIBITED, "CKA_MODIFIABLE of the object is false");
    }
    var attributes = object.attributes();
    var ofTheKey = Template.empty();
    for (long type : changes.types()) {
      byte[] value = changes.get(type).orElseThrow();
      if (ObjectTemplates.DESCRIPTIVE.contains(type)) {
        attributes = attributes.with(type, value);
      } else if (object.isKey() && isFlagOf(object, type)) {
        ofTheKey = ofTheKey.with(type, value[0] != 0);
      } else {
        throw new Refusal(CKR_ATTRIBUTE_READ_ONLY, ObjectTemplates.name(type));
      }
    }
    var blobs = object.blobs();
    if (!ofTheKey.attributes().isEmpty()) {
      blobs = List.of(changedBlob(object, ofTheKey));
      attributes = attributes.with(made.flags(object.objectClass(), blobs.get(0)));
    }
    return objects.update(object, attributes, blobs);
  }

  private static boolean isFlagOf(CkObject key, long type) {
    var flags = ObjectTemplates.FLAGS.get(key.objectClass());
    return flags != null && flags.contains(type);
  }

  private byte[] changedBlob(CkObject object, Template changes) {
    return objects.opened(
        object, key -> user.call(client -> client.setAttributes(key, changes)).bytes());
  }

  // ---- Checks

  private void requireOffered(RequestedMechanism mechanism, long flag) {
    var info = session.slot().mechanism(user, mechanism.number());
    if ((info.flags() & flag) == 0) {
      throw new Refusal(
          CKR_MECHANISM_INVALID,
          "mechanism 0x%x is not for this function".formatted(mechanism.number()));
    }
  }

  private static void requireClass(Attributes template, long objectClass) {
    var said = template.number(CKA_CLASS);
    if (said.isPresent() && said.getAsLong() != objectClass) {
      throw new Refusal(CKR_TEMPLATE_INCONSISTENT, "CKA_CLASS is not what this function makes");
    }
  }
}
