package dev.grep11.gateway.operation;

import static dev.grep11.gateway.operation.Client.assertRefused;
import static dev.grep11.gateway.operation.Client.flags;
import static dev.grep11.gateway.operation.Client.flipped;
import static dev.grep11.gateway.operation.Client.without;
import static dev.grep11.gateway.pkcs11.Cka.*;
import static dev.grep11.gateway.pkcs11.Ckm.*;
import static dev.grep11.gateway.pkcs11.Ckr.*;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.gateway.key.AttributeBoundKey;
import dev.grep11.gateway.key.KeySealer.OpenedKey;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.CryptoFunction;
import dev.grep11.gateway.pkcs11.Hash;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.NamedCurve;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.softhsm.SoftHsmExtension;
import java.security.GeneralSecurityException;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Stream;
import javax.crypto.KDF;
import javax.crypto.Mac;
import javax.crypto.spec.HKDFParameterSpec;
import javax.crypto.spec.SecretKeySpec;
import org.bouncycastle.crypto.agreement.DHStandardGroups;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Keys that travel with their attributes: semantics sections 6 and 9, security rule 2.9. */
class AttributeBoundTest {
  @RegisterExtension static final SoftHsmExtension HSM = new SoftHsmExtension();

  /** What the gateway says of a key itself, wherever the key came from. */
  private static final Set<Long> OWN =
      Set.of(
          CKA_LOCAL,
          CKA_ALWAYS_SENSITIVE,
          CKA_NEVER_EXTRACTABLE,
          CKA_KEY_GEN_MECHANISM,
          CKA_CHECK_VALUE);

  private static Core core;
  private static Client client;
  private static NewKey macKey;
  private static NewKeyPair rsa;
  private static NewKey aes;

  @BeforeAll
  static void open() {
    core = Core.on(HSM.token());
    client = new Client(core.operations(Policy.COMPATIBLE, true), Core.A);
    macKey = client.generic(32, flags(CKA_IBM_ATTRBOUND));
    rsa =
        client.rsa(2048, flags(CKA_WRAP, CKA_IBM_ATTRBOUND), flags(CKA_UNWRAP, CKA_IBM_ATTRBOUND));
    aes = client.aes(32, flags(CKA_WRAP, CKA_UNWRAP, CKA_IBM_ATTRBOUND));
  }

  @AfterAll
  static void close() {
    core.close();
  }

  private static NewKey boundAes(long... more) {
    return client.aes(
        32, with(flags(CKA_ENCRYPT, CKA_DECRYPT, CKA_EXTRACTABLE, CKA_IBM_ATTRBOUND), more));
  }

  private static Template with(Template template, long... flags) {
    var out = template.toBuilder();
    for (long flag : flags) {
      out.put(flag, true);
    }
    return out.build();
  }

  private static byte[] wrapped(NewKey key) {
    return client.wrapBound(key.blob(), aes.blob(), macKey.blob());
  }

  private static NewKey unwrapped(byte[] wrapped, Template template) {
    return client.unwrapBound(wrapped, aes.blob(), macKey.blob(), template);
  }

  private static Template kind(NewKey key) {
    return Template.builder()
        .put(CKA_KEY_TYPE, key.attributes().ulong(CKA_KEY_TYPE).orElseThrow())
        .build();
  }

  /** The value of a key that no mechanism gives out. */
  static byte[] value(Core core, byte[] blob) {
    try (var value =
        new KeyValues(core.hsm, core.sealer, true)
            .open((OpenedKey) core.sealer.open(Core.A, blob))) {
      var bytes = new byte[value.size()];
      value.readOnly().get(bytes);
      return bytes;
    }
  }

  // There and back

  record KeyRow(String name, Supplier<NewKey> key) {
    @Override
    public String toString() {
      return name;
    }
  }

