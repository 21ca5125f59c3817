package dev.grep11.gateway.tls;

import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.gateway.trust.TestCertificates;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class ClientTrustTest {
  private static X509Certificate ca(String name) {
    return TestCertificates.ca(name).selfSigned().certificate();
  }

  @Test
  void namesEachSubjectOnce() {
    var one = ca("CN=one");
    var two = ca("CN=two");

    assertThat(ClientTrust.named(List.of(one, ca("CN=one"), two))).containsExactly(one, two);
  }

  @Test
  void namesNobodyWhenTheNamesWouldNotFitIntoAHandshake() {
    var many = new ArrayList<X509Certificate>();
    for (int i = 0; i < 100; i++) {
      many.add(ca("CN=" + "x".repeat(60) + ",OU=" + "y".repeat(60) + ",O=" + i));
    }

    assertThat(ClientTrust.named(many)).isEmpty();
    assertThat(ClientTrust.named(many.subList(0, 50))).hasSize(50);
  }
}
