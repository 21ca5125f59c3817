package dev.grep11.agent.cryptoki;

import static dev.grep11.client.Cka.*;
import static dev.grep11.client.Ckr.*;

import dev.grep11.agent.cryptoki.Slot.Role;
import dev.grep11.agent.rpc.WireAttribute;
import dev.grep11.agent.store.Attributes;
import dev.grep11.client.Cka;
import dev.grep11.client.Ckk;
import dev.grep11.client.Cko;
import dev.grep11.client.Template;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * What applications may say of an object, what of it the gateway is told, and what of a key an
 * application sees.
 */
public final class ObjectTemplates {
  static final long CKA_AC_ISSUER = 0x83;
  static final long CKA_OWNER = 0x84;
  static final long CKA_ATTR_TYPES = 0x85;
  static final long CKA_HASH_OF_SUBJECT_PUBLIC_KEY = 0x8a;
  static final long CKA_HASH_OF_ISSUER_PUBLIC_KEY = 0x8b;
  static final long CKA_ALWAYS_AUTHENTICATE = 0x202;
  static final long CKA_PRIVATE_EXPONENT = 0x123;
  static final long CKA_PRIME_1 = 0x124;
  static final long CKA_PRIME_2 = 0x125;
  static final long CKA_EXPONENT_1 = 0x126;
  static final long CKA_EXPONENT_2 = 0x127;
  static final long CKA_COEFFICIENT = 0x128;

  public static final long CKK_EC_EDWARDS = 0x40;
  static final long CKK_EC_MONTGOMERY = 0x41;
  static final long CKO_DATA = 0;
  static final long CKO_CERTIFICATE = 1;

  /** What describes an object and is the agent's alone. */
  private static final Set<Long> RECORDED =
      Set.of(
          CKA_TOKEN,
          CKA_PRIVATE,
          CKA_LABEL,
          CKA_ID,
          CKA_SUBJECT,
          CKA_START_DATE,
          CKA_END_DATE,
          CKA_COPYABLE,
          CKA_DESTROYABLE,
          CKA_ALWAYS_AUTHENTICATE);

  /** What the gateway makes of a key. */
  private static final Set<Long> OF_KEYS =
      Set.of(
          CKA_CLASS,
          CKA_KEY_TYPE,
          CKA_ENCRYPT,
          CKA_DECRYPT,
          CKA_SIGN,
          CKA_VERIFY,
          CKA_SIGN_RECOVER,
          CKA_VERIFY_RECOVER,
          CKA_WRAP,
          CKA_UNWRAP,
          CKA_DERIVE,
          CKA_SENSITIVE,
          CKA_EXTRACTABLE,
          CKA_MODIFIABLE,
          CKA_TRUSTED,
          CKA_WRAP_WITH_TRUSTED,
          CKA_IBM_RESTRICTABLE,
          CKA_IBM_NEVER_MODIFIABLE,
          CKA_IBM_ATTRBOUND,
          CKA_IBM_USE_AS_DATA,
          CKA_VALUE_LEN,
          CKA_MODULUS_BITS,
          CKA_PUBLIC_EXPONENT,
          CKA_EC_PARAMS,
          CKA_PRIME_BITS,
          CKA_SUBPRIME_BITS,
          CKA_IBM_STRUCT_PARAMS);

  /** Domain parameters, which the gateway takes as one structure. */
  private static final Set<Long> DOMAIN = Set.of(CKA_PRIME, CKA_SUBPRIME, CKA_BASE);

  /** What only the HSM says of a key. */
  private static final Set<Long> COMPUTED =
      Set.of(
          CKA_LOCAL,
          CKA_KEY_GEN_MECHANISM,
          CKA_ALWAYS_SENSITIVE,
          CKA_NEVER_EXTRACTABLE,
          CKA_CHECK_VALUE);

  /** Values of private and secret keys, which nobody reads. */
  static final Set<Long> SECRET =
      Set.of(
          CKA_VALUE,
          CKA_PRIVATE_EXPONENT,
          CKA_PRIME_1,
          CKA_PRIME_2,
          CKA_EXPONENT_1,
          CKA_EXPONENT_2,
          CKA_COEFFICIENT);

  /** C_SetAttributeValue for these changes the agent's record only. */
  static final Set<Long> DESCRIPTIVE =
      Set.of(CKA_LABEL, CKA_ID, CKA_SUBJECT, CKA_START_DATE, CKA_END_DATE);

