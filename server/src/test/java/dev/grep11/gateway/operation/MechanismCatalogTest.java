package dev.grep11.gateway.operation;

import static dev.grep11.gateway.operation.Client.assertRefused;
import static dev.grep11.gateway.operation.Client.assertRefusedWithOneOf;
import static dev.grep11.gateway.operation.Client.flags;
import static dev.grep11.gateway.operation.Client.flipped;
import static dev.grep11.gateway.pkcs11.Cka.*;
import static dev.grep11.gateway.pkcs11.Ckm.*;
import static dev.grep11.gateway.pkcs11.Ckr.*;
import static dev.grep11.gateway.pkcs11.CryptoFunction.*;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.CryptoFunction;
import dev.grep11.gateway.pkcs11.Hash;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismCatalog;
import dev.grep11.gateway.pkcs11.MechanismParameters.AesCtr;
import dev.grep11.gateway.pkcs11.MechanismParameters.AesGcm;
import dev.grep11.gateway.pkcs11.MechanismParameters.Ecdh1Derive;
import dev.grep11.gateway.pkcs11.MechanismParameters.RsaOaep;
import dev.grep11.gateway.pkcs11.MechanismParameters.RsaPss;
import dev.grep11.gateway.pkcs11.MechanismRow;
import dev.grep11.gateway.pkcs11.NamedCurve;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.softhsm.SoftHsmExtension;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Stream;
import org.bouncycastle.asn1.ASN1Integer;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.crypto.agreement.DHStandardGroups;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.MethodOrderer;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestMethodOrder;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Every mechanism of the catalog, every function of it, under every configuration. {@link #TABLE}
 * says by hand what each row serves and how, so that a row that slips into software, or out of a
 * policy, fails here.
 */
@TestMethodOrder(MethodOrderer.OrderAnnotation.class)
class MechanismCatalogTest {
  @RegisterExtension static final SoftHsmExtension HSM = new SoftHsmExtension();

  private static final byte[] MESSAGE =
      "a message whose length is no multiple of any block length".getBytes(UTF_8);
  private static final byte[] BLOCKS = Arrays.copyOf(MESSAGE, 48);
  private static final byte[] BLOCK = Arrays.copyOf(MESSAGE, 16);
  private static final byte[] TWENTY_BYTES = Arrays.copyOf(MESSAGE, 20);

  /** One configuration of a gateway. */
  record Configuration(Policy policy, boolean softwareFallback) {
    @Override
    public String toString() {
      return policy + (softwareFallback ? ", software fallback" : "");
    }
  }

  static final List<Configuration> CONFIGURATIONS =
      List.of(
          new Configuration(Policy.COMPATIBLE, true),
          new Configuration(Policy.COMPATIBLE, false),
          new Configuration(Policy.STRICT, true),
          new Configuration(Policy.STRICT, false));

  /**
   * How one function is exercised. Each step gets the client of the configuration under test; what
   * it needs from the other side is made by one for whom everything is served.
   *
   * @param works does it, and checks what comes of it
   * @param withoutFlag does it with a key that lacks the usage flag; null where there is no key
   * @param tampered checks what becomes of changed input; null where there is nothing to change
   */
  record Probe(
      CryptoFunction function,
      Consumer<Client> works,
      @Nullable Consumer<Client> withoutFlag,
      @Nullable Consumer<Client> tampered) {}

  /**
   * What the catalog must say of a mechanism on SoftHSM. Without software fallback, what is marked
   * W is not served.
   */
  record Expectation(
      long mechanism, String underCompatible, String underStrict, List<Probe> probes) {
    Map<CryptoFunction, String> served(Configuration configuration) {
      var marks = new EnumMap<CryptoFunction, String>(CryptoFunction.class);
      var text = configuration.policy() == Policy.STRICT ? underStrict : underCompatible;
      for (var item : text.isEmpty() ? new String[0] : text.split(", ", -1)) {
        var words = item.split(" ", -1);
        if (configuration.softwareFallback() || !words[1].equals("W")) {
          marks.put(CryptoFunction.valueOf(words[0]), words[1]);
        }
      }
      return marks;
    }

    @Override
    public String toString() {
      return Ckm.name(mechanism);
    }
  }

  private static final String SIGNS = "SIGN S, VERIFY S";
  private static final String SIGNS_FRAMED = "SIGN S+, VERIFY S+";
  private static final String SIGNS_BY_VALUE = "SIGN W, VERIFY W";
  private static final String ENCRYPTS = "ENCRYPT S, DECRYPT S";
  private static final String WRAPS = "WRAP S, UNWRAP S";

  /** As in IBM's list, which does not name what is served all the same. */
  private static final Set<Long> UNLISTED = Set.of(CKM_IBM_TRANSPORTKEY, CKM_DES3_ECB_ENCRYPT_DATA);

  private static final long CKD_SHA256_KDF = 6;
  private static final long CKD_SHA512_KDF = 8;
  private static final Mechanism CBC_PAD = Mechanism.of(CKM_AES_CBC_PAD, new byte[16]);

  static final List<Expectation> TABLE =
      List.of(
          row(
              CKM_RSA_PKCS,
              "ENCRYPT S, DECRYPT S+, SIGN S, VERIFY S, WRAP S, UNWRAP W",
              SIGNS,
              cipher(Mechanism.of(CKM_RSA_PKCS), Material.RSA, MESSAGE, Tampering.IMPLICIT),
              signer(Mechanism.of(CKM_RSA_PKCS), Material.RSA, MESSAGE),
              transport(Mechanism.of(CKM_RSA_PKCS), Material.RSA, Tampering.IMPLICIT)),
          row(
              CKM_RSA_PKCS_OAEP,
              "ENCRYPT S+, DECRYPT S+, WRAP S, UNWRAP S",
              "ENCRYPT S+, DECRYPT S+, WRAP S, UNWRAP S",
              cipher(oaep(Hash.SHA_1), Material.RSA, MESSAGE, Tampering.REFUSED),
              cipher(oaep(Hash.SHA384), Material.RSA, MESSAGE, Tampering.REFUSED),
              transport(oaep(Hash.SHA_1), Material.RSA, Tampering.REFUSED)),
          row(
              CKM_RSA_PKCS_KEY_PAIR_GEN,
              "GENERATE_KEY_PAIR S",
              "GENERATE_KEY_PAIR S",
              pairs(
                  c -> c.rsa(1024, Template.empty(), Template.empty()),
                  Mechanism.of(CKM_SHA256_RSA_PKCS))),
          // SoftHSM has no X9.31; what a token has that does is TokensWithMoreTest's.
          row(CKM_RSA_X9_31_KEY_PAIR_GEN, "", ""),
          row(CKM_RSA_X9_31, "", ""),
          row(CKM_SHA1_RSA_X9_31, "", ""),
          row(
              CKM_RSA_PKCS_PSS,
              SIGNS,
              SIGNS,
              signer(pss(CKM_RSA_PKCS_PSS, Hash.SHA_1), Material.RSA, TWENTY_BYTES)),
          row(CKM_SHA1_RSA_PKCS, SIGNS, SIGNS, signer(CKM_SHA1_RSA_PKCS, Material.RSA)),
          row(CKM_SHA224_RSA_PKCS, SIGNS, SIGNS, signer(CKM_SHA224_RSA_PKCS, Material.RSA)),
          row(CKM_SHA256_RSA_PKCS, SIGNS, SIGNS, signer(CKM_SHA256_RSA_PKCS, Material.RSA)),
          row(CKM_SHA384_RSA_PKCS, SIGNS, SIGNS, signer(CKM_SHA384_RSA_PKCS, Material.RSA)),
          row(CKM_SHA512_RSA_PKCS, SIGNS, SIGNS, signer(CKM_SHA512_RSA_PKCS, Material.RSA)),
          hashedPss(CKM_SHA1_RSA_PKCS_PSS, Hash.SHA_1),
          hashedPss(CKM_SHA224_RSA_PKCS_PSS, Hash.SHA224),
          hashedPss(CKM_SHA256_RSA_PKCS_PSS, Hash.SHA256),
          hashedPss(CKM_SHA384_RSA_PKCS_PSS, Hash.SHA384),
          hashedPss(CKM_SHA512_RSA_PKCS_PSS, Hash.SHA512),
          row(
              CKM_AES_KEY_GEN,
              "GENERATE S",
              "GENERATE S",
              keys(c -> c.aes(16, Template.empty()), CBC_PAD),
              keys(c -> c.aes(24, Template.empty()), CBC_PAD),
              keys(c -> c.aes(32, Template.empty()), CBC_PAD)),
          row(
              CKM_AES_ECB,
              ENCRYPTS,
              ENCRYPTS,
              cipher(Mechanism.of(CKM_AES_ECB), Material.AES, BLOCKS, Tampering.DIFFERS)),
          row(
              CKM_AES_CBC,
              "ENCRYPT S, DECRYPT S, WRAP W, UNWRAP W",
              "ENCRYPT S, DECRYPT S, WRAP W",
              cipher(iv(CKM_AES_CBC, 16), Material.AES, BLOCKS, Tampering.DIFFERS),
              transport(iv(CKM_AES_CBC, 16), Material.AES, Tampering.DIFFERS)),
          row(
              CKM_AES_CBC_PAD,
              "ENCRYPT S, DECRYPT S, WRAP W, UNWRAP W",
              ENCRYPTS,
              cipher(iv(CKM_AES_CBC_PAD, 16), Material.AES, MESSAGE, Tampering.MAY_REFUSE),
              transport(iv(CKM_AES_CBC_PAD, 16), Material.AES, Tampering.MAY_REFUSE)),
          row(
              CKM_DES2_KEY_GEN,
              "GENERATE S",
              "GENERATE S",
              keys(c -> c.generate(CKM_DES2_KEY_GEN, Template.empty()), iv(CKM_DES3_CBC_PAD, 8))),
          row(
              CKM_DES3_KEY_GEN,
              "GENERATE S",
              "GENERATE S",
              keys(c -> c.generate(CKM_DES3_KEY_GEN, Template.empty()), iv(CKM_DES3_CBC_PAD, 8))),
          row(
              CKM_DES3_ECB,
              ENCRYPTS,
              ENCRYPTS,
              cipher(Mechanism.of(CKM_DES3_ECB), Material.DES3, BLOCKS, Tampering.DIFFERS),
              cipher(Mechanism.of(CKM_DES3_ECB), Material.DES2, BLOCKS, Tampering.DIFFERS)),
          row(
              CKM_DES3_CBC,
              "ENCRYPT S, DECRYPT S, WRAP W, UNWRAP W",
              "ENCRYPT S, DECRYPT S, WRAP W",
              cipher(iv(CKM_DES3_CBC, 8), Material.DES3, BLOCKS, Tampering.DIFFERS),
              transport(iv(CKM_DES3_CBC, 8), Material.DES3, Tampering.DIFFERS)),
          row(
              CKM_DES3_CBC_PAD,
              "ENCRYPT S, DECRYPT S, WRAP W, UNWRAP W",
              ENCRYPTS,
              cipher(iv(CKM_DES3_CBC_PAD, 8), Material.DES3, MESSAGE, Tampering.MAY_REFUSE),
              transport(iv(CKM_DES3_CBC_PAD, 8), Material.DES3, Tampering.MAY_REFUSE)),
          row(CKM_GENERIC_SECRET_KEY_GEN, "GENERATE S", "GENERATE S", genericKeys()),
          digest(CKM_SHA256, "S", "SHA-256"),
          digest(CKM_SHA224, "S", "SHA-224"),
          digest(CKM_SHA_1, "S", "SHA-1"),
          digest(CKM_SHA384, "S", "SHA-384"),
          digest(CKM_SHA512, "S", "SHA-512"),
          digest(CKM_SHA512_256, "G", "SHA-512/256"),
          digest(CKM_IBM_SHA512_256, "G", "SHA-512/256"),
          digest(CKM_SHA512_224, "G", "SHA-512/224"),
          digest(CKM_IBM_SHA512_224, "G", "SHA-512/224"),
          digest(CKM_IBM_SHA3_224, "G", "SHA3-224"),
          digest(CKM_IBM_SHA3_256, "G", "SHA3-256"),
          digest(CKM_IBM_SHA3_384, "G", "SHA3-384"),
          digest(CKM_IBM_SHA3_512, "G", "SHA3-512"),
          hashDerivation(CKM_SHA256_KEY_DERIVATION, 32),
          hashDerivation(CKM_SHA224_KEY_DERIVATION, 28),
          hashDerivation(CKM_SHA1_KEY_DERIVATION, 20),
          hashDerivation(CKM_SHA384_KEY_DERIVATION, 48),
          hashDerivation(CKM_SHA512_KEY_DERIVATION, 64),
          hmac(CKM_SHA256_HMAC, SIGNS),
          hmac(CKM_SHA224_HMAC, SIGNS),
          hmac(CKM_SHA_1_HMAC, SIGNS),
          hmac(CKM_SHA384_HMAC, SIGNS),
          hmac(CKM_SHA512_HMAC, SIGNS),
          hmac(CKM_SHA512_256_HMAC, SIGNS_BY_VALUE),
          hmac(CKM_IBM_SHA512_256_HMAC, SIGNS_BY_VALUE),
          hmac(CKM_SHA512_224_HMAC, SIGNS_BY_VALUE),
          hmac(CKM_IBM_SHA512_224_HMAC, SIGNS_BY_VALUE),
          hmac(CKM_IBM_SHA3_224_HMAC, SIGNS_BY_VALUE),
          hmac(CKM_IBM_SHA3_256_HMAC, SIGNS_BY_VALUE),
          hmac(CKM_IBM_SHA3_384_HMAC, SIGNS_BY_VALUE),
          hmac(CKM_IBM_SHA3_512_HMAC, SIGNS_BY_VALUE),
          row(
              CKM_EC_KEY_PAIR_GEN,
              "GENERATE_KEY_PAIR S",
              "GENERATE_KEY_PAIR S",
              pairs(
                  c -> c.ec(NamedCurve.P_256, Template.empty(), Template.empty()),
                  Mechanism.of(CKM_ECDSA_SHA256))),
          row(
              CKM_ECDSA,
              SIGNS,
              SIGNS,
              signer(Mechanism.of(CKM_ECDSA), Material.EC, Arrays.copyOf(MESSAGE, 32))),
          row(CKM_ECDSA_SHA1, SIGNS_FRAMED, SIGNS_FRAMED, signer(CKM_ECDSA_SHA1, Material.EC)),
          hashedEcdsa(CKM_ECDSA_SHA224),
          hashedEcdsa(CKM_IBM_ECDSA_SHA224),
          hashedEcdsa(CKM_ECDSA_SHA256),
          hashedEcdsa(CKM_IBM_ECDSA_SHA256),
          hashedEcdsa(CKM_ECDSA_SHA384),
          hashedEcdsa(CKM_IBM_ECDSA_SHA384),
          hashedEcdsa(CKM_ECDSA_SHA512),
          hashedEcdsa(CKM_IBM_ECDSA_SHA512),
          row(
              CKM_ECDH1_DERIVE,
              "DERIVE S",
              "DERIVE S",
              derivation(CKM_ECDH1_DERIVE, Material.EC, 16, Tampering.REFUSED)),
          row(
              CKM_IBM_ECDH1_DERIVE_RAW,
              "DERIVE S",
              "DERIVE S",
              derivation(CKM_IBM_ECDH1_DERIVE_RAW, Material.EC, 32, Tampering.REFUSED)),
          row(
              CKM_IBM_EC_X25519,
              "DERIVE W",
              "DERIVE W",
              derivation(CKM_IBM_EC_X25519, Material.X25519, 32, Tampering.DIFFERS),
              derivation(
                  byKdf(CKM_IBM_EC_X25519, CKD_SHA256_KDF),
                  Material.X25519,
                  48,
                  Tampering.DIFFERS)),
          row(
              CKM_IBM_EC_X448,
              "DERIVE W",
              "DERIVE W",
              derivation(CKM_IBM_EC_X448, Material.X448, 32, Tampering.DIFFERS),
              derivation(
                  byKdf(CKM_IBM_EC_X448, CKD_SHA512_KDF), Material.X448, 48, Tampering.DIFFERS)),
          row(
              CKM_DSA_PARAMETER_GEN,
              "GENERATE S",
              "GENERATE S",
              parameters(CKM_DSA_PARAMETER_GEN, CKM_DSA_KEY_PAIR_GEN)),
          row(
              CKM_DSA_KEY_PAIR_GEN,
              "GENERATE_KEY_PAIR S",
              "GENERATE_KEY_PAIR S",
              pairs(
                  c ->
                      c.inGroup(
                          CKM_DSA_KEY_PAIR_GEN,
                          generated(CKM_DSA_PARAMETER_GEN),
                          Template.empty(),
                          Template.empty()),
                  Mechanism.of(CKM_DSA_SHA1))),
          row(CKM_DSA, SIGNS, SIGNS, signer(Mechanism.of(CKM_DSA), Material.DSA, TWENTY_BYTES)),
          hashedDsa(CKM_DSA_SHA1),
          hashedDsa(CKM_DSA_SHA224),
          hashedDsa(CKM_DSA_SHA256),
          hashedDsa(CKM_DSA_SHA384),
          hashedDsa(CKM_DSA_SHA512),
          row(
              CKM_DH_PKCS_PARAMETER_GEN,
              "GENERATE S",
              "GENERATE S",
              parameters(CKM_DH_PKCS_PARAMETER_GEN, CKM_DH_PKCS_KEY_PAIR_GEN)),
          row(CKM_DH_PKCS_KEY_PAIR_GEN, "GENERATE_KEY_PAIR S", "GENERATE_KEY_PAIR S", dhPairs()),
          row(
              CKM_DH_PKCS_DERIVE,
              "DERIVE S",
              "DERIVE S",
              derivation(CKM_DH_PKCS_DERIVE, Material.DH, 32, Tampering.DIFFERS)),
          row(
              CKM_IBM_DH_PKCS_DERIVE_RAW,
              "DERIVE S",
              "DERIVE S",
              derivation(CKM_IBM_DH_PKCS_DERIVE_RAW, Material.DH, 128, Tampering.DIFFERS)),
          row(
              CKM_IBM_ATTRIBUTEBOUND_WRAP,
              "WRAP W, UNWRAP W",
              "WRAP W, UNWRAP W",
              boundTransport(Material.BOUND_RSA),
              boundTransport(Material.BOUND_AES)),
          row(
              CKM_IBM_ED25519_SHA512,
              SIGNS_BY_VALUE,
              SIGNS_BY_VALUE,
              signer(CKM_IBM_ED25519_SHA512, Material.ED25519)),
          row(
              CKM_IBM_ED448_SHA3,
              SIGNS_BY_VALUE,
              SIGNS_BY_VALUE,
              signer(CKM_IBM_ED448_SHA3, Material.ED448)),
          row(
              CKM_IBM_CMAC,
              SIGNS,
              SIGNS,
              signer(CKM_IBM_CMAC, Material.AES),
              signer(CKM_IBM_CMAC, Material.DES3)),
          row(CKM_AES_CMAC, SIGNS, SIGNS, signer(CKM_AES_CMAC, Material.AES)),
          row(
              CKM_DES3_CMAC,
              SIGNS,
              SIGNS,
              signer(CKM_DES3_CMAC, Material.DES3),
              signer(CKM_DES3_CMAC, Material.DES2)),
          row(
              CKM_AES_CTR,
              ENCRYPTS,
              ENCRYPTS,
              cipher(
                  new Mechanism(CKM_AES_CTR, new AesCtr(128, BLOCK)),
                  Material.AES,
                  MESSAGE,
                  Tampering.DIFFERS)),
          row(
              CKM_AES_GCM,
              ENCRYPTS,
              ENCRYPTS,
              cipher(
                  new Mechanism(CKM_AES_GCM, new AesGcm(new byte[0], BLOCK, 128)),
                  Material.AES,
                  MESSAGE,
                  Tampering.REFUSED)),
          row(
              CKM_AES_KEY_WRAP,
              WRAPS,
              WRAPS,
              transport(Mechanism.of(CKM_AES_KEY_WRAP), Material.AES, Tampering.REFUSED)),
          row(
              CKM_AES_KEY_WRAP_PAD,
              WRAPS,
              WRAPS,
              transport(Mechanism.of(CKM_AES_KEY_WRAP_PAD), Material.AES, Tampering.REFUSED)),
          row(
              CKM_EC_EDWARDS_KEY_PAIR_GEN,
              "GENERATE_KEY_PAIR W",
              "GENERATE_KEY_PAIR W",
              pairs(
                  c ->
                      c.generatePair(
                          CKM_EC_EDWARDS_KEY_PAIR_GEN,
                          Template.builder()
                              .put(CKA_EC_PARAMS, NamedCurve.ED25519.parameters())
                              .build(),
                          Template.empty()),
                  Mechanism.of(CKM_EDDSA))),
          row(
              CKM_EDDSA,
              SIGNS_BY_VALUE,
              SIGNS_BY_VALUE,
              signer(CKM_EDDSA, Material.ED25519),
              signer(CKM_EDDSA, Material.ED448)),
          row(
              CKM_DES3_ECB_ENCRYPT_DATA,
              "DERIVE S",
              "DERIVE S",
              encryptedData(Material.DES3),
              encryptedData(Material.DES2)),
          row(CKM_IBM_TRANSPORTKEY, "UNWRAP G", "UNWRAP G", importOfPublicKeys()));

  private static Core core;

  /** For whom everything is served. */
  private static Client everything;

  private static final Map<Configuration, Client> CLIENTS = new HashMap<>();
  private static final Set<String> EXERCISED = new TreeSet<>();

  @BeforeAll
  static void open() {
    core = Core.on(HSM.token());
    for (var configuration : CONFIGURATIONS) {
      CLIENTS.put(
          configuration,
          new Client(
              core.operations(configuration.policy(), configuration.softwareFallback()), Core.A));
    }
    everything = client(CONFIGURATIONS.getFirst());
  }

  @AfterAll
  static void close() {
    Material.MADE.clear();
    GENERATED.clear();
    core.close();
  }

  private static Client client(Configuration configuration) {
    var client = CLIENTS.get(configuration);
    if (client == null) {
      throw new IllegalArgumentException(configuration.toString());
    }
    return client;
  }

  @Test
  @Order(1)
  void everyRowIsExpectedOnceAndEveryExpectationHasItsRow() {
    assertThat(TABLE)
        .extracting(Expectation::toString)
        .containsExactlyInAnyOrderElementsOf(
            MechanismCatalog.all().stream().map(MechanismRow::name).toList());
  }

  @Test
  @Order(1)
  void everyFunctionOfARowIsExercised() {
    for (var expectation : TABLE) {
      var exercised =
          expectation.probes().stream()
              .map(Probe::function)
              .collect(java.util.stream.Collectors.toSet());
      assertThat(exercised)
          .as(expectation.toString())
          .isEqualTo(expectation.served(CONFIGURATIONS.getFirst()).keySet());
    }
  }

  @ParameterizedTest
  @FieldSource("CONFIGURATIONS")
  @Order(2)
  void offersWhatTheTableSaysAndHow(Configuration configuration) {
    var catalog = core.catalog(configuration.policy(), configuration.softwareFallback());
    for (var expectation : TABLE) {
      var served = new EnumMap<CryptoFunction, String>(CryptoFunction.class);
      catalog
          .find(expectation.mechanism())
          .ifPresent(row ->
              row.functions()
                  .forEach((function, service) -> served.put(function, service.by().mark())));
      assertThat(served)
          .as("%s under %s", expectation, configuration)
          .isEqualTo(expectation.served(configuration));
    }
  }

  @ParameterizedTest
  @FieldSource("CONFIGURATIONS")
  @Order(2)
  void listsWhatItServesAndSaysSoInItsFlags(Configuration configuration) {
    var operations = client(configuration).operations;
    assertThat(operations.mechanisms().getFirst()).isEqualTo(CKM_RSA_PKCS);
    for (var expectation : TABLE) {
      var served = expectation.served(configuration).keySet();
      boolean listed = operations.mechanisms().contains(expectation.mechanism());
      assertThat(listed)
          .as("%s under %s", expectation, configuration)
          .isEqualTo(!served.isEmpty() && !UNLISTED.contains(expectation.mechanism()));
      if (served.isEmpty()) {
        assertRefused(
            CKR_MECHANISM_INVALID, () -> operations.mechanismInfo(expectation.mechanism()));
      } else {
        long flags = operations.mechanismInfo(expectation.mechanism()).flags();
        for (var function : CryptoFunction.values()) {
          assertThat((flags & function.flag()) != 0)
              .as("%s of %s under %s", function, expectation, configuration)
              .isEqualTo(served.contains(function));
        }
      }
    }
  }

  /** One function of one row under one configuration, by one of the ways to exercise it. */
  record Case(Configuration configuration, Expectation row, Probe probe, int way) {
    @Override
    public String toString() {
      return row + " " + probe.function() + " #" + way + " under " + configuration;
    }
  }

  static Stream<Case> cases() {
    var cases = new ArrayList<Case>();
    for (var configuration : CONFIGURATIONS) {
      for (var row : TABLE) {
        for (int i = 0; i < row.probes().size(); i++) {
          cases.add(new Case(configuration, row, row.probes().get(i), i));
        }
      }
    }
    return cases.stream();
  }

  @ParameterizedTest
  @MethodSource("cases")
  @Order(3)
  void worksWhereItIsServedAndIsAnInvalidMechanismWhereNot(Case row) {
    var client = client(row.configuration());
    var probe = row.probe();
    if (!row.row().served(row.configuration()).containsKey(probe.function())) {
      assertRefused(CKR_MECHANISM_INVALID, () -> probe.works().accept(client));
      return;
    }
    probe.works().accept(client);
    var withoutFlag = probe.withoutFlag();
    if (withoutFlag != null) {
      assertRefused(CKR_KEY_FUNCTION_NOT_PERMITTED, () -> withoutFlag.accept(client));
    }
    var tampered = probe.tampered();
    if (tampered != null) {
      tampered.accept(client);
    }
    EXERCISED.add(row.configuration() + " " + row.row() + " " + probe.function());
  }

  /** No token says in its list which KDFs it has, so a KDF is row W inside a row S. */
  @ParameterizedTest
  @FieldSource("CONFIGURATIONS")
  @Order(3)
  void agreesThroughAKdfWhereSoftwareFallbackIsOn(Configuration configuration) {
    var client = client(configuration);
    for (long kdf : new long[] {2, 5, CKD_SHA256_KDF, 7, CKD_SHA512_KDF}) {
      var probe =
          derivation(byKdf(CKM_ECDH1_DERIVE, kdf), Material.EC, 40, Tampering.REFUSED).getFirst();
      if (configuration.softwareFallback()) {
        probe.works().accept(client);
      } else {
        assertRefused(CKR_MECHANISM_PARAM_INVALID, () -> probe.works().accept(client));
      }
    }
  }

  /** The table as people read it; a function that no case has exercised fails it. */
  @Test
  @Order(4)
  void printsHowEachRowIsServed() {
    var table =
        new StringBuilder("\n%-34s| %-62s| %s%n".formatted("mechanism", "compatible", "strict"));
    for (var expectation : TABLE) {
      var cells = new ArrayList<String>();
      for (var policy : List.of(Policy.COMPATIBLE, Policy.STRICT)) {
        var catalog = core.catalog(policy, true);
        var words = new ArrayList<String>();
        catalog
            .find(expectation.mechanism())
            .ifPresent(row ->
                row.functions()
                    .forEach((function, service) -> {
                      words.add(function + " " + service.by().mark());
                      assertThat(EXERCISED)
                          .contains(
                              new Configuration(policy, true) + " " + row.name() + " " + function);
                    }));
        cells.add(words.isEmpty() ? "-" : String.join(", ", words));
      }
      table.append("%-34s| %-62s| %s%n".formatted(expectation, cells.getFirst(), cells.getLast()));
    }
    System.out.println(
        table.append("S in the token, S+ framed, W value in gateway memory, G gateway"));
  }

  // Key material, made once; what lacks a flag is the same key after SetAttributeValue.

  /** A secret key twice, or a private key and its public half. */
  record Blobs(byte[] own, byte[] other) {}

  enum Material {
    AES,
    DES2,
    DES3,
    GENERIC,
    RSA,
    EC,
    ED25519,
    ED448,
    X25519,
    X448,
    DSA,
    DH,
    BOUND_RSA,
    BOUND_AES,
    BOUND_MAC,
    BOUND_KEY;

    private static final Map<String, Blobs> MADE = new HashMap<>();
    private static final Template SECRET =
        flags(
            CKA_ENCRYPT,
            CKA_DECRYPT,
            CKA_SIGN,
            CKA_VERIFY,
            CKA_WRAP,
            CKA_UNWRAP,
            CKA_DERIVE,
            CKA_EXTRACTABLE);
    private static final Template PUBLIC = flags(CKA_ENCRYPT, CKA_VERIFY, CKA_WRAP);
    private static final Template PRIVATE =
        flags(CKA_DECRYPT, CKA_SIGN, CKA_UNWRAP, CKA_DERIVE, CKA_EXTRACTABLE);

    Blobs keys() {
      return MADE.computeIfAbsent(name(), ignored -> make());
    }

    Blobs peer() {
      return MADE.computeIfAbsent(name() + " peer", ignored -> make());
    }

    /** The same keys without one usage. */
    Blobs lacking(long flag) {
      return MADE.computeIfAbsent(
          name() + " without " + flag,
          ignored -> new Blobs(narrowed(keys().own(), flag), narrowed(keys().other(), flag)));
    }

    private static byte[] narrowed(byte[] blob, long flag) {
      try {
        return everything.operations.setAttributes(everything.by, blob, Client.without(flag));
      } catch (Pkcs11Exception e) {
        // The half that has no such flag.
        return blob;
      }
    }

    private Blobs make() {
      return switch (this) {
        case AES -> secret(everything.aes(32, SECRET));
        case DES2 -> secret(everything.generate(CKM_DES2_KEY_GEN, SECRET));
        case DES3 -> secret(everything.generate(CKM_DES3_KEY_GEN, SECRET));
        case GENERIC -> secret(everything.generic(64, SECRET));
        case RSA -> pair(everything.rsa(2048, PUBLIC, PRIVATE));
        case EC -> pair(everything.ec(NamedCurve.P_256, PUBLIC, PRIVATE));
        case ED25519 -> pair(everything.ec(NamedCurve.ED25519, PUBLIC, PRIVATE));
        case ED448 -> pair(everything.ec(NamedCurve.ED448, PUBLIC, PRIVATE));
        case X25519 -> pair(everything.ec(NamedCurve.X25519, PUBLIC, PRIVATE));
        case X448 -> pair(everything.ec(NamedCurve.X448, PUBLIC, PRIVATE));
        case BOUND_RSA ->
            pair(
                everything.rsa(
                    2048,
                    flags(CKA_WRAP, CKA_IBM_ATTRBOUND),
                    flags(CKA_UNWRAP, CKA_IBM_ATTRBOUND)));
        case BOUND_AES ->
            secret(everything.aes(32, flags(CKA_WRAP, CKA_UNWRAP, CKA_IBM_ATTRBOUND)));
        case BOUND_MAC -> secret(everything.generic(32, flags(CKA_IBM_ATTRBOUND)));
        case BOUND_KEY ->
            secret(everything.aes(32, flags(CKA_SIGN, CKA_EXTRACTABLE, CKA_IBM_ATTRBOUND)));
        case DSA ->
            pair(
                everything.inGroup(
                    CKM_DSA_KEY_PAIR_GEN, generated(CKM_DSA_PARAMETER_GEN), PUBLIC, PRIVATE));
        case DH ->
            pair(everything.inGroup(CKM_DH_PKCS_KEY_PAIR_GEN, oakleyGroup2(), PUBLIC, PRIVATE));
      };
    }

    private static Blobs secret(NewKey key) {
      return new Blobs(key.blob(), key.blob());
    }

    private static Blobs pair(NewKeyPair pair) {
      return new Blobs(pair.privateKey().blob(), pair.publicKey().blob());
    }
  }

  private static final Map<Long, byte[]> GENERATED = new HashMap<>();

  /** Domain parameters of 1024 bits, which take seconds: made once. */
  private static byte[] generated(long mechanism) {
    return GENERATED.computeIfAbsent(
        mechanism,
        ignored ->
            everything
                .generate(mechanism, Template.builder().put(CKA_PRIME_BITS, 1024).build())
                .blob());
  }

  /** RFC 2409, section 6.2: a safe prime of 1024 bits. */
  private static byte[] oakleyGroup2() {
    var group = DHStandardGroups.rfc2409_1024;
    return Client.group(group.getP(), group.getG());
  }

  // Ways to exercise a function

  /** What becomes of a changed ciphertext or wrapped key. */
  enum Tampering {
    /** Authenticated: refused. */
    REFUSED,
    /** Not authenticated: something else comes out, never the original. */
    DIFFERS,
    /** Padded: either of the two. */
    MAY_REFUSE,
    /** PKCS #1 v1.5: something else, always the same, never a refusal. */
    IMPLICIT;

    void check(long refusal, byte[] input, byte[] original, Function<byte[], byte[]> open) {
      // RSA numbers are changed at the low end, where they stay below the modulus.
      int first = this == IMPLICIT || input.length >= 256 ? input.length * 8 - 64 : 0;
      for (int bit = first; bit < input.length * 8; bit += 7) {
        var changed = flipped(input, bit);
        switch (this) {
          case REFUSED -> assertRefused(refusal, () -> open.apply(changed));
          case DIFFERS -> assertThat(open.apply(changed)).isNotEqualTo(original);
          case MAY_REFUSE -> {
            try {
              assertThat(open.apply(changed)).isNotEqualTo(original);
            } catch (Pkcs11Exception e) {
              assertThat(e.returnValue()).isEqualTo(refusal);
            }
          }
          case IMPLICIT -> {
            var once = open.apply(changed);
            assertThat(once).isNotEqualTo(original).isEqualTo(open.apply(changed));
          }
        }
      }
    }
  }

  private static List<Probe> cipher(
      Mechanism mechanism, Material material, byte[] plain, Tampering tampering) {
    return List.of(
        new Probe(
            ENCRYPT,
            c ->
                assertThat(
                        everything.decrypt(
                            mechanism,
                            material.keys().own(),
                            c.encrypt(mechanism, material.keys().other(), plain)))
                    .isEqualTo(plain),
            c -> c.encrypt(mechanism, material.lacking(CKA_ENCRYPT).other(), plain),
            null),
        new Probe(
            DECRYPT,
            c ->
                assertThat(
                        c.decrypt(
                            mechanism,
                            material.keys().own(),
                            everything.encrypt(mechanism, material.keys().other(), plain)))
                    .isEqualTo(plain),
            c ->
                c.decrypt(
                    mechanism,
                    material.lacking(CKA_DECRYPT).own(),
                    everything.encrypt(mechanism, material.keys().other(), plain)),
            c ->
                tampering.check(
                    CKR_ENCRYPTED_DATA_INVALID,
                    everything.encrypt(mechanism, material.keys().other(), plain),
                    plain,
                    changed -> c.decrypt(mechanism, material.keys().own(), changed))));
  }

  private static List<Probe> signer(long mechanism, Material material) {
    return signer(Mechanism.of(mechanism), material, MESSAGE);
  }

  private static List<Probe> signer(Mechanism mechanism, Material material, byte[] data) {
    return List.of(
        new Probe(
            SIGN,
            c ->
                everything.verify(
                    mechanism,
                    material.keys().other(),
                    data,
                    c.sign(mechanism, material.keys().own(), data)),
            c -> c.sign(mechanism, material.lacking(CKA_SIGN).own(), data),
            null),
        new Probe(
            VERIFY,
            c ->
                c.verify(
                    mechanism,
                    material.keys().other(),
                    data,
                    everything.sign(mechanism, material.keys().own(), data)),
            c ->
                c.verify(
                    mechanism,
                    material.lacking(CKA_VERIFY).other(),
                    data,
                    everything.sign(mechanism, material.keys().own(), data)),
            c -> {
              var key = material.keys().other();
              var signature = everything.sign(mechanism, material.keys().own(), data);
              for (int bit = 3; bit < signature.length * 8; bit += signature.length / 2 + 1) {
                var changed = flipped(signature, bit);
                assertRefused(CKR_SIGNATURE_INVALID, () -> c.verify(mechanism, key, data, changed));
              }
              assertRefused(
                  CKR_SIGNATURE_INVALID,
                  () -> c.verify(mechanism, key, flipped(data, 5), signature));
              for (int length : new int[] {0, signature.length - 1, signature.length + 1}) {
                assertRefused(
                    CKR_SIGNATURE_LEN_RANGE,
                    () -> c.verify(mechanism, key, data, Arrays.copyOf(signature, length)));
              }
            }));
  }

  private static List<Probe> transport(Mechanism mechanism, Material kek, Tampering tampering) {
    var template = Client.aesTemplate(32, CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY);
    return List.of(
        new Probe(
            WRAP,
            c ->
                assertSameKey(
                    Material.AES.keys().own(),
                    everything
                        .unwrap(
                            mechanism,
                            c.wrap(mechanism, Material.AES.keys().own(), kek.keys().other()),
                            kek.keys().own(),
                            template)
                        .blob()),
            c -> c.wrap(mechanism, Material.AES.keys().own(), kek.lacking(CKA_WRAP).other()),
            null),
        new Probe(
            UNWRAP,
            c -> {
              var key = everything.aes(32, flags(CKA_EXTRACTABLE));
              var unwrapped =
                  c.unwrap(
                      mechanism,
                      everything.wrap(mechanism, key.blob(), kek.keys().other()),
                      kek.keys().own(),
                      template);
              // Three bytes as at generation, then the length in bits.
              assertThat(unwrapped.checkSum())
                  .startsWith(key.checkSum())
                  .hasSize(7)
                  .endsWith(0, 0, 1, 0);
              assertSameKey(key.blob(), unwrapped.blob());
            },
            c ->
                c.unwrap(
                    mechanism,
                    everything.wrap(mechanism, Material.AES.keys().own(), kek.keys().other()),
                    kek.lacking(CKA_UNWRAP).own(),
                    template),
            c ->
                tampering.check(
                    CKR_WRAPPED_KEY_INVALID,
                    everything.wrap(mechanism, Material.AES.keys().own(), kek.keys().other()),
                    macUnder(Material.AES.keys().own()),
                    changed ->
                        macUnder(
                            c.unwrap(mechanism, changed, kek.keys().own(), template).blob()))));
  }

  private static List<Probe> boundTransport(Material kek) {
    var template = Client.aesTemplate(32);
    return List.of(
        new Probe(
            WRAP,
            c -> {
              var mac = Material.BOUND_MAC.keys().own();
              var key = Material.BOUND_KEY.keys().own();
              assertSameKey(
                  key,
                  everything
                      .unwrapBound(
                          c.wrapBound(key, kek.keys().other(), mac),
                          kek.keys().own(),
                          mac,
                          template)
                      .blob());
            },
            c ->
                c.wrapBound(
                    Material.BOUND_KEY.keys().own(),
                    kek.lacking(CKA_WRAP).other(),
                    Material.BOUND_MAC.keys().own()),
            null),
        new Probe(
            UNWRAP,
            c -> {
              var mac = Material.BOUND_MAC.keys().own();
              var key = Material.BOUND_KEY.keys().own();
              assertSameKey(
                  key,
                  c.unwrapBound(
                          everything.wrapBound(key, kek.keys().other(), mac),
                          kek.keys().own(),
                          mac,
                          template)
                      .blob());
            },
            c ->
                c.unwrapBound(
                    everything.wrapBound(
                        Material.BOUND_KEY.keys().own(),
                        kek.keys().other(),
                        Material.BOUND_MAC.keys().own()),
                    kek.lacking(CKA_UNWRAP).own(),
                    Material.BOUND_MAC.keys().own(),
                    template),
            c -> {
              var mac = Material.BOUND_MAC.keys().own();
              var wrapped =
                  everything.wrapBound(Material.BOUND_KEY.keys().own(), kek.keys().other(), mac);
              // Every byte: AttributeBoundTest.
              for (int bit = 3; bit < wrapped.length * 8; bit += 211) {
                var changed = flipped(wrapped, bit);
                assertRefused(
                    CKR_WRAPPED_KEY_INVALID,
                    () -> c.unwrapBound(changed, kek.keys().own(), mac, template));
              }
            }));
  }

  private static List<Probe> derivation(
      long mechanism, Material material, int length, Tampering tampering) {
    return derivation(peer -> Mechanism.of(mechanism, peer), material, length, tampering);
  }

  private static Function<byte[], Mechanism> byKdf(long mechanism, long kdf) {
    return peer -> new Mechanism(mechanism, new Ecdh1Derive(kdf, MESSAGE, peer));
  }

  /** Derivation with what the peer's public value makes a mechanism. */
  private static List<Probe> derivation(
      Function<byte[], Mechanism> mechanism, Material material, int length, Tampering tampering) {
    var template =
        flags(CKA_SIGN, CKA_VERIFY).toBuilder()
            .put(CKA_KEY_TYPE, Ckk.CKK_GENERIC_SECRET)
            .put(CKA_VALUE_LEN, length)
            .build();
    return List.of(
        new Probe(
            DERIVE,
            c -> {
              var one =
                  c.derive(
                      mechanism.apply(publicValue(material.peer().other())),
                      material.keys().own(),
                      template);
              var other =
                  everything.derive(
                      mechanism.apply(publicValue(material.keys().other())),
                      material.peer().own(),
                      template);
              assertThat(one.checkSum()).hasSize(3).isEqualTo(other.checkSum());
              assertThat(macUnder(one.blob())).isEqualTo(macUnder(other.blob()));
            },
            c ->
                c.derive(
                    mechanism.apply(publicValue(material.peer().other())),
                    material.lacking(CKA_DERIVE).own(),
                    template),
            c -> {
              var peer = publicValue(material.peer().other());
              var mac =
                  macUnder(c.derive(mechanism.apply(peer), material.keys().own(), template).blob());
              // At the low end, where a number stays below its prime.
              for (int bit = peer.length * 4; bit < peer.length * 4 + 16; bit += 5) {
                var changed = mechanism.apply(flipped(peer, bit));
                if (tampering == Tampering.REFUSED) {
                  assertRefused(
                      CKR_MECHANISM_PARAM_INVALID,
                      () -> c.derive(changed, material.keys().own(), template));
                } else {
                  assertThat(macUnder(c.derive(changed, material.keys().own(), template).blob()))
                      .isNotEqualTo(mac);
                }
              }
            }));
  }

  private static Expectation hashDerivation(long mechanism, int length) {
    var template = flags(CKA_SIGN, CKA_VERIFY);
    return row(
        mechanism,
        "DERIVE W",
        "DERIVE W",
        List.of(
            new Probe(
                DERIVE,
                c -> {
                  var base = Material.GENERIC.keys().own();
                  var derived = c.derive(Mechanism.of(mechanism), base, template);
                  assertThat(derived.attributes().ulong(CKA_VALUE_LEN)).hasValue(length);
                  assertThat(macUnder(derived.blob()))
                      .isNotEqualTo(macUnder(base))
                      .isEqualTo(
                          macUnder(
                              everything.derive(Mechanism.of(mechanism), base, template).blob()));
                },
                c ->
                    c.derive(
                        Mechanism.of(mechanism),
                        Material.GENERIC.lacking(CKA_DERIVE).own(),
                        template),
                c -> {
                  var base = Material.GENERIC.keys().own();
                  assertRefused(
                      CKR_MECHANISM_PARAM_INVALID,
                      () -> c.derive(Mechanism.of(mechanism, BLOCK), base, template));
                  assertRefused(
                      CKR_KEY_SIZE_RANGE,
                      () ->
                          c.derive(
                              Mechanism.of(mechanism),
                              base,
                              template.toBuilder().put(CKA_VALUE_LEN, length + 1).build()));
                })));
  }

  private static List<Probe> encryptedData(Material material) {
    var mechanism = Mechanism.of(CKM_DES3_ECB_ENCRYPT_DATA, BLOCKS);
    var template = flags(CKA_SIGN, CKA_VERIFY);
    return List.of(
        new Probe(
            DERIVE,
            c -> {
              var base = material.keys().own();
              var derived = c.derive(mechanism, base, template);
              assertThat(derived.attributes().ulong(CKA_VALUE_LEN)).hasValue(BLOCKS.length);
              assertThat(macUnder(derived.blob()))
                  .isEqualTo(macUnder(everything.derive(mechanism, base, template).blob()));
            },
            c -> c.derive(mechanism, material.lacking(CKA_DERIVE).own(), template),
            c -> {
              var base = material.keys().own();
              var mac = macUnder(c.derive(mechanism, base, template).blob());
              var changed = Mechanism.of(CKM_DES3_ECB_ENCRYPT_DATA, flipped(BLOCKS, 77));
              assertThat(macUnder(c.derive(changed, base, template).blob())).isNotEqualTo(mac);
              for (int length : new int[] {0, 7, 49}) {
                assertRefused(
                    CKR_MECHANISM_PARAM_INVALID,
                    () ->
                        c.derive(
                            Mechanism.of(CKM_DES3_ECB_ENCRYPT_DATA, new byte[length]),
                            base,
                            template));
              }
              assertRefused(
                  CKR_KEY_SIZE_RANGE,
                  () ->
                      c.derive(
                          mechanism,
                          base,
                          template.toBuilder().put(CKA_VALUE_LEN, BLOCKS.length + 8).build()));
            }));
  }

  private static List<Probe> keys(Function<Client, NewKey> generation, Mechanism use) {
    return List.of(
        new Probe(
            GENERATE,
            c -> {
              var key = generation.apply(c);
              assertThat(key.checkSum()).hasSize(3);
              assertThat(
                      everything.decrypt(
                          use, key.blob(), everything.encrypt(use, key.blob(), MESSAGE)))
                  .isEqualTo(MESSAGE);
              assertThat(generation.apply(c).checkSum()).isNotEqualTo(key.checkSum());
            },
            null,
            null));
  }

  private static List<Probe> genericKeys() {
    return List.of(
        new Probe(
            GENERATE,
            c -> {
              var key = c.generic(32, Template.empty());
              assertThat(key.checkSum()).hasSize(3);
              assertThat(macUnder(key.blob()))
                  .isNotEqualTo(macUnder(c.generic(32, Template.empty()).blob()));
            },
            null,
            null));
  }

  private static List<Probe> pairs(Function<Client, NewKeyPair> generation, Mechanism use) {
    return List.of(
        new Probe(
            GENERATE_KEY_PAIR,
            c -> {
              var pair = generation.apply(c);
              var signature = everything.sign(use, pair.privateKey().blob(), MESSAGE);
              everything.verify(use, pair.publicKey().blob(), MESSAGE, signature);
              assertRefused(
                  CKR_SIGNATURE_INVALID,
                  () ->
                      everything.verify(
                          use, generation.apply(c).publicKey().blob(), MESSAGE, signature));
            },
            null,
            null));
  }

  private static List<Probe> dhPairs() {
    return List.of(
        new Probe(
            GENERATE_KEY_PAIR,
            c -> {
              var pair =
                  c.inGroup(
                      CKM_DH_PKCS_KEY_PAIR_GEN,
                      oakleyGroup2(),
                      Template.empty(),
                      flags(CKA_DERIVE));
              var template = Client.aesTemplate(32);
              assertThat(
                      everything
                          .derive(
                              Mechanism.of(
                                  CKM_DH_PKCS_DERIVE, publicValue(Material.DH.keys().other())),
                              pair.privateKey().blob(),
                              template)
                          .checkSum())
                  .isEqualTo(
                      everything
                          .derive(
                              Mechanism.of(
                                  CKM_DH_PKCS_DERIVE, publicValue(pair.publicKey().blob())),
                              Material.DH.keys().own(),
                              template)
                          .checkSum());
            },
            null,
            null));
  }

  /** Real generation once; under the other configurations it gets as far as the prime's size. */
  private static List<Probe> parameters(long mechanism, long pairs) {
    return List.of(
        new Probe(
            GENERATE,
            c -> {
              assertRefused(
                  CKR_KEY_SIZE_RANGE,
                  () -> c.generate(mechanism, Template.builder().put(CKA_PRIME_BITS, 512).build()));
              var group = generated(mechanism);
              var pair = c.inGroup(pairs, group, Template.empty(), Template.empty());
              assertThat(pair.privateKey().attributes().bytes(CKA_IBM_STRUCT_PARAMS))
                  .contains(group);
            },
            null,
            null));
  }

  private static List<Probe> importOfPublicKeys() {
    return List.of(
        new Probe(
            UNWRAP,
            c -> {
              var mechanism = Mechanism.of(CKM_SHA256_RSA_PKCS);
              var spki = spkiOf(Material.RSA.keys().other());
              var imported = c.importPublic(spki, flags(CKA_VERIFY));
              everything.verify(
                  mechanism,
                  imported.blob(),
                  MESSAGE,
                  everything.sign(mechanism, Material.RSA.keys().own(), MESSAGE));
            },
            null,
            c -> {
              var spki = spkiOf(Material.RSA.keys().other());
              for (var changed :
                  List.of(
                      Arrays.copyOf(spki, spki.length - 1), Arrays.copyOf(spki, spki.length + 1))) {
                assertRefusedWithOneOf(
                    () -> c.importPublic(changed, flags(CKA_VERIFY)),
                    CKR_WRAPPED_KEY_INVALID,
                    CKR_IBM_BLOB_ERROR);
              }
            }));
  }

  private static Expectation digest(long mechanism, String mark, String jcaName) {
    return row(
        mechanism,
        "DIGEST " + mark,
        "DIGEST " + mark,
        List.of(
            new Probe(
                DIGEST,
                c -> {
                  for (int length : new int[] {1, 64, 129, 10_000}) {
                    var data = new byte[length];
                    Arrays.fill(data, (byte) length);
                    assertThat(c.digest(mechanism, data)).isEqualTo(jdkDigest(jcaName, data));
                  }
                },
                null,
                c -> assertRefused(CKR_DATA_LEN_RANGE, () -> c.digest(mechanism, new byte[0])))));
  }

  private static byte[] jdkDigest(String name, byte[] data) {
    try {
      return MessageDigest.getInstance(name).digest(data);
    } catch (java.security.NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }

  private static Expectation hmac(long mechanism, String served) {
    return row(mechanism, served, served, signer(mechanism, Material.GENERIC));
  }

  private static Expectation hashedPss(long mechanism, Hash hash) {
    return row(mechanism, SIGNS, SIGNS, signer(pss(mechanism, hash), Material.RSA, MESSAGE));
  }

  private static Expectation hashedDsa(long mechanism) {
    return row(mechanism, SIGNS_FRAMED, SIGNS_FRAMED, signer(mechanism, Material.DSA));
  }

  private static Expectation hashedEcdsa(long mechanism) {
    return row(mechanism, SIGNS_FRAMED, SIGNS_FRAMED, signer(mechanism, Material.EC));
  }

  @SafeVarargs
  private static Expectation row(
      long mechanism, String compatible, String strict, List<Probe>... ways) {
    var probes = new ArrayList<Probe>();
    for (var way : ways) {
      probes.addAll(way);
    }
    return new Expectation(mechanism, compatible, strict, probes);
  }

  private static Mechanism iv(long mechanism, int length) {
    return Mechanism.of(mechanism, Arrays.copyOf(BLOCK, length));
  }

  private static Mechanism oaep(Hash hash) {
    return new Mechanism(CKM_RSA_PKCS_OAEP, new RsaOaep(hash.mechanism(), hash.mgf(), new byte[0]));
  }

  private static Mechanism pss(long mechanism, Hash hash) {
    return new Mechanism(mechanism, new RsaPss(hash.mechanism(), hash.mgf(), hash.length()));
  }

  private static void assertSameKey(byte[] one, byte[] other) {
    assertThat(everything.decrypt(CBC_PAD, other, everything.encrypt(CBC_PAD, one, MESSAGE)))
        .isEqualTo(MESSAGE);
  }

  private static byte[] macUnder(byte[] secretKey) {
    return everything.sign(Mechanism.of(CKM_SHA256_HMAC), secretKey, MESSAGE);
  }

  private static byte[] spkiOf(byte[] publicBlob) {
    return everything
        .operations
        .attributes(everything.by, publicBlob, Set.of(CKA_PUBLIC_KEY_INFO))
        .bytes(CKA_PUBLIC_KEY_INFO)
        .orElseThrow();
  }

  /** The point, the coordinate or the integer inside a public key. */
  private static byte[] publicValue(byte[] publicBlob) {
    var info = SubjectPublicKeyInfo.getInstance(spkiOf(publicBlob));
    var raw = info.getPublicKeyData().getOctets();
    return raw[0] == 2 && info.getAlgorithm().getAlgorithm().getId().startsWith("1.2.840.113549")
        ? org.bouncycastle.util.BigIntegers.asUnsignedByteArray(
            ASN1Integer.getInstance(raw).getValue())
        : raw;
  }
}
