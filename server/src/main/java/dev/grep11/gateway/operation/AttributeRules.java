package dev.grep11.gateway.operation;

import static dev.grep11.gateway.pkcs11.Cka.*;

import dev.grep11.gateway.pkcs11.AttributeValue;
import dev.grep11.gateway.pkcs11.AttributeValue.Bool;
import dev.grep11.gateway.pkcs11.AttributeValue.Ulong;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.NamedCurve;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.gateway.pkcs11.Template;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * From a client's template to the attributes of a new key: what may be said, what is defaulted,
 * what contradicts. Semantics section 6. A template that names a usage flag wins, {@code false}
 * included.
 */
final class AttributeRules {

  /** How a key came to be, which decides its defaults. */
  enum Origin {
    GENERATED,
    DERIVED,
    UNWRAPPED
  }

  private static final List<Long> USAGES =
      List.of(CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_WRAP, CKA_UNWRAP, CKA_DERIVE);

  /** Flags that every key carries, false unless something says otherwise. */
  private static final List<Long> FLAGS =
      List.of(
          CKA_SIGN_RECOVER,
          CKA_VERIFY_RECOVER,
          CKA_TRUSTED,
          CKA_WRAP_WITH_TRUSTED,
          CKA_IBM_ATTRBOUND,
          CKA_IBM_USE_AS_DATA,
          CKA_IBM_RESTRICTABLE,
          CKA_IBM_NEVER_MODIFIABLE);

  private static final List<Long> NOT_OF_MAC_KEYS =
      List.of(CKA_SIGN, CKA_VERIFY, CKA_DERIVE, CKA_IBM_USE_AS_DATA);

  /** Accepted, echoed, without effect here: they matter to keystores. */
  private static final Set<Long> DESCRIPTIVE =
      Set.of(
          CKA_TOKEN,
          CKA_PRIVATE,
          CKA_LABEL,
          CKA_ID,
          CKA_SUBJECT,
          CKA_APPLICATION,
          CKA_START_DATE,
          CKA_END_DATE,
          CKA_COPYABLE,
          CKA_DESTROYABLE);

  /** What only the gateway says of a key. */
  private static final Set<Long> COMPUTED =
      Set.of(
          CKA_LOCAL,
          CKA_NEVER_EXTRACTABLE,
          CKA_ALWAYS_SENSITIVE,
          CKA_KEY_GEN_MECHANISM,
          CKA_CHECK_VALUE,
          CKA_IBM_STD_COMPLIANCE1);

  /** Part of making the key, taken up by the one who makes it. */
  private static final Set<Long> CONSTRUCTIVE =
      Set.of(
          CKA_CLASS,
          CKA_KEY_TYPE,
          CKA_SENSITIVE,
          CKA_EXTRACTABLE,
          CKA_MODIFIABLE,
          CKA_VALUE_LEN,
          CKA_VALUE_BITS,
          CKA_MODULUS_BITS,
          CKA_PUBLIC_EXPONENT,
          CKA_EC_PARAMS,
          CKA_PRIME_BITS,
          CKA_SUBPRIME_BITS,
          CKA_IBM_STRUCT_PARAMS,
          CKA_ALWAYS_AUTHENTICATE,
          CKA_IBM_PROTKEY_EXTRACTABLE,
          CKA_IBM_PROTKEY_NEVER_EXTRACTABLE);

  /** Public components in the attributes of a private key. */
  private static final Set<Long> PUBLIC_HALF =
      Set.of(CKA_PUBLIC_KEY_INFO, CKA_MODULUS, CKA_EC_POINT);

  private static final AttributeValue NO = new Bool(false);

  private final Policy policy;

  AttributeRules(Policy policy) {
    this.policy = policy;
  }

  /** Refuses what no template of a new key may say. */
  void requireAcceptable(Template template) {
    for (var entry : template.values().entrySet()) {
      long type = entry.getKey();
      if (COMPUTED.contains(type)) {
        throw new Pkcs11Exception(Ckr.CKR_ATTRIBUTE_READ_ONLY, Cka.name(type));
      }
      if (!USAGES.contains(type)
          && !FLAGS.contains(type)
          && !DESCRIPTIVE.contains(type)
          && !CONSTRUCTIVE.contains(type)) {
        throw new Pkcs11Exception(Ckr.CKR_ATTRIBUTE_TYPE_INVALID, Cka.name(type));
      }
    }
    if (template.isTrue(CKA_TRUSTED)) {
      // TRUSTED alone gives no assurance unless setting it is controlled, and nobody controls it
      // yet.
      throw new Pkcs11Exception(Ckr.CKR_ATTRIBUTE_READ_ONLY, "CKA_TRUSTED cannot be set");
    }
  }