  static Stream<KeyRow> keys() {
    var bound = flags(CKA_EXTRACTABLE, CKA_IBM_ATTRBOUND);
    var labelled = bound.toBuilder().put(CKA_LABEL, "payroll".getBytes(UTF_8)).build();
    var group = DHStandardGroups.rfc2409_1024;
    return Stream.of(
        new KeyRow("AES-128", () -> client.aes(16, with(labelled, CKA_WRAP, CKA_UNWRAP))),
        new KeyRow("AES-256", () -> boundAes(CKA_IBM_NEVER_MODIFIABLE, CKA_IBM_USE_AS_DATA)),
        new KeyRow("AES-192", () -> client.aes(24, bound)),
        new KeyRow("DES2", () -> client.generate(CKM_DES2_KEY_GEN, bound)),
        new KeyRow("DES3", () -> client.generate(CKM_DES3_KEY_GEN, with(bound, CKA_SIGN))),
        new KeyRow("RSA", () -> client.rsa(1024, flags(CKA_IBM_ATTRBOUND), bound).privateKey()),
        new KeyRow(
            "P-256", () -> client.ec(NamedCurve.P_256, Template.empty(), bound).privateKey()),
        new KeyRow(
            "Ed25519", () -> client.ec(NamedCurve.ED25519, Template.empty(), bound).privateKey()),
        new KeyRow(
            "X448",
            () ->
                client.ec(NamedCurve.X448, Template.empty(), with(bound, CKA_DERIVE)).privateKey()),
        new KeyRow(
            "DH",
            () ->
                client
                    .inGroup(
                        CKM_DH_PKCS_KEY_PAIR_GEN,
                        Client.group(group.getP(), group.getG()),
                        Template.empty(),
                        with(bound, CKA_DERIVE))
                    .privateKey()));
  }

  @ParameterizedTest
  @MethodSource("keys")
  void aKeyComesBackAsItWasWithTheAttributesItHad(KeyRow row) {
    var key = row.key().get();
    for (boolean byRsa : new boolean[] {true, false}) {
      var wrapped =
          client.wrapBound(key.blob(), (byRsa ? rsa.publicKey() : aes).blob(), macKey.blob());
      var back =
          client.unwrapBound(
              wrapped, (byRsa ? rsa.privateKey() : aes).blob(), macKey.blob(), kind(key));
      assertThat(value(core, back.blob())).isEqualTo(value(core, key.blob()));
      assertThat(said(back)).isEqualTo(said(key));
      for (long type : new long[] {CKA_LOCAL, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE}) {
        assertThat(back.attributes().bool(type)).contains(false);
      }
      assertThat(back.attributes().has(CKA_KEY_GEN_MECHANISM)).isFalse();
    }
  }

  private static Map<Long, Object> said(NewKey key) {
    var said = new java.util.TreeMap<Long, Object>(key.attributes().values());
    said.keySet().removeAll(OWN);
    return said;
  }

  @Test
  void aPrivateKeyComesBackUsableAndWithItsPublicHalf() {
    var pair =
        client.ec(
            NamedCurve.P_384,
            Template.empty(),
            flags(CKA_SIGN, CKA_EXTRACTABLE, CKA_IBM_ATTRBOUND));
    var back = unwrapped(wrapped(pair.privateKey()), kind(pair.privateKey()));
    var mechanism = Mechanism.of(CKM_ECDSA_SHA256);
    var message = "message".getBytes(UTF_8);
    client.verify(
        mechanism, pair.publicKey().blob(), message, client.sign(mechanism, back.blob(), message));
    assertThat(back.checkSum()).startsWith(Client.spki(pair)).endsWith(0, 0, 1, (byte) 0x80);
  }

  @Test
  void wrapsAsThePublishedGoExampleDoes() {
    var mac =
        client.generic(
            32,
            Template.builder()
                .put(CKA_KEY_TYPE, Ckk.CKK_GENERIC_SECRET)
                .put(CKA_CLASS, Cko.CKO_SECRET_KEY)
                .put(CKA_IBM_ATTRBOUND, true)
                .build());
    var pair =
        client.rsa(
            2048,
            flags(CKA_ENCRYPT, CKA_WRAP, CKA_IBM_ATTRBOUND),
            flags(CKA_PRIVATE, CKA_SENSITIVE, CKA_DECRYPT, CKA_UNWRAP, CKA_IBM_ATTRBOUND));
    var key = boundAes();
    var back =
        client.unwrapBound(
            client.wrapBound(key.blob(), pair.publicKey().blob(), mac.blob()),
            pair.privateKey().blob(),
            mac.blob(),
            Client.aesTemplate(32, CKA_ENCRYPT, CKA_DECRYPT).toBuilder()
                .put(CKA_CLASS, Cko.CKO_SECRET_KEY)
                .build());
    assertThat(back.checkSum()).startsWith(key.checkSum()).endsWith(0, 0, 1, 0).hasSize(7);
    assertThat(back.attributes().isTrue(CKA_IBM_ATTRBOUND)).isTrue();
    assertThat(back.attributes().isTrue(CKA_EXTRACTABLE)).isTrue();
  }

