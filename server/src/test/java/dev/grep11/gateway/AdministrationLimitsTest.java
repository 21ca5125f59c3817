package dev.grep11.gateway;

import static dev.grep11.gateway.TestAdministrator.p256;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.google.protobuf.ByteString;
import dev.grep11.gateway.trust.ClientCa;
import dev.grep11.gateway.trust.TestCertificates;
import dev.grep11.gateway.trust.TestCertificates.Identity;
import dev.grep11.proto.certmgr.Command;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a signed command cannot do although everything about it is right. */
class AdministrationLimitsTest {
  private static final int MOST = 100;
  private static final Path PUBLIC_ROOTS = Path.of("/etc/ssl/certs/ca-certificates.crt");
  private static final Identity ROOT = TestCertificates.ca("CN=Root CA").selfSigned();
  private static final Identity ISSUING = TestCertificates.ca("CN=Issuing CA").signedBy(ROOT);
  private static final Identity APP = TestCertificates.client("CN=app").signedBy(ISSUING);

  private RunningGateway running;

  @BeforeEach
  void start(@TempDir Path parent) throws Exception {
    running =
        RunningGateway.start(
            parent.resolve("demo"),
            Map.of("/enrolment", "invited", "/limits/administrativeCallsPerMinute", 100));
  }

  @AfterEach
  void stop() {
    running.close();
  }

  private TestAdministrator administrator() throws Exception {
    return TestAdministrator.granted(running, "admin", p256()).enrolled();
  }

  private static void refused(
      Status.Code code, String message, TestAdministrator administrator, Command.Builder command) {
    assertThatThrownBy(() -> administrator.execute(command))
        .isInstanceOfSatisfying(
            StatusRuntimeException.class,
            refusal -> {
              assertThat(refusal.getStatus().getCode()).isEqualTo(code);
              assertThat(refusal.getStatus().getDescription()).contains(message);
            });
  }

  @Test
  void aHundredCertificatesAreTheMostAndOneOfThemCanStillBeReplaced() throws Exception {
    var administrator = administrator();
    running.registerClientCas(
        running.instance, Stream.generate(ROOT::der).limit(MOST - 1L).toList());
    administrator.execute(administrator.set("last", ROOT.der()));

    refused(
        Status.Code.RESOURCE_EXHAUSTED,
        "at most 100 certificates",
        administrator,
        administrator.set("one-more", ROOT.der()));
    administrator.execute(administrator.set("last", ISSUING.der()));

    assertThat(administrator.list().getCertificatesCount()).isOne();
    assertThat(administrator.list().getOtherCertificates()).isEqualTo(MOST - 1);
  }

  @Test
  void aCaOfThePublicInternetIsRegisteredOnlyByAnExplicitWord() throws Exception {
    assumeTrue(Files.isReadable(PUBLIC_ROOTS), PUBLIC_ROOTS + " is not there");
    var root = publicRoot();
    var administrator = administrator();

    refused(
        Status.Code.FAILED_PRECONDITION,
        "--allow-public-root",
        administrator,
        administrator.set("public", root));
    assertThat(administrator.list().getLocked()).isFalse();

    var allowed = administrator.set("public", root);
    allowed.getSetCertificateBuilder().setAllowPublicRoot(true);
    assertThat(administrator.execute(allowed).getLocked()).isTrue();
  }

  private static byte[] publicRoot() throws Exception {
    try (var in = Files.newInputStream(PUBLIC_ROOTS)) {
      for (var certificate : CertificateFactory.getInstance("X.509").generateCertificates(in)) {
        var der = ((X509Certificate) certificate).getEncoded();
        try {
          if (ClientCa.read(der, Instant.now()).publicRoot()) {
            return der;
          }
        } catch (IllegalArgumentException e) {
          // An old root that would be refused for something else.
        }
      }
    }
    throw new AssertionError("no public root that could be a client CA");
  }

  @Test
  void aChangeIsMadeOnlyIfTheClientThatItNamesWouldBeLetIn() throws Exception {
    var administrator = administrator();
    var other = TestCertificates.ca("CN=Other CA").selfSigned();
    var shutOut = administrator.set("other", other.der());
    shutOut.getSetCertificateBuilder().addRequiredClientChain(ByteString.copyFrom(APP.der()));
    refused(Status.Code.FAILED_PRECONDITION, "(unknown-ca)", administrator, shutOut);
    assertThat(administrator.list().getLocked()).isFalse();

    var withChain = administrator.set("root", ROOT.der());
    withChain
        .getSetCertificateBuilder()
        .addRequiredClientChain(ByteString.copyFrom(APP.der()))
        .addRequiredClientChain(ByteString.copyFrom(ISSUING.der()));
    assertThat(administrator.execute(withChain).getLocked()).isTrue();

    // Replacing the CA of the named client by another.
    var replaced = administrator.set("root", other.der());
    replaced.getSetCertificateBuilder().addRequiredClientChain(ByteString.copyFrom(APP.der()));
    refused(Status.Code.FAILED_PRECONDITION, "nothing was changed", administrator, replaced);
    assertThat(administrator.list().getCertificates(0).getCertificate().toByteArray())
        .isEqualTo(ROOT.der());
  }

  @Test
  void whoAsksTooOftenIsHeldBackAndASignedCommandIsNot() throws Exception {
    var administrator = administrator();
    var signed = administrator.sign(administrator.set("late", ROOT.der()));
    Status.Code code = Status.Code.OK;
    for (int call = 0; call < 200 && code == Status.Code.OK; call++) {
      try {
        administrator.state();
      } catch (StatusRuntimeException e) {
        code = e.getStatus().getCode();
      }
    }
    assertThat(code).isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
    assertThat(administrator.client.execute(signed).getLocked()).isTrue();
  }
}
