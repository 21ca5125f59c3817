package dev.grep11.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import dev.grep11.proto.AttributeValue;
import dev.grep11.proto.ECDH1DeriveParm;
import dev.grep11.proto.RSAOAEPParm;
import dev.grep11.proto.RSAPSSParm;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.Signature;
import java.security.spec.ECGenParameterSpec;
import java.util.HexFormat;
import java.util.NoSuchElementException;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.asn1.sec.ECPrivateKey;
import org.bouncycastle.asn1.x9.X9ObjectIdentifiers;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Templates, mechanisms, blobs, signatures and PEM, without a gateway. */
class ValuesTest {

  @Test
  void putsEachAttributeIntoItsCanonicalArm() {
    var template = Templates.rsaPair(2048).publicKey();
    assertThat(template.toMap().get(0x121L))
        .isEqualTo(AttributeValue.newBuilder().setAttributeI(2048).build());
    assertThat(template.toMap().get(0x10aL))
        .isEqualTo(AttributeValue.newBuilder().setAttributeTF(true).build());
    assertThat(template.bytes(Cka.CKA_PUBLIC_EXPONENT)).containsExactly(1, 0, 1);
    assertThat(Template.empty().with(Cka.CKA_PUBLIC_EXPONENT, 0x80).bytes(0x122))
        .as("no sign byte")
        .containsExactly(0x80);
  }