  @Test
  void wrapsAsThePublishedJavaScriptExampleDoes() {
    var mac = client.generic(16, flags(CKA_EXTRACTABLE, CKA_IBM_ATTRBOUND));
    var key = boundAes();
    var back =
        client.unwrapBound(
            client.wrapBound(key.blob(), rsa.publicKey().blob(), mac.blob()),
            rsa.privateKey().blob(),
            mac.blob(),
            Client.aesTemplate(32, CKA_ENCRYPT, CKA_DECRYPT, CKA_EXTRACTABLE, CKA_IBM_ATTRBOUND));
    assertThat(back.checkSum()).startsWith(key.checkSum());
  }

  @Test
  void theSameKeyNeverLooksTheSame() {
    var key = boundAes();
    assertThat(wrapped(key)).isNotEqualTo(wrapped(key));
  }

  // What is refused

  @Test
  void everyChangedByteIsRefused() {
    var wrapped = wrapped(boundAes());
    for (int i = 0; i < wrapped.length; i++) {
      var changed = flipped(wrapped, 8 * i + i % 8);
      assertRefused(CKR_WRAPPED_KEY_INVALID, () -> unwrapped(changed, Client.aesTemplate(32)));
    }
    for (int length : new int[] {0, 1, 8, wrapped.length - 32, wrapped.length - 1}) {
      assertRefused(
          CKR_WRAPPED_KEY_INVALID,
          () -> unwrapped(Arrays.copyOf(wrapped, length), Client.aesTemplate(32)));
    }
    assertRefused(
        CKR_WRAPPED_KEY_INVALID,
        () -> unwrapped(Arrays.copyOf(wrapped, wrapped.length + 1), Client.aesTemplate(32)));
    assertRefused(
        CKR_WRAPPED_KEY_INVALID, () -> unwrapped(new byte[16_385], Client.aesTemplate(32)));
  }

  @Test
  void anotherMacKeyOrWrappingKeyOpensNothing() {
    var wrapped = wrapped(boundAes());
    var otherMac = client.generic(32, flags(CKA_IBM_ATTRBOUND));
    var otherAes = client.aes(32, flags(CKA_WRAP, CKA_UNWRAP, CKA_IBM_ATTRBOUND));
    var template = Client.aesTemplate(32);
    assertRefused(
        CKR_WRAPPED_KEY_INVALID,
        () -> client.unwrapBound(wrapped, aes.blob(), otherMac.blob(), template));
    assertRefused(
        CKR_WRAPPED_KEY_INVALID,
        () -> client.unwrapBound(wrapped, otherAes.blob(), macKey.blob(), template));
    assertRefused(
        CKR_WRAPPED_KEY_INVALID,
        () -> client.unwrapBound(wrapped, rsa.privateKey().blob(), macKey.blob(), template));
    var byRsa = client.wrapBound(boundAes().blob(), rsa.publicKey().blob(), macKey.blob());
    var otherRsa =
        client.rsa(2048, flags(CKA_WRAP, CKA_IBM_ATTRBOUND), flags(CKA_UNWRAP, CKA_IBM_ATTRBOUND));
    assertRefused(
        CKR_WRAPPED_KEY_INVALID,
        () -> client.unwrapBound(byRsa, otherRsa.privateKey().blob(), macKey.blob(), template));
  }

