package dev.grep11.gateway.operation;

import static dev.grep11.gateway.operation.Client.assertRefused;
import static dev.grep11.gateway.operation.Client.flags;
import static dev.grep11.gateway.operation.Client.flipped;
import static dev.grep11.gateway.pkcs11.Cka.*;
import static dev.grep11.gateway.pkcs11.Ckm.*;
import static dev.grep11.gateway.pkcs11.Ckr.*;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Hash;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismParameters.AesCtr;
import dev.grep11.gateway.pkcs11.MechanismParameters.AesGcm;
import dev.grep11.gateway.pkcs11.MechanismParameters.Ecdh1Derive;
import dev.grep11.gateway.pkcs11.MechanismParameters.RsaOaep;
import dev.grep11.gateway.pkcs11.MechanismParameters.RsaPss;
import dev.grep11.gateway.pkcs11.NamedCurve;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.softhsm.SoftHsmExtension;
import java.math.BigInteger;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.Provider;
import java.security.PublicKey;
import java.security.Security;
import java.security.Signature;
import java.security.spec.AlgorithmParameterSpec;
import java.security.spec.DSAParameterSpec;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.MGF1ParameterSpec;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.PSSParameterSpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Stream;
import javax.crypto.Cipher;
import javax.crypto.KDF;
import javax.crypto.KeyAgreement;
import javax.crypto.Mac;
import javax.crypto.spec.DHParameterSpec;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.HKDFParameterSpec;
import javax.crypto.spec.IvParameterSpec;
import javax.crypto.spec.OAEPParameterSpec;
import javax.crypto.spec.PSource;
import javax.crypto.spec.SecretKeySpec;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.crypto.Digest;
import org.bouncycastle.crypto.agreement.DHStandardGroups;
import org.bouncycastle.crypto.generators.KDF2BytesGenerator;
import org.bouncycastle.crypto.params.KDFParameters;
import org.bouncycastle.crypto.util.DigestFactory;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.FieldSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What the operations make, the JDK and Bouncy Castle understand, and the reverse: none of it is
 * right only because both sides are ours.
 */
class IndependentLibrariesTest {
  @RegisterExtension static final SoftHsmExtension HSM = new SoftHsmExtension();

  private static final byte[] MESSAGE = "understood by everybody".getBytes(UTF_8);
  private static final byte[] BLOCKS = Arrays.copyOf(MESSAGE, 48);
  private static final byte[] IV = "0123456789abcdef".getBytes(UTF_8);
  private static final Provider BC = new BouncyCastleProvider();
  private static final Map<String, KeyPair> OUTSIDE = new ConcurrentHashMap<>();

  private static Core core;
  private static Client client;

  @BeforeAll
  static void open() {
    core = Core.on(HSM.token());
    client = new Client(core.operations(Policy.COMPATIBLE, true), Core.A);
  }

  @AfterAll
  static void close() {
    core.close();
  }

  private static Provider jdk(String name) {
    return Security.getProvider(name);
  }

  // Signatures

  /**
   * @param signature name in the provider
   * @param key what {@link #outside} makes
   */
  record SignatureRow(
      Mechanism mechanism,
      String signature,
      Provider provider,
      List<AlgorithmParameterSpec> parameters,
      String key,
      long keyType) {
    @Override
    public String toString() {
      return mechanism.name() + " " + key + " by " + provider.getName();
    }
  }

  static Stream<SignatureRow> signatures() {
    var rows = new ArrayList<SignatureRow>();
    long[] pkcs = {
      CKM_SHA1_RSA_PKCS,
      CKM_SHA224_RSA_PKCS,
      CKM_SHA256_RSA_PKCS,
      CKM_SHA384_RSA_PKCS,
      CKM_SHA512_RSA_PKCS
    };
    long[] pss = {
      CKM_SHA1_RSA_PKCS_PSS,
      CKM_SHA224_RSA_PKCS_PSS,
      CKM_SHA256_RSA_PKCS_PSS,
      CKM_SHA384_RSA_PKCS_PSS,
      CKM_SHA512_RSA_PKCS_PSS
    };
    long[] ecdsa = {
      CKM_ECDSA_SHA1, CKM_ECDSA_SHA224, CKM_ECDSA_SHA256, CKM_ECDSA_SHA384, CKM_ECDSA_SHA512
    };
    Hash[] hashes = {Hash.SHA_1, Hash.SHA224, Hash.SHA256, Hash.SHA384, Hash.SHA512};
    for (int i = 0; i < hashes.length; i++) {
      var hash = hashes[i];
      var name = hash.jcaName().replace("-", "");
      rows.add(
          new SignatureRow(
              Mechanism.of(pkcs[i]),
              name + "withRSA",
              jdk("SunRsaSign"),
              List.of(),
              "RSA",
              Ckk.CKK_RSA));
      for (int salt : new int[] {0, 11, hash.length()}) {
        var parameters =
            new PSSParameterSpec(
                hash.jcaName(), "MGF1", new MGF1ParameterSpec(hash.jcaName()), salt, 1);
        rows.add(
            new SignatureRow(
                new Mechanism(pss[i], new RsaPss(hash.mechanism(), hash.mgf(), salt)),
                "RSASSA-PSS",
                jdk("SunRsaSign"),
                List.of(parameters),
                "RSA",
                Ckk.CKK_RSA));
      }
      rows.add(ecdsa(ecdsa[i], name, NamedCurve.P_256));
      rows.add(
          new SignatureRow(
              Mechanism.of(ecdsa[i]),
              name + "withECDSAinP1363Format",
              jdk("SunEC"),
              List.of(),
              "EC " + NamedCurve.P_521.oid(),
              Ckk.CKK_EC));
    }
    for (var curve : NamedCurve.values()) {
      if (curve.form() == NamedCurve.Form.WEIERSTRASS) {
        rows.add(ecdsa(CKM_ECDSA_SHA256, "SHA256", curve));
        rows.add(ecdsa(CKM_ECDSA_SHA512, "SHA512", curve));
      }
    }
    for (var curve : List.of("Ed25519", "Ed448")) {
      for (var provider : List.of(jdk("SunEC"), BC)) {
        rows.add(
            new SignatureRow(
                Mechanism.of(CKM_EDDSA), curve, provider, List.of(), curve, Ckk.CKK_EC));
      }
    }
    rows.add(
        new SignatureRow(
            Mechanism.of(CKM_IBM_ED25519_SHA512),
            "Ed25519",
            jdk("SunEC"),
            List.of(),
            "Ed25519",
            Ckk.CKK_EC));
    long[] dsa = {CKM_DSA_SHA1, CKM_DSA_SHA224, CKM_DSA_SHA256, CKM_DSA_SHA384, CKM_DSA_SHA512};
    for (int i = 0; i < hashes.length; i++) {
      rows.add(
          new SignatureRow(
              Mechanism.of(dsa[i]),
              hashes[i].jcaName().replace("-", "") + "withDSAinP1363Format",
              jdk("SUN"),
              List.of(),
              "DSA",
              Ckk.CKK_DSA));
    }
    return rows.stream();
  }

