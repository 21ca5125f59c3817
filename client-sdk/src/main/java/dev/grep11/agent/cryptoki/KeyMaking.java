package dev.grep11.agent.cryptoki;

import static dev.grep11.client.Cka.*;
import static dev.grep11.client.Ckr.*;

import com.google.protobuf.ByteString;
import dev.grep11.agent.cryptoki.Slot.Role;
import dev.grep11.agent.rpc.RequestedMechanism;
import dev.grep11.agent.store.Attributes;
import dev.grep11.client.Cka;
import dev.grep11.client.Ckk;
import dev.grep11.client.Ckm;
import dev.grep11.client.Cko;
import dev.grep11.client.Curve;
import dev.grep11.client.KeyBlob;
import dev.grep11.client.KeyPair;
import dev.grep11.client.KeyPairTemplate;
import dev.grep11.client.Mechanisms;
import dev.grep11.client.PrivateKeyBlob;
import dev.grep11.client.Template;
import dev.grep11.client.Templates;
import dev.grep11.proto.DeriveKeyRequest;
import dev.grep11.proto.UnwrapKeyRequest;
import dev.grep11.proto.WrapKeyRequest;
import java.math.BigInteger;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PublicKey;
import java.security.SecureRandom;
import java.security.interfaces.RSAPrivateCrtKey;
import java.security.spec.RSAPrivateCrtKeySpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;
import javax.crypto.Cipher;
import javax.crypto.spec.SecretKeySpec;
import org.jspecify.annotations.Nullable;

/** Making objects: keys by the gateway, certificates and data by the agent alone. */
final class KeyMaking {
  private static final long GENERATE = 0x8000;
  private static final long GENERATE_KEY_PAIR = 0x10000;
  private static final long WRAP = 0x20000;
  private static final long UNWRAP = 0x40000;
  private static final long DERIVE = 0x80000;
  private static final long CKM_EC_EDWARDS_KEY_PAIR_GEN = 0x1055;
  private static final int TRANSPORT_BITS = 2048;
  private static final int OAEP_MOST = TRANSPORT_BITS / 8 - 2 * 20 - 2;

  private final Session session;
  private final GatewayUser user;
  private final Role role;
  private final ObjectTable objects;

  KeyMaking(Session session, GatewayUser user, Role role, ObjectTable objects) {
    this.session = session;
    this.user = user;
    this.role = role;
    this.objects = objects;
  }

  // ---- Generated

