package dev.grep11.agent.cryptoki;

import static dev.grep11.client.Cka.*;
import static dev.grep11.client.Ckr.*;

import dev.grep11.agent.cryptoki.Slot.Role;
import dev.grep11.agent.store.Attributes;
import dev.grep11.client.Cka;
import dev.grep11.client.Cko;
import dev.grep11.client.KeyBlob;
import dev.grep11.client.PrivateKeyBlob;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** What becomes of a key blob: an object, with all that an application may read of the key. */
final class NewKeys {
  private static final long CKM_EC_EDWARDS_KEY_PAIR_GEN = 0x1055;

  private final Session session;
  private final GatewayUser user;
  private final Role role;
  private final ObjectTable objects;

  NewKeys(Session session, GatewayUser user, Role role, ObjectTable objects) {
    this.session = session;
    this.user = user;
    this.role = role;
    this.objects = objects;
  }

  /** What is recorded of a template, checked before a key is made that could not be kept. */
  Attributes placed(Attributes template) {
    var recorded = ObjectTemplates.recorded(template, role == Role.NORMAL);
    ObjectTable.requirePlace(recorded, session.readWrite(), role);
    return recorded;
  }

  /** Of a key whose class only the gateway knows. */
  CkObject added(byte[] blob, byte[] checkSum, Attributes recorded) {
    long objectClass =
        user.call(client -> client.attributes(new PrivateKeyBlob(blob), CKA_CLASS))
            .number(CKA_CLASS);
    KeyBlob key =
        new CkObject(
                0,
                0,
                0,
                java.util.Optional.empty(),
                Attributes.empty().with(CKA_CLASS, objectClass),
                List.of(blob))
            .key();
    return add(objectClass, key, recorded, null, checkSum);
  }

  /**
   * @param mechanism that generated it, or null
   * @param more the public half of a private key, the check sum of a secret one
   */
  CkObject add(
      long objectClass, KeyBlob key, Attributes recorded, @Nullable Long mechanism, byte[] more) {
    byte[] blob = key.bytes();
    var attributes =
        ObjectTemplates.withKeyDefaults(recorded, objectClass)
            .with(CKA_CLASS, objectClass)
            .with(flags(objectClass, blob))
            .with(components(objectClass, blob, more));
    // -1 is CK_UNAVAILABLE_INFORMATION: not generated here.
    attributes = attributes.with(CKA_KEY_GEN_MECHANISM, mechanism == null ? -1L : mechanism);
    if (mechanism != null && mechanism == CKM_EC_EDWARDS_KEY_PAIR_GEN) {
      attributes = attributes.with(CKA_KEY_TYPE, ObjectTemplates.CKK_EC_EDWARDS);
    }
    return objects.add(session.handle(), session.readWrite(), role, attributes, List.of(blob));
  }

  Attributes flags(long objectClass, byte[] blob) {
    var types = ObjectTemplates.FLAGS.get(objectClass);
    if (types == null) {
      throw new Refusal(CKR_DEVICE_ERROR, "the gateway made a key of an unknown class");
    }
    var asked = new long[types.size() + 1];
    for (int i = 0; i < types.size(); i++) {
      asked[i] = types.get(i);
    }
    asked[types.size()] = CKA_KEY_TYPE;
    var answer = user.call(client -> client.attributes(new PrivateKeyBlob(blob), asked));
    var attributes = Attributes.empty().with(CKA_KEY_TYPE, answer.number(CKA_KEY_TYPE));
    for (long type : types) {
      attributes = attributes.with(type, answer.flag(type));
    }
    return attributes;
  }

  /** Not of keys whose type has one length (v2.40, 2.16.2). */
  private Attributes valueLength(byte[] blob) {
    try {
      var length = user.call(client -> client.attributes(new PrivateKeyBlob(blob), CKA_VALUE_LEN));
      return Attributes.empty().with(CKA_VALUE_LEN, length.number(CKA_VALUE_LEN));
    } catch (Refusal e) {
      if (e.returnValue() == CKR_ATTRIBUTE_TYPE_INVALID) {
        return Attributes.empty();
      }
      throw e;
    }
  }

  private Attributes components(long objectClass, byte[] blob, byte[] more) {
    if (objectClass == Cko.CKO_SECRET_KEY) {
      var attributes = valueLength(blob);
      return more.length < 3
          ? attributes
          : attributes.with(CKA_CHECK_VALUE, Arrays.copyOf(more, 3));
    }
    Attributes half;
    try {
      half = SubjectPublicKey.attributes(more);
    } catch (IllegalArgumentException noPublicHalf) {
      return Attributes.empty();
    }
    if (objectClass == Cko.CKO_PUBLIC_KEY) {
      return half;
    }
    // Of a private key: what applications look for there (v2.40, 2.1.3 and 2.3.4).
    var attributes = Attributes.empty();
    for (long type :
        List.of(
            CKA_MODULUS,
            CKA_PUBLIC_EXPONENT,
            CKA_EC_PARAMS,
            CKA_PRIME,
            CKA_SUBPRIME,
            CKA_BASE,
            Cka.CKA_PUBLIC_KEY_INFO)) {
      if (half.has(type)) {
        attributes = attributes.with(type, half.get(type).orElseThrow());
      }
    }
    return attributes;
  }
}