  private static SignatureRow ecdsa(long mechanism, String hash, NamedCurve curve) {
    return new SignatureRow(
        Mechanism.of(mechanism),
        hash + "withPLAIN-ECDSA",
        BC,
        List.of(),
        "EC " + curve.oid(),
        Ckk.CKK_EC);
  }

  /** A pair made by another library, once for each kind. */
  private static KeyPair outside(String key) {
    return OUTSIDE.computeIfAbsent(
        key,
        ignored -> {
          try {
            if (key.startsWith("EC ")) {
              var generator = KeyPairGenerator.getInstance("EC", BC);
              generator.initialize(new ECGenParameterSpec(key.substring(3)));
              return generator.generateKeyPair();
            }
            var generator = KeyPairGenerator.getInstance(key);
            switch (key) {
              case "RSA" -> generator.initialize(2048);
              case "DSA" -> generator.initialize(dsaGroup());
              case "DH" -> generator.initialize(dhGroup());
              default -> {}
            }
            return generator.generateKeyPair();
          } catch (GeneralSecurityException e) {
            throw new IllegalStateException(key, e);
          }
        });
  }

  /** The JDK's own parameters; it takes SHA-1 with p of 1024 bits and q of 160 only. */
  private static DSAParameterSpec dsaGroup() throws GeneralSecurityException {
    var generator = KeyPairGenerator.getInstance("DSA");
    generator.initialize(1024);
    var parameters =
        ((java.security.interfaces.DSAPublicKey) generator.generateKeyPair().getPublic())
            .getParams();
    return new DSAParameterSpec(parameters.getP(), parameters.getQ(), parameters.getG());
  }

  private static DHParameterSpec dhGroup() {
    var group = DHStandardGroups.rfc3526_2048;
    return new DHParameterSpec(group.getP(), group.getG());
  }

  private static boolean verifiesOutside(SignatureRow row, PublicKey key, byte[] signature)
      throws GeneralSecurityException {
    var verifier = Signature.getInstance(row.signature(), row.provider());
    for (var parameters : row.parameters()) {
      verifier.setParameter(parameters);
    }
    verifier.initVerify(key);
    verifier.update(MESSAGE);
    return verifier.verify(signature);
  }

  private static byte[] signedOutside(SignatureRow row, PrivateKey key)
      throws GeneralSecurityException {
    var signer = Signature.getInstance(row.signature(), row.provider());
    for (var parameters : row.parameters()) {
      signer.setParameter(parameters);
    }
    signer.initSign(key);
    signer.update(MESSAGE);
    return signer.sign();
  }

  /** Our SubjectPublicKeyInfo as another library reads it: Edwards and X keys in RFC 8410 form. */
  private static PublicKey publicKey(String key, Provider provider, byte[] spki)
      throws GeneralSecurityException {
    var name = key.startsWith("EC ") ? "EC" : key;
    if (List.of("Ed25519", "Ed448", "X25519", "X448").contains(key)) {
      var info = SubjectPublicKeyInfo.getInstance(spki);
      var curve = ASN1ObjectIdentifier.getInstance(info.getAlgorithm().getParameters());
      spki =
          der(
              new SubjectPublicKeyInfo(
                  new AlgorithmIdentifier(curve), info.getPublicKeyData().getOctets()));
    }
    return KeyFactory.getInstance(name, provider).generatePublic(new X509EncodedKeySpec(spki));
  }

  private static byte[] der(org.bouncycastle.asn1.ASN1Object object) {
    try {
      return object.getEncoded("DER");
    } catch (java.io.IOException e) {
      throw new IllegalStateException(e);
    }
  }

  private static NewKeyPair inside(String key) {
    var extractable = flags(CKA_EXTRACTABLE, CKA_DERIVE);
    if (key.startsWith("EC ")) {
      return client.ec(NamedCurve.ofOid(key.substring(3)), Template.empty(), extractable);
    }
    return switch (key) {
      case "RSA" -> client.rsa(2048, Template.empty(), extractable);
      case "DSA" -> {
        var parameters =
            ((java.security.interfaces.DSAPublicKey) outside("DSA").getPublic()).getParams();
        yield client.inGroup(
            CKM_DSA_KEY_PAIR_GEN,
            Client.group(parameters.getP(), parameters.getQ(), parameters.getG()),
            Template.empty(),
            extractable);
      }
      case "DH" ->
          client.inGroup(
              CKM_DH_PKCS_KEY_PAIR_GEN,
              Client.group(dhGroup().getP(), dhGroup().getG()),
              Template.empty(),
              extractable);
      case "Ed25519" -> client.ec(NamedCurve.ED25519, Template.empty(), extractable);
      case "Ed448" -> client.ec(NamedCurve.ED448, Template.empty(), extractable);
      case "X25519" -> client.ec(NamedCurve.X25519, Template.empty(), extractable);
      case "X448" -> client.ec(NamedCurve.X448, Template.empty(), extractable);
      default -> throw new IllegalArgumentException(key);
    };
  }

  @ParameterizedTest
  @MethodSource("signatures")
  void theirVerificationAcceptsOurSignature(SignatureRow row) throws GeneralSecurityException {
    var pair = inside(row.key());
    var signature = client.sign(row.mechanism(), pair.privateKey().blob(), MESSAGE);
    var key = publicKey(row.key(), row.provider(), Client.spki(pair));
    assertThat(verifiesOutside(row, key, signature)).isTrue();
  }

  @ParameterizedTest
  @MethodSource("signatures")
  void ourVerificationAcceptsTheirsByABareAndByAnImportedKey(SignatureRow row)
      throws GeneralSecurityException {
    var pair = outside(row.key());
    var privateKey = reread(row, pair.getPrivate());
    var signature = signedOutside(row, privateKey);
    var spki = pair.getPublic().getEncoded();
    client.verify(row.mechanism(), spki, MESSAGE, signature);
    var imported = client.importPublic(spki, flags(CKA_VERIFY)).blob();
    client.verify(row.mechanism(), imported, MESSAGE, signature);
    for (var key : List.of(spki, imported)) {
      assertRefused(
          CKR_SIGNATURE_INVALID,
          () -> client.verify(row.mechanism(), key, flipped(MESSAGE, 0), signature));
      assertRefused(
          CKR_SIGNATURE_INVALID,
          () ->
              client.verify(
                  row.mechanism(), key, MESSAGE, flipped(signature, signature.length * 8 - 13)));
    }
  }

