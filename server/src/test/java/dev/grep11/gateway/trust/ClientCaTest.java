package dev.grep11.gateway.trust;

import static dev.grep11.gateway.trust.TestCertificates.ca;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assumptions.assumeThat;

import dev.grep11.gateway.trust.TestCertificates.Identity;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import org.bouncycastle.asn1.x509.Extension;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What may be registered as a client CA: the second table of docs/client-certificates.md. */
class ClientCaTest {
  private static final Identity ROOT = ca("CN=Root CA").selfSigned();

  @ParameterizedTest
  @MethodSource("dev.grep11.gateway.trust.CertificateCases#refusedUploads")
  void refusesWithACauseAndARemedy(CertificateCases.Upload upload) {
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
