package dev.grep11.gateway.trust;

import static dev.grep11.gateway.trust.TestCertificates.bare;
import static dev.grep11.gateway.trust.TestCertificates.ca;
import static dev.grep11.gateway.trust.TestCertificates.certificates;
import static dev.grep11.gateway.trust.TestCertificates.client;
import static dev.grep11.gateway.trust.TestCertificates.rsa;
import static dev.grep11.gateway.trust.TestCertificates.rsaModulus;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.gateway.trust.TestCertificates.Identity;
import dev.grep11.gateway.trust.Verdict.Accepted;
import dev.grep11.gateway.trust.Verdict.Reason;
import dev.grep11.gateway.trust.Verdict.Refused;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPair;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.DERNull;
import org.bouncycastle.asn1.DERUTF8String;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.BasicConstraints;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.GeneralName;
import org.bouncycastle.asn1.x509.GeneralNames;
import org.bouncycastle.asn1.x509.KeyPurposeId;
import org.bouncycastle.asn1.x509.KeyUsage;
import org.bouncycastle.asn1.x509.OtherName;
import org.bouncycastle.asn1.x509.PolicyConstraints;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Which chains a set of registered CAs vouches for: the table of docs/client-certificates.md. */
class ClientCertificatesTest {
  private static final KeyPair RSA_1024 = rsa(1024);
  private static final KeyPair RSA_2048 = rsa(2048);
  private static final Identity ROOT = ca("CN=Root CA,O=Bank").selfSigned();
  private static final Identity ISSUING = ca("CN=Issuing CA,O=Bank").signedBy(ROOT);
  private static final Identity LEAF = client("CN=billing,O=Bank").signedBy(ISSUING);
  private static final Identity DIRECT = client("CN=billing,O=Bank").signedBy(ROOT);
  private static final Identity STRANGER = ca("CN=Other CA").selfSigned();

  /**
   * One row of the page.
   *
   * @param reason empty if it is accepted
   */
  record Case(
      String title,
      Optional<Reason> reason,
      List<X509Certificate> registered,
      List<X509Certificate> sent) {
    @Override
    public String toString() {
      return title;
    }
  }

  private static Case accepted(String title, Identity registered, Identity... sent) {
    return new Case(title, Optional.empty(), certificates(registered), certificates(sent));
  }

  private static Case refused(String title, Reason reason, Identity registered, Identity... sent) {
    return new Case(title, Optional.of(reason), certificates(registered), certificates(sent));
  }

  private static Identity weakAnchor() {
    return ca("CN=Old CA").keys(RSA_1024).selfSigned();
  }

  private static KeyPair hugeKeys() {
    return new KeyPair(rsaModulus(16384), TestCertificates.p256().getPrivate());
  }

  private static Identity[] withLeaf(List<Identity> cas) {
    var leaf = client("CN=deep").signedBy(cas.getFirst());
    return Stream.concat(Stream.of(leaf), cas.stream()).toArray(Identity[]::new);
  }

