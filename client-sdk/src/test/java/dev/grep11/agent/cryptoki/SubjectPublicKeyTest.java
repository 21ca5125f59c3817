package dev.grep11.agent.cryptoki;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.grep11.agent.store.Attributes;
import dev.grep11.client.Cka;
import dev.grep11.client.Ckk;
import dev.grep11.client.Ckr;
import dev.grep11.client.Curve;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.interfaces.ECPrivateKey;
import java.security.interfaces.RSAPrivateCrtKey;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Keys of the JDK as attributes and back, and DER that is none. */
class SubjectPublicKeyTest {
  private static final byte[] TRAILER = {4, 2, 1, 2};

  private static KeyPair pair(String algorithm, int bits) throws Exception {
    var generator = KeyPairGenerator.getInstance(algorithm);
    generator.initialize(bits);
    return generator.generateKeyPair();
  }

  private static byte[] withTrailer(byte[] spki) {
    var blob = Arrays.copyOf(spki, spki.length + TRAILER.length);
    System.arraycopy(TRAILER, 0, blob, spki.length, TRAILER.length);
    return blob;
  }

  @ParameterizedTest
  @CsvSource({"RSA, 2048", "EC, 256", "EC, 521", "DSA, 2048"})
  void comesBackAsItWas(String algorithm, int bits) throws Exception {
    byte[] spki = pair(algorithm, bits).getPublic().getEncoded();

    var attributes = SubjectPublicKey.attributes(withTrailer(spki));

    assertThat(attributes.get(Cka.CKA_PUBLIC_KEY_INFO)).contains(spki);
    assertThat(SubjectPublicKey.encoded(attributes)).isEqualTo(spki);
  }

  @Test
  void takesAPointWithAndWithoutItsOctetString() throws Exception {
    for (int i = 0; i < 300; i++) {
      var attributes = SubjectPublicKey.attributes(pair("EC", 256).getPublic().getEncoded());
      byte[] point = attributes.get(Cka.CKA_EC_POINT).orElseThrow();
      byte[] bare = Arrays.copyOfRange(point, 2, point.length);
      assertThat(SubjectPublicKey.barePoint(point)).isEqualTo(bare);
      // One in 256 of them begins like an OCTET STRING of its own length.
      bare[1] = (byte) (bare.length - 2);
      bare[2] = (byte) i;
      if (bare[2] < 2 || bare[2] > 4) {
        assertThat(SubjectPublicKey.barePoint(bare)).isEqualTo(bare);
      }
    }
    byte[] edwards = ByteBuffer.allocate(34).put((byte) 4).put((byte) 32).array();
    assertThat(SubjectPublicKey.barePoint(edwards)).isEqualTo(new byte[32]);
  }

