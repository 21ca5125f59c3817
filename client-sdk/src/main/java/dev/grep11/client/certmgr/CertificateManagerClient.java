package dev.grep11.client.certmgr;

import com.google.protobuf.ByteString;
import dev.grep11.client.GatewayConnection;
import dev.grep11.proto.certmgr.Certificate;
import dev.grep11.proto.certmgr.CertificateManagerGrpc;
import dev.grep11.proto.certmgr.CertificateManagerGrpc.CertificateManagerBlockingStub;
import dev.grep11.proto.certmgr.CheckCertificateRequest;
import dev.grep11.proto.certmgr.GetAdminKeyRequest;
import dev.grep11.proto.certmgr.GetCertificateRequest;
import dev.grep11.proto.certmgr.ListCertificatesRequest;
import dev.grep11.proto.certmgr.SignedCommand;
import io.grpc.StatusRuntimeException;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.time.InstantSource;
import java.util.List;
import java.util.UUID;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * The certificate manager of one instance, seen by one administrator.
 *
 * <pre>{@code
 * var connection = Grep11Client.builder("localhost:9877")
 *     .trustedCa(Path.of("ca.pem"))
 *     .apiKey(apiKeyFile, URI.create("https://localhost:9878"))
 *     .connect();
 * try (var manager = new CertificateManagerClient(connection, instance)) {
 *   var pair = AdministratorKeyPair.read(keyFile, null);
 *   manager.execute(manager.signedBy(pair).setCertificate("billing", ca, false, List.of()));
 * }
 * }</pre>
 *
 * <p>Nothing is retried: whether a change may be repeated is the caller's to decide. Every call
 * throws {@link CertificateManagerException} when it does not succeed. Safe for use by several
 * threads, but two changes at once make one of them {@code OUTDATED}.
 */
public final class CertificateManagerClient implements AutoCloseable {
  private final GatewayConnection connection;
  private final CertificateManagerBlockingStub stub;
  private final UUID instance;

  /**
   * @param connection to the port of the certificate manager, with a token; closed with this client
   */
  public CertificateManagerClient(GatewayConnection connection, UUID instance) {
    this.connection = connection;
    this.stub = CertificateManagerGrpc.newBlockingStub(connection.channel());
    this.instance = instance;
  }

  /** The caller's registered key, and what the next command must say. */
  public AdministratorKey administratorKey() {
    return call(() -> {
      var key =
          stub.getAdminKey(
              GetAdminKeyRequest.newBuilder().setInstance(instance.toString()).build());
      return new AdministratorKey(
          key.getPublicKey().toByteArray(),
          key.getIssuer(),
          key.getSubject(),
          key.getLastCounter(),
          key.getGeneration(),
          key.getCrn());
    });
  }

  /** Commands that fit the registry as it is now, for one of them to be executed. */
  public SignedCommands signedBy(AdministratorKeyPair pair) {
    return signedBy(pair, administratorKey());
  }

  /** As {@link #signedBy(AdministratorKeyPair)}, where the state was asked for already. */
  public SignedCommands signedBy(AdministratorKeyPair pair, AdministratorKey seen) {
    return new SignedCommands(instance, seen, pair, InstantSource.system());
  }

  /** Makes a change. */
  public Change execute(SignedCommand command) {
    return call(() -> {
      var result = stub.execute(command);
      return new Change(
          result.getGeneration(),
          result.getLocked(),
          result.getOwnCertificates(),
          result.getOtherCertificates(),
          result.getConfirmedList(),
          result.getOutstandingList(),
          Instant.ofEpochMilli(result.getBindingMillis()),
          result.getNotesList(),
          result.getAdoptedBy());
    });
  }

  /** The caller's client CAs. */
  public RegisteredCertificates certificates() {
    return call(() -> {
      var list =
          stub.listCertificates(
              ListCertificatesRequest.newBuilder().setInstance(instance.toString()).build());
      return new RegisteredCertificates(
          list.getCertificatesList().stream().map(CertificateManagerClient::registered).toList(),
          list.getOtherCertificates(),
          list.getLocked(),
          list.getGeneration());
    });
  }

  /** One of the caller's client CAs; {@code NOT_FOUND} where the caller has none of that id. */
  public RegisteredCertificate certificate(String id) {
    return call(() ->
        registered(
            stub.getCertificate(
                GetCertificateRequest.newBuilder()
                    .setInstance(instance.toString())
                    .setId(id)
                    .build())));
  }

  /**
   * Whether a client would be accepted.
   *
   * @param chain leaf first
   * @param with as if this CA were registered too; null for the registry as it is
   */
  public Judgement check(List<X509Certificate> chain, @Nullable X509Certificate with) {
    return call(() -> {
      var request = CheckCertificateRequest.newBuilder().setInstance(instance.toString());
      chain.forEach(
          certificate -> request.addChain(ByteString.copyFrom(CertificatePem.der(certificate))));
      if (with != null) {
        request.setWithCertificate(ByteString.copyFrom(CertificatePem.der(with)));
      }
      var result = stub.checkCertificate(request.build());
      return new Judgement(
          result.getLocked(),
          result.getAccepted(),
          result.getReason(),
          result.getText(),
          result.getCertificateId(),
          Instant.ofEpochMilli(result.getUntilMillis()));
    });
  }

  /** Closes the connection. */
  @Override
  public void close() {
    connection.close();
  }

  private static RegisteredCertificate registered(Certificate certificate) {
    try {
      return new RegisteredCertificate(
          certificate.getId(),
          CertificatePem.of(certificate.getCertificate().toByteArray()),
          Instant.ofEpochMilli(certificate.getRegisteredMillis()));
    } catch (CertificateException e) {
      throw new IllegalStateException(
          "the gateway answered no X.509 certificate for \"" + certificate.getId() + "\"", e);
    }
  }

  private <A> A call(Supplier<A> rpc) {
    try {
      return rpc.get();
    } catch (StatusRuntimeException e) {
      throw CertificateManagerException.of(e, connection.address());
    }
  }
}
