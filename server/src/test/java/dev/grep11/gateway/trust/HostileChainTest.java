package dev.grep11.gateway.trust;

import static dev.grep11.gateway.trust.TestCertificates.bare;
import static dev.grep11.gateway.trust.TestCertificates.ca;
import static dev.grep11.gateway.trust.TestCertificates.certificates;
import static dev.grep11.gateway.trust.TestCertificates.client;
import static dev.grep11.gateway.trust.TestCertificates.curve;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.grep11.gateway.trust.TestCertificates.Identity;
import dev.grep11.gateway.trust.Verdict.Accepted;
import dev.grep11.gateway.trust.Verdict.Reason;
import dev.grep11.gateway.trust.Verdict.Refused;
import java.security.KeyPair;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.GeneralName;
import org.bouncycastle.asn1.x509.GeneralNames;
import org.bouncycastle.asn1.x509.GeneralSubtree;
import org.bouncycastle.asn1.x509.NameConstraints;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What somebody without a certificate of a registered CA can make a handshake do, in signatures
 * verified and constraints built: on event loops, that is the time of all other clients.
 */
class HostileChainTest {
  private static final String NAME = "CN=Registered CA";
  private static final Identity REGISTERED = ca(NAME).selfSigned();

  static NameConstraints excluding(int count) {
    return new NameConstraints(
        null,
        IntStream.range(0, count)
            .mapToObj(i -> new GeneralSubtree(new GeneralName(GeneralName.dNSName, "x" + i)))
            .toArray(GeneralSubtree[]::new));
  }

  private static GeneralNames names(int count) {
    return new GeneralNames(
        IntStream.range(0, count)
            .mapToObj(i -> new GeneralName(GeneralName.dNSName, "x" + i + ".example"))
            .toArray(GeneralName[]::new));
  }

  private static TestCertificates.Draft constrained(String subject, int constraints) {
    return ca(subject).with(Extension.nameConstraints, true, excluding(constraints));
  }

  private static long built(ClientChain chain) {
    return chain.certificates().stream()
        .flatMap(certificate -> certificate.nameRules().stream())
        .filter(NameRules::isBuilt)
        .count();
  }

  private static Refused refused(Verdict verdict) {
    assertThat(verdict).isInstanceOf(Refused.class);
    return (Refused) verdict;
  }

  private static Verdict judge(ClientChain chain, Identity... registered) {
    return TrustAnchors.of(certificates(registered)).judge(chain, Instant.now());
  }

  private static Instant ends(Identity identity) {
    return identity.certificate().getNotAfter().toInstant();
  }

  @Test
  void aStrangersConstraintsAreNeverBuilt() {
    var strange = constrained(NAME, NameRules.MAX_SUBTREES).selfSigned();
    var lower = constrained("CN=Lower", NameRules.MAX_SUBTREES).signedBy(strange);
    var leaf = client("CN=x").signedBy(lower);
    var chain = ClientChain.of(certificates(leaf, lower, strange));

    assertThat(refused(judge(chain, REGISTERED)).reason()).isEqualTo(Reason.UNKNOWN_CA);
    assertThat(built(chain)).isZero();
  }

  @Test
  void constraintsAreBuiltForACaThatARegisteredOneVouchesFor() {
    var lower = constrained("CN=Lower", NameRules.MAX_SUBTREES).signedBy(REGISTERED);
    var chain = ClientChain.of(certificates(client("CN=x").signedBy(lower), lower));

    assertThat(judge(chain, REGISTERED)).isInstanceOf(Accepted.class);
    assertThat(built(chain)).isEqualTo(1);
  }

  @Test
  void moreConstraintsThanAnybodyHasAreRefusedEverywhere() {
    var many = constrained("CN=Many", NameRules.MAX_SUBTREES + 1).selfSigned();
    var sent = ClientChain.of(certificates(client("CN=x").signedBy(many), many));

    assertThat(refused(judge(sent, REGISTERED)))
        .isEqualTo(
            new Refused(
                Reason.MALFORMED,
                "certificate 2 of the client cannot be read: it has 65 name constraints; at most"
                    + " 64 allowed"));
    assertThatThrownBy(() -> ClientCa.read(many.der(), Instant.now()))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("at most 64");
    assertThat(
            refused(judge(ClientChain.of(certificates(client("CN=x").signedBy(many))), many))
                .reason())
        .isEqualTo(Reason.UNKNOWN_CA);
  }

  @Test
  void moreAlternativeNamesThanAnybodyHasAreRefused() {
    var leaf =
        client("CN=x")
            .with(
                Extension.subjectAlternativeName,
                false,
                names(PathCertificate.MAX_ALTERNATIVE_NAMES + 1));
    var chain = ClientChain.of(certificates(leaf.signedBy(REGISTERED)));

    assertThat(refused(judge(chain, REGISTERED)))
        .satisfies(
            refusal -> assertThat(refusal.reason()).isEqualTo(Reason.MALFORMED),
            refusal -> assertThat(refusal.text()).contains("129 alternative names; at most 128"));
  }