  /** Refuses a template that says another class or key type than the call makes. */
  static void requireKind(Template template, long objectClass, Set<Long> keyTypes) {
    var givenClass = template.ulong(CKA_CLASS);
    if (givenClass.isPresent() && givenClass.getAsLong() != objectClass) {
      throw new Pkcs11Exception(
          Ckr.CKR_TEMPLATE_INCONSISTENT,
          "CKA_CLASS is not the mechanism's: " + Ulong.describe(givenClass.getAsLong()));
    }
    var givenType = template.ulong(CKA_KEY_TYPE);
    if (givenType.isPresent() && !keyTypes.contains(givenType.getAsLong())) {
      throw new Pkcs11Exception(
          Ckr.CKR_TEMPLATE_INCONSISTENT,
          "CKA_KEY_TYPE is not the mechanism's: " + Ulong.describe(givenType.getAsLong()));
    }
  }

  /** Attributes of a new secret key, its length aside. */
  Template.Builder secret(Template template, long keyType, Origin origin) {
    requireAcceptable(template);
    var out = common(template, Cko.CKO_SECRET_KEY, keyType, origin);
    boolean cipher = keyType == Ckk.CKK_AES || SecretKeys.isDes(keyType);
    boolean named = origin == Origin.UNWRAPPED;
    // A KEK that the template makes one is no data key under policy strict.
    boolean kek =
        policy == Policy.STRICT && (template.isTrue(CKA_WRAP) || template.isTrue(CKA_UNWRAP));
    boolean data = cipher && !named && !kek;
    boolean signs = origin == Origin.GENERATED && !template.isTrue(CKA_IBM_ATTRBOUND);
    usage(out, template, CKA_ENCRYPT, data);
    usage(out, template, CKA_DECRYPT, data);
    usage(out, template, CKA_SIGN, signs);
    usage(out, template, CKA_VERIFY, signs);
    usage(out, template, CKA_WRAP, false);
    usage(out, template, CKA_UNWRAP, false);
    usage(out, template, CKA_DERIVE, false);
    return check(out);
  }

  /** Attributes of a new private key, its components aside. */
  Template.Builder privateKey(
      Template template, long keyType, @Nullable NamedCurve curve, Origin origin) {
    requireAcceptable(template);
    var out = common(template, Cko.CKO_PRIVATE_KEY, keyType, origin);
    boolean generated = origin == Origin.GENERATED;
    usage(out, template, CKA_DECRYPT, generated && keyType == Ckk.CKK_RSA);
    usage(out, template, CKA_SIGN, generated && signs(keyType, curve));
    usage(out, template, CKA_UNWRAP, false);
    usage(out, template, CKA_DERIVE, false);
    for (long type : List.of(CKA_ENCRYPT, CKA_VERIFY, CKA_WRAP)) {
      out.put(type, false);
    }
    return check(out);
  }

  /** Attributes of a new public key, its components aside. */
  Template.Builder publicKey(
      Template template, long keyType, @Nullable NamedCurve curve, Origin origin) {
    requireAcceptable(template);
    var out =
        descriptive(template)
            .put(CKA_CLASS, Cko.CKO_PUBLIC_KEY)
            .put(CKA_KEY_TYPE, keyType)
            .put(CKA_LOCAL, origin == Origin.GENERATED)
            .put(CKA_MODIFIABLE, template.bool(CKA_MODIFIABLE).orElse(true));
    flags(out, template, origin);
    boolean generated = origin == Origin.GENERATED;
    usage(out, template, CKA_ENCRYPT, generated && keyType == Ckk.CKK_RSA);
    usage(out, template, CKA_VERIFY, generated && signs(keyType, curve));
    usage(out, template, CKA_WRAP, false);
    usage(out, template, CKA_DERIVE, false);
    return out;
  }

  /**
   * What of a key's attributes travels in an attribute-bound payload: all but what its holder says
   * of it.
   */
  static Template bound(Template attributes) {
    var out = attributes.toBuilder();
    COMPUTED.forEach(out::remove);
    return out.build();
  }

  /**
   * Whether a key authenticates attribute-bound payloads, and does nothing else: whatever more it
   * gave, be it a hash of its value, could help its holder to write attributes himself (security
   * rule 2.9).
   */
  static boolean isMacKey(Template attributes) {
    return attributes.isTrue(CKA_IBM_ATTRBOUND)
        && attributes.ulong(CKA_KEY_TYPE).orElseThrow() == Ckk.CKK_GENERIC_SECRET
        && NOT_OF_MAC_KEYS.stream().noneMatch(attributes::isTrue);
  }

