package dev.grep11.gateway;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.grep11.client.Ckr;
import dev.grep11.client.Grep11Client;
import dev.grep11.client.Grep11Exception;
import dev.grep11.jca.Grep11Provider;
import java.nio.file.Path;
import java.security.KeyPairGenerator;
import java.security.ProviderException;
import java.util.Map;
import javax.crypto.Cipher;
import javax.crypto.KeyGenerator;
import javax.crypto.spec.GCMParameterSpec;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/** The JCA provider at a gateway whose policy is {@code strict}. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class JcaUnderStrictTest {
  private static final byte[] MESSAGE = "under a strict policy".getBytes(UTF_8);

  private RunningGateway running;
  private Grep11Client client;
  private Grep11Provider provider;

  @BeforeAll
  void start(@TempDir Path directory) throws Exception {
    running = RunningGateway.start(directory, Map.of("/policy", "strict"));
    client =
        Grep11Client.builder("localhost:" + running.gateway.cryptoPort())
            .trustedCa(running.demo.ca())
            .token(() -> running.token(RunningGateway.MANAGER))
            .build();
    provider = new Grep11Provider(client);
  }

  @AfterAll
  void stop() {
    client.close();
    running.close();
  }

  @Test
  void gcmWorksByIvsOfTheHsmAloneAndARefusalSaysSo() throws Exception {
    var key = KeyGenerator.getInstance("AES", provider).generateKey();
    var cipher = Cipher.getInstance("AES/GCM/NoPadding", provider);
    cipher.init(Cipher.ENCRYPT_MODE, key);
    byte[] ciphered = cipher.doFinal(MESSAGE);
    cipher.init(Cipher.DECRYPT_MODE, key, new GCMParameterSpec(128, cipher.getIV()));
    assertThat(cipher.doFinal(ciphered)).isEqualTo(MESSAGE);

    cipher.init(Cipher.ENCRYPT_MODE, key, new GCMParameterSpec(128, new byte[12]));
    assertThatThrownBy(() -> cipher.doFinal(MESSAGE))
        .isInstanceOf(ProviderException.class)
        .hasMessageContaining("read getIV() afterwards")
        .cause()
        .isInstanceOfSatisfying(
            Grep11Exception.class,
            e -> assertThat(e.returnValue()).isEqualTo(Ckr.CKR_MECHANISM_PARAM_INVALID));
  }

  @Test
  void rsaDecryptsByOaepAlone() throws Exception {
    var generator = KeyPairGenerator.getInstance("RSA", provider);
    generator.initialize(2048);
    var pair = generator.generateKeyPair();
    var oaep = Cipher.getInstance("RSA/ECB/OAEPWithSHA-1AndMGF1Padding", provider);
    oaep.init(Cipher.ENCRYPT_MODE, pair.getPublic());
    byte[] ciphered = oaep.doFinal(MESSAGE);
    oaep.init(Cipher.DECRYPT_MODE, pair.getPrivate());
    assertThat(oaep.doFinal(ciphered)).isEqualTo(MESSAGE);

    var padded = Cipher.getInstance("RSA/ECB/PKCS1Padding", provider);
    padded.init(Cipher.ENCRYPT_MODE, pair.getPublic());
    byte[] other = padded.doFinal(MESSAGE);
    padded.init(Cipher.DECRYPT_MODE, pair.getPrivate());
    assertThatThrownBy(() -> padded.doFinal(other))
        .isInstanceOf(ProviderException.class)
        .hasMessageContaining("CKR_MECHANISM_INVALID")
        .hasMessageContaining("its policy does not");
  }
}