  @Test
  void theTemplateMayRepeatAndMayNotContradict() {
    var key = boundAes(CKA_WRAP);
    var wrapped = wrapped(key);
    var aes32 = Client.aesTemplate(32);
    for (long flag :
        new long[] {
          CKA_DECRYPT,
          CKA_SIGN,
          CKA_WRAP,
          CKA_UNWRAP,
          CKA_DERIVE,
          CKA_EXTRACTABLE,
          CKA_MODIFIABLE,
          CKA_WRAP_WITH_TRUSTED,
          CKA_IBM_ATTRBOUND,
          CKA_IBM_USE_AS_DATA,
          CKA_IBM_RESTRICTABLE,
          CKA_IBM_NEVER_MODIFIABLE
        }) {
      boolean had = key.attributes().isTrue(flag);
      assertThat(
              unwrapped(wrapped, aes32.toBuilder().put(flag, had).build())
                  .attributes()
                  .isTrue(flag))
          .isEqualTo(had);
      assertRefused(
          CKR_TEMPLATE_INCONSISTENT,
          () -> unwrapped(wrapped, aes32.toBuilder().put(flag, !had).build()));
    }
    for (var wrong :
        List.of(
            Client.aesTemplate(16),
            kind(client.generic(32, Template.empty())),
            aes32.toBuilder().put(CKA_CLASS, Cko.CKO_PRIVATE_KEY).build())) {
      assertRefused(CKR_TEMPLATE_INCONSISTENT, () -> unwrapped(wrapped, wrong));
    }
    assertRefused(CKR_TEMPLATE_INCOMPLETE, () -> unwrapped(wrapped, Template.empty()));
    // What has no effect here may be added, but not changed.
    var label = aes32.toBuilder().put(CKA_LABEL, "new".getBytes(UTF_8)).build();
    assertThat(unwrapped(wrapped, label).attributes().bytes(CKA_LABEL)).isPresent();
    var labelled = wrapped(unwrapped(wrapped, label));
    assertRefused(
        CKR_TEMPLATE_INCONSISTENT,
        () ->
            unwrapped(labelled, aes32.toBuilder().put(CKA_LABEL, "other".getBytes(UTF_8)).build()));
  }

  @Test
  void allThreeKeysAreBoundOrNothingIsWrapped() {
    var key = boundAes();
    var freeKey = client.aes(32, flags(CKA_EXTRACTABLE));
    var freeKek = client.aes(32, flags(CKA_WRAP, CKA_UNWRAP));
    var freePair = client.rsa(2048, flags(CKA_WRAP), flags(CKA_UNWRAP));
    var freeMac = client.generic(32, Template.empty());
    assertRefused(CKR_KEY_NOT_WRAPPABLE, () -> wrapped(freeKey));
    for (var kek : List.of(freeKek, freePair.publicKey())) {
      assertRefused(
          CKR_WRAPPING_KEY_TYPE_INCONSISTENT,
          () -> client.wrapBound(key.blob(), kek.blob(), macKey.blob()));
    }
    assertRefused(
        CKR_KEY_TYPE_INCONSISTENT, () -> client.wrapBound(key.blob(), aes.blob(), freeMac.blob()));
    var wrapped = wrapped(key);
    var template = Client.aesTemplate(32);
    for (var kek : List.of(freeKek, freePair.privateKey())) {
      assertRefused(
          CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT,
          () -> client.unwrapBound(wrapped, kek.blob(), macKey.blob(), template));
    }
    assertRefused(
        CKR_KEY_TYPE_INCONSISTENT,
        () -> client.unwrapBound(wrapped, aes.blob(), freeMac.blob(), template));
  }

  @Test
  void aMacKeyIsABoundGenericSecretThatDoesNotSign() {
    var key = boundAes();
    for (var noMacKey : List.of(aes, boundAes(), rsa.publicKey(), rsa.privateKey())) {
      assertRefused(
          CKR_KEY_TYPE_INCONSISTENT,
          () -> client.wrapBound(key.blob(), aes.blob(), noMacKey.blob()));
    }
    assertRefused(
        CKR_KEY_HANDLE_INVALID, () -> client.wrapBound(key.blob(), aes.blob(), new byte[0]));
    assertRefused(
        CKR_KEY_HANDLE_INVALID,
        () -> client.unwrapBound(wrapped(key), aes.blob(), new byte[0], Client.aesTemplate(32)));
  }

  static Stream<Arguments> usagesThatNoMacKeyHas() {
    return Stream.of(CKA_SIGN, CKA_VERIFY, CKA_DERIVE, CKA_IBM_USE_AS_DATA)
        .flatMap(
            flag -> Stream.of(64, 65).map(length -> Arguments.of(Cka.name(flag), flag, length)));
  }