  /** Each signed by the next, all of the registered CA's name, the right one tried last. */
  private static List<X509Certificate> crossSigned(String curve) {
    var keys = Stream.generate(() -> curve(curve)).limit(7).toList();
    var chain = new ArrayList<X509Certificate>();
    for (int i = 0; i < keys.size(); i++) {
      var issuer = new Identity(REGISTERED.certificate(), keys.get((i + 1) % 7).getPrivate(), "");
      var draft = i == 0 ? bare("CN=x") : ca(NAME);
      chain.add(draft.keys(keys.get(i)).signedBy(issuer).certificate());
    }
    Collections.reverse(chain.subList(1, chain.size()));
    return chain;
  }

  @ParameterizedTest
  @ValueSource(strings = {"secp256r1", "secp521r1"})
  void aStrangersKeysAreNeverUsed(String curve) {
    var chain = ClientChain.of(crossSigned(curve));

    assertThat(refused(judge(chain, REGISTERED)).reason()).isEqualTo(Reason.UNKNOWN_CA);
    // Each of the seven was tried under the registered key, and under no other.
    assertThat(chain.verified()).isEqualTo(7);
    for (var issuer : chain.certificates()) {
      for (var issued : chain.certificates()) {
        assertThat(chain.isSigned(issuer, issued)).isEmpty();
      }
    }
  }

  @Test
  void dearKeysOfManyRegisteredCasAreTriedEightTimesAtMost() {
    var registered =
        Stream.generate(() -> ca(NAME).keys(curve("secp521r1")).selfSigned())
            .limit(20)
            .toArray(Identity[]::new);
    var chain = ClientChain.of(certificates(client("CN=x").signedBy(REGISTERED)));

    assertThat(refused(judge(chain, registered)).reason()).isEqualTo(Reason.UNKNOWN_CA);
    assertThat(chain.verified()).isEqualTo(8);
  }

  @Test
  void findsTheRightOneOfAHundredRegisteredCasOfOneName() {
    var registered = new ArrayList<Identity>();
    for (int i = 0; i < 99; i++) {
      registered.add(ca(NAME).selfSigned());
    }
    registered.add(REGISTERED);
    var chain = ClientChain.of(certificates(client("CN=x").signedBy(REGISTERED)));

    assertThat(judge(chain, registered.toArray(Identity[]::new)))
        .isEqualTo(new Accepted(REGISTERED.certificate(), ends(REGISTERED)));
    assertThat(chain.verified()).isEqualTo(100);
  }

  @Test
  void longChainsOfDearKeysCostOneSignatureEach() {
    var top = ca("CN=0").keys(curve("secp521r1")).selfSigned();
    var sent = new ArrayList<X509Certificate>();
    var issuer = top;
    for (int i = 1; i < ClientChain.MAX_CERTIFICATES; i++) {
      issuer = ca("CN=" + i).keys(curve("secp521r1")).signedBy(issuer);
      sent.addFirst(issuer.certificate());
    }
    sent.addFirst(client("CN=x").signedBy(issuer).certificate());
    var chain = ClientChain.of(sent);

    assertThat(judge(chain, top)).isInstanceOf(Accepted.class);
    assertThat(chain.verified()).isEqualTo(ClientChain.MAX_CERTIFICATES);
  }

  @Test
  void aCertificateSentManyTimesCountsOnce() {
    var lower = ca("CN=Lower").signedBy(REGISTERED);
    var leaf = client("CN=x").signedBy(ca("CN=Lower").selfSigned());
    var chain = ClientChain.of(certificates(leaf, lower, lower, lower, lower, lower, lower));

    assertThat(refused(judge(chain, REGISTERED)).reason()).isEqualTo(Reason.UNKNOWN_CA);
    assertThat(chain.verified()).isEqualTo(2);
  }

  @Test
  void rsaKeysWithALongExponentAreWeak() {
    var keys =
        new KeyPair(
            TestCertificates.rsaModulus(2048, 131073), TestCertificates.p256().getPrivate());
    var chain = ClientChain.of(certificates(client("CN=x").keys(keys).signedBy(REGISTERED)));

    assertThat(refused(judge(chain, REGISTERED)).reason()).isEqualTo(Reason.WEAK);
  }

  @Test
  void aNameIsShownInTheOrderInWhichItIsWritten() {
    var leaf = client("CN=a\u202Eb\u2066c\u2028d").expired().signedBy(REGISTERED);

    assertThat(refused(judge(ClientChain.of(certificates(leaf)), REGISTERED)).text())
        .startsWith("certificate \"CN=a?b?c?d\" expired");
  }
}
