package dev.grep11.gateway.trust;

import static dev.grep11.gateway.trust.TestCertificates.bare;
import static dev.grep11.gateway.trust.TestCertificates.ca;
import static dev.grep11.gateway.trust.TestCertificates.client;
import static dev.grep11.gateway.trust.TestCertificates.rsa;
import static dev.grep11.gateway.trust.TestCertificates.rsaModulus;
import static java.nio.charset.StandardCharsets.US_ASCII;

import dev.grep11.gateway.trust.TestCertificates.Identity;
import dev.grep11.gateway.trust.Verdict.Reason;
import java.math.BigInteger;
import java.security.KeyPair;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.DERNull;
import org.bouncycastle.asn1.DEROctetString;
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

/**
 * The rows of docs/client-certificates.md, for the judgement in memory and for live connections.
 */
public final class CertificateCases {
  private static final KeyPair RSA_1024 = rsa(1024);
  private static final KeyPair RSA_2048 = rsa(2048);
  static final Identity ROOT = ca("CN=Root CA,O=Bank").selfSigned();
  static final Identity ISSUING = ca("CN=Issuing CA,O=Bank").signedBy(ROOT);
  static final Identity LEAF = client("CN=billing,O=Bank").signedBy(ISSUING);
  static final Identity DIRECT = client("CN=billing,O=Bank").signedBy(ROOT);
  static final Identity STRANGER = ca("CN=Other CA").selfSigned();

  private static final ASN1ObjectIdentifier ODD = new ASN1ObjectIdentifier("1.3.6.1.4.1.55555.1");

  private CertificateCases() {}

  /**
   * One row of the page.
   *
   * @param reason empty if it is accepted
   * @param sent leaf first, each with its private key; a huge one has another's
   */
  public record Case(
      String title, Optional<Reason> reason, List<Identity> registered, List<Identity> sent) {
    @Override
    public String toString() {
      return title;
    }
  }

  private static Case accepted(String title, Identity registered, Identity... sent) {
    return new Case(title, Optional.empty(), List.of(registered), List.of(sent));
  }

  private static Case refused(String title, Reason reason, Identity registered, Identity... sent) {
    return new Case(title, Optional.of(reason), List.of(registered), List.of(sent));
  }

  private static Identity weakAnchor() {
    return ca("CN=Old CA").keys(RSA_1024).selfSigned();
  }

  static KeyPair hugeKeys() {
    return new KeyPair(rsaModulus(16384), RSA_2048.getPrivate());
  }

  private static Identity[] withLeaf(List<Identity> cas) {
    var leaf = client("CN=deep").signedBy(cas.getFirst());
    return Stream.concat(Stream.of(leaf), cas.stream()).toArray(Identity[]::new);
  }

  /** Rows about clients. */
  public static Stream<Case> clients() {
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
    var manyIssuing = ca("CN=Many CA").keys(TestCertificates.curve("secp521r1")).signedBy(ed);
    var many = client("CN=many").keys(TestCertificates.curve("secp384r1")).signedBy(manyIssuing);
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
            List.of(twin, ROOT),
            List.of(DIRECT)),
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

  // ---- Registration

  /** One row of the page: what is uploaded, and a word of the answer. */
  public record Upload(String title, byte[] der, String answer) {
    @Override
    public String toString() {
      return title;
    }
  }

  /** Rows about what is refused at registration. */
  public static Stream<Upload> refusedUploads() {
    var huge = new KeyPair(TestCertificates.rsaModulus(16384), ROOT.privateKey());
    return Stream.of(
        new Upload("client certificate", client("CN=x").signedBy(ROOT).der(), "CA:TRUE"),
        new Upload("CA:FALSE", constrained(new BasicConstraints(false)).der(), "CA:TRUE"),
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

  private static Identity constrained(BasicConstraints constraints) {
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
}
