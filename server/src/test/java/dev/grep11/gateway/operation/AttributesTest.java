package dev.grep11.gateway.operation;

import static dev.grep11.gateway.operation.Client.assertRefused;
import static dev.grep11.gateway.operation.Client.flags;
import static dev.grep11.gateway.pkcs11.Cka.*;
import static dev.grep11.gateway.pkcs11.Ckm.*;
import static dev.grep11.gateway.pkcs11.Ckr.*;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.NamedCurve;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.softhsm.SoftHsmExtension;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.stream.Stream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.bouncycastle.asn1.ASN1Integer;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.ASN1Sequence;
import org.bouncycastle.asn1.DERNull;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.crypto.agreement.DHStandardGroups;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Semantics sections 2 to 6: what attributes a key has, and who may change which. */
class AttributesTest {
  @RegisterExtension static final SoftHsmExtension HSM = new SoftHsmExtension();

  private static final byte[] MESSAGE = "attributes".getBytes(UTF_8);

  /** Booleans of EP11's attribute word, semantics section 3. */
  private static final Map<Long, Integer> WORD =
      Map.ofEntries(
          Map.entry(CKA_EXTRACTABLE, 0x1),
          Map.entry(CKA_NEVER_EXTRACTABLE, 0x2),
          Map.entry(CKA_MODIFIABLE, 0x4),
          Map.entry(CKA_IBM_NEVER_MODIFIABLE, 0x8),
          Map.entry(CKA_IBM_RESTRICTABLE, 0x10),
          Map.entry(CKA_LOCAL, 0x20),
          Map.entry(CKA_IBM_ATTRBOUND, 0x40),
          Map.entry(CKA_IBM_USE_AS_DATA, 0x80),
          Map.entry(CKA_SIGN, 0x100),
          Map.entry(CKA_SIGN_RECOVER, 0x200),
          Map.entry(CKA_DECRYPT, 0x400),
          Map.entry(CKA_ENCRYPT, 0x800),
          Map.entry(CKA_DERIVE, 0x1000),
          Map.entry(CKA_UNWRAP, 0x2000),
          Map.entry(CKA_WRAP, 0x4000),
          Map.entry(CKA_VERIFY, 0x8000),
          Map.entry(CKA_VERIFY_RECOVER, 0x10000),
          Map.entry(CKA_TRUSTED, 0x20000),
          Map.entry(CKA_WRAP_WITH_TRUSTED, 0x40000));

  private static Core core;
  private static Client client;
  private static Client strict;

  @BeforeAll
  static void open() {
    core = Core.on(HSM.token());
    client = new Client(core.operations(Policy.COMPATIBLE, true), Core.A);
    strict = new Client(core.operations(Policy.STRICT, true), Core.A);
  }

  @AfterAll
  static void close() {
    core.close();
  }

  private static int word(NewKey key) {
    int word = 0;
    for (var flag : WORD.entrySet()) {
      if (key.attributes().isTrue(flag.getKey())) {
        word |= flag.getValue();
      }
    }
    return word;
  }

  /**
   * @param word without the PROTKEY bits, which belong to IBM's hardware
   */
  record Evidence(String what, Function<Client, NewKey> key, int word) {
    @Override
    public String toString() {
      return what;
    }
  }

  private static Template narrowedAes() {
    return flags(CKA_ENCRYPT, CKA_DECRYPT).toBuilder()
        .put(CKA_EXTRACTABLE, false)
        .put(CKA_WRAP, false)
        .put(CKA_UNWRAP, false)
        .build();
  }

