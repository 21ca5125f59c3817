package dev.grep11.gateway.operation;

import static dev.grep11.gateway.pkcs11.Cka.*;

import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.KeyPairHandles;
import dev.grep11.gateway.hsm.SecretBuffer;
import dev.grep11.gateway.key.KeySealer;
import dev.grep11.gateway.key.PublicKeyInfo;
import dev.grep11.gateway.operation.AttributeRules.Origin;
import dev.grep11.gateway.pkcs11.AttributeValue.Ulong;
import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.CryptoFunction;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismCatalog;
import dev.grep11.gateway.pkcs11.MechanismFamily;
import dev.grep11.gateway.pkcs11.MechanismRow;
import dev.grep11.gateway.pkcs11.NamedCurve;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.gateway.pkcs11.Template;
import java.math.BigInteger;
import java.util.Arrays;
import java.util.Set;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/** Secret keys, key pairs and domain parameters, made in the token. */
final class KeyGeneration {
  private static final BigInteger STANDARD_EXPONENT = BigInteger.valueOf(65537);
  private static final BigInteger LEAST_EXPONENT = BigInteger.valueOf(17);

  private final Hsm hsm;
  private final MechanismCatalog catalog;
  private final KeySealer sealer;
  private final NewKeys newKeys;
  private final AttributeRules rules;
  private final Policy policy;
  private final boolean softwareFallback;

  KeyGeneration(
      Hsm hsm,
      MechanismCatalog catalog,
      KeySealer sealer,
      NewKeys newKeys,
      AttributeRules rules,
      Policy policy,
      boolean softwareFallback) {
    this.hsm = hsm;
    this.catalog = catalog;
    this.sealer = sealer;
    this.newKeys = newKeys;
    this.rules = rules;
    this.policy = policy;
    this.softwareFallback = softwareFallback;
  }

  NewKey generateKey(Requester by, Mechanism mechanism, Template template) {
    var row = catalog.require(mechanism, CryptoFunction.GENERATE);
    Parameters.requireNone(mechanism);
    if (row.family() == MechanismFamily.DSA_PARAMETERS
        || row.family() == MechanismFamily.DH_PARAMETERS) {
      return domainParameters(row, template);
    }
    AttributeRules.requireKind(template, Cko.CKO_SECRET_KEY, row.keyTypes());
    long keyType = row.keyTypes().iterator().next();
    var attributes =
        rules.secret(template, keyType, Origin.GENERATED).put(CKA_KEY_GEN_MECHANISM, row.type());
    var passing = NewKeys.passingSecret(keyType);
    // The length of a DES key is its type's; samples state impossible ones, and tokens refuse any.
    if (!SecretKeys.isDes(keyType)) {
      long length =
          template
              .ulong(CKA_VALUE_LEN)
              .orElseThrow(() ->
                  new Pkcs11Exception(
                      Ckr.CKR_TEMPLATE_INCOMPLETE, "the template lacks CKA_VALUE_LEN"));
      SecretKeys.requireLength(keyType, length, policy);
      passing.put(CKA_VALUE_LEN, length);
    }
    long object = hsm.session().generateKey(Mechanism.of(row.token()), passing.build());
    return newKeys.secret(by.instance(), object, attributes, false);
  }

  NewKeyPair generateKeyPair(
      Requester by, Mechanism mechanism, Template publicTemplate, Template privateTemplate) {
    var row = catalog.require(mechanism, CryptoFunction.GENERATE_KEY_PAIR);
    Parameters.requireNone(mechanism);
    AttributeRules.requireKind(publicTemplate, Cko.CKO_PUBLIC_KEY, row.keyTypes());
    AttributeRules.requireKind(privateTemplate, Cko.CKO_PRIVATE_KEY, row.keyTypes());
    return switch (row.family()) {
      case RSA_KEY_PAIR -> rsa(by.instance(), row, publicTemplate, privateTemplate);
      case EC_KEY_PAIR -> ec(by.instance(), row, publicTemplate, privateTemplate);
      case DSA_KEY_PAIR -> dsa(by.instance(), row, publicTemplate, privateTemplate);
      case DH_KEY_PAIR -> dh(by.instance(), row, publicTemplate, privateTemplate);
      default -> throw new Pkcs11Exception(Ckr.CKR_MECHANISM_INVALID, row.name());
    };
  }

