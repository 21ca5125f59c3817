package dev.grep11.gateway.trust;

import static dev.grep11.gateway.trust.CertificateCases.DIRECT;
import static dev.grep11.gateway.trust.CertificateCases.ISSUING;
import static dev.grep11.gateway.trust.CertificateCases.LEAF;
import static dev.grep11.gateway.trust.CertificateCases.ROOT;
import static dev.grep11.gateway.trust.CertificateCases.STRANGER;
import static dev.grep11.gateway.trust.TestCertificates.ca;
import static dev.grep11.gateway.trust.TestCertificates.certificates;
import static dev.grep11.gateway.trust.TestCertificates.client;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.gateway.trust.TestCertificates.Identity;
import dev.grep11.gateway.trust.Verdict.Accepted;
import dev.grep11.gateway.trust.Verdict.Reason;
import dev.grep11.gateway.trust.Verdict.Refused;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Which chains a set of registered CAs vouches for: the table of docs/client-certificates.md. */
class ClientCertificatesTest {
  @ParameterizedTest
  @MethodSource("dev.grep11.gateway.trust.CertificateCases#clients")
  void judges(CertificateCases.Case row) {
    var verdict =
        TrustAnchors.of(certificates(row.registered()))
            .judge(certificates(row.sent()), Instant.now());

    assertThat(reason(verdict)).as("%s", verdict).isEqualTo(row.reason());
  }

  private static Optional<Reason> reason(Verdict verdict) {
    return switch (verdict) {
      case Accepted _ -> Optional.empty();
      case Refused refused -> Optional.of(refused.reason());
    };
  }

  @Test
  void aVerdictEndsWithTheFirstCertificateOfThePath() {
    var soon = Instant.now().plus(1, ChronoUnit.HOURS).truncatedTo(ChronoUnit.SECONDS);
    var issuing = ca("CN=Brief CA").valid(Instant.now().minusSeconds(60), soon).signedBy(ROOT);
    var leaf = client("CN=x").signedBy(issuing);
    var anchors = TrustAnchors.of(certificates(ROOT));
    var sent = certificates(leaf, issuing);

    assertThat(anchors.judge(sent, soon.minusMillis(1)))
        .isEqualTo(new Accepted(ROOT.certificate(), soon));
    assertThat(reason(anchors.judge(sent, soon))).contains(Reason.EXPIRED);
  }

  @Test
  void aChainIsJudgedAgainWithoutASignatureWhileItsCaIsRegistered() {
    var twins = Stream.generate(() -> ca("CN=Root CA,O=Bank").selfSigned()).limit(20).toList();
    var chain = ClientChain.of(certificates(LEAF, ISSUING));
    var now = Instant.now();
    assertThat(reason(TrustAnchors.of(certificates(ROOT)).judge(chain, now))).isEmpty();
    int verified = chain.verified();
    assertThat(verified).isEqualTo(2);

    // Twenty others of the same name come, and are tried only when it has gone.
    var more = new ArrayList<>(twins);
    more.addLast(ROOT);
    var all = TrustAnchors.of(certificates(more.toArray(Identity[]::new)));
    assertThat(reason(all.judge(chain, now))).isEmpty();
    assertThat(chain.verified()).isEqualTo(verified);

    var without = TrustAnchors.of(certificates(twins.toArray(Identity[]::new)));
    assertThat(reason(without.judge(chain, now))).contains(Reason.UNKNOWN_CA);
    assertThat(chain.verified()).isEqualTo(verified + twins.size());
    assertThat(reason(without.judge(chain, now))).contains(Reason.UNKNOWN_CA);
    assertThat(chain.verified()).isEqualTo(verified + twins.size());
  }

  @Test
  void aStrangerCausesABoundedNumberOfSignatures() {
    var sent =
        Stream.generate(() -> ca("CN=Same").selfSigned()).limit(7).map(Identity::certificate);
    var registered = Stream.generate(() -> ca("CN=Same").selfSigned()).limit(150).toList();
    var leaf = client("CN=x").signedBy(ca("CN=Same").selfSigned());
    var chain = ClientChain.of(Stream.concat(Stream.of(leaf.certificate()), sent).toList());

    var verdict =
        TrustAnchors.of(certificates(registered.toArray(Identity[]::new)))
            .judge(chain, Instant.now());

    assertThat(reason(verdict)).contains(Reason.UNKNOWN_CA);
    assertThat(chain.verified()).isEqualTo(128);
  }