  @Test
  void makesPkcs8OfWhatAnApplicationImports() throws Exception {
    var rsa = (RSAPrivateCrtKey) pair("RSA", 2048).getPrivate();
    var rsaKey =
        Attributes.empty()
            .with(Cka.CKA_KEY_TYPE, Ckk.CKK_RSA)
            .with(Cka.CKA_MODULUS, rsa.getModulus().toByteArray())
            .with(Cka.CKA_PUBLIC_EXPONENT, rsa.getPublicExponent().toByteArray())
            .with(ObjectTemplates.CKA_PRIVATE_EXPONENT, rsa.getPrivateExponent().toByteArray())
            .with(ObjectTemplates.CKA_PRIME_1, rsa.getPrimeP().toByteArray())
            .with(ObjectTemplates.CKA_PRIME_2, rsa.getPrimeQ().toByteArray())
            .with(ObjectTemplates.CKA_EXPONENT_1, rsa.getPrimeExponentP().toByteArray())
            .with(ObjectTemplates.CKA_EXPONENT_2, rsa.getPrimeExponentQ().toByteArray())
            .with(ObjectTemplates.CKA_COEFFICIENT, rsa.getCrtCoefficient().toByteArray());
    assertThat(Pkcs8.encoded(rsaKey)).isEqualTo(rsa.getEncoded());

    var ec = (ECPrivateKey) pair("EC", 256).getPrivate();
    byte[] number = new byte[32];
    byte[] magnitude = ec.getS().toByteArray();
    int length = Math.min(32, magnitude.length);
    System.arraycopy(magnitude, magnitude.length - length, number, 32 - length, length);
    var ecKey =
        Attributes.empty()
            .with(Cka.CKA_KEY_TYPE, Ckk.CKK_EC)
            .with(Cka.CKA_EC_PARAMS, Curve.P256.parameters())
            .with(Cka.CKA_VALUE, number);
    var read =
        (ECPrivateKey)
            KeyFactory.getInstance("EC")
                .generatePrivate(new PKCS8EncodedKeySpec(Pkcs8.encoded(ecKey)));
    assertThat(read.getS()).isEqualTo(ec.getS());
    assertThat(refusal(ecKey.without(Cka.CKA_EC_PARAMS))).isEqualTo(Ckr.CKR_TEMPLATE_INCOMPLETE);
    assertThat(refusal(ecKey.with(Cka.CKA_KEY_TYPE, 1L)))
        .isEqualTo(Ckr.CKR_ATTRIBUTE_VALUE_INVALID);
    for (byte[] bad : new byte[][] {{}, {6}, {0x30, 0x7f}, nested(2000), new byte[1 << 20]}) {
      assertThat(refusal(ecKey.with(Cka.CKA_EC_PARAMS, bad)))
          .isEqualTo(Ckr.CKR_ATTRIBUTE_VALUE_INVALID);
    }
    for (byte[] bad : new byte[][] {{}, new byte[1 << 20]}) {
      assertThat(refusal(ecKey.with(Cka.CKA_VALUE, bad)))
          .isEqualTo(Ckr.CKR_ATTRIBUTE_VALUE_INVALID);
      assertThat(refusal(rsaKey.with(Cka.CKA_MODULUS, bad)))
          .isEqualTo(Ckr.CKR_ATTRIBUTE_VALUE_INVALID);
    }
  }

  private static long refusal(Attributes key) {
    return catchThrowableOfType(Refusal.class, () -> Pkcs8.encoded(key)).returnValue();
  }

  /** SEQUENCE of SEQUENCE of ..., each cut at the end. */
  private static byte[] nested(int depth) {
    var bytes = new ByteArrayOutputStream();
    for (int i = 0; i < depth; i++) {
      bytes.write(0x30);
      bytes.write(0x80);
    }
    return bytes.toByteArray();
  }

  @Test
  void refusesWhatIsNoKeyAndNothingElseHappens() throws Exception {
    var random = new Random(7);
    for (String algorithm : new String[] {"RSA", "EC", "DSA"}) {
      byte[] good = pair(algorithm, algorithm.equals("EC") ? 256 : 2048).getPublic().getEncoded();
      for (int i = 0; i < 4000; i++) {
        byte[] bad =
            Arrays.copyOf(good, random.nextInt(4) == 0 ? random.nextInt(good.length) : good.length);
        for (int change = random.nextInt(4); change >= 0 && bad.length > 0; change--) {
          bad[random.nextInt(Math.min(bad.length, 60))] = (byte) random.nextInt();
        }
        var thrown = catchThrowable(() -> SubjectPublicKey.attributes(bad));
        assertThat(thrown == null || thrown instanceof IllegalArgumentException)
            .as("%s", thrown)
            .isTrue();
      }
    }
    assertThat(catchThrowable(() -> SubjectPublicKey.attributes(nested(4000))))
        .isInstanceOf(IllegalArgumentException.class);
    assertThat(catchThrowable(() -> SubjectPublicKey.attributes(new byte[0])))
        .isInstanceOf(IllegalArgumentException.class);
  }
}