  private NewKeyPair rsa(
      UUID instance, MechanismRow row, Template publicTemplate, Template privateTemplate) {
    long bits =
        publicTemplate
            .ulong(CKA_MODULUS_BITS)
            .orElseThrow(() ->
                new Pkcs11Exception(
                    Ckr.CKR_TEMPLATE_INCOMPLETE, "the template lacks CKA_MODULUS_BITS"));
    if (bits < row.minKeySize() || bits > row.maxKeySize() || bits % 8 != 0) {
      throw new Pkcs11Exception(
          Ckr.CKR_KEY_SIZE_RANGE,
          "RSA moduli have %d to %d bits, whole bytes, not %s"
              .formatted(row.minKeySize(), row.maxKeySize(), Ulong.describe(bits)));
    }
    var exponent =
        publicTemplate
            .bytes(CKA_PUBLIC_EXPONENT)
            .map(bytes -> new BigInteger(1, bytes))
            .orElse(STANDARD_EXPONENT);
    if (exponent.compareTo(LEAST_EXPONENT) < 0
        || !exponent.testBit(0)
        || exponent.bitLength() > 32) {
      throw new Pkcs11Exception(
          Ckr.CKR_ATTRIBUTE_VALUE_INVALID, "CKA_PUBLIC_EXPONENT is odd, 17 or more, 32 bits");
    }
    // Attributes first: a contradiction must not cost a key pair.
    var publicAttributes = publicAttributes(row, publicTemplate, Ckk.CKK_RSA, null);
    var privateAttributes = privateAttributes(row, privateTemplate, Ckk.CKK_RSA, null);
    rules.requireSeparated(publicAttributes.build(), privateAttributes.build());
    AttributeRules.requireBoundTogether(publicAttributes.build(), privateAttributes.build());
    var pair =
        generate(
            row,
            passingPublic(Ckk.CKK_RSA)
                .put(CKA_MODULUS_BITS, bits)
                .put(CKA_PUBLIC_EXPONENT, PublicKeyInfo.unsigned(exponent))
                .build(),
            NewKeys.passing(Cko.CKO_PRIVATE_KEY, Ckk.CKK_RSA).build());
    return seal(
        instance,
        pair,
        () -> {
          var made = hsm.session().attributes(pair.publicKey(), CKA_MODULUS, CKA_PUBLIC_EXPONENT);
          return new PublicKeyInfo.Rsa(
              new BigInteger(1, made.bytes(CKA_MODULUS).orElseThrow()),
              new BigInteger(1, made.bytes(CKA_PUBLIC_EXPONENT).orElseThrow()));
        },
        publicAttributes,
        privateAttributes);
  }

  private NewKeyPair ec(
      UUID instance, MechanismRow row, Template publicTemplate, Template privateTemplate) {
    var curve =
        NamedCurve.ofParameters(
            publicTemplate
                .bytes(CKA_EC_PARAMS)
                .or(() -> privateTemplate.bytes(CKA_EC_PARAMS))
                .orElseThrow(() ->
                    new Pkcs11Exception(
                        Ckr.CKR_TEMPLATE_INCOMPLETE, "the template lacks CKA_EC_PARAMS")));
    boolean weierstrass = curve.form() == NamedCurve.Form.WEIERSTRASS;
    if (!weierstrass
        && !(softwareFallback && hsm.mechanisms().containsKey(Ckm.CKM_EC_EDWARDS_KEY_PAIR_GEN))) {
      throw new Pkcs11Exception(
          Ckr.CKR_CURVE_NOT_SUPPORTED,
          curve + " needs a token with Edwards keys, and softwareFallback to seal them");
    }
    if (weierstrass && row.type() == Ckm.CKM_EC_EDWARDS_KEY_PAIR_GEN) {
      throw new Pkcs11Exception(Ckr.CKR_CURVE_NOT_SUPPORTED, curve + " is no Edwards curve");
    }
    var publicAttributes = publicAttributes(row, publicTemplate, Ckk.CKK_EC, curve);
    var privateAttributes = privateAttributes(row, privateTemplate, Ckk.CKK_EC, curve);
    publicAttributes.put(CKA_EC_PARAMS, curve.parameters());
    privateAttributes.put(CKA_EC_PARAMS, curve.parameters());
    long nativeType = PublicKeyInfo.nativeKeyType(curve);
    var privatePassing = NewKeys.passing(Cko.CKO_PRIVATE_KEY, nativeType);
    if (!weierstrass) {
      // Security rule 2.8's one exception: SoftHSM gives the value of no sensitive key.
      privatePassing.put(CKA_SENSITIVE, false);
    }
    var pair =
        hsm.session()
            .generateKeyPair(
                Mechanism.of(
                    weierstrass ? Ckm.CKM_EC_KEY_PAIR_GEN : Ckm.CKM_EC_EDWARDS_KEY_PAIR_GEN),
                passingPublic(nativeType).put(CKA_EC_PARAMS, curve.parameters()).build(),
                privatePassing.build());
    return seal(
        instance,
        pair,
        () ->
            new PublicKeyInfo.Ec(
                curve,
                publicValue(
                    curve,
                    hsm.session()
                        .attributes(pair.publicKey(), CKA_EC_POINT)
                        .bytes(CKA_EC_POINT)
                        .orElseThrow())),
        publicAttributes,
        privateAttributes);
  }