  /** HMAC takes the hash of a key longer than a block, 64 bytes here, for the key. */
  @ParameterizedTest(name = "{0}, {2} bytes")
  @MethodSource("usagesThatNoMacKeyHas")
  void aMacKeyDoesNothingElse(String name, long flag, int length) {
    var mac = client.generic(length, flags(CKA_IBM_ATTRBOUND));
    var key = boundAes();
    var wrapped = client.wrapBound(key.blob(), aes.blob(), mac.blob());
    for (var policy : Policy.values()) {
      var any = client.under(core.operations(policy, true));
      assertRefused(
          CKR_TEMPLATE_INCONSISTENT, () -> any.generic(length, flags(CKA_IBM_ATTRBOUND, flag)));
      // What only ever falls is refused for that already.
      assertRefused(
          policy == Policy.STRICT || flag == CKA_IBM_USE_AS_DATA
              ? CKR_ATTRIBUTE_READ_ONLY
              : CKR_TEMPLATE_INCONSISTENT,
          () -> any.operations.setAttributes(any.by, mac.blob(), flags(flag)));
    }
    var old = ofOtherTimes(mac, flag);
    assertRefused(CKR_KEY_TYPE_INCONSISTENT, () -> client.wrapBound(key.blob(), aes.blob(), old));
    assertRefused(
        CKR_KEY_TYPE_INCONSISTENT,
        () -> client.unwrapBound(wrapped, aes.blob(), old, Client.aesTemplate(32)));
  }

  /** A blob that nothing makes any more, with a usage besides its attributes: sealed here. */
  private static byte[] ofOtherTimes(NewKey key, long flag) {
    return core.sealer.reseal(
        Core.A,
        core.sealer.open(Core.A, key.blob()),
        key.attributes().toBuilder().put(flag, true).build());
  }

  @ParameterizedTest
  @ValueSource(ints = {64, 65})
  void noHashOfAMacKeyComesOut(int length) {
    var mac = client.generic(length, flags(CKA_IBM_ATTRBOUND));
    var deriving = ofOtherTimes(mac, CKA_DERIVE);
    var template =
        Template.builder()
            .put(CKA_KEY_TYPE, Ckk.CKK_GENERIC_SECRET)
            .put(CKA_VALUE_LEN, 32)
            .put(CKA_SIGN, true)
            .build();
    assertRefused(
        CKR_KEY_FUNCTION_NOT_PERMITTED,
        () -> client.derive(Mechanism.of(CKM_SHA256_KEY_DERIVATION), deriving, template));
    var parts = client.operations.parts();
    var digest =
        parts.begin(client.by, CryptoFunction.DIGEST, Mechanism.of(CKM_SHA256), new byte[0]);
    assertRefused(
        CKR_KEY_INDIGESTIBLE,
        () -> parts.digestKey(client.by, digest, ofOtherTimes(mac, CKA_IBM_USE_AS_DATA)));
  }

  /** A wrapping key that decrypts, as policy compatible lets one, would open it for its holder. */
  @ParameterizedTest
  @ValueSource(ints = {8, 32, 65, 256})
  void aMacKeyStaysWhereItWasGenerated(int length) {
    var mac = client.generic(length, flags(CKA_EXTRACTABLE, CKA_IBM_ATTRBOUND));
    for (var kek : List.of(aes, rsa.publicKey())) {
      for (var by : List.of(macKey, mac)) {
        assertRefused(
            CKR_KEY_NOT_WRAPPABLE, () -> client.wrapBound(mac.blob(), kek.blob(), by.blob()));
      }
      var old = ofOtherTimes(mac, CKA_DERIVE);
      assertRefused(CKR_KEY_NOT_WRAPPABLE, () -> client.wrapBound(old, kek.blob(), macKey.blob()));
    }
  }

  /** What the holder of the hash could write: before, it was the whole secret of a long key. */
  @ParameterizedTest
  @ValueSource(ints = {64, 65})
  void aPayloadForgedByTheHashOfTheMacKeyIsRefused(int length) throws GeneralSecurityException {
    var mac = client.generic(length, flags(CKA_IBM_ATTRBOUND));
    var made = AttributeBoundKey.parse(client.wrapBound(boundAes().blob(), aes.blob(), mac.blob()));
    var raised =
        new AttributeBoundKey(
            made.wrappingKey(), with(made.attributes(), CKA_DERIVE), made.dataKey(), made.key());
    var key = value(core, mac.blob());
    var hash = Hash.SHA256.newDigest().digest(key);
    for (var known : List.of(hash, hkdf(hash), key)) {
      var forged = raised.withMac(hmac(known, raised.macInput())).encoded();
      assertRefused(
          CKR_WRAPPED_KEY_INVALID,
          () -> client.unwrapBound(forged, aes.blob(), mac.blob(), Client.aesTemplate(32)));
    }
    // The same by the right key is believed, or the refusals would mean nothing.
    var right = raised.withMac(hmac(hkdf(key), raised.macInput())).encoded();
    assertThat(
            client
                .unwrapBound(right, aes.blob(), mac.blob(), Client.aesTemplate(32))
                .attributes()
                .isTrue(CKA_DERIVE))
        .isTrue();
  }

