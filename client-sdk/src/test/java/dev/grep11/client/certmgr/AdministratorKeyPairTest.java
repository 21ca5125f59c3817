package dev.grep11.client.certmgr;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.grep11.proto.certmgr.Command;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.KeyFactory;
import java.security.MessageDigest;
import java.security.Signature;
import java.security.spec.X509EncodedKeySpec;
import java.time.Instant;
import java.time.InstantSource;
import java.util.List;
import java.util.UUID;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class AdministratorKeyPairTest {
  private static final UUID INSTANCE = UUID.fromString("0b5f8ab2-29b5-4b6f-8c1d-0f6f3f2f9b11");
  private static final char[] PASSPHRASE = "correct horse".toCharArray();

  @TempDir private Path directory;

  @ParameterizedTest
  @EnumSource
  void comesBackFromItsFileWithTheSamePublicKey(AdministratorKeyPair.Type type) throws Exception {
    var pair = AdministratorKeyPair.generate(type);
    pair.writePrivateKey(file("a"), null);

    var read = AdministratorKeyPair.read(file("a"), null);

    assertThat(read.publicKey()).isEqualTo(pair.publicKey());
    assertThat(read.type()).isEqualTo(type);
    assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(file("a"))))
        .isEqualTo("rw-------");
  }

  /** Half of all P-256 points have an odd y, and a point is computed from its x alone. */
  @Test
  void findsTheRightOneOfTwoPointsWithTheSameX() throws Exception {
    for (int i = 0; i < 16; i++) {
      var pair = AdministratorKeyPair.generate(AdministratorKeyPair.Type.P256);
      pair.writePrivateKey(file("k" + i), null);

      assertThat(AdministratorKeyPair.read(file("k" + i), null).publicKey())
          .isEqualTo(pair.publicKey());
    }
  }

  @ParameterizedTest
  @EnumSource
  void opensslReadsAnEncryptedKey(AdministratorKeyPair.Type type) throws Exception {
    var pair = AdministratorKeyPair.generate(type);
    pair.writePrivateKey(file("a"), PASSPHRASE);

    openssl(
        "pkey",
        "-in",
        file("a"),
        "-passin",
        "pass:correct horse",
        "-pubout",
        "-outform",
        "DER",
        "-out",
        file("spki"));

    assertThat(Files.readAllBytes(file("spki"))).isEqualTo(pair.publicKey());
    assertThat(AdministratorKeyPair.isEncrypted(file("a"))).isTrue();
    assertThat(AdministratorKeyPair.read(file("a"), PASSPHRASE).publicKey())
        .isEqualTo(pair.publicKey());
    assertThatThrownBy(() -> AdministratorKeyPair.read(file("a"), "wrong".toCharArray()))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("wrong passphrase")
        .hasMessageContaining(file("a").toString());
    assertThatThrownBy(() -> AdministratorKeyPair.read(file("a"), null))
        .hasMessageContaining("needs a passphrase");
  }

  @ParameterizedTest
  @CsvSource({"EC -pkeyopt ec_paramgen_curve:P-256", "Ed25519"})
  void readsKeysOfOpensslInTheClearAndEncrypted(String algorithm) throws Exception {
    var command =
        new java.util.ArrayList<Object>(List.of("genpkey", "-out", file("clear"), "-algorithm"));
    command.addAll(List.of(algorithm.split(" ")));
    openssl(command.toArray());
    openssl(
        "pkcs8",
        "-topk8",
        "-v2",
        "aes-256-cbc",
        "-in",
        file("clear"),
        "-passout",
        "pass:correct horse",
        "-out",
        file("locked"));
    openssl("pkey", "-in", file("clear"), "-pubout", "-outform", "DER", "-out", file("spki"));
    byte[] spki = Files.readAllBytes(file("spki"));

    assertThat(AdministratorKeyPair.read(file("clear"), null).publicKey()).isEqualTo(spki);
    assertThat(AdministratorKeyPair.read(file("locked"), PASSPHRASE).publicKey()).isEqualTo(spki);
  }

  @ParameterizedTest
  @CsvSource({
    "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384, neither an ECDSA P-256",
    "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048, neither an ECDSA P-256",
    "ecparam -name prime256v1 -genkey -noout, not PKCS #8; convert it"
  })
  void refusesOtherKeysWithAReason(String command, String reason) throws Exception {
    var arguments = new java.util.ArrayList<Object>(List.of(command.split(" ")));
    arguments.addAll(List.of("-out", file("key")));
    openssl(arguments.toArray());

    assertThatThrownBy(() -> AdministratorKeyPair.read(file("key"), null))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining(reason);
  }

  @Test
  void neverOverwritesAKey() throws Exception {
    Files.writeString(file("a"), "precious");

    assertThatThrownBy(() ->
            AdministratorKeyPair.generate(AdministratorKeyPair.Type.P256)
                .writePrivateKey(file("a"), null))
        .isInstanceOf(java.nio.file.FileAlreadyExistsException.class);
    assertThat(file("a")).hasContent("precious");
  }

  @ParameterizedTest
  @EnumSource
  void aCommandIsSignedOverContextZeroByteAndPayload(AdministratorKeyPair.Type type)
      throws Exception {
    var pair = AdministratorKeyPair.generate(type);
    var next = AdministratorKeyPair.generate(AdministratorKeyPair.Type.P256);
    var seen = new AdministratorKey(pair.publicKey(), "https://iam", "anna", 6, 41, "crn");

    var signed =
        new SignedCommands(INSTANCE, seen, pair, InstantSource.fixed(Instant.ofEpochMilli(5)))
            .updateAdministratorKey(next);

    var command = Command.parseFrom(signed.getPayload());
    assertThat(command.getVersion()).isEqualTo(1);
    assertThat(command.getInstance()).isEqualTo(INSTANCE.toString());
    assertThat(command.getIssuer()).isEqualTo("https://iam");
    assertThat(command.getSubject()).isEqualTo("anna");
    assertThat(command.getCounter()).isEqualTo(7);
    assertThat(command.getExpectedGeneration()).isEqualTo(41);
    assertThat(command.getTimeMillis()).isEqualTo(5);
    assertThat(command.getKeyId().toByteArray())
        .isEqualTo(MessageDigest.getInstance("SHA-256").digest(pair.publicKey()));
    assertThat(command.getUpdateAdminKey().getPublicKey().toByteArray())
        .isEqualTo(next.publicKey());
    byte[] payload = signed.getPayload().toByteArray();
    assertThat(
            verifies(
                pair,
                "grep11-gateway certificate manager command v1",
                payload,
                signed.getSignature().toByteArray()))
        .isTrue();
    assertThat(
            verifies(
                next,
                "grep11-gateway certificate manager new key v1",
                payload,
                signed.getNewKeySignature().toByteArray()))
        .isTrue();
  }

  private static boolean verifies(
      AdministratorKeyPair pair, String context, byte[] payload, byte[] signature)
      throws Exception {
    boolean edwards = pair.type() == AdministratorKeyPair.Type.ED25519;
    var key =
        KeyFactory.getInstance(edwards ? "Ed25519" : "EC")
            .generatePublic(new X509EncodedKeySpec(pair.publicKey()));
    var verifier = Signature.getInstance(edwards ? "Ed25519" : "SHA256withECDSA");
    verifier.initVerify(key);
    var message = new ByteArrayOutputStream();
    message.writeBytes(context.getBytes(StandardCharsets.US_ASCII));
    message.write(0);
    message.writeBytes(payload);
    verifier.update(message.toByteArray());
    return verifier.verify(signature);
  }

  private Path file(String name) {
    return directory.resolve(name);
  }

  private static void openssl(Object... arguments) throws Exception {
    var command = new java.util.ArrayList<String>(List.of("openssl"));
    for (Object argument : arguments) {
      command.add(argument.toString());
    }
    var process = new ProcessBuilder(command).redirectErrorStream(true).start();
    var output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(process.waitFor()).as(output).isZero();
  }
}