  @Test
  void refusesAnAttributeInTheWrongForm() {
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Template.empty().with(Cka.CKA_SIGN, 1))
        .withMessage("attribute 0x108 is a flag, not a number");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Template.empty().with(Cka.CKA_VALUE_LEN, true));
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Template.empty().with(Cka.CKA_LABEL, false));
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Template.empty().with(Cka.CKA_VALUE_LEN, -1));
    assertThat(Template.empty().with(0x8fff0001L, true).flag(0x8fff0001L)).isTrue();
  }

  @Test
  void changesACopyOfATemplate() {
    var aes = Templates.aes(256);
    var extractable = aes.with(Cka.CKA_EXTRACTABLE, true);
    assertThat(aes.flag(Cka.CKA_EXTRACTABLE)).isFalse();
    assertThat(extractable.flag(Cka.CKA_EXTRACTABLE)).isTrue();
    assertThat(aes.number(Cka.CKA_VALUE_LEN)).isEqualTo(32);
    assertThat(aes.with(extractable)).isEqualTo(extractable);
  }

  @Test
  void hidesTheValuesOfATemplate() {
    assertThat(Template.empty().with(Cka.CKA_VALUE, "hidden").with(Cka.CKA_SIGN, true))
        .hasToString("Template[0x11, 0x108]");
    org.assertj.core.api.Assertions.assertThatExceptionOfType(NoSuchElementException.class)
        .isThrownBy(() -> Template.empty().flag(Cka.CKA_SIGN));
  }

  @Test
  void givesAKeyOnePurpose() {
    var aes = Templates.aes(128);
    assertThat(aes.flag(Cka.CKA_WRAP)).isFalse();
    assertThat(aes.flag(Cka.CKA_SIGN)).isFalse();
    assertThat(Templates.aesWrapping(256).flag(Cka.CKA_DECRYPT)).isFalse();
    assertThat(Templates.ecdhPair(Curve.P256).privateKey().flag(Cka.CKA_SIGN)).isFalse();
    assertThat(Templates.rsaPair(2048).privateKey().flag(Cka.CKA_DECRYPT)).isFalse();
    assertThat(Templates.rsaPair(2048).publicKey().flag(Cka.CKA_ENCRYPT)).isFalse();
    assertThatIllegalArgumentException().isThrownBy(() -> Templates.aes(100));
  }

  @ParameterizedTest
  @CsvSource({
    "P256, 1.2.840.10045.3.1.7",
    "P192, 1.2.840.10045.3.1.1",
    "P224, 1.3.132.0.33",
    "P384, 1.3.132.0.34",
    "P521, 1.3.132.0.35",
    "SECP256K1, 1.3.132.0.10",
    "BRAINPOOL_P256R1, 1.3.36.3.3.2.8.1.1.7",
    "BRAINPOOL_P384R1, 1.3.36.3.3.2.8.1.1.11",
    "BRAINPOOL_P512R1, 1.3.36.3.3.2.8.1.1.13",
    "X25519, 1.3.101.110",
    "X448, 1.3.101.111",
    "ED25519, 1.3.101.112",
    "ED448, 1.3.101.113"
  })
  void namesACurveByItsObjectIdentifier(Curve curve, String oid) throws Exception {
    assertThat(curve.parameters())
        .isEqualTo(new org.bouncycastle.asn1.ASN1ObjectIdentifier(oid).getEncoded());
  }

  @Test
  void buildsTheParametersOfRsa() {
    var pss = Mechanisms.rsaPss(Hash.SHA224, 20);
    assertThat(pss.getMechanism()).isEqualTo(0x47);
    assertThat(pss.getRSAPSSParameter())
        .isEqualTo(
            RSAPSSParm.newBuilder()
                .setHashMech(0x255)
                .setMgf(RSAPSSParm.Mask.CkgMgf1Sha224)
                .setSaltByteCount(20)
                .build());
    assertThat(Mechanisms.rsaPss(Hash.SHA512).getRSAPSSParameter().getSaltByteCount())
        .isEqualTo(64);
    assertThat(Mechanisms.sha256RsaPkcs().getMechanism()).isEqualTo(0x40);

    var oaep = Mechanisms.rsaOaep(Hash.SHA256, Hash.SHA1, new byte[] {7});
    assertThat(oaep.getMechanism()).isEqualTo(9);
    assertThat(oaep.getRSAOAEPParameter().getHashMech()).isEqualTo(0x250);
    assertThat(oaep.getRSAOAEPParameter().getMgf()).isEqualTo(RSAOAEPParm.Mask.CkgMgf1Sha1);
    assertThat(oaep.getRSAOAEPParameter().getEncodingParmType())
        .isEqualTo(RSAOAEPParm.ParmType.CkzDataSpecifiied);
    assertThat(Mechanisms.rsaOaep(Hash.SHA1).getRSAOAEPParameter().getEncodingParmType())
        .isEqualTo(RSAOAEPParm.ParmType.CkzNoDataSpecified);
  }

  @Test
  void buildsTheParametersOfKeyAgreementAndCiphers() {
    var plain = Mechanisms.ecdh1Derive(new byte[] {4}).getECDH1DeriveParameter();
    assertThat(plain.getKdf()).isEqualTo(ECDH1DeriveParm.KeyDerivationFunction.CkdNull);
    var hashed = Mechanisms.ecdh1Derive(Hash.SHA384, new byte[] {4}, new byte[] {9});
    assertThat(hashed.getECDH1DeriveParameter().getKdf())
        .isEqualTo(ECDH1DeriveParm.KeyDerivationFunction.CkdSha384Kdf);

    assertThat(Mechanisms.aesCbcPad(new byte[16]).getParameterB()).hasSize(16);
    assertThat(Mechanisms.aesCtr(new byte[16]).getAESCTRParameter().getCounterBits())
        .isEqualTo(128);
    assertThat(Mechanisms.aesGcm().getAESGCMParameter().getIv()).isEmpty();
    assertThatIllegalArgumentException().isThrownBy(() -> Mechanisms.aesCbc(new byte[8]));
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Mechanisms.aesGcm(new byte[8], new byte[0]));
  }

  @Test
  void copiesTheBytesOfABlobAndHidesThem() {
    byte[] bytes = {1, 2, 3};
    var key = new SecretKeyBlob(bytes);
    bytes[0] = 9;
    key.bytes()[1] = 9;
    assertThat(key.bytes()).containsExactly(1, 2, 3);
    assertThat(key).hasToString("SecretKeyBlob[3 bytes]");
    assertThat(key).isEqualTo(new SecretKeyBlob(new byte[] {1, 2, 3}));
    assertThat((KeyBlob) key).isNotEqualTo(new PrivateKeyBlob(new byte[] {1, 2, 3}));
    assertThatIllegalArgumentException().isThrownBy(() -> new PublicKeyBlob(new byte[0]));
  }

  @Test
  void findsThePublicKeyBeforeTheTrailer() {
    byte[] spki = TestAuthority.ecPair().getPublic().getEncoded();
    byte[] blob = java.util.Arrays.copyOf(spki, spki.length + 50);
    var key = new PublicKeyBlob(blob);
    assertThat(key.subjectPublicKeyInfo()).isEqualTo(spki);
    assertThat(key.subjectPublicKey()).hasSize(65).startsWith(4);
    assertThatIllegalArgumentException()
        .isThrownBy(() -> new PublicKeyBlob(new byte[] {0x30, 0x20, 1}).subjectPublicKeyInfo());
  }

  @ParameterizedTest
  @ValueSource(strings = {"secp256r1", "secp384r1", "secp521r1"})
  void convertsSignaturesBothWaysAsTheJdkReadsThem(String curve) throws Exception {
    var generator = KeyPairGenerator.getInstance("EC");
    generator.initialize(new ECGenParameterSpec(curve));
    var pair = generator.generateKeyPair();
    byte[] message = curve.getBytes(java.nio.charset.StandardCharsets.US_ASCII);
    // Often enough for an r or s that is shorter, or has its top bit set.
    for (int i = 0; i < 40; i++) {
      var signer = Signature.getInstance("SHA256withECDSAinP1363Format");
      signer.initSign(pair.getPrivate());
      signer.update(message);
      byte[] raw = signer.sign();

      byte[] der = EcdsaSignature.toDer(raw);
      var verifier = Signature.getInstance("SHA256withECDSA");
      verifier.initVerify(pair.getPublic());
      verifier.update(message);
      assertThat(verifier.verify(der)).isTrue();
      assertThat(EcdsaSignature.fromDer(der, raw.length / 2)).isEqualTo(raw);
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "", // nothing
        "3006020101020101ff", // bytes after the sequence
        "3006020101020181", // a negative s
        "300702010102020101ff", // wrong inner length
        "3080020101020101", // indefinite length
        "30250201010220" + "ff", // cut short
        "3006020101040101" // s is no INTEGER
      })
  void refusesDerThatIsNoSignature(String hex) {
    assertThatIllegalArgumentException()
        .isThrownBy(() -> EcdsaSignature.fromDer(HexFormat.of().parseHex(hex), 32));
  }

  @Test
  void readsPrivateKeysInAllThreeForms(@TempDir Path directory) throws Exception {
    var generator = KeyPairGenerator.getInstance("RSA");
    generator.initialize(2048);
    PrivateKey rsa = generator.generateKeyPair().getPrivate();
    PrivateKey ec = TestAuthority.ecPair().getPrivate();
    byte[] pkcs1 =
        PrivateKeyInfo.getInstance(rsa.getEncoded())
            .parsePrivateKey()
            .toASN1Primitive()
            .getEncoded();
    var ecKey =
        ECPrivateKey.getInstance(PrivateKeyInfo.getInstance(ec.getEncoded()).parsePrivateKey());
    byte[] sec1 =
        new ECPrivateKey(256, ecKey.getKey(), X9ObjectIdentifiers.prime256v1).getEncoded();

    var file = directory.resolve("key.pem");
    Files.writeString(file, TestAuthority.pem("PRIVATE KEY", rsa.getEncoded()));
    assertThat(Pem.privateKey(file)).isEqualTo(rsa);
    Files.writeString(file, TestAuthority.pem("RSA PRIVATE KEY", pkcs1));
    assertThat(Pem.privateKey(file)).isEqualTo(rsa);
    Files.writeString(
        file,
        TestAuthority.pem("EC PARAMETERS", X9ObjectIdentifiers.prime256v1.getEncoded())
            + TestAuthority.pem("EC PRIVATE KEY", sec1));
    assertThat(((java.security.interfaces.ECPrivateKey) Pem.privateKey(file)).getS())
        .isEqualTo(((java.security.interfaces.ECPrivateKey) ec).getS());
  }

  @Test
  void saysWhatIsWrongWithAKeyFile(@TempDir Path directory) throws Exception {
    var file = directory.resolve("key.pem");
    Files.writeString(file, TestAuthority.pem("ENCRYPTED PRIVATE KEY", new byte[4]));
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Pem.privateKey(file))
        .withMessageContaining("key.pem: the private key is encrypted");
    Files.writeString(file, "");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Pem.privateKey(file))
        .withMessageContaining("no private key");
  }
}