  private static byte[] hkdf(byte[] key) throws GeneralSecurityException {
    return KDF.getInstance("HKDF-SHA256")
        .deriveData(
            HKDFParameterSpec.ofExtract()
                .addSalt("grep11-gateway attribute-bound wrap 1".getBytes(UTF_8))
                .addIKM(key)
                .thenExpand(new byte[0], 32));
  }

  private static byte[] hmac(byte[] key, byte[] data) throws GeneralSecurityException {
    var mac = Mac.getInstance("HmacSHA256");
    mac.init(new SecretKeySpec(key, "HmacSHA256"));
    return mac.doFinal(data);
  }

  static Stream<Arguments> bases() {
    var group = DHStandardGroups.rfc2409_1024;
    return Stream.of(
        base("ECDH", CKM_ECDH1_DERIVE, more -> agreeing(NamedCurve.P_256, more)),
        base("X25519", CKM_IBM_EC_X25519, more -> agreeing(NamedCurve.X25519, more)),
        base(
            "DH",
            CKM_DH_PKCS_DERIVE,
            more ->
                new Base(
                    client
                        .inGroup(
                            CKM_DH_PKCS_KEY_PAIR_GEN,
                            Client.group(group.getP(), group.getG()),
                            flags(more),
                            with(flags(more), CKA_DERIVE))
                        .privateKey(),
                    new byte[] {5})),
        base(
            "DES3",
            CKM_DES3_ECB_ENCRYPT_DATA,
            more ->
                new Base(
                    client.generate(CKM_DES3_KEY_GEN, with(flags(more), CKA_DERIVE)),
                    new byte[32])));
  }

  private static Arguments base(String name, long mechanism, Function<long[], Base> made) {
    return Arguments.of(name, mechanism, made);
  }

  private static Base agreeing(NamedCurve curve, long... more) {
    var pair = client.ec(curve, flags(more), with(flags(more), CKA_DERIVE));
    return new Base(pair.privateKey(), Client.spki(pair));
  }

  /** A key to derive from, and a parameter for it. */
  record Base(NewKey key, byte[] parameter) {
    NewKey derive(long mechanism) {
      return client.derive(
          Mechanism.of(mechanism, parameter), key.blob(), Client.aesTemplate(32, CKA_EXTRACTABLE));
    }
  }

  /** The new key would not be bound, and may be a function of the bound key's value. */
  @ParameterizedTest(name = "{0}")
  @MethodSource("bases")
  void nothingIsDerivedFromABoundKey(String name, long mechanism, Function<long[], Base> made) {
    assertThat(made.apply(new long[0]).derive(mechanism).blob()).isNotEmpty();
    var bound = made.apply(new long[] {CKA_IBM_ATTRBOUND});
    assertRefused(CKR_KEY_FUNCTION_NOT_PERMITTED, () -> bound.derive(mechanism));
  }

  @Test
  void aMacKeyBelongsToThisMechanismOnly() {
    var kek = client.aes(32, flags(CKA_WRAP, CKA_UNWRAP));
    var key = client.aes(32, flags(CKA_EXTRACTABLE));
    var kwp = Mechanism.of(CKM_AES_KEY_WRAP_PAD);
    assertRefused(
        CKR_ARGUMENTS_BAD,
        () -> client.operations.wrapKey(client.by, kwp, key.blob(), kek.blob(), macKey.blob()));
    assertRefused(
        CKR_ARGUMENTS_BAD,
        () ->
            client.operations.unwrapKey(
                client.by, kwp, new byte[40], kek.blob(), macKey.blob(), Client.aesTemplate(32)));
  }