  static Stream<Evidence> evidence() {
    return Stream.of(
        new Evidence(
            "AES {ENCRYPT, DECRYPT, EXTRACTABLE}",
            c -> c.aes(32, flags(CKA_ENCRYPT, CKA_DECRYPT, CKA_EXTRACTABLE)),
            0x8d25),
        new Evidence(
            "AES {ENCRYPT, DECRYPT, not EXTRACTABLE, not WRAP, not UNWRAP}",
            c -> c.aes(16, narrowedAes()),
            0x8d26),
        new Evidence(
            "EC private {SIGN}",
            c -> c.ec(NamedCurve.P_256, Template.empty(), flags(CKA_SIGN)).privateKey(),
            0x126),
        new Evidence(
            "EC private {SIGN, EXTRACTABLE}",
            c ->
                c.ec(NamedCurve.P_256, Template.empty(), flags(CKA_SIGN, CKA_EXTRACTABLE))
                    .privateKey(),
            0x125),
        new Evidence(
            "EC private {SIGN, DERIVE}",
            c -> c.ec(NamedCurve.P_256, Template.empty(), flags(CKA_SIGN, CKA_DERIVE)).privateKey(),
            0x1126),
        new Evidence(
            "unwrapped AES {ENCRYPT, DECRYPT}, MODIFIABLE as on newer firmware",
            c -> c.importSecret(Ckk.CKK_AES, new byte[32], flags(CKA_ENCRYPT, CKA_DECRYPT)),
            0x0c04),
        new Evidence(
            "unwrapped AES {ENCRYPT, DECRYPT, EXTRACTABLE}",
            c ->
                c.importSecret(
                    Ckk.CKK_AES, new byte[32], flags(CKA_ENCRYPT, CKA_DECRYPT, CKA_EXTRACTABLE)),
            0x0c05),
        new Evidence(
            "unwrapped EC private {SIGN}",
            c -> c.importPrivate(Ckk.CKK_EC, exportedEc(), flags(CKA_SIGN)),
            0x104));
  }

  private static byte[] exportedEc() {
    return client.export(
        client.ec(NamedCurve.P_256, Template.empty(), flags(CKA_EXTRACTABLE)).privateKey().blob());
  }

  @ParameterizedTest
  @MethodSource("evidence")
  void keysHaveTheAttributeWordThatRealBlobsShow(Evidence row) {
    assertThat(Integer.toHexString(word(row.key().apply(client))))
        .isEqualTo(Integer.toHexString(row.word()));
  }

  /**
   * Section 6, table of defaults: what is true when the template is silent.
   *
   * @param yes all of the word's flags that are true; every other one is false
   */
  record Default(String what, Function<Client, NewKey> key, Set<Long> yes) {
    @Override
    public String toString() {
      return what;
    }
  }

  static Stream<Default> defaults() {
    var made = Set.of(CKA_LOCAL, CKA_MODIFIABLE, CKA_NEVER_EXTRACTABLE);
    var cipher = Set.of(CKA_ENCRYPT, CKA_DECRYPT);
    var mac = Set.of(CKA_SIGN, CKA_VERIFY);
    return Stream.of(
        new Default("generated AES", c -> c.aes(16, Template.empty()), all(made, cipher, mac)),
        new Default(
            "generated DES3",
            c -> c.generate(CKM_DES3_KEY_GEN, Template.empty()),
            all(made, cipher, mac)),
        new Default("generated generic", c -> c.generic(16, Template.empty()), all(made, mac)),
        new Default(
            "generated RSA private",
            c -> c.rsa(1024, Template.empty(), Template.empty()).privateKey(),
            all(made, Set.of(CKA_DECRYPT, CKA_SIGN))),
        new Default(
            "generated RSA public",
            c -> c.rsa(1024, Template.empty(), Template.empty()).publicKey(),
            Set.of(CKA_LOCAL, CKA_MODIFIABLE, CKA_ENCRYPT, CKA_VERIFY)),
        new Default(
            "generated EC private",
            c -> c.ec(NamedCurve.P_256, Template.empty(), Template.empty()).privateKey(),
            all(made, Set.of(CKA_SIGN))),
        new Default(
            "generated EC public",
            c -> c.ec(NamedCurve.P_256, Template.empty(), Template.empty()).publicKey(),
            Set.of(CKA_LOCAL, CKA_MODIFIABLE, CKA_VERIFY)),
        new Default(
            "generated X25519 private",
            c -> c.ec(NamedCurve.X25519, Template.empty(), Template.empty()).privateKey(),
            made),
        new Default(
            "generated X25519 public",
            c -> c.ec(NamedCurve.X25519, Template.empty(), Template.empty()).publicKey(),
            Set.of(CKA_LOCAL, CKA_MODIFIABLE)),
        new Default(
            "derived AES",
            c -> derived(c, Client.aesTemplate(16)),
            all(cipher, Set.of(CKA_MODIFIABLE, CKA_NEVER_EXTRACTABLE))),
        new Default(
            "unwrapped AES",
            c -> c.importSecret(Ckk.CKK_AES, new byte[16], Template.empty()),
            Set.of(CKA_MODIFIABLE)),
        new Default(
            "unwrapped generic",
            c -> c.importSecret(Ckk.CKK_GENERIC_SECRET, new byte[20], Template.empty()),
            Set.of(CKA_MODIFIABLE)),
        new Default(
            "unwrapped EC private",
            c -> c.importPrivate(Ckk.CKK_EC, exportedEc(), Template.empty()),
            Set.of(CKA_MODIFIABLE)),
        new Default(
            "imported RSA public",
            c ->
                c.importPublic(
                    Client.spki(client.rsa(1024, Template.empty(), Template.empty())),
                    Template.empty()),
            Set.of(CKA_MODIFIABLE)));
  }

