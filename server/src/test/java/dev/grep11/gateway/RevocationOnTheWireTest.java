package dev.grep11.gateway;

import static dev.grep11.gateway.RunningGateway.MANAGER;
import static dev.grep11.gateway.RunningGateway.aesKey;
import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.grep11.gateway.trust.TestCertificates;
import dev.grep11.gateway.trust.TestCertificates.Identity;
import dev.grep11.proto.CryptoGrpc;
import io.grpc.ConnectivityState;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.GrpcSslContexts;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.util.Date;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.cert.X509v2CRLBuilder;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The files of revoked certificates, as a running gateway follows them. */
class RevocationOnTheWireTest {
  /** The files are looked at every 5 s, and a connection has 2 s for its calls. */
  private static final Duration BOUND = Duration.ofSeconds(10);

  private static final Identity LISTED = TestCertificates.ca("CN=Listed CA").selfSigned();
  private static final Identity OTHER = TestCertificates.ca("CN=Other CA").selfSigned();

  private record Client(ManagedChannel channel, CryptoGrpc.CryptoBlockingStub calls) {
    Status.Code answer() {
      channel.resetConnectBackoff();
      try {
        return aesKey(calls).isEmpty() ? Status.Code.DATA_LOSS : Status.Code.OK;
      } catch (StatusRuntimeException e) {
        return e.getStatus().getCode();
      }
    }
  }

  private static Client client(RunningGateway running, Identity identity) throws Exception {
    var channel =
        running.channel(
            "localhost",
            GrpcSslContexts.forClient()
                .trustManager(running.demo.ca().toFile())
                .keyManager(identity.privateKey(), identity.certificate()));
    return new Client(
        channel,
        CryptoGrpc.newBlockingStub(channel)
            .withInterceptors(
                RunningGateway.headers("authorization", "Bearer " + running.token(MANAGER))));
  }

  private static Identity issued(Identity ca, String name) {
    return TestCertificates.client("CN=" + name).signedBy(ca);
  }

  private static void list(Path file, Identity... revoked) throws Exception {
    var now = Instant.now();
    var builder =
        new X509v2CRLBuilder(
                X500Name.getInstance(LISTED.certificate().getSubjectX500Principal().getEncoded()),
                Date.from(now.minusSeconds(60)))
            .setNextUpdate(Date.from(now.plusSeconds(3600)));
    for (var identity : revoked) {
      builder.addCRLEntry(identity.certificate().getSerialNumber(), Date.from(now), 0);
    }
    var signer = new JcaContentSignerBuilder("SHA256withECDSA").build(LISTED.privateKey());
    replace(file, builder.build(signer).getEncoded());
  }

  private static void replace(Path file, byte[] content) throws Exception {
    var next = Files.write(file.resolveSibling(file.getFileName() + ".new"), content);
    Files.move(next, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
  }

  @Test
  @Tag("load")
  void aChangedFileEndsOpenConnectionsAndAMissingListRefusesAllOfItsCa(@TempDir Path parent)
      throws Exception {
    LISTED.write(parent, "listed");
    var crl = parent.resolve("listed.crl");
    var denied = parent.resolve("denied");
    list(crl);
    Files.writeString(denied, "# nobody yet\n");
    var settings =
        Map.<String, Object>of(
            "/clientCas",
            Map.of(
                "denyFile",
                denied.toString(),
                "crls",
                List.of(
                    Map.of("ca", parent.resolve("listed.pem").toString(), "crl", crl.toString()))));
    var revoked = issued(LISTED, "revoked");
    var stolen = issued(OTHER, "stolen");
    try (var running = RunningGateway.start(parent.resolve("demo"), settings)) {
      running.registerClientCas(running.instance, List.of(LISTED.der(), OTHER.der()));
      var toBeRevoked = client(running, revoked);
      var toBeDenied = client(running, stolen);
      var sameCa = client(running, issued(LISTED, "kept"));
      var otherCa = client(running, issued(OTHER, "kept"));
      for (var each : List.of(toBeRevoked, toBeDenied, sameCa, otherCa)) {
        await().atMost(BOUND).until(() -> each.answer() == Status.Code.OK);
      }

      list(crl, revoked);
      replace(
          denied,
          ("sha256:"
                  + HexFormat.of()
                      .formatHex(MessageDigest.getInstance("SHA-256").digest(stolen.der()))
                  + "\n")
              .getBytes(US_ASCII));
      // Of connections that say nothing; a new handshake would be refused for itself.
      for (var each : List.of(toBeRevoked, toBeDenied)) {
        await()
            .atMost(BOUND)
            .until(() -> each.channel().getState(false) != ConnectivityState.READY);
        assertThat(each.answer()).isEqualTo(Status.Code.UNAVAILABLE);
      }
      assertThat(sameCa.answer()).isEqualTo(Status.Code.OK);
      assertThat(otherCa.answer()).isEqualTo(Status.Code.OK);
      for (var identity : List.of(revoked, stolen)) {
        var fingerprint =
            HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(identity.der()));
        await()
            .atMost(BOUND)
            .untilAsserted(() ->
                assertThat(running.events(fingerprint))
                    .anyMatch(event -> event.at("/reason/reasonType").asText().equals("revoked")));
      }

      Files.delete(crl);
      await()
          .atMost(BOUND)
          .until(() -> sameCa.channel().getState(false) != ConnectivityState.READY);
      assertThat(sameCa.answer()).isEqualTo(Status.Code.UNAVAILABLE);
      assertThat(otherCa.answer()).isEqualTo(Status.Code.OK);

      list(crl, revoked);
      await().atMost(BOUND).until(() -> sameCa.answer() == Status.Code.OK);
      assertThat(toBeRevoked.answer()).isEqualTo(Status.Code.UNAVAILABLE);
    }
  }
}