  @Test
  void whatIsRegisteredAndCannotBeUsedKeepsTheLockClosed() {
    var unusable = ca("CN=Old CA").keys(CertificateCases.hugeKeys()).signedBy(STRANGER);
    var anchors = TrustAnchors.of(certificates(unusable));

    assertThat(anchors.isEmpty()).isFalse();
    assertThat(reason(anchors.judge(certificates(DIRECT), Instant.now())))
        .contains(Reason.UNKNOWN_CA);
  }

  /** certmgr.md, 3: no extension file; once with the same answers at every prompt. */
  @ParameterizedTest
  @ValueSource(strings = {"/C=DE/O=Bank/CN=billing", "/C=AU/ST=Some-State/O=Internet Widgits"})
  void takesCertificatesOfTheDocumentedRecipe(String client, @TempDir Path directory)
      throws Exception {
    var authority = "/C=AU/ST=Some-State/O=Internet Widgits";
    openssl(directory, "genrsa", "-out", "ca.key", "2048");
    openssl(
        directory, "req", "-new", "-x509", "-days", "730", "-key", "ca.key", "-out", "ca.pem",
        "-subj", authority);
    openssl(directory, "genrsa", "-out", "client.key", "2048");
    openssl(directory, "req", "-new", "-key", "client.key", "-out", "client.csr", "-subj", client);
    openssl(
        directory,
        "x509",
        "-req",
        "-days",
        "730",
        "-in",
        "client.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-set_serial",
        "01",
        "-out",
        "client.pem");
    var registered = ClientCa.read(read(directory.resolve("ca.pem")).getEncoded(), Instant.now());
    var leaf = read(directory.resolve("client.pem"));
    var anchors = TrustAnchors.of(List.of(registered.certificate()));

    assertThat(reason(anchors.judge(List.of(leaf), Instant.now().plusSeconds(1)))).isEmpty();
    assertThat(
            reason(
                anchors.judge(
                    List.of(leaf, registered.certificate()), Instant.now().plusSeconds(1))))
        .isEmpty();
  }

  private static void openssl(Path directory, String... arguments) throws Exception {
    var command = new ArrayList<>(List.of(arguments));
    command.addFirst("openssl");
    var process =
        new ProcessBuilder(command).directory(directory.toFile()).redirectErrorStream(true).start();
    var output = new String(process.getInputStream().readAllBytes(), UTF_8);
    assertThat(process.waitFor()).as(output).isZero();
  }

  private static X509Certificate read(Path pem) throws Exception {
    try (var stream = Files.newInputStream(pem)) {
      return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(stream);
    }
  }

  private static final Path PAGE = Path.of("..", "docs", "client-certificates.md");

  private static String row(String title, Optional<Reason> reason) {
    return reason
        .map(why -> "| " + title + " | refused | `" + why + "` |")
        .orElse("| " + title + " | accepted | |");
  }

  @Test
  void thePageHasOneRowForEachCaseAndNoOther() throws IOException {
    var rows =
        Stream.of(
                CertificateCases.clients().map(row -> row(row.title(), row.reason())),
                RevocationsTest.cases().map(row -> row(row.title(), row.reason())),
                CertificateCases.refusedUploads().map(row -> "| " + row.title() + " | refused | |"))
            .flatMap(found -> found)
            .toList();
    var onPage =
        Files.readAllLines(PAGE).stream()
            .filter(line -> line.matches("\\| [^`|]+ \\| (accepted|refused) \\|.*"))
            .toList();

    assertThat(onPage).containsExactlyInAnyOrderElementsOf(rows);
  }

  @ParameterizedTest
  @EnumSource(Reason.class)
  void thePageSaysWhatToDoAboutEveryReason(Reason reason) throws IOException {
    assertThat(Files.readAllLines(PAGE))
        .filteredOn(line -> line.startsWith("| `" + reason + "` |"))
        .hasSize(1);
  }
}