  @SafeVarargs
  private static Set<Long> all(Set<Long>... sets) {
    var all = new TreeSet<Long>();
    for (var set : sets) {
      all.addAll(set);
    }
    return all;
  }

  private static NewKey derived(Client by, Template template) {
    var own = by.ec(NamedCurve.P_256, Template.empty(), flags(CKA_DERIVE));
    var peer = by.ec(NamedCurve.P_256, Client.without(CKA_EXTRACTABLE), flags(CKA_DERIVE));
    return by.derive(
        Mechanism.of(CKM_ECDH1_DERIVE, Client.spki(peer)), own.privateKey().blob(), template);
  }

  @ParameterizedTest
  @MethodSource("defaults")
  void aSilentTemplateGetsTheDefaults(Default row) {
    var key = row.key().apply(client);
    var yes = new TreeSet<String>();
    for (long flag : WORD.keySet()) {
      if (key.attributes().isTrue(flag)) {
        yes.add(Cka.name(flag));
      }
    }
    assertThat(yes).containsExactlyInAnyOrderElementsOf(row.yes().stream().map(Cka::name).toList());
    // And the blob says the same as the answer.
    assertThat(
            client.operations.attributes(client.by, key.blob(), key.attributes().values().keySet()))
        .isEqualTo(key.attributes());
  }

  @ParameterizedTest
  @EnumSource(Policy.class)
  void aTemplateThatSaysFalseWins(Policy policy) {
    var by = policy == Policy.STRICT ? strict : client;
    for (long flag : new long[] {CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY}) {
      assertThat(by.aes(32, Client.without(flag)).attributes().isTrue(flag)).isFalse();
    }
    var pair = by.rsa(2048, Client.without(CKA_VERIFY), Client.without(CKA_SIGN));
    assertThat(pair.privateKey().attributes().isTrue(CKA_SIGN)).isFalse();
    assertThat(pair.publicKey().attributes().isTrue(CKA_VERIFY)).isFalse();
  }

  @Test
  void oddTemplatesOfThePublishedExamplesAreAccepted() {
    client.generate(CKM_DES3_KEY_GEN, Template.builder().put(CKA_VALUE_LEN, 32).build());
    client.generate(CKM_DES2_KEY_GEN, Template.builder().put(CKA_VALUE_LEN, 5).build());
    client.aes(16, flags(CKA_TOKEN, CKA_PRIVATE, CKA_SENSITIVE));
    client.aes(
        16,
        Template.builder()
            .put(CKA_CLASS, Cko.CKO_SECRET_KEY)
            .put(CKA_KEY_TYPE, Ckk.CKK_AES)
            .put(CKA_LABEL, MESSAGE)
            .put(CKA_ID, MESSAGE)
            .build());
    client.ec(
        NamedCurve.P_256,
        Template.builder()
            .put(CKA_EXTRACTABLE, false)
            .put(CKA_CLASS, Cko.CKO_PUBLIC_KEY)
            .put(CKA_KEY_TYPE, Ckk.CKK_EC)
            .build(),
        flags(CKA_PRIVATE, CKA_SENSITIVE, CKA_SIGN));
    client.generatePair(
        CKM_EC_KEY_PAIR_GEN,
        Template.builder().put(CKA_EC_PARAMS, "p-256".getBytes(UTF_8)).build(),
        Template.empty());
    client.rsa(
        1024,
        Template.builder().put(CKA_PUBLIC_EXPONENT, new byte[] {0, 17}).build(),
        Template.empty());
    var generic =
        derived(
            client,
            Template.builder()
                .put(CKA_KEY_TYPE, Ckk.CKK_GENERIC_SECRET)
                .put(CKA_VALUE_LEN, 0)
                .build());
    assertThat(generic.attributes().ulong(CKA_VALUE_LEN)).hasValue(32);
    // A value is never readable, whatever the template says of SENSITIVE.
    var key = client.aes(16, Client.without(CKA_SENSITIVE));
    assertThat(key.attributes().isTrue(CKA_SENSITIVE)).isTrue();
    assertRefused(
        CKR_ATTRIBUTE_SENSITIVE,
        () -> client.operations.attributes(client.by, key.blob(), Set.of(CKA_VALUE)));
  }