  /**
   * The attributes of a key that came with them. The template may repeat them and add what has no
   * effect; it may not contradict.
   *
   * @param payload attributes under a MAC that was right
   */
  Template.Builder unbound(Template payload, Template template) {
    requireAcceptable(template);
    var said = payload.toBuilder();
    PUBLIC_HALF.forEach(said::remove);
    requireAcceptable(said.build());
    if (!payload.isTrue(CKA_IBM_ATTRBOUND)) {
      throw new Pkcs11Exception(Ckr.CKR_WRAPPED_KEY_INVALID, "the payload is not attribute-bound");
    }
    var out = payload.toBuilder();
    template
        .values()
        .forEach((type, value) -> {
          if (!payload.has(type) && DESCRIPTIVE.contains(type)) {
            out.put(type, value);
          } else if (!isSilent(type, value) && !payload.get(type).orElse(NO).equals(value)) {
            throw new Pkcs11Exception(
                Ckr.CKR_TEMPLATE_INCONSISTENT, Cka.name(type) + " is not that of the wrapped key");
          }
        });
    return check(
        out.put(CKA_SENSITIVE, true)
            .put(CKA_LOCAL, false)
            .put(CKA_ALWAYS_SENSITIVE, false)
            .put(CKA_NEVER_EXTRACTABLE, false));
  }

  /** What samples send without meaning it. */
  private static boolean isSilent(long type, AttributeValue value) {
    return type == CKA_SENSITIVE || (type == CKA_VALUE_LEN && value.equals(new Ulong(0)));
  }

  /** Both halves of a pair or none: a bound half would vouch for one that is not. */
  static void requireBoundTogether(Template publicAttributes, Template privateAttributes) {
    if (publicAttributes.isTrue(CKA_IBM_ATTRBOUND) != privateAttributes.isTrue(CKA_IBM_ATTRBOUND)) {
      throw new Pkcs11Exception(
          Ckr.CKR_TEMPLATE_INCONSISTENT, "CKA_IBM_ATTRBOUND is for both halves of a pair");
    }
  }

  /** Under policy strict an imported key wraps only if it is trusted. */
  void requireImportable(Template publicAttributes) {
    check(publicAttributes.toBuilder());
  }

  /**
   * Under policy strict a pair whose public half wraps has no private half that decrypts, nor one
   * that could come back as such.
   */
  void requireSeparated(Template publicAttributes, Template privateAttributes) {
    if (policy == Policy.STRICT && publicAttributes.isTrue(CKA_WRAP)) {
      if (privateAttributes.isTrue(CKA_DECRYPT)) {
        throw wrapAndDecrypt();
      }
      if (privateAttributes.isTrue(CKA_EXTRACTABLE)) {
        throw extractableKek();
      }
    }
  }

  /**
   * The attributes of a key after SetAttributeValue: booleans only, and never towards more than the
   * key's maker allowed where PKCS #11 or EP11 forbid it.
   */
  Template changed(Template attributes, Template changes) {
    if (changes.size() == 0) {
      throw new Pkcs11Exception(Ckr.CKR_ARGUMENTS_BAD, "no attribute to set");
    }
    if (!attributes.isTrue(CKA_MODIFIABLE) || attributes.isTrue(CKA_IBM_NEVER_MODIFIABLE)) {
      throw new Pkcs11Exception(Ckr.CKR_ATTRIBUTE_READ_ONLY, "the key is not modifiable");
    }
    var out = attributes.toBuilder();
    for (var entry : changes.values().entrySet()) {
      long type = entry.getKey();
      var before = attributes.bool(type);
      if (before.isEmpty()
          || !(entry.getValue() instanceof Bool(boolean to))
          || COMPUTED.contains(type)
          || type == CKA_IBM_ATTRBOUND
          || type == CKA_SENSITIVE) {
        throw new Pkcs11Exception(Ckr.CKR_ATTRIBUTE_READ_ONLY, Cka.name(type));
      }
      if (before.get() == to) {
        continue;
      }
      // What restricts is not taken back, or it would restrict nobody.
      boolean raisesOnly =
          type == CKA_WRAP_WITH_TRUSTED
              || type == CKA_IBM_NEVER_MODIFIABLE
              || type == CKA_IBM_RESTRICTABLE;
      boolean lowersOnly =
          type == CKA_EXTRACTABLE
              || type == CKA_MODIFIABLE
              || type == CKA_TRUSTED
              || type == CKA_IBM_USE_AS_DATA
              || ((policy == Policy.STRICT || attributes.isTrue(CKA_IBM_RESTRICTABLE))
                  && !raisesOnly);
      if ((raisesOnly && !to) || (lowersOnly && to)) {
        throw new Pkcs11Exception(
            Ckr.CKR_ATTRIBUTE_READ_ONLY,
            Cka.name(type) + " cannot become " + to + (policy == Policy.STRICT ? " here" : ""));
      }
      out.put(type, to);
    }
    return check(out).build();
  }