  private NewKeyPair dsa(
      UUID instance, MechanismRow row, Template publicTemplate, Template privateTemplate) {
    var group = group(row, publicTemplate, privateTemplate, true);
    var q = group.q();
    if (q == null) {
      throw new IllegalStateException("DSA parameters without Q");
    }
    var publicAttributes = publicAttributes(row, publicTemplate, Ckk.CKK_DSA, null);
    var privateAttributes = privateAttributes(row, privateTemplate, Ckk.CKK_DSA, null);
    publicAttributes.put(CKA_IBM_STRUCT_PARAMS, group.encoded());
    privateAttributes.put(CKA_IBM_STRUCT_PARAMS, group.encoded());
    var pair =
        generate(
            row,
            passingPublic(Ckk.CKK_DSA)
                .put(CKA_PRIME, DomainParameters.unsigned(group.p()))
                .put(CKA_SUBPRIME, DomainParameters.unsigned(q))
                .put(CKA_BASE, DomainParameters.unsigned(group.g()))
                .build(),
            NewKeys.passing(Cko.CKO_PRIVATE_KEY, Ckk.CKK_DSA).build());
    return seal(
        instance,
        pair,
        () -> new PublicKeyInfo.Dsa(group.p(), q, group.g(), publicInteger(pair)),
        publicAttributes,
        privateAttributes);
  }

  private NewKeyPair dh(
      UUID instance, MechanismRow row, Template publicTemplate, Template privateTemplate) {
    var group = group(row, publicTemplate, privateTemplate, false);
    var publicAttributes = publicAttributes(row, publicTemplate, Ckk.CKK_DH, null);
    var privateAttributes = privateAttributes(row, privateTemplate, Ckk.CKK_DH, null);
    publicAttributes.put(CKA_IBM_STRUCT_PARAMS, group.encoded());
    privateAttributes.put(CKA_IBM_STRUCT_PARAMS, group.encoded());
    var privatePassing = NewKeys.passing(Cko.CKO_PRIVATE_KEY, Ckk.CKK_DH);
    long privateBits = privateTemplate.ulong(CKA_VALUE_BITS).orElse(0);
    if (privateBits != 0) {
      if (privateBits < 224 || privateBits > group.p().bitLength()) {
        throw new Pkcs11Exception(Ckr.CKR_KEY_SIZE_RANGE, "CKA_VALUE_BITS");
      }
      privatePassing.put(CKA_VALUE_BITS, privateBits);
    }
    var pair =
        generate(
            row,
            passingPublic(Ckk.CKK_DH)
                .put(CKA_PRIME, DomainParameters.unsigned(group.p()))
                .put(CKA_BASE, DomainParameters.unsigned(group.g()))
                .build(),
            privatePassing.build());
    return seal(
        instance,
        pair,
        () -> new PublicKeyInfo.Dh(group.p(), group.g(), publicInteger(pair)),
        publicAttributes,
        privateAttributes);
  }

  private NewKey domainParameters(MechanismRow row, Template template) {
    AttributeRules.requireKind(template, Cko.CKO_DOMAIN_PARAMETERS, row.keyTypes());
    boolean dsa = row.family() == MechanismFamily.DSA_PARAMETERS;
    long bits =
        template
            .ulong(CKA_PRIME_BITS)
            .orElseThrow(() ->
                new Pkcs11Exception(
                    Ckr.CKR_TEMPLATE_INCOMPLETE, "the template lacks CKA_PRIME_BITS"));
    if (bits < row.minKeySize() || bits > row.maxKeySize() || bits % 256 != 0) {
      throw new Pkcs11Exception(
          Ckr.CKR_KEY_SIZE_RANGE,
          "primes have %d to %d bits, a multiple of 256, not %s"
              .formatted(row.minKeySize(), row.maxKeySize(), Ulong.describe(bits)));
    }
    var session = hsm.session();
    long object =
        session.generateKey(
            Mechanism.of(row.token()),
            Template.builder()
                .put(CKA_CLASS, Cko.CKO_DOMAIN_PARAMETERS)
                .put(CKA_KEY_TYPE, dsa ? Ckk.CKK_DSA : Ckk.CKK_DH)
                .put(CKA_TOKEN, false)
                .put(CKA_PRIME_BITS, bits)
                .build());
    try {
      var made =
          dsa
              ? session.attributes(object, CKA_PRIME, CKA_SUBPRIME, CKA_BASE)
              : session.attributes(object, CKA_PRIME, CKA_BASE);
      var group =
          new DomainParameters(
              new BigInteger(1, made.bytes(CKA_PRIME).orElseThrow()),
              made.bytes(CKA_SUBPRIME).map(bytes -> new BigInteger(1, bytes)).orElse(null),
              new BigInteger(1, made.bytes(CKA_BASE).orElseThrow()));
      return new NewKey(
          group.encoded(),
          new byte[0],
          Template.builder()
              .put(CKA_CLASS, Cko.CKO_DOMAIN_PARAMETERS)
              .put(CKA_KEY_TYPE, dsa ? Ckk.CKK_DSA : Ckk.CKK_DH)
              .put(CKA_PRIME_BITS, bits)
              .put(CKA_LOCAL, true)
              .put(CKA_IBM_STRUCT_PARAMS, group.encoded())
              .build());
    } finally {
      session.destroyObject(object);
    }
  }