  @Test
  void contradictionsAreRefused() {
    ThrowingCallable[] inconsistent = {
      () -> client.aes(16, Template.builder().put(CKA_CLASS, Cko.CKO_PRIVATE_KEY).build()),
      () -> client.aes(16, Template.builder().put(CKA_KEY_TYPE, Ckk.CKK_DES3).build()),
      () ->
          client.rsa(
              1024,
              Template.builder().put(CKA_CLASS, Cko.CKO_PRIVATE_KEY).build(),
              Template.empty()),
      () ->
          client.ec(
              NamedCurve.P_256,
              Template.empty(),
              Template.builder().put(CKA_KEY_TYPE, Ckk.CKK_RSA).build()),
      () -> client.importSecret(Ckk.CKK_RSA, new byte[16], Template.empty()),
      () ->
          client.importSecret(
              Ckk.CKK_AES, new byte[16], Template.builder().put(CKA_VALUE_LEN, 32).build()),
      () ->
          client.importPublic(
              Client.spki(client.ec(NamedCurve.P_256, Template.empty(), Template.empty())),
              Template.builder().put(CKA_KEY_TYPE, Ckk.CKK_RSA).build()),
    };
    for (var call : inconsistent) {
      assertRefused(CKR_TEMPLATE_INCONSISTENT, call);
    }
    assertRefused(
        CKR_TEMPLATE_INCOMPLETE, () -> client.generate(CKM_AES_KEY_GEN, Template.empty()));
    for (int length : new int[] {0, 1, 15, 17, 33, 1 << 20}) {
      assertRefused(CKR_KEY_SIZE_RANGE, () -> client.aes(length, Template.empty()));
    }
    for (long computed : new long[] {CKA_LOCAL, CKA_NEVER_EXTRACTABLE, CKA_ALWAYS_SENSITIVE}) {
      assertRefused(CKR_ATTRIBUTE_READ_ONLY, () -> client.aes(16, flags(computed)));
    }
    assertRefused(
        CKR_ATTRIBUTE_TYPE_INVALID,
        () -> client.aes(16, Template.builder().put(0x12345678L, MESSAGE).build()));
  }

  @ParameterizedTest
  @EnumSource(Policy.class)
  void nobodyMakesAKeyTrusted(Policy policy) {
    var by = policy == Policy.STRICT ? strict : client;
    var trusted = flags(CKA_TRUSTED);
    var spki = Client.spki(client.rsa(1024, Template.empty(), Template.empty()));
    ThrowingCallable[] calls = {
      () -> by.aes(32, trusted),
      () -> by.rsa(2048, trusted, Template.empty()),
      () -> by.rsa(2048, Template.empty(), trusted),
      () -> by.importPublic(spki, trusted),
      () -> derived(by, Client.aesTemplate(16, CKA_TRUSTED)),
      () -> client.importSecret(Ckk.CKK_AES, new byte[16], trusted),
      () -> by.operations.setAttributes(by.by, by.aes(32, Template.empty()).blob(), trusted),
      () ->
          by.operations.setAttributes(
              by.by, by.rsa(2048, Template.empty(), Template.empty()).publicKey().blob(), trusted)
    };
    for (var call : calls) {
      assertRefused(CKR_ATTRIBUTE_READ_ONLY, call);
    }
  }

  @Test
  void aKeyThatWantsATrustedWrappingKeyGetsNoOther() {
    var key = client.aes(32, flags(CKA_EXTRACTABLE, CKA_WRAP_WITH_TRUSTED)).blob();
    var kek = client.aes(32, flags(CKA_WRAP)).blob();
    for (long mechanism : new long[] {CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_PAD}) {
      assertRefused(CKR_KEY_NOT_WRAPPABLE, () -> client.wrap(Mechanism.of(mechanism), key, kek));
    }
    assertRefused(CKR_KEY_NOT_WRAPPABLE, () -> client.export(key));
    assertRefused(
        CKR_ATTRIBUTE_READ_ONLY,
        () ->
            client.operations.setAttributes(client.by, key, Client.without(CKA_WRAP_WITH_TRUSTED)));
  }