  CkObject generate(RequestedMechanism mechanism, Attributes template) {
    requireOffered(mechanism, GENERATE);
    if (mechanism.number() == Ckm.CKM_DSA_PARAMETER_GEN
        || mechanism.number() == Ckm.CKM_DH_PKCS_PARAMETER_GEN) {
      throw new Refusal(CKR_MECHANISM_INVALID, "domain parameters are not made as objects yet");
    }
    ObjectTemplates.requireOfKey(template, Set.of());
    var recorded = placed(template);
    var key =
        user.call(client ->
            client.generateKey(mechanism.message(), ObjectTemplates.forGateway(template)));
    return add(Cko.CKO_SECRET_KEY, key, recorded, mechanism.number(), key.checkSum());
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
    var publicRecorded = placed(publicTemplate);
    var privateRecorded = placed(privateTemplate);
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
        add(Cko.CKO_PRIVATE_KEY, pair.privateKey(), privateRecorded, number, publicBlob);
    try {
      var publicKey =
          add(
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
    var request =
        WrapKeyRequest.newBuilder()
            .setMech(mechanism.message())
            .setKeK(kek.key().toMessage())
            .setKey(key.key().toMessage());
    if (macKey != null) {
      request.setMacKey(macKey.key().toMessage());
    }
    return user.part(stub -> stub.wrapKey(request.build()).getWrapped().toByteArray());
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
    var recorded = placed(template);
    var request =
        UnwrapKeyRequest.newBuilder()
            .setMech(mechanism.message())
            .setKeK(kek.key().toMessage())
            .setWrapped(ByteString.copyFrom(wrapped))
            .putAllTemplate(ObjectTemplates.forGateway(template).toMap());
    if (macKey != null) {
      request.setMacKey(macKey.key().toMessage());
    }
    var answer = user.part(stub -> stub.unwrapKey(request.build()));
    return added(
        answer.getUnwrappedBytes().toByteArray(), answer.getCheckSum().toByteArray(), recorded);
  }

  CkObject derive(RequestedMechanism mechanism, CkObject base, Attributes template) {
    requireOffered(mechanism, DERIVE);
    requireKek(base, CKA_DERIVE, CKR_KEY_HANDLE_INVALID);
    ObjectTemplates.requireOfKey(template, Set.of());
    var recorded = placed(template);
    var request =
        DeriveKeyRequest.newBuilder()
            .setMech(withBarePoint(mechanism))
            .setBaseKey(base.key().toMessage())
            .putAllTemplate(ObjectTemplates.forGateway(template).toMap());
    var answer = user.part(stub -> stub.deriveKey(request.build()));
    return added(
        answer.getNewKeyBytes().toByteArray(), answer.getCheckSum().toByteArray(), recorded);
  }

  /**
   * Applications pass a peer's point in DER too (PKCS #11 v2.40, 2.3.9); the gateway takes it bare.
   */
  private static dev.grep11.proto.Mechanism withBarePoint(RequestedMechanism mechanism) {
    var message = mechanism.message();
    var point = message.getECDH1DeriveParameter().getPublicData();
    boolean der =
        point.size() > 2
            && point.byteAt(0) == 4
            && (point.byteAt(1) & 0xff) == point.size() - 2
            && (point.byteAt(2) == 4 || point.size() <= 60);
    return der
        ? message.toBuilder()
            .setECDH1DeriveParameter(
                message.getECDH1DeriveParameter().toBuilder().setPublicData(point.substring(2)))
            .build()
        : message;
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

  // ---- Created

  CkObject create(Attributes template) {
    long objectClass =
        template
            .number(CKA_CLASS)
            .orElseThrow(() -> new Refusal(CKR_TEMPLATE_INCOMPLETE, "CKA_CLASS is missing"));
    if (objectClass == Cko.CKO_PUBLIC_KEY) {
      return createPublic(template);
    }
    if (objectClass == Cko.CKO_SECRET_KEY) {
      return createSecret(template);
    }
    if (objectClass == Cko.CKO_PRIVATE_KEY) {
      return createPrivate(template);
    }
    ObjectTemplates.requireOfOther(template, objectClass);
    var attributes = ObjectTemplates.withDefaults(template, role == Role.NORMAL);
    return objects.add(session.handle(), session.readWrite(), role, attributes, List.of());
  }

  /**
   * Rights that the template does not name, "where the algorithm allows": applications that create
   * a key rarely name them (SunPKCS11 names none for a public key), and the gateway gives an
   * imported key none by itself.
   */
  private static Attributes withUsages(Attributes template) {
    long objectClass = template.number(CKA_CLASS).orElse(-1);
    long type = template.number(CKA_KEY_TYPE).orElse(-1);
    if (objectClass == Cko.CKO_PUBLIC_KEY) {
      var usable = template.orElse(CKA_VERIFY, true);
      return type == Ckk.CKK_RSA ? usable.orElse(CKA_ENCRYPT, true) : usable;
    }
    if (objectClass == Cko.CKO_PRIVATE_KEY) {
      var usable = template.orElse(CKA_SIGN, true);
      return type == Ckk.CKK_RSA ? usable.orElse(CKA_DECRYPT, true) : usable;
    }
    return type == Ckk.CKK_GENERIC_SECRET
        ? template.orElse(CKA_SIGN, true).orElse(CKA_VERIFY, true)
        : template.orElse(CKA_ENCRYPT, true).orElse(CKA_DECRYPT, true);
  }

  private CkObject createPublic(Attributes template) {
    ObjectTemplates.requireOfKey(
        template, Set.of(CKA_MODULUS, CKA_EC_POINT, CKA_VALUE, CKA_PUBLIC_KEY_INFO));
    var recorded = placed(template);
    byte[] spki = SubjectPublicKey.encoded(template);
    // The numbers of the key itself are in its SubjectPublicKeyInfo.
    var said =
        withUsages(template)
            .without(CKA_MODULUS_BITS)
            .without(CKA_PUBLIC_EXPONENT)
            .without(CKA_EC_PARAMS)
            .without(CKA_CLASS)
            .without(CKA_KEY_TYPE)
            .without(CKA_PRIME);
    var key = user.call(client -> client.importPublicKey(spki, ObjectTemplates.forGateway(said)));
    byte[] blob = key.bytes();
    return add(
        Cko.CKO_PUBLIC_KEY, key, recorded.with(SubjectPublicKey.attributes(blob)), null, blob);
  }

  /**
   * A value goes to the HSM under a throw-away RSA key, which can open it there and nowhere else.
   */
  private CkObject createSecret(Attributes template) {
    ObjectTemplates.requireOfKey(template, Set.of(CKA_VALUE));
    var recorded = placed(template);
    byte[] value = required(template, CKA_VALUE);
    if (value.length > OAEP_MOST) {
      throw new Refusal(
          CKR_ATTRIBUTE_VALUE_INVALID, "a value of more than " + OAEP_MOST + " bytes");
    }
    var transport = transportPair();
    byte[] wrapped = oaep(transport, value);
    var key =
        user.call(client ->
            client.unwrapKey(
                Mechanisms.rsaOaep(dev.grep11.client.Hash.SHA1),
                transport.privateKey(),
                wrapped,
                ObjectTemplates.forGateway(
                    withUsages(template)
                        .without(CKA_VALUE_LEN)
                        .with(CKA_CLASS, Cko.CKO_SECRET_KEY))));
    return add(Cko.CKO_SECRET_KEY, key, recorded, null, key.checkSum());
  }

  /** PKCS #8 is too long for RSA, so an AES key goes first, which then opens it. */
  private CkObject createPrivate(Attributes template) {
    ObjectTemplates.requireOfKey(
        template,
        Set.of(
            CKA_MODULUS,
            CKA_VALUE,
            CKA_PUBLIC_KEY_INFO,
            ObjectTemplates.CKA_PRIVATE_EXPONENT,
            ObjectTemplates.CKA_PRIME_1,
            ObjectTemplates.CKA_PRIME_2,
            ObjectTemplates.CKA_EXPONENT_1,
            ObjectTemplates.CKA_EXPONENT_2,
            ObjectTemplates.CKA_COEFFICIENT));
    var recorded = placed(template);
    byte[] pkcs8 = pkcs8(template);
    byte[] kekValue = new byte[32];
    new SecureRandom().nextBytes(kekValue);
    try {
      var transport = transportPair();
      byte[] wrappedKek = oaep(transport, kekValue);
      var kek =
          user.call(client ->
              client.unwrapKey(
                  Mechanisms.rsaOaep(dev.grep11.client.Hash.SHA1),
                  transport.privateKey(),
                  wrappedKek,
                  Template.empty()
                      .with(CKA_CLASS, Cko.CKO_SECRET_KEY)
                      .with(CKA_KEY_TYPE, Ckk.CKK_AES)
                      .with(CKA_UNWRAP, true)));
      var cipher = Cipher.getInstance("AES/KWP/NoPadding");
      cipher.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(kekValue, "AES"));
      byte[] wrapped = cipher.doFinal(pkcs8);
      var said =
          withUsages(template)
              .without(CKA_EC_PARAMS)
              .without(CKA_PUBLIC_EXPONENT)
              .without(CKA_PRIME)
              .with(CKA_CLASS, Cko.CKO_PRIVATE_KEY);
      var key =
          user.call(client ->
              client.unwrapPrivateKey(
                  Mechanisms.of(Ckm.CKM_AES_KEY_WRAP_PAD),
                  kek,
                  wrapped,
                  ObjectTemplates.forGateway(said)));
      return add(Cko.CKO_PRIVATE_KEY, key, recorded, null, key.checkSum());
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e);
    } finally {
      Arrays.fill(pkcs8, (byte) 0);
      Arrays.fill(kekValue, (byte) 0);
    }
  }

  private KeyPair transportPair() {
    return user.call(client -> client.generateKeyPair(Templates.rsaWrappingPair(TRANSPORT_BITS)));
  }

  /** With SHA-1, which is what every token does inside; here it is no signature. */
  private static byte[] oaep(KeyPair transport, byte[] value) {
    try {
      byte[] spki =
          SubjectPublicKey.attributes(transport.publicKey().bytes())
              .get(CKA_PUBLIC_KEY_INFO)
              .orElseThrow();
      PublicKey key = KeyFactory.getInstance("RSA").generatePublic(new X509EncodedKeySpec(spki));
      var cipher = Cipher.getInstance("RSA/ECB/OAEPWithSHA-1AndMGF1Padding");
      cipher.init(Cipher.ENCRYPT_MODE, key);
      return cipher.doFinal(value);
    } catch (GeneralSecurityException e) {
      throw new Refusal(CKR_DEVICE_ERROR, "the throw-away key cannot be used", e);
    }
  }

  private static byte[] pkcs8(Attributes template) {
    long type =
        template
            .number(CKA_KEY_TYPE)
            .orElseThrow(() -> new Refusal(CKR_TEMPLATE_INCOMPLETE, "CKA_KEY_TYPE is missing"));
    if (type == Ckk.CKK_RSA) {
      return rsaPkcs8(template);
    }
    if (type == Ckk.CKK_EC) {
      // RFC 5958 with RFC 5915 inside.
      byte[] algorithm =
          SubjectPublicKey.encode(
              0x30,
              HexFormat.of().parseHex("06072a8648ce3d0201"),
              required(template, CKA_EC_PARAMS));
      byte[] key =
          SubjectPublicKey.encode(
              0x30,
              SubjectPublicKey.integer(new byte[] {1}),
              SubjectPublicKey.encode(0x04, required(template, CKA_VALUE)));
      return SubjectPublicKey.encode(
          0x30,
          SubjectPublicKey.integer(new byte[1]),
          algorithm,
          SubjectPublicKey.encode(0x04, key));
    }
    throw new Refusal(
        CKR_ATTRIBUTE_VALUE_INVALID, "private keys are imported for RSA and EC, not for this type");
  }

  private static byte[] rsaPkcs8(Attributes template) {
    try {
      var spec =
          new RSAPrivateCrtKeySpec(
              integer(template, CKA_MODULUS),
              integer(template, CKA_PUBLIC_EXPONENT),
              integer(template, ObjectTemplates.CKA_PRIVATE_EXPONENT),
              integer(template, ObjectTemplates.CKA_PRIME_1),
              integer(template, ObjectTemplates.CKA_PRIME_2),
              integer(template, ObjectTemplates.CKA_EXPONENT_1),
              integer(template, ObjectTemplates.CKA_EXPONENT_2),
              integer(template, ObjectTemplates.CKA_COEFFICIENT));
      return ((RSAPrivateCrtKey) KeyFactory.getInstance("RSA").generatePrivate(spec)).getEncoded();
    } catch (GeneralSecurityException e) {
      throw new Refusal(CKR_ATTRIBUTE_VALUE_INVALID, "these numbers are no RSA key");
    }
  }

  private static BigInteger integer(Attributes template, long type) {
    return new BigInteger(1, required(template, type));
  }

  private static byte[] required(Attributes template, long type) {
    return template
        .get(type)
        .orElseThrow(
            () -> new Refusal(CKR_TEMPLATE_INCOMPLETE, ObjectTemplates.name(type) + " is missing"));
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
    var blobs = original.blobs();
    if (!ofTheKey.attributes().isEmpty()) {
      blobs = List.of(changedBlob(original, ofTheKey));
      attributes = attributes.with(flags(original.objectClass(), blobs.get(0)));
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
      attributes = attributes.with(flags(object.objectClass(), blobs.get(0)));
    }
    return objects.update(object, attributes, blobs);
  }

  private static boolean isFlagOf(CkObject key, long type) {
    var flags = ObjectTemplates.FLAGS.get(key.objectClass());
    return flags != null && flags.contains(type);
  }

  private byte[] changedBlob(CkObject object, Template changes) {
    KeyBlob changed = user.call(client -> client.setAttributes(object.key(), changes));
    return changed.bytes();
  }

  // ---- What becomes of a key blob

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

  /** What is recorded of a template, checked before a key is made that could not be kept. */
  private Attributes placed(Attributes template) {
    var recorded = ObjectTemplates.recorded(template, role == Role.NORMAL);
    ObjectTable.requirePlace(recorded, session.readWrite(), role);
    return recorded;
  }

  /** Of a key whose class only the gateway knows. */
  private CkObject added(byte[] blob, byte[] checkSum, Attributes recorded) {
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
  private CkObject add(
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

  private Attributes flags(long objectClass, byte[] blob) {
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