  private static DomainParameters group(
      MechanismRow row, Template publicTemplate, Template privateTemplate, boolean dsa) {
    var der =
        publicTemplate
            .bytes(CKA_IBM_STRUCT_PARAMS)
            .or(() -> privateTemplate.bytes(CKA_IBM_STRUCT_PARAMS))
            .orElseThrow(() ->
                new Pkcs11Exception(
                    Ckr.CKR_TEMPLATE_INCOMPLETE, "the template lacks CKA_IBM_STRUCT_PARAMS"));
    return DomainParameters.parse(der, dsa, row.minKeySize(), row.maxKeySize());
  }

  private interface PublicHalf {
    PublicKeyInfo read();
  }

  private KeyPairHandles generate(
      MechanismRow row, Template publicPassing, Template privatePassing) {
    return hsm.session().generateKeyPair(Mechanism.of(row.token()), publicPassing, privatePassing);
  }

  /** Reads, seals and destroys a fresh pair. */
  private NewKeyPair seal(
      UUID instance,
      KeyPairHandles pair,
      PublicHalf publicHalf,
      Template.Builder publicAttributes,
      Template.Builder privateAttributes) {
    var session = hsm.session();
    try {
      var info = publicHalf.read();
      PrivateKeys.describe(privateAttributes, info);
      PrivateKeys.describe(publicAttributes, info);
      var privateComplete = privateAttributes.build();
      var publicComplete = publicAttributes.build();
      byte[] privateBlob;
      if (info instanceof PublicKeyInfo.Ec ec && ec.curve().form() != NamedCurve.Form.WEIERSTRASS) {
        try (SecretBuffer value = session.secretAttribute(pair.privateKey(), CKA_VALUE)) {
          privateBlob = sealer.sealValue(instance, value, privateComplete);
        }
      } else {
        privateBlob = sealer.seal(instance, pair.privateKey(), privateComplete);
      }
      return new NewKeyPair(
          new NewKey(privateBlob, new byte[0], privateComplete),
          new NewKey(
              sealer.sealPublic(instance, info, publicComplete), new byte[0], publicComplete));
    } finally {
      session.destroyObject(pair.privateKey());
      session.destroyObject(pair.publicKey());
    }
  }

  private Template.Builder publicAttributes(
      MechanismRow row, Template template, long keyType, @Nullable NamedCurve curve) {
    return rules
        .publicKey(template, keyType, curve, Origin.GENERATED)
        .put(CKA_KEY_GEN_MECHANISM, row.type());
  }

  private Template.Builder privateAttributes(
      MechanismRow row, Template template, long keyType, @Nullable NamedCurve curve) {
    return rules
        .privateKey(template, keyType, curve, Origin.GENERATED)
        .put(CKA_KEY_GEN_MECHANISM, row.type());
  }

  private static Template.Builder passingPublic(long keyType) {
    return Template.builder()
        .put(CKA_CLASS, Cko.CKO_PUBLIC_KEY)
        .put(CKA_KEY_TYPE, keyType)
        .put(CKA_TOKEN, false)
        .put(CKA_PRIVATE, false);
  }

  private BigInteger publicInteger(KeyPairHandles pair) {
    return new BigInteger(
        1, hsm.session().attributes(pair.publicKey(), CKA_VALUE).bytes(CKA_VALUE).orElseThrow());
  }

  /**
   * CKA_EC_POINT is a DER OCTET STRING of the encoded point; some tokens leave the wrapping out.
   */
  static byte[] publicValue(NamedCurve curve, byte[] point) {
    int header = point.length - curve.publicLength();
    return header == 0 ? point : Arrays.copyOfRange(point, header, point.length);
  }

  /** The CKK numbers of private keys, by which an unwrap template is told from a secret key's. */
  static final Set<Long> PRIVATE_KEY_TYPES =
      Set.of(Ckk.CKK_RSA, Ckk.CKK_EC, Ckk.CKK_DSA, Ckk.CKK_DH);
}