  @Test
  void attributeBoundKeysAreWrappedByNoOrdinaryMechanism() {
    var bound = client.aes(32, flags(CKA_EXTRACTABLE, CKA_IBM_ATTRBOUND, CKA_WRAP, CKA_UNWRAP));
    var plain = client.aes(32, flags(CKA_EXTRACTABLE, CKA_WRAP));
    var kwp = Mechanism.of(CKM_AES_KEY_WRAP_PAD);
    assertRefused(CKR_KEY_NOT_WRAPPABLE, () -> client.wrap(kwp, bound.blob(), plain.blob()));
    assertRefused(
        CKR_WRAPPING_KEY_TYPE_INCONSISTENT, () -> client.wrap(kwp, plain.blob(), bound.blob()));
    assertRefused(
        CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT,
        () -> client.unwrap(kwp, new byte[40], bound.blob(), Client.aesTemplate(32)));
    assertRefused(
        CKR_ATTRIBUTE_READ_ONLY,
        () ->
            client.operations.setAttributes(
                client.by, bound.blob(), Client.without(CKA_IBM_ATTRBOUND)));
    // The MAC key of the samples: no SIGN in its template, and so none in the key.
    var mac = client.generic(32, flags(CKA_IBM_ATTRBOUND));
    assertThat(mac.attributes().isTrue(CKA_SIGN)).isFalse();
    assertRefused(
        CKR_KEY_FUNCTION_NOT_PERMITTED,
        () -> client.sign(Mechanism.of(CKM_SHA256_HMAC), mac.blob(), MESSAGE));
  }

  @Test
  void underPolicyStrictNoKeyWrapsAndDecrypts() {
    assertRefused(CKR_TEMPLATE_INCONSISTENT, () -> strict.aes(32, flags(CKA_WRAP, CKA_DECRYPT)));
    assertRefused(
        CKR_TEMPLATE_INCONSISTENT, () -> strict.rsa(2048, flags(CKA_WRAP), flags(CKA_DECRYPT)));
    // One that wraps gets no data rights by default, so that a plain KEK template works.
    var kek = strict.aes(32, flags(CKA_WRAP, CKA_UNWRAP));
    assertThat(kek.attributes().isTrue(CKA_DECRYPT)).isFalse();
    assertThat(kek.attributes().isTrue(CKA_ENCRYPT)).isFalse();
    // Nor may a key become what it could not be made.
    var data = strict.aes(32, Template.empty());
    assertRefused(
        CKR_ATTRIBUTE_READ_ONLY,
        () -> strict.operations.setAttributes(strict.by, data.blob(), flags(CKA_WRAP)));
    assertRefused(CKR_KEY_SIZE_RANGE, () -> strict.generic(13, Template.empty()));
    strict.generic(14, Template.empty());
  }

  @Test
  void underPolicyStrictImportedKeysDoNotWrapAndSmallOnesNeither() {
    var pair = client.rsa(1024, flags(CKA_WRAP), flags(CKA_UNWRAP));
    var key = client.aes(32, flags(CKA_EXTRACTABLE)).blob();
    var oaep =
        new Mechanism(
            CKM_RSA_PKCS_OAEP,
            new dev.grep11.gateway.pkcs11.MechanismParameters.RsaOaep(CKM_SHA_1, 1, new byte[0]));
    var wrapped = client.wrap(oaep, key, pair.publicKey().blob());
    assertRefused(
        CKR_WRAPPING_KEY_SIZE_RANGE, () -> strict.wrap(oaep, key, pair.publicKey().blob()));
    assertRefused(
        CKR_UNWRAPPING_KEY_SIZE_RANGE,
        () -> strict.unwrap(oaep, wrapped, pair.privateKey().blob(), Client.aesTemplate(32)));
    assertRefused(
        CKR_TEMPLATE_INCONSISTENT, () -> strict.importPublic(Client.spki(pair), flags(CKA_WRAP)));
    strict.importPublic(Client.spki(pair), flags(CKA_VERIFY, CKA_ENCRYPT));
  }