  /** What objects other than keys have beside {@link #RECORDED}, by their class. */
  private static final Map<Long, Set<Long>> OTHERS =
      Map.of(
          CKO_DATA,
          Set.of(CKA_CLASS, CKA_MODIFIABLE, CKA_APPLICATION, CKA_OBJECT_ID, CKA_VALUE),
          CKO_CERTIFICATE,
          Set.of(
              CKA_CLASS,
              CKA_MODIFIABLE,
              CKA_CERTIFICATE_TYPE,
              CKA_CERTIFICATE_CATEGORY,
              CKA_VALUE,
              CKA_ISSUER,
              CKA_SERIAL_NUMBER,
              CKA_URL,
              CKA_TRUSTED,
              CKA_CHECK_VALUE,
              CKA_PUBLIC_KEY_INFO,
              CKA_HASH_OF_SUBJECT_PUBLIC_KEY,
              CKA_HASH_OF_ISSUER_PUBLIC_KEY,
              CKA_NAME_HASH_ALGORITHM,
              CKA_JAVA_MIDP_SECURITY_DOMAIN,
              CKA_OWNER,
              CKA_AC_ISSUER,
              CKA_ATTR_TYPES));

  /** Flags of a key that an application sees, by class. */
  public static final Map<Long, List<Long>> FLAGS =
      Map.of(
          Cko.CKO_PUBLIC_KEY,
          List.of(
              CKA_ENCRYPT,
              CKA_VERIFY,
              CKA_VERIFY_RECOVER,
              CKA_WRAP,
              CKA_DERIVE,
              CKA_TRUSTED,
              CKA_LOCAL,
              CKA_MODIFIABLE),
          Cko.CKO_PRIVATE_KEY,
          List.of(
              CKA_DECRYPT,
              CKA_SIGN,
              CKA_SIGN_RECOVER,
              CKA_UNWRAP,
              CKA_DERIVE,
              CKA_SENSITIVE,
              CKA_ALWAYS_SENSITIVE,
              CKA_EXTRACTABLE,
              CKA_NEVER_EXTRACTABLE,
              CKA_WRAP_WITH_TRUSTED,
              CKA_LOCAL,
              CKA_MODIFIABLE),
          Cko.CKO_SECRET_KEY,
          List.of(
              CKA_ENCRYPT,
              CKA_DECRYPT,
              CKA_SIGN,
              CKA_VERIFY,
              CKA_WRAP,
              CKA_UNWRAP,
              CKA_DERIVE,
              CKA_SENSITIVE,
              CKA_ALWAYS_SENSITIVE,
              CKA_EXTRACTABLE,
              CKA_NEVER_EXTRACTABLE,
              CKA_TRUSTED,
              CKA_WRAP_WITH_TRUSTED,
              CKA_LOCAL,
              CKA_MODIFIABLE,
              CKA_IBM_USE_AS_DATA));

  /** A template as it came: each attribute once, each value of its type's length. */
  static Attributes parse(List<WireAttribute> template) {
    var attributes = new TreeMap<Long, byte[]>();
    for (var attribute : template) {
      byte[] value = attribute.value();
      if (attributes.containsKey(attribute.type())) {
        throw new Refusal(CKR_TEMPLATE_INCONSISTENT, name(attribute.type()) + " twice");
      }
      if (value == null) {
        throw new Refusal(CKR_ATTRIBUTE_TYPE_INVALID, name(attribute.type()) + " is not supported");
      }
      boolean rightLength =
          switch (Cka.armOf(attribute.type())) {
            case FLAG -> value.length == 1;
            case NUMBER -> value.length == 8;
            case BYTES, ANY -> true;
          };
      if (!rightLength) {
        throw new Refusal(
            CKR_ATTRIBUTE_VALUE_INVALID, name(attribute.type()) + " has no value of its type");
      }
      attributes.put(attribute.type(), value);
    }
    return Attributes.of(attributes);
  }

  /** What the template of a new key may say; components of a key only where it is imported. */
  static void requireOfKey(Attributes template, Set<Long> imported) {
    for (long type : template.types()) {
      if (COMPUTED.contains(type)) {
        throw new Refusal(CKR_ATTRIBUTE_READ_ONLY, name(type) + " is set by the HSM");
      }
      if (!RECORDED.contains(type)
          && !OF_KEYS.contains(type)
          && !DOMAIN.contains(type)
          && !imported.contains(type)) {
        throw new Refusal(
            SECRET.contains(type) ? CKR_TEMPLATE_INCONSISTENT : CKR_ATTRIBUTE_TYPE_INVALID,
            name(type) + " has no place in this template");
      }
    }
    if (template.isTrue(CKA_ALWAYS_AUTHENTICATE)) {
      throw new Refusal(
          CKR_ATTRIBUTE_VALUE_INVALID,
          "CKA_ALWAYS_AUTHENTICATE: a PIN is an API key here, and is asked for once");
    }
  }