  @ParameterizedTest
  @MethodSource("signatures")
  void anImportedPrivateKeySignsAsItDidOutside(SignatureRow row) throws GeneralSecurityException {
    var pair = outside(row.key());
    var imported = client.importPrivate(row.keyType(), pair.getPrivate(), flags(CKA_SIGN));
    var signature = client.sign(row.mechanism(), imported.blob(), MESSAGE);
    client.verify(row.mechanism(), pair.getPublic().getEncoded(), MESSAGE, signature);
    var key =
        KeyFactory.getInstance(factoryName(row.key()), row.provider())
            .generatePublic(new X509EncodedKeySpec(pair.getPublic().getEncoded()));
    assertThat(verifiesOutside(row, key, signature)).isTrue();
  }

  private static String factoryName(String key) {
    return key.startsWith("EC ") ? "EC" : key;
  }

  private static PrivateKey reread(SignatureRow row, PrivateKey key)
      throws GeneralSecurityException {
    return KeyFactory.getInstance(factoryName(row.key()), row.provider())
        .generatePrivate(new PKCS8EncodedKeySpec(key.getEncoded()));
  }

  /** The mechanisms that take what is to be signed itself. */
  @Test
  void rawSignaturesAreThoseOfTheHashedMechanismsOverTheHash() throws GeneralSecurityException {
    var digest = Hash.SHA256.newDigest().digest(MESSAGE);
    var prefix =
        new java.math.BigInteger("3031300d060960864801650304020105000420", 16).toByteArray();
    var rsa = outside("RSA");
    var imported = client.importPrivate(Ckk.CKK_RSA, rsa.getPrivate(), flags(CKA_SIGN)).blob();
    var pkcs = client.sign(Mechanism.of(CKM_RSA_PKCS), imported, Client.concat(prefix, digest));
    assertThat(pkcs).isEqualTo(client.sign(Mechanism.of(CKM_SHA256_RSA_PKCS), imported, MESSAGE));
    var pss =
        client.sign(
            new Mechanism(CKM_RSA_PKCS_PSS, new RsaPss(CKM_SHA256, Hash.SHA256.mgf(), 32)),
            imported,
            digest);
    var verifier = Signature.getInstance("RSASSA-PSS");
    verifier.setParameter(new PSSParameterSpec("SHA-256", "MGF1", MGF1ParameterSpec.SHA256, 32, 1));
    verifier.initVerify(rsa.getPublic());
    verifier.update(MESSAGE);
    assertThat(verifier.verify(pss)).isTrue();
    // CKM_ECDSA takes the leftmost bits of what is longer than the order (semantics 8.3).
    for (var curve : List.of(NamedCurve.P_256, NamedCurve.P_521, NamedCurve.BP_160R)) {
      var pair = client.ec(curve, Template.empty(), Template.empty());
      var key = publicKey("EC " + curve.oid(), BC, Client.spki(pair));
      for (int length : new int[] {1, 20, 28, 32, 64, 66, 100}) {
        var data = Arrays.copyOf(Client.concat(MESSAGE, digest, MESSAGE, MESSAGE), length);
        var signature = client.sign(Mechanism.of(CKM_ECDSA), pair.privateKey().blob(), data);
        var raw = Signature.getInstance("NONEwithECDSA", BC);
        raw.initVerify(key);
        raw.update(data);
        int half = signature.length / 2;
        var sequence =
            Client.group(
                new BigInteger(1, Arrays.copyOf(signature, half)),
                new BigInteger(1, Arrays.copyOfRange(signature, half, 2 * half)));
        assertThat(raw.verify(sequence)).as("%d bytes on %s", length, curve).isTrue();
        assertThat(signature).hasSize(2 * curve.length());
      }
    }
  }

  // Ciphers

  record CipherRow(
      Mechanism mechanism, String transformation, List<AlgorithmParameterSpec> parameters) {
    @Override
    public String toString() {
      return mechanism.name() + " as " + transformation;
    }
  }

  static final List<CipherRow> CIPHERS =
      List.of(
          new CipherRow(Mechanism.of(CKM_AES_ECB), "AES/ECB/NoPadding", List.of()),
          new CipherRow(
              Mechanism.of(CKM_AES_CBC, IV), "AES/CBC/NoPadding", List.of(new IvParameterSpec(IV))),
          new CipherRow(
              Mechanism.of(CKM_AES_CBC_PAD, IV),
              "AES/CBC/PKCS5Padding",
              List.of(new IvParameterSpec(IV))),
          new CipherRow(
              new Mechanism(CKM_AES_CTR, new AesCtr(128, IV)),
              "AES/CTR/NoPadding",
              List.of(new IvParameterSpec(IV))),
          new CipherRow(
              new Mechanism(CKM_AES_GCM, new AesGcm(Arrays.copyOf(IV, 12), new byte[0], 128)),
              "AES/GCM/NoPadding",
              List.of(new GCMParameterSpec(128, IV, 0, 12))),
          new CipherRow(
              new Mechanism(CKM_AES_GCM, new AesGcm(IV, new byte[0], 96)),
              "AES/GCM/NoPadding",
              List.of(new GCMParameterSpec(96, IV))),
          new CipherRow(Mechanism.of(CKM_DES3_ECB), "DESede/ECB/NoPadding", List.of()),
          new CipherRow(
              Mechanism.of(CKM_DES3_CBC, Arrays.copyOf(IV, 8)),
              "DESede/CBC/NoPadding",
              List.of(new IvParameterSpec(IV, 0, 8))),
          new CipherRow(
              Mechanism.of(CKM_DES3_CBC_PAD, Arrays.copyOf(IV, 8)),
              "DESede/CBC/PKCS5Padding",
              List.of(new IvParameterSpec(IV, 0, 8))));

  @ParameterizedTest
  @FieldSource("CIPHERS")
  void encryptsAndDecryptsLikeTheJdkUnderTheSameKey(CipherRow row) throws GeneralSecurityException {
    boolean des = row.transformation().startsWith("DESede");
    for (int length : des ? new int[] {24} : new int[] {16, 24, 32}) {
      var value = desParity(core.hsm.session().random(length), des);
      var key =
          client
              .importSecret(
                  des ? Ckk.CKK_DES3 : Ckk.CKK_AES, value, flags(CKA_ENCRYPT, CKA_DECRYPT))
              .blob();
      for (int size :
          row.transformation().endsWith("NoPadding") && !stream(row)
              ? new int[] {16, 48, 8192}
              : new int[] {1, 15, 16, 17, 48, 8191}) {
        var plain = core.hsm.session().random(size);
        var cipher = Cipher.getInstance(row.transformation());
        var jdkKey = new SecretKeySpec(value, des ? "DESede" : "AES");
        init(cipher, Cipher.ENCRYPT_MODE, jdkKey, row);
        var expected = cipher.doFinal(plain);
        assertThat(client.encrypt(row.mechanism(), key, plain)).isEqualTo(expected);
        assertThat(client.decrypt(row.mechanism(), key, expected)).isEqualTo(plain);
      }
    }
  }

  private static boolean stream(CipherRow row) {
    return row.transformation().contains("CTR") || row.transformation().contains("GCM");
  }