  static Stream<Case> cases() {
    var rsaRoot = ca("CN=RSA CA").keys(RSA_2048).selfSigned();
    var namesake = ca("CN=billing").selfSigned();
    var twin = ca("CN=Root CA,O=Bank").selfSigned();
    var short0 = ca("CN=Short CA").pathLength(0).selfSigned();
    var belowShort = ca("CN=Below CA").signedBy(short0);
    var shorter = ca("CN=Short CA").pathLength(0).signedBy(ROOT);
    var belowShorter = ca("CN=Below CA").signedBy(shorter);
    var selfIssued = ca("CN=Short CA").signedBy(short0);
    var bankOnly =
        ca("CN=Bank only")
            .permits(new GeneralName(GeneralName.dNSName, "bank.example"))
            .selfSigned();
    var notEvil =
        ca("CN=Not evil")
            .excludes(new GeneralName(GeneralName.dNSName, "evil.example"))
            .signedBy(ROOT);
    var bankNames =
        ca("CN=Bank names,O=Bank").permits(new GeneralName(new X500Name("O=Bank"))).selfSigned();
    var mail =
        ca("CN=Mail").permits(new GeneralName(GeneralName.rfc822Name, "bank.example")).selfSigned();
    var upn =
        new GeneralName(
            GeneralName.otherName,
            new OtherName(
                new ASN1ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), new DERUTF8String("a@b")));
    var upnOnly = ca("CN=UPN only").permits(upn).selfSigned();
    var expiredIssuing = ca("CN=Expired CA").expired().signedBy(ROOT);
    var expiredRoot = ca("CN=Expired root").expired().selfSigned();
    var futureRoot = ca("CN=Future root").notYetValid().selfSigned();
    var serverRoot = ca("CN=Server root").purpose(KeyPurposeId.id_kp_serverAuth).selfSigned();
    var serverIssuing = ca("CN=Server CA").purpose(KeyPurposeId.id_kp_serverAuth).signedBy(ROOT);
    var crlOnly =
        ca("CN=CRL only")
            .with(Extension.keyUsage, true, new KeyUsage(KeyUsage.cRLSign))
            .selfSigned();
    var crlOnlyIssuing =
        ca("CN=CRL only")
            .with(Extension.keyUsage, true, new KeyUsage(KeyUsage.cRLSign))
            .signedBy(ROOT);
    var noCaRoot =
        ca("CN=No CA")
            .with(Extension.basicConstraints, true, new BasicConstraints(false))
            .selfSigned();
    var noCaIssuing = client("CN=No CA").signedBy(ROOT);
    var version1Issuing = bare("CN=V1 CA").version1().signedBy(ROOT);
    var sha1Issuing = ca("CN=SHA-1 CA").signature("SHA1withRSA").signedBy(rsaRoot);
    var sha1Root = ca("CN=SHA-1 root").keys(RSA_2048).signature("SHA1withRSA").selfSigned();
    var weakIssuing = ca("CN=Weak CA").keys(RSA_1024).signedBy(ROOT);
    var weakRoot = weakAnchor();
    var odd = new ASN1ObjectIdentifier("1.3.6.1.4.1.55555.1");
    var oddRoot = ca("CN=Odd root").with(odd, true, DERNull.INSTANCE).selfSigned();
    var policyIssuing =
        ca("CN=Policy CA")
            .with(Extension.policyConstraints, true, new PolicyConstraints(BigInteger.ZERO, null))
            .signedBy(ROOT);
    var crossA = ca("CN=A").selfSigned();
    var crossB = ca("CN=B").selfSigned();
    var keysA = new KeyPair(crossA.certificate().getPublicKey(), crossA.privateKey());
    var keysB = new KeyPair(crossB.certificate().getPublicKey(), crossB.privateKey());
    var aByB = ca("CN=A").keys(keysA).signedBy(crossB);
    var bByA = ca("CN=B").keys(keysB).signedBy(crossA);
    var aByRoot = ca("CN=A").keys(keysA).signedBy(ROOT);
    var crossLeaf = client("CN=crossed").signedBy(crossA);
    var levels = new ArrayList<Identity>();
    while (levels.size() < 8) {
      var above = levels.isEmpty() ? ROOT : levels.getFirst();
      levels.addFirst(ca("CN=Level " + levels.size()).signedBy(above));
    }
    var nine = withLeaf(levels);
    var eight = withLeaf(levels.subList(1, 8));
    var ed = ca("CN=Edwards CA").keys(TestCertificates.edwards("Ed25519")).selfSigned();
    var manyIssuing = ca("CN=Many CA").keys(TestCertificates.curve("secp384r1")).signedBy(ed);
    var many = client("CN=many").keys(TestCertificates.curve("secp521r1")).signedBy(manyIssuing);
    return Stream.of(
        accepted("issued by a registered root, sent alone", ROOT, DIRECT),
        accepted("issued by a registered root, sent with the root", ROOT, DIRECT, ROOT),
        accepted("intermediate registered, leaf only", ISSUING, LEAF),
        accepted("intermediate registered, leaf and intermediate", ISSUING, LEAF, ISSUING),
        accepted(
            "intermediate registered, leaf, intermediate and root", ISSUING, LEAF, ISSUING, ROOT),
        accepted("root registered, leaf and intermediate", ROOT, LEAF, ISSUING),
        accepted("root registered, leaf, intermediate and root", ROOT, LEAF, ISSUING, ROOT),
        accepted("chain in another order", ROOT, LEAF, ROOT, ISSUING),
        new Case(
            "two registered CAs of one name",
            Optional.empty(),
            certificates(twin, ROOT),
            certificates(DIRECT)),
        accepted(
            "X.509 v1 leaf without extensions",
            rsaRoot,
            bare("CN=old").version1().signedBy(rsaRoot)),
        accepted("v3 leaf without extensions", ROOT, bare("CN=plain").signedBy(ROOT)),
        accepted(
            "leaf with the subject of its issuer", namesake, bare("CN=billing").signedBy(namesake)),
        accepted(
            "extended key usage any",
            ROOT,
            client("CN=any").purpose(KeyPurposeId.anyExtendedKeyUsage).signedBy(ROOT)),
        accepted("Ed25519, P-384 and P-521", ed, many, manyIssuing),
        accepted(
            "RSASSA-PSS with SHA-256",
            rsaRoot,
            client("CN=pss").signature("SHA256withRSAandMGF1").signedBy(rsaRoot)),
        accepted(
            "path length 0 with a CA that issued itself a new key",
            short0,
            client("CN=rolled").signedBy(selfIssued),
            selfIssued),
        accepted(
            "names that the constraints permit",
            bankOnly,
            client("CN=good").dnsName("app.bank.example").signedBy(bankOnly)),
        accepted(
            "subject that the constraints permit",
            bankNames,
            client("CN=x,O=Bank").signedBy(bankNames)),
        accepted(
            "registered CA with a SHA-1 signature of its own",
            sha1Root,
            client("CN=fine").signedBy(sha1Root)),
        accepted(
            "CAs that cross-sign each other, one path to a registered CA",
            ROOT,
            crossLeaf,
            aByB,
            bByA,
            aByRoot),
        refused("no certificate", Reason.NO_CERTIFICATE, ROOT),
        refused("wrong CA", Reason.UNKNOWN_CA, ROOT, client("CN=x").signedBy(STRANGER)),
        refused(
            "wrong CA with the name of a registered one",
            Reason.UNKNOWN_CA,
            ROOT,
            client("CN=x").signedBy(twin),
            twin),
        refused("self-signed leaf", Reason.UNKNOWN_CA, ROOT, client("CN=self").selfSigned()),
        refused("gap in the chain", Reason.UNKNOWN_CA, ROOT, LEAF, ROOT),
        refused(
            "CAs that cross-sign each other in a circle",
            Reason.UNKNOWN_CA,
            ROOT,
            crossLeaf,
            aByB,
            bByA),
        refused("expired leaf", Reason.EXPIRED, ROOT, client("CN=x").expired().signedBy(ROOT)),
        refused(
            "expired intermediate",
            Reason.EXPIRED,
            ROOT,
            client("CN=x").signedBy(expiredIssuing),
            expiredIssuing),
        refused(
            "expired registered CA",
            Reason.EXPIRED,
            expiredRoot,
            client("CN=x").signedBy(expiredRoot)),
        refused(
            "leaf not yet valid",
            Reason.NOT_YET_VALID,
            ROOT,
            client("CN=x").notYetValid().signedBy(ROOT)),
        refused(
            "registered CA not yet valid",
            Reason.NOT_YET_VALID,
            futureRoot,
            client("CN=x").signedBy(futureRoot)),
        refused("registered CA used as client certificate", Reason.CA_AS_LEAF, ROOT, ROOT),
        refused(
            "registered intermediate used as client certificate",
            Reason.CA_AS_LEAF,
            ISSUING,
            ISSUING,
            ROOT),
        refused("another CA used as client certificate", Reason.CA_AS_LEAF, ROOT, ISSUING),
        refused(
            "leaf for serverAuth only",
            Reason.NOT_FOR_CLIENTS,
            ROOT,
            client("CN=x").purpose(KeyPurposeId.id_kp_serverAuth).signedBy(ROOT)),
        refused(
            "intermediate for serverAuth only",
            Reason.NOT_FOR_CLIENTS,
            ROOT,
            client("CN=x").signedBy(serverIssuing),
            serverIssuing),
        refused(
            "registered CA for serverAuth only",
            Reason.NOT_FOR_CLIENTS,
            serverRoot,
            client("CN=x").signedBy(serverRoot)),
        refused(
            "leaf whose key usage lacks digitalSignature",
            Reason.KEY_USAGE,
            ROOT,
            client("CN=x")
                .with(Extension.keyUsage, true, new KeyUsage(KeyUsage.keyEncipherment))
                .signedBy(ROOT)),
        refused(
            "intermediate whose key usage lacks keyCertSign",
            Reason.KEY_USAGE,
            ROOT,
            client("CN=x").signedBy(crlOnlyIssuing),
            crlOnlyIssuing),
        refused(
            "registered CA whose key usage lacks keyCertSign",
            Reason.KEY_USAGE,
            crlOnly,
            client("CN=x").signedBy(crlOnly)),
        refused(
            "intermediate that is no CA",
            Reason.NOT_A_CA,
            ROOT,
            client("CN=x").signedBy(noCaIssuing),
            noCaIssuing),
        refused(
            "X.509 v1 intermediate",
            Reason.NOT_A_CA,
            ROOT,
            client("CN=x").signedBy(version1Issuing),
            version1Issuing),
        refused(
            "registered certificate with CA:FALSE",
            Reason.NOT_A_CA,
            noCaRoot,
            client("CN=x").signedBy(noCaRoot)),
        refused(
            "path longer than an intermediate allows",
            Reason.PATH_TOO_LONG,
            ROOT,
            client("CN=x").signedBy(belowShorter),
            belowShorter,
            shorter),
        refused(
            "path longer than the registered CA allows",
            Reason.PATH_TOO_LONG,
            short0,
            client("CN=x").signedBy(belowShort),
            belowShort),
        refused(
            "names that an intermediate excludes",
            Reason.NAME_CONSTRAINTS,
            ROOT,
            client("CN=x").dnsName("www.evil.example").signedBy(notEvil),
            notEvil),
        refused(
            "names that the registered CA does not permit",
            Reason.NAME_CONSTRAINTS,
            bankOnly,
            client("CN=x").dnsName("app.other.example").signedBy(bankOnly)),
        refused(
            "subject that the registered CA does not permit",
            Reason.NAME_CONSTRAINTS,
            bankNames,
            client("CN=x,O=Other").signedBy(bankNames)),
        refused(
            "e-mail address in the subject that the registered CA does not permit",
            Reason.NAME_CONSTRAINTS,
            mail,
            client("EMAILADDRESS=x@other.example,CN=x").signedBy(mail)),
        refused(
            "constrained name of a form that is not understood",
            Reason.NAME_CONSTRAINTS,
            upnOnly,
            client("CN=x")
                .with(Extension.subjectAlternativeName, false, new GeneralNames(upn))
                .signedBy(upnOnly)),
        refused(
            "leaf signed with SHA-1",
            Reason.WEAK,
            rsaRoot,
            client("CN=x").signature("SHA1withRSA").signedBy(rsaRoot)),
        refused(
            "leaf signed with MD5",
            Reason.WEAK,
            rsaRoot,
            client("CN=x").signature("MD5withRSA").signedBy(rsaRoot)),
        refused(
            "intermediate signed with SHA-1",
            Reason.WEAK,
            rsaRoot,
            client("CN=x").signedBy(sha1Issuing),
            sha1Issuing),
        refused(
            "leaf with RSA 1024", Reason.WEAK, ROOT, client("CN=x").keys(RSA_1024).signedBy(ROOT)),
        refused(
            "intermediate with RSA 1024",
            Reason.WEAK,
            ROOT,
            client("CN=x").signedBy(weakIssuing),
            weakIssuing),
        refused(
            "registered CA with RSA 1024",
            Reason.WEAK,
            weakRoot,
            client("CN=x").signedBy(weakRoot)),
        refused(
            "leaf with RSA 16384",
            Reason.MALFORMED,
            ROOT,
            client("CN=x").keys(hugeKeys()).signedBy(ROOT)),
        refused(
            "intermediate with more than 64 name constraints",
            Reason.MALFORMED,
            ROOT,
            client("CN=x").signedBy(ISSUING),
            ca("CN=Issuing CA,O=Bank")
                .with(Extension.nameConstraints, true, HostileChainTest.excluding(65))
                .signedBy(ROOT)),
        refused(
            "unknown critical extension in the leaf",
            Reason.CRITICAL_EXTENSION,
            ROOT,
            client("CN=x").with(odd, true, DERNull.INSTANCE).signedBy(ROOT)),
        refused(
            "unknown critical extension in the registered CA",
            Reason.CRITICAL_EXTENSION,
            oddRoot,
            client("CN=x").signedBy(oddRoot)),
        refused(
            "critical policy constraints",
            Reason.CRITICAL_EXTENSION,
            ROOT,
            client("CN=x").signedBy(policyIssuing),
            policyIssuing),
        refused("more than 8 certificates", Reason.MALFORMED, ROOT, nine),
        accepted("8 certificates below a registered CA", ROOT, eight));
  }

  @ParameterizedTest
  @MethodSource("cases")
  void judges(Case row) {
    var verdict = TrustAnchors.of(row.registered()).judge(row.sent(), Instant.now());

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
    var unusable = ca("CN=Old CA").keys(hugeKeys()).signedBy(STRANGER);
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
                cases().map(row -> row(row.title(), row.reason())),
                RevocationsTest.cases().map(row -> row(row.title(), row.reason())),
                ClientCaTest.refused().map(row -> "| " + row.title() + " | refused | |"))
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