  @Test
  void attributesChangeWithinTheRulesOnly() {
    var key = client.aes(32, Template.empty());
    ThrowingCallable[] readOnly = {
      () -> set(key, flags(CKA_EXTRACTABLE)),
      () -> set(key, flags(CKA_LOCAL)),
      () -> set(key, Client.without(CKA_NEVER_EXTRACTABLE)),
      () -> set(key, Client.without(CKA_ALWAYS_SENSITIVE)),
      () -> set(key, Client.without(CKA_SENSITIVE)),
      () -> set(key, flags(CKA_IBM_ATTRBOUND)),
      () -> set(key, flags(CKA_IBM_USE_AS_DATA)),
      () -> set(key, Template.builder().put(CKA_VALUE_LEN, 16).build()),
      () -> set(key, Template.builder().put(CKA_LABEL, MESSAGE).build()),
      () -> set(key, Template.builder().put(CKA_KEY_TYPE, Ckk.CKK_GENERIC_SECRET).build()),
      () -> set(key, Template.builder().put(CKA_CLASS, Cko.CKO_PUBLIC_KEY).build()),
      // All or nothing: one that may, one that may not.
      () -> set(key, Template.builder().put(CKA_ENCRYPT, false).put(CKA_LOCAL, false).build()),
    };
    for (var call : readOnly) {
      assertRefused(CKR_ATTRIBUTE_READ_ONLY, call);
    }
    assertRefused(CKR_ARGUMENTS_BAD, () -> set(key, Template.empty()));
    var frozen =
        client.operations.setAttributes(client.by, key.blob(), Client.without(CKA_MODIFIABLE));
    assertRefused(
        CKR_ATTRIBUTE_READ_ONLY,
        () -> client.operations.setAttributes(client.by, frozen, Client.without(CKA_ENCRYPT)));
    assertRefused(
        CKR_ATTRIBUTE_READ_ONLY,
        () -> client.operations.setAttributes(client.by, frozen, flags(CKA_MODIFIABLE)));
    // Compatible lets a usage come back, as EP11 does; strict, or a restrictable key, does not.
    var mute = client.operations.setAttributes(client.by, key.blob(), Client.without(CKA_ENCRYPT));
    client.operations.setAttributes(client.by, mute, flags(CKA_ENCRYPT));
    assertRefused(
        CKR_ATTRIBUTE_READ_ONLY,
        () -> strict.operations.setAttributes(strict.by, mute, flags(CKA_ENCRYPT)));
    var narrow =
        client.aes(32, flags(CKA_IBM_RESTRICTABLE).toBuilder().put(CKA_ENCRYPT, false).build());
    assertRefused(CKR_ATTRIBUTE_READ_ONLY, () -> set(narrow, flags(CKA_ENCRYPT)));
  }

  private static void set(NewKey key, Template changes) {
    var _ = client.operations.setAttributes(client.by, key.blob(), changes);
  }

  @Test
  void aKeyMadeNonExtractableStaysSo() {
    var key = client.aes(32, flags(CKA_EXTRACTABLE));
    var narrowed =
        client.operations.setAttributes(client.by, key.blob(), Client.without(CKA_EXTRACTABLE));
    assertRefused(CKR_KEY_UNEXTRACTABLE, () -> client.export(narrowed));
    assertRefused(
        CKR_ATTRIBUTE_READ_ONLY,
        () -> client.operations.setAttributes(client.by, narrowed, flags(CKA_EXTRACTABLE)));
    assertThat(
            client
                .operations
                .attributes(client.by, narrowed, Set.of(CKA_NEVER_EXTRACTABLE))
                .isTrue(CKA_NEVER_EXTRACTABLE))
        .isFalse();
  }

  @Test
  void attributesAreGivenAllOrNone() {
    var key = client.aes(32, Template.empty()).blob();
    var pair = client.rsa(1024, Template.empty(), Template.empty());
    assertRefused(CKR_ARGUMENTS_BAD, () -> client.operations.attributes(client.by, key, Set.of()));
    assertRefused(
        CKR_ATTRIBUTE_TYPE_INVALID,
        () -> client.operations.attributes(client.by, key, Set.of(CKA_CLASS, CKA_MODULUS)));
    for (long secret :
        new long[] {CKA_PRIVATE_EXPONENT, CKA_PRIME_1, CKA_PRIME_2, CKA_COEFFICIENT, CKA_VALUE}) {
      assertRefused(
          CKR_ATTRIBUTE_SENSITIVE,
          () ->
              client.operations.attributes(
                  client.by, pair.privateKey().blob(), Set.of(CKA_CLASS, secret)));
    }
  }