  private static byte[] desParity(byte[] value, boolean des) {
    if (des) {
      for (int i = 0; i < value.length; i++) {
        int seven = value[i] & 0xfe;
        value[i] = (byte) (seven | ((Integer.bitCount(seven) + 1) & 1));
      }
    }
    return value;
  }

  private static void init(Cipher cipher, int mode, java.security.Key key, CipherRow row)
      throws GeneralSecurityException {
    if (row.parameters().isEmpty()) {
      cipher.init(mode, key);
    } else {
      cipher.init(mode, key, row.parameters().getFirst());
    }
  }

  @Test
  void authenticatesTheAadOfGcmAndPrefixesTheIvItDraws() throws GeneralSecurityException {
    var value = core.hsm.session().random(32);
    var key = client.importSecret(Ckk.CKK_AES, value, flags(CKA_ENCRYPT, CKA_DECRYPT)).blob();
    var mechanism = new Mechanism(CKM_AES_GCM, new AesGcm(new byte[0], MESSAGE, 128));
    var ciphered = client.encrypt(mechanism, key, BLOCKS);
    assertThat(ciphered).hasSize(12 + BLOCKS.length + 16);
    var cipher = Cipher.getInstance("AES/GCM/NoPadding");
    cipher.init(
        Cipher.DECRYPT_MODE,
        new SecretKeySpec(value, "AES"),
        new GCMParameterSpec(128, ciphered, 0, 12));
    cipher.updateAAD(MESSAGE);
    assertThat(cipher.doFinal(ciphered, 12, ciphered.length - 12)).isEqualTo(BLOCKS);
    var otherAad = new Mechanism(CKM_AES_GCM, new AesGcm(new byte[0], BLOCKS, 128));
    assertRefused(CKR_ENCRYPTED_DATA_INVALID, () -> client.decrypt(otherAad, key, ciphered));
    assertThat(Arrays.copyOf(client.encrypt(mechanism, key, BLOCKS), 12))
        .isNotEqualTo(Arrays.copyOf(ciphered, 12));
  }

  record OaepRow(Hash hash, Hash mask, byte[] label) {
    @Override
    public String toString() {
      return hash + ", MGF1 " + mask + ", label of " + label.length;
    }
  }

  static Stream<OaepRow> oaeps() {
    var rows = new ArrayList<OaepRow>();
    for (var hash :
        List.of(Hash.SHA_1, Hash.SHA224, Hash.SHA256, Hash.SHA384, Hash.SHA512, Hash.SHA3_256)) {
      for (var mask : List.of(Hash.SHA_1, Hash.SHA256, Hash.SHA512, Hash.SHA3_512)) {
        for (var label : List.of(new byte[0], new byte[] {1}, new byte[300])) {
          rows.add(new OaepRow(hash, mask, label));
        }
      }
    }
    return rows.stream();
  }

  @ParameterizedTest
  @MethodSource("oaeps")
  void exchangesOaepInBothDirections(OaepRow row) throws GeneralSecurityException {
    var pair = outside("RSA");
    var mechanism =
        new Mechanism(
            CKM_RSA_PKCS_OAEP, new RsaOaep(row.hash().mechanism(), row.mask().mgf(), row.label()));
    var parameters =
        new OAEPParameterSpec(
            row.hash().jcaName(),
            "MGF1",
            new MGF1ParameterSpec(row.mask().jcaName()),
            new PSource.PSpecified(row.label()));
    exchange(
        mechanism,
        "RSA/NONE/OAEPPadding",
        List.of(parameters),
        pair,
        256 - 2 - 2 * row.hash().length());
  }

  @Test
  void exchangesPkcs1InBothDirections() throws GeneralSecurityException {
    exchange(
        Mechanism.of(CKM_RSA_PKCS), "RSA/NONE/PKCS1Padding", List.of(), outside("RSA"), 256 - 11);
  }

  private static void exchange(
      Mechanism mechanism,
      String transformation,
      List<AlgorithmParameterSpec> parameters,
      KeyPair pair,
      int limit)
      throws GeneralSecurityException {
    var row = new CipherRow(mechanism, transformation, parameters);
    var imported = client.importPrivate(Ckk.CKK_RSA, pair.getPrivate(), flags(CKA_DECRYPT)).blob();
    var publicKey = client.importPublic(pair.getPublic().getEncoded(), flags(CKA_ENCRYPT)).blob();
    for (int size : new int[] {0, 1, limit}) {
      var plain = size == 0 ? new byte[0] : core.hsm.session().random(size);
      var cipher = Cipher.getInstance(transformation, BC);
      init(cipher, Cipher.ENCRYPT_MODE, pair.getPublic(), row);
      assertThat(client.decrypt(mechanism, imported, cipher.doFinal(plain))).isEqualTo(plain);
      init(cipher, Cipher.DECRYPT_MODE, pair.getPrivate(), row);
      assertThat(cipher.doFinal(client.encrypt(mechanism, publicKey, plain))).isEqualTo(plain);
    }
    assertRefused(
        CKR_DATA_LEN_RANGE, () -> client.encrypt(mechanism, publicKey, new byte[limit + 1]));
  }

  // MACs

  static Stream<List<Object>> hmacs() {
    return Stream.of(
        List.of(CKM_SHA_1_HMAC, "HmacSHA1"),
        List.of(CKM_SHA224_HMAC, "HmacSHA224"),
        List.of(CKM_SHA256_HMAC, "HmacSHA256"),
        List.of(CKM_SHA384_HMAC, "HmacSHA384"),
        List.of(CKM_SHA512_HMAC, "HmacSHA512"),
        List.of(CKM_SHA512_224_HMAC, "HmacSHA512/224"),
        List.of(CKM_IBM_SHA512_224_HMAC, "HmacSHA512/224"),
        List.of(CKM_SHA512_256_HMAC, "HmacSHA512/256"),
        List.of(CKM_IBM_SHA512_256_HMAC, "HmacSHA512/256"),
        List.of(CKM_IBM_SHA3_224_HMAC, "HmacSHA3-224"),
        List.of(CKM_IBM_SHA3_256_HMAC, "HmacSHA3-256"),
        List.of(CKM_IBM_SHA3_384_HMAC, "HmacSHA3-384"),
        List.of(CKM_IBM_SHA3_512_HMAC, "HmacSHA3-512"));
  }

  @ParameterizedTest
  @MethodSource("hmacs")
  void makesTheHmacOfTheJdkWithKeysOfEveryTypeAndLength(List<Object> row)
      throws GeneralSecurityException {
    var mechanism = Mechanism.of((Long) row.getFirst());
    var name = (String) row.getLast();
    for (int length : new int[] {8, 16, 20, 24, 32, 63, 64, 65, 104, 128, 129, 200, 256}) {
      requireHmac(mechanism, name, Ckk.CKK_GENERIC_SECRET, core.hsm.session().random(length));
    }
    requireHmac(mechanism, name, Ckk.CKK_AES, core.hsm.session().random(16));
    requireHmac(mechanism, name, Ckk.CKK_AES, core.hsm.session().random(32));
    requireHmac(mechanism, name, Ckk.CKK_DES3, desParity(core.hsm.session().random(24), true));
  }