  /**
   * Data and certificates, which no HSM sees. Of keys the gateway refuses CKA_TRUSTED itself.
   *
   * @param role the security officer alone may make a trust anchor (PKCS #11 v2.40, 4.6.3:
   *     CKA_TRUSTED "can only be set to CK_TRUE by the SO user")
   */
  static void requireOfOther(Attributes template, long objectClass, Role role) {
    var allowed = OTHERS.get(objectClass);
    if (allowed == null) {
      throw new Refusal(CKR_ATTRIBUTE_VALUE_INVALID, "objects of this CKA_CLASS are not made");
    }
    for (long type : template.types()) {
      if (!allowed.contains(type) && !RECORDED.contains(type)) {
        throw new Refusal(CKR_ATTRIBUTE_TYPE_INVALID, name(type));
      }
    }
    if (template.isTrue(CKA_TRUSTED) && role != Role.OFFICER) {
      throw new Refusal(
          CKR_ATTRIBUTE_READ_ONLY,
          "CKA_TRUSTED is set to true by the security officer alone; log in as such (CKU_SO), or leave"
              + " it out");
    }
    if (objectClass == CKO_CERTIFICATE && !template.has(CKA_CERTIFICATE_TYPE)) {
      throw new Refusal(CKR_TEMPLATE_INCOMPLETE, "CKA_CERTIFICATE_TYPE is missing");
    }
  }

  /** What of a template is for the gateway. */
  static Template forGateway(Attributes template) {
    var out = Template.empty();
    for (long type : template.types()) {
      if (!OF_KEYS.contains(type)) {
        continue;
      }
      byte[] value = template.get(type).orElseThrow();
      out =
          switch (Cka.armOf(type)) {
            case FLAG -> out.with(type, value[0] != 0);
            case NUMBER -> out.with(type, number(template, type));
            case BYTES, ANY -> out.with(type, value);
          };
    }
    if (template.has(CKA_PRIME) && template.has(CKA_BASE)) {
      out = out.with(CKA_IBM_STRUCT_PARAMS, SubjectPublicKey.structure(template));
    }
    return out;
  }

  /** EP11 knows Edwards and Montgomery keys by their curve only. */
  private static long number(Attributes template, long type) {
    long number = template.number(type).orElseThrow();
    if (number < 0) {
      throw new Refusal(CKR_ATTRIBUTE_VALUE_INVALID, name(type) + " is too large");
    }
    boolean curve = number == CKK_EC_EDWARDS || number == CKK_EC_MONTGOMERY;
    return type == CKA_KEY_TYPE && curve ? Ckk.CKK_EC : number;
  }

  /** What the agent keeps of a template, with the defaults of {@code pkcs11-client} 4 and 5. */
  static Attributes recorded(Attributes template, boolean normalUser) {
    var out = Attributes.empty();
    for (long type : template.types()) {
      if (RECORDED.contains(type)) {
        out = out.with(type, template.get(type).orElseThrow());
      }
    }
    return withDefaults(out, normalUser);
  }

  /** As it is, with what every object has. */
  public static Attributes withDefaults(Attributes attributes, boolean normalUser) {
    var out =
        attributes
            .orElse(CKA_TOKEN, false)
            .orElse(CKA_PRIVATE, normalUser)
            .orElse(CKA_COPYABLE, true)
            .orElse(CKA_DESTROYABLE, true)
            .orElse(CKA_MODIFIABLE, true);
    return out.has(CKA_LABEL) ? out : out.with(CKA_LABEL, new byte[0]);
  }

  /** What every key has beside its flags. */
  public static Attributes withKeyDefaults(Attributes attributes, long objectClass) {
    var out = attributes;
    for (long type : List.of(CKA_ID, CKA_START_DATE, CKA_END_DATE)) {
      out = out.has(type) ? out : out.with(type, new byte[0]);
    }
    if (objectClass != Cko.CKO_SECRET_KEY && !out.has(CKA_SUBJECT)) {
      out = out.with(CKA_SUBJECT, new byte[0]);
    }
    return objectClass == Cko.CKO_PRIVATE_KEY ? out.orElse(CKA_ALWAYS_AUTHENTICATE, false) : out;
  }

  static String name(long type) {
    return "attribute 0x" + Long.toHexString(type);
  }

  private ObjectTemplates() {}
}
