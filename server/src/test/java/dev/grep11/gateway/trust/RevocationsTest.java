package dev.grep11.gateway.trust;

import static dev.grep11.gateway.trust.TestCertificates.ca;
import static dev.grep11.gateway.trust.TestCertificates.certificates;
import static dev.grep11.gateway.trust.TestCertificates.client;
import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.gateway.trust.RevocationSettings.CrlSetting;
import dev.grep11.gateway.trust.TestCertificates.Identity;
import dev.grep11.gateway.trust.Verdict.Accepted;
import dev.grep11.gateway.trust.Verdict.Reason;
import dev.grep11.gateway.trust.Verdict.Refused;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Date;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.bouncycastle.asn1.ASN1Encodable;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.CRLNumber;
import org.bouncycastle.asn1.x509.CRLReason;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.IssuingDistributionPoint;
import org.bouncycastle.asn1.x509.KeyUsage;
import org.bouncycastle.cert.X509v2CRLBuilder;
import org.bouncycastle.operator.OperatorCreationException;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Revocation lists and the deny list, read from files; rows of docs/client-certificates.md. */
class RevocationsTest {
  /** Lists, certificates and verdicts of one run share it. */
  @SuppressWarnings("TimeInStaticInitializer")
  private static final Instant NOW = Instant.now().truncatedTo(ChronoUnit.SECONDS);

  private static final Identity ROOT = ca("CN=Root CA,O=Bank").selfSigned();
  private static final Identity ISSUING = ca("CN=Issuing CA").signedBy(ROOT);
  private static final Identity GOOD = client("CN=good").signedBy(ROOT);
  private static final Identity BAD = client("CN=bad").signedBy(ROOT);
  private static final Identity BELOW = client("CN=below").signedBy(ISSUING);
  private static final Identity MUTE =
      ca("CN=Mute CA")
          .with(Extension.keyUsage, true, new KeyUsage(KeyUsage.keyCertSign))
          .selfSigned();

  @TempDir private Path directory;
  private Path caFile = Path.of("");
  private Path crlFile = Path.of("");
  private Path denyFile = Path.of("");

  @BeforeEach
  void files() throws IOException, GeneralSecurityException {
    ROOT.write(directory, "root");
    caFile = directory.resolve("root.pem");
    crlFile = directory.resolve("root.crl");
    denyFile = directory.resolve("denied");
  }

  /** A list as it should be, with one flaw by one more word. */
  private record Draft(Identity signer, Instant from, Instant until, List<Identity> revoked) {
    static Draft of(Identity... revoked) {
      return new Draft(ROOT, NOW.minusSeconds(60), NOW.plus(Duration.ofDays(1)), List.of(revoked));
    }

    Draft signedBy(Identity other) {
      return new Draft(other, from, until, revoked);
    }

    Draft valid(Instant since, Instant next) {
      return new Draft(signer, since, next, revoked);
    }

    X509v2CRLBuilder builder() {
      var issuer = X500Name.getInstance(ROOT.certificate().getSubjectX500Principal().getEncoded());
      var builder = new X509v2CRLBuilder(issuer, Date.from(from)).setNextUpdate(Date.from(until));
      for (var identity : revoked) {
        builder.addCRLEntry(
            identity.certificate().getSerialNumber(), Date.from(from), CRLReason.keyCompromise);
      }
      return builder;
    }

    byte[] der() {
      return sign(builder(), signer, "SHA256withECDSA");
    }
  }

  private static byte[] sign(X509v2CRLBuilder builder, Identity signer, String algorithm) {
    try {
      return builder
          .build(new JcaContentSignerBuilder(algorithm).build(signer.privateKey()))
          .getEncoded();
    } catch (OperatorCreationException | IOException e) {
      throw new IllegalStateException(e);
    }
  }