  private static void requireHmac(Mechanism mechanism, String name, long keyType, byte[] value)
      throws GeneralSecurityException {
    var key = client.importSecret(keyType, value, flags(CKA_SIGN, CKA_VERIFY)).blob();
    for (int size : new int[] {0, 1, 200}) {
      var data = new byte[size];
      var mac = Mac.getInstance(name);
      mac.init(new SecretKeySpec(value, name));
      var expected = mac.doFinal(data);
      assertThat(client.sign(mechanism, key, data))
          .as("%s with %d bytes of key over %d bytes", name, value.length, size)
          .isEqualTo(expected);
      client.verify(mechanism, key, data, expected);
    }
  }

  @Test
  void makesTheCmacOfBouncyCastle() throws GeneralSecurityException {
    for (int length : new int[] {16, 24, 32}) {
      requireCmac(CKM_AES_CMAC, "AESCMAC", Ckk.CKK_AES, core.hsm.session().random(length));
      requireCmac(CKM_IBM_CMAC, "AESCMAC", Ckk.CKK_AES, core.hsm.session().random(length));
    }
    var des = desParity(core.hsm.session().random(24), true);
    requireCmac(CKM_DES3_CMAC, "DESEDECMAC", Ckk.CKK_DES3, des);
    requireCmac(CKM_IBM_CMAC, "DESEDECMAC", Ckk.CKK_DES3, des);
    var two = Arrays.copyOf(des, 16);
    requireCmac(CKM_DES3_CMAC, "DESEDECMAC", Ckk.CKK_DES2, two);
  }

  private static void requireCmac(long mechanism, String name, long keyType, byte[] value)
      throws GeneralSecurityException {
    var key = client.importSecret(keyType, value, flags(CKA_SIGN)).blob();
    for (int size : new int[] {0, 1, 8, 16, 40, 1000}) {
      var data = new byte[size];
      var mac = Mac.getInstance(name, BC);
      mac.init(new SecretKeySpec(value, name));
      assertThat(client.sign(Mechanism.of(mechanism), key, data))
          .as("%s over %d bytes", name, size)
          .isEqualTo(mac.doFinal(data));
    }
  }

  // Transport

  @Test
  void wrapsAndUnwrapsLikeTheJdk() throws GeneralSecurityException {
    for (int kekLength : new int[] {16, 24, 32}) {
      var kekValue = core.hsm.session().random(kekLength);
      var kek = client.importSecret(Ckk.CKK_AES, kekValue, flags(CKA_WRAP, CKA_UNWRAP)).blob();
      for (int length : new int[] {8, 13, 16, 20, 24, 31, 32, 64, 255}) {
        for (var row :
            Map.of(CKM_AES_KEY_WRAP, "AES/KW/NoPadding", CKM_AES_KEY_WRAP_PAD, "AES/KWP/NoPadding")
                .entrySet()) {
          boolean padded = row.getKey() == CKM_AES_KEY_WRAP_PAD;
          if (!padded && (length % 8 != 0 || length < 16)) {
            continue;
          }
          boolean wrapped8 = length % 8 == 0;
          var value = core.hsm.session().random(length);
          var template = flags(CKA_EXTRACTABLE, CKA_SIGN);
          var imported = client.importSecret(Ckk.CKK_GENERIC_SECRET, value, template);
          var key = imported.blob();
          var cipher = Cipher.getInstance(row.getValue());
          var jdkKek = new SecretKeySpec(kekValue, "AES");
          cipher.init(Cipher.ENCRYPT_MODE, jdkKek);
          var wrapped = cipher.doFinal(value);
          if (wrapped8) {
            assertThat(client.wrap(Mechanism.of(row.getKey()), key, kek))
                .as("%d bytes by %s", length, row.getValue())
                .isEqualTo(wrapped);
          } else {
            // SoftHSM 2.6.1 would append zeros and say nothing.
            assertRefused(
                CKR_KEY_SIZE_RANGE, () -> client.wrap(Mechanism.of(row.getKey()), key, kek));
          }
          var back = unwrapStated(Mechanism.of(row.getKey()), wrapped, kek, template, length);
          assertThat(back.attributes().ulong(CKA_VALUE_LEN)).hasValue(length);
          assertThat(back.checkSum()).isEqualTo(imported.checkSum()).hasSize(7);
          assertThat(client.export(back.blob())).isEqualTo(value);
        }
      }
    }
  }