  private Template.Builder common(
      Template template, long objectClass, long keyType, Origin origin) {
    boolean extractable = template.isTrue(CKA_EXTRACTABLE);
    boolean generated = origin == Origin.GENERATED;
    var out =
        descriptive(template)
            .put(CKA_CLASS, objectClass)
            .put(CKA_KEY_TYPE, keyType)
            .put(CKA_EXTRACTABLE, extractable)
            .put(CKA_NEVER_EXTRACTABLE, generated && !extractable)
            // A value can never be read, whatever the template says.
            .put(CKA_SENSITIVE, true)
            .put(CKA_ALWAYS_SENSITIVE, generated)
            .put(CKA_LOCAL, generated)
            .put(CKA_MODIFIABLE, template.bool(CKA_MODIFIABLE).orElse(true));
    flags(out, template, origin);
    return out;
  }

  private static Template.Builder descriptive(Template template) {
    var out = Template.builder();
    template
        .values()
        .forEach((type, value) -> {
          if (DESCRIPTIVE.contains(type)) {
            out.put(type, value);
          }
        });
    return out;
  }

  /**
   * A key whose value a client may know is not made attribute-bound: as wrapping key it would open,
   * as MAC key forge, what the bound keys of others rely on.
   */
  private static void flags(Template.Builder out, Template template, Origin origin) {
    if (template.isTrue(CKA_IBM_ATTRBOUND) && origin != Origin.GENERATED) {
      throw new Pkcs11Exception(
          Ckr.CKR_TEMPLATE_INCONSISTENT,
          "CKA_IBM_ATTRBOUND is set when a key is generated, or comes with an attribute-bound key");
    }
    for (long flag : FLAGS) {
      out.put(flag, template.isTrue(flag));
    }
  }

  private static void usage(Template.Builder out, Template template, long type, boolean standard) {
    out.put(type, template.bool(type).orElse(standard));
  }

  private Template.Builder check(Template.Builder attributes) {
    var built = attributes.build();
    if (policy == Policy.STRICT) {
      if (built.isTrue(CKA_WRAP) && built.isTrue(CKA_DECRYPT)) {
        throw wrapAndDecrypt();
      }
      // Wrapped under another and unwrapped again, it would come back with DECRYPT.
      if (built.isTrue(CKA_EXTRACTABLE) && (built.isTrue(CKA_WRAP) || built.isTrue(CKA_UNWRAP))) {
        throw extractableKek();
      }
      if (!built.isTrue(CKA_LOCAL)
          && !built.isTrue(CKA_TRUSTED)
          && (built.isTrue(CKA_WRAP) || built.isTrue(CKA_UNWRAP))) {
        throw new Pkcs11Exception(
            Ckr.CKR_TEMPLATE_INCONSISTENT,
            "under policy strict only a trusted or locally generated key wraps or unwraps");
      }
    }
    if (built.isTrue(CKA_IBM_ATTRBOUND)
        && built.ulong(CKA_KEY_TYPE).orElseThrow() == Ckk.CKK_GENERIC_SECRET
        && !isMacKey(built)) {
      throw new Pkcs11Exception(
          Ckr.CKR_TEMPLATE_INCONSISTENT,
          "a key for attribute-bound MACs neither signs nor verifies, derives or is data");
    }
    return attributes;
  }

  private static boolean signs(long keyType, @Nullable NamedCurve curve) {
    return keyType == Ckk.CKK_RSA
        || keyType == Ckk.CKK_DSA
        || (curve != null && curve.form() != NamedCurve.Form.MONTGOMERY);
  }

  private static Pkcs11Exception extractableKek() {
    return new Pkcs11Exception(
        Ckr.CKR_TEMPLATE_INCONSISTENT,
        "under policy strict no key that wraps or unwraps is extractable");
  }

  private static Pkcs11Exception wrapAndDecrypt() {
    return new Pkcs11Exception(
        Ckr.CKR_TEMPLATE_INCONSISTENT,
        "under policy strict no key both wraps and decrypts: it could open what it wrapped");
  }
}
