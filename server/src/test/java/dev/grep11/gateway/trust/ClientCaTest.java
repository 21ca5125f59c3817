package dev.grep11.gateway.trust;

import static dev.grep11.gateway.trust.TestCertificates.bare;
import static dev.grep11.gateway.trust.TestCertificates.ca;
import static dev.grep11.gateway.trust.TestCertificates.client;
import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assumptions.assumeThat;

import dev.grep11.gateway.trust.TestCertificates.Identity;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPair;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.stream.Stream;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.DERNull;
import org.bouncycastle.asn1.DEROctetString;
import org.bouncycastle.asn1.x509.BasicConstraints;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.GeneralName;
import org.bouncycastle.asn1.x509.GeneralNames;
import org.bouncycastle.asn1.x509.KeyPurposeId;
import org.bouncycastle.asn1.x509.KeyUsage;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What may be registered as a client CA: the second table of docs/client-certificates.md. */
class ClientCaTest {
  private static final Identity ROOT = ca("CN=Root CA").selfSigned();
  private static final ASN1ObjectIdentifier ODD = new ASN1ObjectIdentifier("1.3.6.1.4.1.55555.1");

  /** One row of the page: what is uploaded, and a word of the answer. */
  record Upload(String title, byte[] der, String answer) {
    @Override
    public String toString() {
      return title;
    }
  }

  static Stream<Upload> refused() {
    var huge = new KeyPair(TestCertificates.rsaModulus(16384), ROOT.privateKey());
    return Stream.of(
        new Upload("client certificate", client("CN=x").signedBy(ROOT).der(), "CA:TRUE"),
        new Upload("CA:FALSE", with(new BasicConstraints(false)).der(), "CA:TRUE"),
        new Upload("X.509 v1", bare("CN=x").version1().selfSigned().der(), "CA:TRUE"),
        new Upload("expired CA", ca("CN=x").expired().selfSigned().der(), "expired"),
        new Upload(
            "CA for serverAuth only",
            ca("CN=x").purpose(KeyPurposeId.id_kp_serverAuth).selfSigned().der(),
            "clientAuth"),
        new Upload(
            "CA without keyCertSign",
            ca("CN=x")
                .with(Extension.keyUsage, true, new KeyUsage(KeyUsage.cRLSign))
                .selfSigned()
                .der(),
            "keyCertSign"),
        new Upload(
            "CA with RSA 1024",
            ca("CN=x").keys(TestCertificates.rsa(1024)).selfSigned().der(),
            "at least 2048"),
        new Upload("CA with RSA 16384", ca("CN=x").keys(huge).signedBy(ROOT).der(), "at most 8192"),
        new Upload(
            "CA on another curve",
            ca("CN=x").keys(TestCertificates.koblitz()).selfSigned().der(),
            "P-256"),
        new Upload(
            "unknown critical extension in the CA",
            ca("CN=x").with(ODD, true, DERNull.INSTANCE).selfSigned().der(),
            ODD.getId()),
        new Upload(
            "CA with more than 64 name constraints",
            ca("CN=x")
                .with(Extension.nameConstraints, true, HostileChainTest.excluding(65))
                .selfSigned()
                .der(),
            "at most 64"),
        new Upload("CA with an empty subject", nameless().der(), "empty subject"),
        new Upload(
            "certificate larger than 16 KiB",
            ca("CN=x").with(ODD, false, new DEROctetString(new byte[17_000])).selfSigned().der(),
            "16384"),
        new Upload("something after the certificate", more(ROOT.der()), "followed by"),
        new Upload("two certificates", twice(ROOT.der()), "followed by"),
        new Upload("BER instead of DER", indefinite(ROOT.der()), "DER"),
        new Upload("cut off", Arrays.copyOf(ROOT.der(), ROOT.der().length - 1), "DER"),
        new Upload(
            "PEM", TestCertificates.pem("CERTIFICATE", ROOT.der()).getBytes(US_ASCII), "DER"),
        new Upload("private key", ROOT.privateKey().getEncoded(), "DER"),
        new Upload("empty", new byte[0], "DER"));
  }

  private static Identity nameless() {
    var name = new GeneralNames(new GeneralName(GeneralName.dNSName, "x.example"));
    return ca("").with(Extension.subjectAlternativeName, true, name).signedBy(ROOT);
  }

  private static Identity with(BasicConstraints constraints) {
    return ca("CN=x").with(Extension.basicConstraints, true, constraints).selfSigned();
  }

  private static byte[] more(byte[] der) {
    return Arrays.copyOf(der, der.length + 1);
  }

  private static byte[] twice(byte[] der) {
    var both = Arrays.copyOf(der, der.length * 2);
    System.arraycopy(der, 0, both, der.length, der.length);
    return both;
  }

  /** The outer length left open and closed by two zeros, as BER allows (X.690, 8.1.3.6). */
  private static byte[] indefinite(byte[] der) {
    var ber = new byte[der.length];
    ber[0] = 0x30;
    ber[1] = (byte) 0x80;
    System.arraycopy(der, 4, ber, 2, der.length - 4);
    return ber;
  }

  @ParameterizedTest
  @MethodSource("refused")
  void refusesWithACauseAndARemedy(Upload upload) {
    assertThatThrownBy(() -> ClientCa.read(upload.der(), Instant.now()))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining(upload.answer());
  }

  @Test
  void takesRootsAndIntermediates() {
    var intermediate = ca("CN=Issuing CA").signedBy(ROOT);
    var plain = ca("CN=Plain CA").without(Extension.keyUsage).selfSigned();

    for (var identity : new Identity[] {ROOT, intermediate, plain}) {
      var read = ClientCa.read(identity.der(), Instant.now());
      assertThat(read.certificate()).isEqualTo(identity.certificate());
      assertThat(read.publicRoot()).isFalse();
      assertThat(read.notes(Instant.now())).isEmpty();
    }
  }

  @Test
  void saysWhenItEndsAMonthAWeekAndADayBefore() {
    var end = Instant.now().plus(Duration.ofDays(200));
    var read =
        ClientCa.read(
            ca("CN=x").valid(Instant.now(), end).selfSigned().der(), Instant.now().plusSeconds(1));

    assertThat(read.notes(end.minus(Duration.ofDays(31)))).isEmpty();
    assertThat(read.notes(end.minus(Duration.ofDays(29)))).first().asString().contains("30 days");
    assertThat(read.notes(end.minus(Duration.ofDays(6)))).first().asString().contains("7 days");
    assertThat(read.notes(end.minusSeconds(60))).first().asString().contains("a day");
    assertThat(read.notes(end)).first().asString().contains("expired");
  }

  @Test
  void takesOneThatIsNotValidYetWithANote() {
    var read = ClientCa.read(ca("CN=x").notYetValid().selfSigned().der(), Instant.now());

    assertThat(read.notes(Instant.now())).first().asString().contains("not valid before");
  }

  @Test
  void knowsAPublicRoot() throws IOException, CertificateException {
    var roots = Path.of("/etc/ssl/certs/ca-certificates.crt");
    assumeThat(roots).exists();
    var root =
        (X509Certificate)
            CertificateFactory.getInstance("X.509")
                .generateCertificates(new ByteArrayInputStream(Files.readAllBytes(roots)))
                .iterator()
                .next();

    assertThat(new ClientCa(root).publicRoot()).isTrue();
  }
}