  /** 20 bytes are no AES key, whatever zeros would make of them. */
  @Test
  void aWrappedKeyOfAnotherLengthIsNoAesKey() throws GeneralSecurityException {
    var kekValue = core.hsm.session().random(32);
    var kek = client.importSecret(Ckk.CKK_AES, kekValue, flags(CKA_UNWRAP)).blob();
    var cipher = Cipher.getInstance("AES/KWP/NoPadding");
    for (boolean fallback : new boolean[] {true, false}) {
      var own = client.under(core.operations(Policy.COMPATIBLE, fallback));
      for (int length : new int[] {8, 12, 15, 17, 20, 23, 25, 31, 33, 40}) {
        cipher.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(kekValue, "AES"));
        var wrapped = cipher.doFinal(new byte[length]);
        Client.assertRefusedWithOneOf(
            () ->
                own.unwrap(
                    Mechanism.of(CKM_AES_KEY_WRAP_PAD),
                    wrapped,
                    kek,
                    Template.builder().put(CKA_KEY_TYPE, Ckk.CKK_AES).build()),
            CKR_WRAPPED_KEY_INVALID,
            CKR_KEY_SIZE_RANGE);
      }
    }
  }

  private static NewKey unwrapStated(
      Mechanism mechanism, byte[] wrapped, byte[] kek, Template template, int length) {
    try {
      return client.unwrap(
          mechanism,
          wrapped,
          kek,
          template.toBuilder()
              .put(CKA_KEY_TYPE, Ckk.CKK_GENERIC_SECRET)
              .put(CKA_VALUE_LEN, length)
              .build());
    } catch (dev.grep11.gateway.pkcs11.Pkcs11Exception e) {
      throw new AssertionError(mechanism + " of " + length + " bytes", e);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"RSA", "DSA", "DH", "Ed25519", "Ed448", "X25519", "X448"})
  void exportsPrivateKeysThatTheJdkReadsAndUses(String kind) throws GeneralSecurityException {
    requireReadable(kind, kind, null);
  }

  @ParameterizedTest
  @EnumSource(NamedCurve.class)
  void exportsEcKeysThatBouncyCastleReadsAndUses(NamedCurve curve) throws GeneralSecurityException {
    if (curve.form() == NamedCurve.Form.WEIERSTRASS) {
      requireReadable("EC " + curve.oid(), "EC", BC);
    }
  }

  @ParameterizedTest
  @EnumSource(
      value = NamedCurve.class,
      names = {"P_256", "P_384", "P_521"})
  void exportsEcKeysThatTheJdkReadsAndUses(NamedCurve curve) throws GeneralSecurityException {
    requireReadable("EC " + curve.oid(), "EC", jdk("SunEC"));
  }

  private static void requireReadable(
      String kind, String factory, @org.jspecify.annotations.Nullable Provider provider)
      throws GeneralSecurityException {
    var pair = inside(kind);
    var pkcs8 = new PKCS8EncodedKeySpec(client.export(pair.privateKey().blob()));
    var factories =
        provider == null
            ? KeyFactory.getInstance(factory)
            : KeyFactory.getInstance(factory, provider);
    var key = factories.generatePrivate(pkcs8);
    switch (kind) {
      case "DH", "X25519", "X448" -> {
        var peer = outside(kind);
        long mechanism =
            switch (kind) {
              case "DH" -> CKM_DH_PKCS_DERIVE;
              case "X25519" -> CKM_IBM_EC_X25519;
              default -> CKM_IBM_EC_X448;
            };
        var agreement = KeyAgreement.getInstance(kind);
        agreement.init(key);
        agreement.doPhase(peer.getPublic(), true);
        assertThat(shared(mechanism, pair, peer.getPublic(), 32))
            .isEqualTo(trailing(agreement.generateSecret(), 32));
      }
      case "Ed25519", "Ed448" -> {
        var signer = Signature.getInstance(kind);
        signer.initSign(key);
        signer.update(MESSAGE);
        client.verify(Mechanism.of(CKM_EDDSA), pair.publicKey().blob(), MESSAGE, signer.sign());
      }
      case "RSA", "DSA" -> {
        var signer =
            Signature.getInstance(
                kind.equals("RSA") ? "SHA256withRSA" : "SHA1withDSAinP1363Format");
        signer.initSign(key);
        signer.update(MESSAGE);
        client.verify(
            Mechanism.of(kind.equals("RSA") ? CKM_SHA256_RSA_PKCS : CKM_DSA_SHA1),
            pair.publicKey().blob(),
            MESSAGE,
            signer.sign());
      }
      default -> {
        boolean bc = BC.equals(provider);
        var signer =
            Signature.getInstance(
                bc ? "SHA256withPLAIN-ECDSA" : "SHA256withECDSAinP1363Format", provider);
        signer.initSign(key);
        signer.update(MESSAGE);
        client.verify(
            Mechanism.of(CKM_ECDSA_SHA256), pair.publicKey().blob(), MESSAGE, signer.sign());
      }
    }
  }

  /** docs/key-blob.md, read by the letter: what another program needs to open such a payload. */
  @Test
  void opensAnAttributeBoundKeyByWhatIsWrittenDown() throws GeneralSecurityException {
    var bound = flags(CKA_IBM_ATTRBOUND, CKA_EXTRACTABLE);
    // Longer than a block of SHA-256, and shorter.
    var macKeys = List.of(client.generic(65, bound), client.generic(16, bound));
    var rsa =
        client.rsa(
            2048,
            flags(CKA_IBM_ATTRBOUND, CKA_WRAP),
            flags(CKA_IBM_ATTRBOUND, CKA_UNWRAP, CKA_EXTRACTABLE));
    var aes = client.aes(32, flags(CKA_IBM_ATTRBOUND, CKA_EXTRACTABLE, CKA_WRAP, CKA_UNWRAP));
    var key = client.aes(24, bound);
    for (boolean byRsa : new boolean[] {true, false}) {
      var kek = byRsa ? rsa.publicKey() : aes;
      var macKey = macKeys.get(byRsa ? 0 : 1);
      var wrapped = client.wrapBound(key.blob(), kek.blob(), macKey.blob());
      var in = java.nio.ByteBuffer.wrap(wrapped);
      assertThat(take(in, 4)).isEqualTo("G11B".getBytes(UTF_8));
      assertThat(take(in, 4)).containsExactly(1, byRsa ? 1 : 2, 0, 0);
      var attributes = take(in, in.getShort());
      var wrappedDataKey = take(in, in.getShort());
      var ciphered = take(in, in.getShort());
      var mac = Mac.getInstance("HmacSHA256");
      mac.init(
          KDF.getInstance("HKDF-SHA256")
              .deriveKey(
                  "HmacSHA256",
                  HKDFParameterSpec.ofExtract()
                      .addSalt("grep11-gateway attribute-bound wrap 1".getBytes(UTF_8))
                      .addIKM(value(macKey))
                      .thenExpand(new byte[0], 32)));
      mac.update("grep11-gateway attribute-bound key 1\0".getBytes(UTF_8));
      mac.update(wrapped, 0, in.position());
      assertThat(take(in, 32)).isEqualTo(mac.doFinal());
      assertThat(in.hasRemaining()).isFalse();

      byte[] dataKey;
      if (byRsa) {
        var cipher = Cipher.getInstance("RSA/ECB/OAEPWithSHA-1AndMGF1Padding");
        cipher.init(
            Cipher.DECRYPT_MODE,
            KeyFactory.getInstance("RSA")
                .generatePrivate(new PKCS8EncodedKeySpec(value(rsa.privateKey()))));
        dataKey = cipher.doFinal(wrappedDataKey);
      } else {
        var cipher = Cipher.getInstance("AES/KWP/NoPadding");
        cipher.init(Cipher.DECRYPT_MODE, new SecretKeySpec(value(aes), "AES"));
        dataKey = cipher.doFinal(wrappedDataKey);
      }
      var gcm = Cipher.getInstance("AES/GCM/NoPadding");
      gcm.init(
          Cipher.DECRYPT_MODE,
          new SecretKeySpec(dataKey, "AES"),
          new GCMParameterSpec(128, new byte[12]));
      assertThat(dataKey).hasSize(32);
      assertThat(gcm.doFinal(ciphered)).hasSize(24).isEqualTo(value(key));
      // CKA_IBM_ATTRBOUND, true, among the attributes.
      assertThat(java.util.HexFormat.of().formatHex(attributes)).contains("000000008001000401");
    }
  }

  private static byte[] take(java.nio.ByteBuffer in, int length) {
    var bytes = new byte[length];
    in.get(bytes);
    return bytes;
  }

  /** The value of a key that no mechanism gives out. */
  private static byte[] value(NewKey key) {
    return AttributeBoundTest.value(core, key.blob());
  }

  // Agreement

  private static byte[] trailing(byte[] bytes, int length) {
    return Arrays.copyOfRange(bytes, bytes.length - length, bytes.length);
  }

  /** The shared secret as an extractable key of so many bytes, exported. */
  private static byte[] shared(long mechanism, NewKeyPair own, PublicKey peer, int length) {
    return shared(Mechanism.of(mechanism, publicValue(peer)), own, length);
  }

  private static byte[] shared(Mechanism mechanism, NewKeyPair own, int length) {
    var key =
        client.derive(
            mechanism,
            own.privateKey().blob(),
            flags(CKA_EXTRACTABLE).toBuilder()
                .put(CKA_KEY_TYPE, Ckk.CKK_GENERIC_SECRET)
                .put(CKA_VALUE_LEN, length)
                .build());
    return client.export(key.blob());
  }

  private static byte[] publicValue(PublicKey key) {
    if (key instanceof javax.crypto.interfaces.DHPublicKey dh) {
      return org.bouncycastle.util.BigIntegers.asUnsignedByteArray(dh.getY());
    }
    return SubjectPublicKeyInfo.getInstance(key.getEncoded()).getPublicKeyData().getOctets();
  }

  @ParameterizedTest
  @EnumSource(NamedCurve.class)
  void agreesOnTheSecretOfBouncyCastleOnEveryCurve(NamedCurve curve)
      throws GeneralSecurityException {
    if (curve.form() == NamedCurve.Form.EDWARDS) {
      return;
    }
    boolean montgomery = curve.form() == NamedCurve.Form.MONTGOMERY;
    var name = montgomery ? curve.name() : "EC " + curve.oid();
    long mechanism = agreementOn(curve);
    var own = inside(name);
    // Several peers, because a leading zero is one in 256.
    for (int i = 0; i < 3; i++) {
      OUTSIDE.remove(name);
      var peer = outside(name);
      var agreement =
          montgomery ? KeyAgreement.getInstance(name) : KeyAgreement.getInstance("ECDH", BC);
      agreement.init(peer.getPrivate());
      agreement.doPhase(publicKey(name, montgomery ? jdk("SunEC") : BC, Client.spki(own)), true);
      var secret = agreement.generateSecret();
      assertThat(secret).hasSize(curve.length());
      assertThat(shared(mechanism, own, peer.getPublic(), curve.length())).isEqualTo(secret);
      assertThat(shared(mechanism, own, peer.getPublic(), 16)).isEqualTo(trailing(secret, 16));
      if (!montgomery) {
        assertThat(shared(CKM_IBM_ECDH1_DERIVE_RAW, own, peer.getPublic(), 0)).isEqualTo(secret);
      }
    }
  }

  private static long agreementOn(NamedCurve curve) {
    return switch (curve) {
      case X25519 -> CKM_IBM_EC_X25519;
      case X448 -> CKM_IBM_EC_X448;
      default -> CKM_ECDH1_DERIVE;
    };
  }

  /** Such a point, 04 and then the length of the rest, is one in 256. */
  @ParameterizedTest
  @EnumSource(
      value = NamedCurve.class,
      names = {"P_192", "P_256", "BP_160R", "BP_224T", "BP_320R"})
  void agreesWithAPeerWhosePointReadsAsAnOctetString(NamedCurve curve)
      throws GeneralSecurityException {
    var parameters =
        org.bouncycastle.asn1.x9.ECNamedCurveTable.getByOID(new ASN1ObjectIdentifier(curve.oid()));
    var scalar = BigInteger.TWO;
    var point = parameters.getG();
    byte[] encoded;
    do {
      scalar = scalar.add(BigInteger.ONE);
      point = parameters.getG().multiply(scalar).normalize();
      encoded = point.getEncoded(false);
    } while (encoded[1] != encoded.length - 2);
    var own = inside("EC " + curve.oid());
    var ownPoint =
        parameters
            .getCurve()
            .decodePoint(
                SubjectPublicKeyInfo.getInstance(Client.spki(own)).getPublicKeyData().getOctets());
    var secret = ownPoint.multiply(scalar).normalize().getAffineXCoord().getEncoded();
    assertThat(shared(Mechanism.of(CKM_ECDH1_DERIVE, encoded), own, curve.length()))
        .isEqualTo(secret);
  }

  @Test
  void agreesOnTheSecretOfTheJdkOverAPrime() throws GeneralSecurityException {
    var own = inside("DH");
    var peer = outside("DH");
    var agreement = KeyAgreement.getInstance("DH");
    agreement.init(peer.getPrivate());
    agreement.doPhase(
        KeyFactory.getInstance("DH").generatePublic(new X509EncodedKeySpec(Client.spki(own))),
        true);
    var secret = agreement.generateSecret();
    assertThat(secret).hasSize(256);
    assertThat(shared(CKM_DH_PKCS_DERIVE, own, peer.getPublic(), 256)).isEqualTo(secret);
    assertThat(shared(CKM_IBM_DH_PKCS_DERIVE_RAW, own, peer.getPublic(), 0)).isEqualTo(secret);
    assertThat(shared(CKM_DH_PKCS_DERIVE, own, peer.getPublic(), 24))
        .isEqualTo(trailing(secret, 24));
  }

  /** By CBC_PAD, and on through the token's own key wrap. */
  @Test
  void anImportedKeyAgreesOverItsPrime() throws GeneralSecurityException {
    var outside = outside("DH");
    var imported =
        client.importPrivate(Ckk.CKK_DH, outside.getPrivate(), flags(CKA_DERIVE, CKA_EXTRACTABLE));
    var kek = client.aes(32, flags(CKA_WRAP, CKA_UNWRAP)).blob();
    var kwp = Mechanism.of(CKM_AES_KEY_WRAP_PAD);
    var again =
        client.unwrap(
            kwp,
            client.wrap(kwp, imported.blob(), kek),
            kek,
            flags(CKA_DERIVE).toBuilder().put(CKA_KEY_TYPE, Ckk.CKK_DH).build());
    var own = inside("DH");
    var template = Client.aesTemplate(32);
    var expected =
        client
            .derive(
                Mechanism.of(CKM_DH_PKCS_DERIVE, publicValue(outside.getPublic())),
                own.privateKey().blob(),
                template)
            .checkSum();
    var ownPublic =
        publicValue(
            KeyFactory.getInstance("DH").generatePublic(new X509EncodedKeySpec(Client.spki(own))));
    for (var key : List.of(imported, again)) {
      assertThat(
              client
                  .derive(Mechanism.of(CKM_DH_PKCS_DERIVE, ownPublic), key.blob(), template)
                  .checkSum())
          .isEqualTo(expected);
    }
  }

  /**
   * @param number CKD number
   */
  record KdfRow(long number, Digest digest, NamedCurve curve) {
    @Override
    public String toString() {
      return "X9.63 with " + digest.getAlgorithmName() + " on " + curve;
    }
  }

  static Stream<KdfRow> kdfs() {
    var digests =
        Map.of(
            2L, DigestFactory.createSHA1(),
            5L, DigestFactory.createSHA224(),
            6L, DigestFactory.createSHA256(),
            7L, DigestFactory.createSHA384(),
            8L, DigestFactory.createSHA512());
    // A coordinate of odd length and one that is no multiple of 8 among them.
    return Stream.of(
            NamedCurve.P_256,
            NamedCurve.P_521,
            NamedCurve.BP_160R,
            NamedCurve.X25519,
            NamedCurve.X448)
        .flatMap(curve ->
            digests.entrySet().stream()
                .map(digest -> new KdfRow(digest.getKey(), digest.getValue(), curve)));
  }

  /** ANSI X9.63 is ISO 18033's KDF2: the counter begins at 1 and follows the secret. */
  @ParameterizedTest
  @MethodSource("kdfs")
  void derivesByTheKdfOfBouncyCastle(KdfRow row) throws GeneralSecurityException {
    boolean montgomery = row.curve().form() == NamedCurve.Form.MONTGOMERY;
    var name = montgomery ? row.curve().name() : "EC " + row.curve().oid();
    var own = inside(name);
    var peer = outside(name);
    var agreement =
        montgomery ? KeyAgreement.getInstance(name) : KeyAgreement.getInstance("ECDH", BC);
    agreement.init(peer.getPrivate());
    agreement.doPhase(publicKey(name, montgomery ? jdk("SunEC") : BC, Client.spki(own)), true);
    var secret = agreement.generateSecret();
    for (var info : List.of(new byte[0], MESSAGE)) {
      for (int length : new int[] {8, 16, 32, 65, 256}) {
        var kdf = new KDF2BytesGenerator(row.digest());
        kdf.init(new KDFParameters(secret, info));
        var expected = new byte[length];
        kdf.generateBytes(expected, 0, length);
        var mechanism =
            new Mechanism(
                agreementOn(row.curve()),
                new Ecdh1Derive(row.number(), info, publicValue(peer.getPublic())));
        assertThat(shared(mechanism, own, length)).isEqualTo(expected);
      }
    }
  }

  static Stream<List<Object>> hashDerivations() {
    return Stream.of(
        List.of(CKM_SHA1_KEY_DERIVATION, Hash.SHA_1),
        List.of(CKM_SHA224_KEY_DERIVATION, Hash.SHA224),
        List.of(CKM_SHA256_KEY_DERIVATION, Hash.SHA256),
        List.of(CKM_SHA384_KEY_DERIVATION, Hash.SHA384),
        List.of(CKM_SHA512_KEY_DERIVATION, Hash.SHA512));
  }

  @ParameterizedTest
  @MethodSource("hashDerivations")
  void derivesTheLeadingBytesOfTheHashOfTheKey(List<Object> row) {
    var mechanism = Mechanism.of((Long) row.getFirst());
    var hash = (Hash) row.getLast();
    var template = flags(CKA_EXTRACTABLE);
    // SoftHSM's key wrap would append zeros to a key of 13 bytes, and they would be hashed.
    for (int length : new int[] {8, 13, 64, 200}) {
      var value = core.hsm.session().random(length);
      var expected = hash.newDigest().digest(value);
      var base = client.importSecret(Ckk.CKK_GENERIC_SECRET, value, flags(CKA_DERIVE)).blob();
      assertThat(client.export(client.derive(mechanism, base, template).blob()))
          .as("all of the hash of %d bytes", length)
          .isEqualTo(expected);
      for (int derived : new int[] {8, 19}) {
        var stated = template.toBuilder().put(CKA_VALUE_LEN, derived).build();
        assertThat(client.export(client.derive(mechanism, base, stated).blob()))
            .isEqualTo(Arrays.copyOf(expected, derived));
      }
    }
    var aes = core.hsm.session().random(32);
    var base = client.importSecret(Ckk.CKK_AES, aes, flags(CKA_DERIVE)).blob();
    var hashed = hash.newDigest().digest(aes);
    assertThat(
            client.export(
                client.derive(mechanism, base, Client.aesTemplate(16, CKA_EXTRACTABLE)).blob()))
        .isEqualTo(Arrays.copyOf(hashed, 16));
    var des = template.toBuilder().put(CKA_KEY_TYPE, Ckk.CKK_DES3).build();
    if (hashed.length < 24) {
      assertRefused(CKR_KEY_SIZE_RANGE, () -> client.derive(mechanism, base, des));
    } else {
      assertThat(client.export(client.derive(mechanism, base, des).blob()))
          .isEqualTo(desParity(Arrays.copyOf(hashed, 24), true));
    }
  }

  @Test
  void derivesTheLeadingBytesOfWhatTheJdkEncrypts() throws GeneralSecurityException {
    for (int length : new int[] {16, 24}) {
      var value = desParity(core.hsm.session().random(length), true);
      var base =
          client
              .importSecret(length == 16 ? Ckk.CKK_DES2 : Ckk.CKK_DES3, value, flags(CKA_DERIVE))
              .blob();
      var cipher = Cipher.getInstance("DESede/ECB/NoPadding");
      var jdkValue = Arrays.copyOf(value, 24);
      System.arraycopy(value, 0, jdkValue, 16, 8);
      cipher.init(
          Cipher.ENCRYPT_MODE, new SecretKeySpec(length == 16 ? jdkValue : value, "DESede"));
      var expected = cipher.doFinal(BLOCKS);
      var mechanism = Mechanism.of(CKM_DES3_ECB_ENCRYPT_DATA, BLOCKS);
      var template = flags(CKA_EXTRACTABLE);
      assertThat(client.export(client.derive(mechanism, base, template).blob()))
          .isEqualTo(expected);
      assertThat(
              client.export(
                  client
                      .derive(mechanism, base, template.toBuilder().put(CKA_VALUE_LEN, 13).build())
                      .blob()))
          .isEqualTo(Arrays.copyOf(expected, 13));
      assertThat(
              client.export(
                  client.derive(mechanism, base, Client.aesTemplate(32, CKA_EXTRACTABLE)).blob()))
          .isEqualTo(Arrays.copyOf(expected, 32));
      assertThat(
              client.export(
                  client
                      .derive(
                          mechanism,
                          base,
                          template.toBuilder().put(CKA_KEY_TYPE, Ckk.CKK_DES3).build())
                      .blob()))
          .isEqualTo(desParity(Arrays.copyOf(expected, 24), true));
    }
  }

  @Test
  void everyPublicIntegerIsTheOneOfThePublishedGroup() {
    var pair = inside("DH");
    var info = SubjectPublicKeyInfo.getInstance(Client.spki(pair));
    var group = org.bouncycastle.asn1.ASN1Sequence.getInstance(info.getAlgorithm().getParameters());
    assertThat(group).hasSize(2);
    assertThat(org.bouncycastle.asn1.ASN1Integer.getInstance(group.getObjectAt(0)).getValue())
        .isEqualTo(dhGroup().getP());
    assertThat(org.bouncycastle.asn1.ASN1Integer.getInstance(group.getObjectAt(1)).getValue())
        .isEqualTo(BigInteger.TWO);
  }
}