  // Section 5: checksums

  @Test
  void checksumsHaveTheirShapes() {
    assertThat(client.aes(32, Template.empty()).checkSum()).hasSize(3);
    assertThat(client.generic(20, Template.empty()).checkSum()).hasSize(3);
    assertThat(derived(client, Client.aesTemplate(16)).checkSum()).hasSize(3);
    // One zero block under the key.
    var key = client.importSecret(Ckk.CKK_AES, new byte[16], flags(CKA_ENCRYPT));
    assertThat(key.checkSum()).containsExactly(0x66, 0xe9, 0x4b, 0, 0, 0, 0x80);
    var ec = client.importPrivate(Ckk.CKK_EC, exportedEc(), flags(CKA_SIGN));
    assertThat(ec.checkSum()).startsWith(Client.spki(ec)).endsWith(0, 0, 1, 0);
    var edwards =
        client.export(
            client
                .ec(NamedCurve.ED25519, Template.empty(), flags(CKA_EXTRACTABLE))
                .privateKey()
                .blob());
    assertThat(client.importPrivate(Ckk.CKK_EC, edwards, flags(CKA_SIGN)).checkSum())
        .endsWith(0, 0, 0, 255);
    var rsa = client.rsa(1024, Template.empty(), Template.empty());
    var imported = client.importPublic(Client.spki(rsa), flags(CKA_VERIFY));
    assertThat(imported.checkSum())
        .startsWith(imported.blob())
        .endsWith(0, 0, 4, 0)
        .hasSize(imported.blob().length + 4);
  }

  // Section 4: public keys as a strict parser sees them

  @ParameterizedTest
  @EnumSource(NamedCurve.class)
  void everyCurveIsAnEcKeyWithTheCurveAsParameter(NamedCurve curve) {
    var pair = client.ec(curve, Template.empty(), Template.empty());
    var info = leading(pair.publicKey().blob());
    assertThat(info.getAlgorithm().getAlgorithm().getId()).isEqualTo("1.2.840.10045.2.1");
    assertThat(info.getAlgorithm().getParameters())
        .isEqualTo(new ASN1ObjectIdentifier(curve.oid()));
    assertThat(info.getPublicKeyData().getOctets()).hasSize(curve.publicLength());
  }

  @Test
  void rsaDsaAndDhHaveTheirShapes() {
    var rsa = leading(client.rsa(1024, Template.empty(), Template.empty()).publicKey().blob());
    assertThat(rsa.getAlgorithm().getAlgorithm().getId()).isEqualTo("1.2.840.113549.1.1.1");
    assertThat(rsa.getAlgorithm().getParameters()).isEqualTo(DERNull.INSTANCE);
    var group = DHStandardGroups.rfc2409_1024;
    var dh =
        leading(
            client
                .inGroup(
                    CKM_DH_PKCS_KEY_PAIR_GEN,
                    Client.group(group.getP(), group.getG()),
                    Template.empty(),
                    Template.empty())
                .publicKey()
                .blob());
    assertThat(dh.getAlgorithm().getAlgorithm().getId()).isEqualTo("1.2.840.113549.1.3.1");
    var integers = ASN1Sequence.getInstance(dh.getAlgorithm().getParameters());
    assertThat(integers.toArray())
        .isEqualTo(new Object[] {new ASN1Integer(group.getP()), new ASN1Integer(group.getG())});
    assertThat(ASN1Integer.getInstance(dh.getPublicKeyData().getOctets()).getValue().signum())
        .isOne();
  }

  private static SubjectPublicKeyInfo leading(byte[] blob) {
    try (var in = new org.bouncycastle.asn1.ASN1InputStream(blob)) {
      return SubjectPublicKeyInfo.getInstance(in.readObject());
    } catch (java.io.IOException e) {
      throw new IllegalStateException(e);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"00", "06", "0603", "060355040a", "30820100", "502d3235370a"})
  void unknownCurvesAndExplicitParametersAreNotSupported(String parameters) {
    assertRefused(
        CKR_CURVE_NOT_SUPPORTED,
        () ->
            client.generatePair(
                CKM_EC_KEY_PAIR_GEN,
                Template.builder()
                    .put(CKA_EC_PARAMS, java.util.HexFormat.of().parseHex(parameters))
                    .build(),
                Template.empty()));
  }
}