  private static byte[] with(ASN1ObjectIdentifier name, ASN1Encodable value) {
    try {
      return sign(Draft.of().builder().addExtension(name, true, value), ROOT, "SHA256withECDSA");
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
  }

  /** One row of the page: the list, and what becomes of a client that is not in it. */
  record Case(String title, Optional<byte[]> crl, Identity leaf, Optional<Reason> reason) {
    @Override
    public String toString() {
      return title;
    }
  }

  private static Case unusable(String title, byte[] crl) {
    return new Case(title, Optional.of(crl), GOOD, Optional.of(Reason.REVOCATION_UNKNOWN));
  }

  static Stream<Case> cases() {
    return Stream.of(
        new Case(
            "not in its CA's revocation list",
            Optional.of(Draft.of(BAD).der()),
            GOOD,
            Optional.empty()),
        new Case(
            "in its CA's revocation list",
            Optional.of(Draft.of(BAD).der()),
            BAD,
            Optional.of(Reason.REVOKED)),
        new Case(
            "intermediate in its CA's revocation list",
            Optional.of(Draft.of(ISSUING).der()),
            BELOW,
            Optional.of(Reason.REVOKED)),
        new Case(
            "revocation list missing",
            Optional.empty(),
            GOOD,
            Optional.of(Reason.REVOCATION_UNKNOWN)),
        unusable(
            "revocation list out of date",
            Draft.of().valid(NOW.minusSeconds(90), NOW.minusSeconds(30)).der()),
        unusable(
            "revocation list of the future",
            Draft.of().valid(NOW.plusSeconds(3600), NOW.plusSeconds(7200)).der()),
        unusable("revocation list signed by somebody else", Draft.of().signedBy(MUTE).der()),
        unusable(
            "revocation list signed with SHA-1", sign(Draft.of().builder(), ROOT, "SHA1withECDSA")),
        unusable(
            "delta revocation list",
            with(Extension.deltaCRLIndicator, new CRLNumber(BigInteger.ONE))),
        unusable(
            "partial or indirect revocation list",
            with(
                Extension.issuingDistributionPoint,
                new IssuingDistributionPoint(null, true, false, null, true, false))),
        unusable("revocation list that is not one", new byte[] {0x30, 0}));
  }

  @ParameterizedTest
  @MethodSource("cases")
  void judges(Case row) throws IOException {
    if (row.crl().isPresent()) {
      Files.write(crlFile, row.crl().get());
    }

    assertThat(reason(judge(crl(), row.leaf()))).isEqualTo(row.reason());
  }

  private RevocationFiles crl() {
    return new RevocationFiles(
        new RevocationSettings(Optional.empty(), List.of(new CrlSetting(caFile, crlFile))));
  }

  private RevocationFiles denyList(String text) throws IOException {
    Files.writeString(denyFile, text);
    return new RevocationFiles(new RevocationSettings(Optional.of(denyFile), List.of()));
  }

  private static Verdict judge(RevocationFiles files, Identity leaf) {
    return TrustAnchors.of(certificates(ROOT), files.current())
        .judge(certificates(leaf, ISSUING), NOW);
  }

  private static Optional<Reason> reason(Verdict verdict) {
    return switch (verdict) {
      case Accepted _ -> Optional.empty();
      case Refused refused -> Optional.of(refused.reason());
    };
  }

  @Test
  void aVerdictEndsWithTheRevocationList() throws IOException {
    Files.write(crlFile, Draft.of().der());

    assertThat(judge(crl(), GOOD))
        .isEqualTo(new Accepted(ROOT.certificate(), NOW.plus(Duration.ofDays(1))));
  }

  @Test
  void aListInPemIsTheSame() throws IOException {
    Files.writeString(crlFile, TestCertificates.pem("X509 CRL", Draft.of(BAD).der()));

    assertThat(reason(judge(crl(), BAD))).contains(Reason.REVOKED);
    assertThat(reason(judge(crl(), GOOD))).isEmpty();
  }

  @Test
  void otherCasAreNotConcerned() {
    var other = ca("CN=Other CA").selfSigned();
    var leaf = client("CN=x").signedBy(other);
    var anchors = TrustAnchors.of(certificates(ROOT, other), crl().current());

    assertThat(reason(anchors.judge(certificates(leaf), NOW))).isEmpty();
    assertThat(reason(anchors.judge(certificates(GOOD), NOW))).contains(Reason.REVOCATION_UNKNOWN);
  }

  @Test
  void aCaThatMayNotSignListsHasNone() throws IOException, GeneralSecurityException {
    MUTE.write(directory, "mute");
    var builder =
        new X509v2CRLBuilder(new X500Name("CN=Mute CA"), Date.from(NOW.minusSeconds(5)))
            .setNextUpdate(Date.from(NOW.plusSeconds(60)));
    Files.write(crlFile, sign(builder, MUTE, "SHA256withECDSA"));
    var files =
        new RevocationFiles(
            new RevocationSettings(
                Optional.empty(), List.of(new CrlSetting(directory.resolve("mute.pem"), crlFile))));
    var leaf = client("CN=x").signedBy(MUTE);

    assertThat(
            reason(
                TrustAnchors.of(certificates(MUTE), files.current())
                    .judge(certificates(leaf), NOW)))
        .contains(Reason.REVOCATION_UNKNOWN);
    assertThat(files.current().problems(NOW)).singleElement().asString().contains("not signed by");
  }

  @Test
  void aNewListIsSeenAndAnUnchangedOneIsNot() throws IOException {
    Files.write(crlFile, Draft.of().der());
    var files = crl();
    var content = Files.readAllBytes(crlFile);

    assertThat(files.refresh()).isFalse();
    Files.write(crlFile, content);
    assertThat(files.refresh()).isFalse();
    assertThat(reason(judge(files, BAD))).isEmpty();

    Files.write(crlFile, Draft.of(BAD).der());
    assertThat(files.refresh()).isTrue();
    assertThat(reason(judge(files, BAD))).contains(Reason.REVOKED);

    Files.delete(crlFile);
    assertThat(files.refresh()).isTrue();
    assertThat(reason(judge(files, GOOD))).contains(Reason.REVOCATION_UNKNOWN);
    assertThat(files.current().problems(NOW)).singleElement().asString().contains("root.crl");
  }

  @Test
  void tellsForHowLongItsListsCount() throws IOException {
    assertThat(new RevocationFiles(RevocationSettings.NONE).current().left(NOW)).isEmpty();
    assertThat(denyList("").current().left(NOW)).isEmpty();
    Files.delete(denyFile);
    var gone = new RevocationSettings(Optional.of(denyFile), List.of());
    assertThat(new RevocationFiles(gone).current().left(NOW)).contains(Duration.ZERO);

    assertThat(crl().current().left(NOW)).as("missing").contains(Duration.ZERO);
    Files.write(crlFile, Draft.of().der());
    assertThat(crl().current().left(NOW)).contains(Duration.ofDays(1));
    assertThat(crl().current().left(NOW.plus(Duration.ofHours(23)))).contains(Duration.ofHours(1));
    assertThat(crl().current().left(NOW.plus(Duration.ofDays(2))))
        .as("out of date")
        .contains(Duration.ZERO);
    Files.write(crlFile, Draft.of().valid(NOW.plusSeconds(60), NOW.plusSeconds(120)).der());
    assertThat(crl().current().left(NOW)).as("of the future").contains(Duration.ZERO);
  }

  @Test
  void theDenyListNamesCertificatesByFingerprintOrNumber() throws IOException {
    var print = Fingerprint.of(BAD.der());
    var serial = GOOD.certificate().getSerialNumber().toString(16);
    var files =
        denyList(
            "# lost laptop\nsha256:"
                + print
                + "\n\nserial:"
                + serial
                + " issuer:cn=root ca, o=BANK\n");

    assertThat(reason(judge(files, BAD))).contains(Reason.REVOKED);
    assertThat(reason(judge(files, GOOD))).contains(Reason.REVOKED);
    assertThat(reason(judge(files, BELOW))).isEmpty();
  }

  @Test
  void theDenyListNamesCasToo() throws IOException {
    var files = denyList("sha256:" + Fingerprint.of(ROOT.der()));

    assertThat(reason(judge(files, GOOD))).contains(Reason.REVOKED);
  }

  @Test
  void aDenyListThatCannotBeReadRefusesEverybody() throws IOException {
    for (var text : List.of("sha256:12", "serial:zz issuer:CN=x", "serial:1 issuer:nothing", "x")) {
      var files = denyList("\n" + text);
      assertThat(reason(judge(files, GOOD))).as(text).contains(Reason.REVOCATION_UNKNOWN);
      assertThat(files.current().problems(NOW)).singleElement().asString().contains("line 2");
    }
    Files.delete(denyFile);
    var files = new RevocationFiles(new RevocationSettings(Optional.of(denyFile), List.of()));
    assertThat(reason(judge(files, GOOD))).contains(Reason.REVOCATION_UNKNOWN);
  }
}