  @Test
  void aKeyThatMayNotLeaveDoesNotLeave() {
    assertRefused(CKR_KEY_UNEXTRACTABLE, () -> wrapped(client.aes(32, flags(CKA_IBM_ATTRBOUND))));
    assertRefused(CKR_KEY_NOT_WRAPPABLE, () -> wrapped(boundAes(CKA_WRAP_WITH_TRUSTED)));
    assertRefused(
        CKR_KEY_NOT_WRAPPABLE,
        () -> client.wrapBound(rsa.publicKey().blob(), aes.blob(), macKey.blob()));
    assertRefused(
        CKR_KEY_FUNCTION_NOT_PERMITTED,
        () ->
            client.wrapBound(
                boundAes().blob(),
                client.operations.setAttributes(client.by, aes.blob(), without(CKA_WRAP)),
                macKey.blob()));
  }

  /** Security rule 2.9: nobody controls TRUSTED yet, so no payload may bring it. */
  @Test
  void trustedDoesNotComeFromAPayload() {
    var key = boundAes();
    var trusted =
        core.sealer.reseal(
            Core.A,
            core.sealer.open(Core.A, key.blob()),
            key.attributes().toBuilder().put(CKA_TRUSTED, true).build());
    var wrapped = client.wrapBound(trusted, aes.blob(), macKey.blob());
    assertRefused(CKR_ATTRIBUTE_READ_ONLY, () -> unwrapped(wrapped, Client.aesTemplate(32)));
    assertRefused(
        CKR_ATTRIBUTE_READ_ONLY,
        () -> unwrapped(wrapped(key), Client.aesTemplate(32, CKA_TRUSTED)));
  }

  /** Whoever knew a wrapping key's or a MAC key's value could open or forge what it protects. */
  @Test
  void aKeyThatCameFromOutsideIsNotMadeBound() {
    assertRefused(
        CKR_TEMPLATE_INCONSISTENT,
        () -> client.importSecret(Ckk.CKK_GENERIC_SECRET, new byte[32], flags(CKA_IBM_ATTRBOUND)));
    assertRefused(
        CKR_TEMPLATE_INCONSISTENT,
        () -> client.importPublic(Client.spki(rsa), flags(CKA_WRAP, CKA_IBM_ATTRBOUND)));
    var base = client.generic(32, flags(CKA_DERIVE));
    assertRefused(
        CKR_TEMPLATE_INCONSISTENT,
        () ->
            client.derive(
                Mechanism.of(CKM_SHA256_KEY_DERIVATION), base.blob(), flags(CKA_IBM_ATTRBOUND)));
    assertRefused(
        CKR_TEMPLATE_INCONSISTENT,
        () -> client.rsa(2048, flags(CKA_WRAP, CKA_IBM_ATTRBOUND), flags(CKA_UNWRAP)));
    assertRefused(
        CKR_TEMPLATE_INCONSISTENT,
        () -> client.rsa(2048, flags(CKA_WRAP), flags(CKA_UNWRAP, CKA_IBM_ATTRBOUND)));
  }

  @Test
  void underPolicyStrictNoWrappingKeyComesBack() {
    var strict = client.under(core.operations(Policy.STRICT, true));
    var wrapped = wrapped(boundAes(CKA_WRAP));
    var small =
        client.rsa(1024, flags(CKA_WRAP, CKA_IBM_ATTRBOUND), flags(CKA_UNWRAP, CKA_IBM_ATTRBOUND));
    assertRefused(
        CKR_TEMPLATE_INCONSISTENT,
        () -> strict.unwrapBound(wrapped, aes.blob(), macKey.blob(), Client.aesTemplate(32)));
    assertRefused(
        CKR_WRAPPING_KEY_SIZE_RANGE,
        () -> strict.wrapBound(boundAes().blob(), small.publicKey().blob(), macKey.blob()));
  }

  @ParameterizedTest
  @ValueSource(ints = {512, 584})
  void aModulusWithoutRoomForADataKeyIsTooSmall(int bits) {
    var pair =
        client.rsa(bits, flags(CKA_WRAP, CKA_IBM_ATTRBOUND), flags(CKA_UNWRAP, CKA_IBM_ATTRBOUND));
    assertRefused(
        CKR_WRAPPING_KEY_SIZE_RANGE,
        () -> client.wrapBound(boundAes().blob(), pair.publicKey().blob(), macKey.blob()));
  }
}
