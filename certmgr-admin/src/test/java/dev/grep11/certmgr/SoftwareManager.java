package dev.grep11.certmgr;

import com.google.protobuf.ByteString;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import dev.grep11.proto.certmgr.AdminKey;
import dev.grep11.proto.certmgr.Certificate;
import dev.grep11.proto.certmgr.CertificateList;
import dev.grep11.proto.certmgr.CertificateManagerGrpc;
import dev.grep11.proto.certmgr.CheckCertificateRequest;
import dev.grep11.proto.certmgr.CheckResult;
import dev.grep11.proto.certmgr.Command;
import dev.grep11.proto.certmgr.CommandResult;
import dev.grep11.proto.certmgr.GetAdminKeyRequest;
import dev.grep11.proto.certmgr.GetCertificateRequest;
import dev.grep11.proto.certmgr.ListCertificatesRequest;
import dev.grep11.proto.certmgr.SignedCommand;
import io.grpc.Grpc;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsServerCredentials;
import io.grpc.stub.StreamObserver;
import java.io.ByteArrayOutputStream;
import java.io.FileInputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.Signature;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.ArrayDeque;
import java.util.Base64;
import java.util.Map;
import java.util.Queue;
import java.util.TreeMap;
import java.util.function.Supplier;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;

/**
 * A certificate manager for one administrator and a token service, over real TLS, which fail when
 * told to. It verifies signatures, counters and generations, and judges nothing else: what a real
 * gateway decides is not tested with it.
 */
final class SoftwareManager implements AutoCloseable {
  private final Server server;
  private final HttpsServer tokens;
  private final TestPki.Identity identity;

  // Used by one call after the other.
  private byte[] key = {};
  private long counter;
  private long generation = 1;
  private final Map<String, byte[]> certificates = new TreeMap<>();
  private final Queue<StatusRuntimeException> refusals = new ArrayDeque<>();
  private boolean loseAnswer;
  private int executed;
  int others;
  String invitation = "";
  boolean accepts = true;

  SoftwareManager(TestPki.Identity identity) throws Exception {
    this.identity = identity;
    server =
        Grpc.newServerBuilderForPort(
                0,
                TlsServerCredentials.newBuilder()
                    .keyManager(identity.certificate().toFile(), identity.key().toFile())
                    .build())
            .addService(new Service())
            .intercept(new Correlated())
            .directExecutor()
            .build()
            .start();
    tokens = HttpsServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    tokens.setHttpsConfigurator(new HttpsConfigurator(context()));
    tokens.createContext(
        "/identity/token",
        exchange -> {
          byte[] answer =
              "{\"access_token\":\"t0\",\"expires_in\":3600}".getBytes(StandardCharsets.UTF_8);
          exchange.getRequestBody().readAllBytes();
          exchange.sendResponseHeaders(200, answer.length);
          exchange.getResponseBody().write(answer);
          exchange.close();
        });
    tokens.start();
  }

  private SSLContext context() throws Exception {
    var pem = Files.readString(identity.key()).replaceAll("-----[A-Z ]+-----|\\s", "");
    var privateKey =
        KeyFactory.getInstance("EC")
            .generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(pem)));
    var store = KeyStore.getInstance("PKCS12");
    store.load(null, null);
    try (var stream = new FileInputStream(identity.certificate().toFile())) {
      store.setKeyEntry(
          "server",
          privateKey,
          new char[0],
          new java.security.cert.Certificate[] {
            CertificateFactory.getInstance("X.509").generateCertificate(stream)
          });
    }
    var factory = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
    factory.init(store, new char[0]);
    var context = SSLContext.getInstance("TLS");
    context.init(factory.getKeyManagers(), null, null);
    return context;
  }

  String address() {
    return "localhost:" + server.getPort();
  }

  String tokenEndpoint() {
    return "https://localhost:" + tokens.getAddress().getPort();
  }

  /** Refuses the next command, once for each call of this. */
  void refuse(Status status) {
    refusals.add(status.asRuntimeException());
  }

  /** As {@link #refuse(Status)}, with a word for programs. */
  void refuse(Status status, String reason) {
    var trailers = new Metadata();
    trailers.put(Metadata.Key.of("grep11-reason", Metadata.ASCII_STRING_MARSHALLER), reason);
    refusals.add(status.asRuntimeException(trailers));
  }

  /** Carries out the next command, and answers as a connection that broke. */
  void loseNextAnswer() {
    loseAnswer = true;
  }

  byte[] registeredKey() {
    return key.clone();
  }

  /** How many commands were carried out. */
  int executed() {
    return executed;
  }

  /** Another administrator's change. */
  void otherChange() {
    generation++;
  }

  @Override
  public void close() {
    server.shutdownNow();
    tokens.stop(0);
  }

  /** Puts the correlation id into the trailers, as a gateway does. */
  private static final class Correlated implements ServerInterceptor {
    @Override
    public <Q, A> ServerCall.Listener<Q> interceptCall(
        ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
      return next.startCall(
          new io.grpc.ForwardingServerCall.SimpleForwardingServerCall<>(call) {
            @Override
            public void close(Status status, Metadata trailers) {
              if (status.getCode() != Status.Code.UNAVAILABLE) {
                trailers.put(
                    Metadata.Key.of("x-correlation-id", Metadata.ASCII_STRING_MARSHALLER), "c-1");
              }
              super.close(status, trailers);
            }
          },
          headers);
    }
  }

  private final class Service extends CertificateManagerGrpc.CertificateManagerImplBase {
    @Override
    public void execute(SignedCommand signed, StreamObserver<CommandResult> observer) {
      answer(
          observer,
          () -> {
            var refusal = refusals.poll();
            if (refusal != null) {
              throw refusal;
            }
            return carryOut(signed);
          });
    }

    @Override
    public void getAdminKey(GetAdminKeyRequest request, StreamObserver<AdminKey> observer) {
      answer(
          observer,
          () ->
              AdminKey.newBuilder()
                  .setPublicKey(ByteString.copyFrom(key))
                  .setIssuer("https://iam.example")
                  .setSubject("ApiKey-anna")
                  .setLastCounter(counter)
                  .setGeneration(generation)
                  .build());
    }

    @Override
    public void listCertificates(
        ListCertificatesRequest request, StreamObserver<CertificateList> observer) {
      answer(
          observer,
          () -> {
            var list =
                CertificateList.newBuilder()
                    .setOtherCertificates(others)
                    .setLocked(others + certificates.size() > 0)
                    .setGeneration(generation);
            certificates.keySet().forEach(id -> list.addCertificates(certificate(id)));
            return list.build();
          });
    }

    @Override
    public void getCertificate(
        GetCertificateRequest request, StreamObserver<Certificate> observer) {
      answer(observer, () -> certificate(request.getId()));
    }

    @Override
    public void checkCertificate(
        CheckCertificateRequest request, StreamObserver<CheckResult> observer) {
      answer(
          observer,
          () ->
              accepts
                  ? CheckResult.newBuilder().setLocked(true).setAccepted(true).build()
                  : CheckResult.newBuilder()
                      .setReason("no-path")
                      .setText("no registered CA issued it")
                      .build());
    }
  }

  private Certificate certificate(String id) {
    if (!certificates.containsKey(id)) {
      throw Status.NOT_FOUND.withDescription("not found").asRuntimeException();
    }
    return Certificate.newBuilder()
        .setId(id)
        .setCertificate(ByteString.copyFrom(certificates.get(id)))
        .setRegisteredMillis(0)
        .build();
  }

  private CommandResult carryOut(SignedCommand signed) {
    Command command;
    try {
      command = Command.parseFrom(signed.getPayload());
      var signer =
          command.hasSetAdminKey() ? command.getSetAdminKey().getPublicKey().toByteArray() : key;
      if (!verifies(signer, signed)) {
        throw Status.PERMISSION_DENIED.withDescription("signature rejected").asRuntimeException();
      }
    } catch (java.io.IOException | java.security.GeneralSecurityException e) {
      throw new IllegalStateException(e);
    }
    if (command.getCounter() <= counter || command.getExpectedGeneration() != generation) {
      throw Status.ABORTED.withDescription("the registry changed").asRuntimeException();
    }
    switch (command.getActionCase()) {
      case SET_ADMIN_KEY -> {
        if (!invitation.equals(command.getSetAdminKey().getInvitation())) {
          throw Status.PERMISSION_DENIED.withDescription("no invitation").asRuntimeException();
        }
        key = command.getSetAdminKey().getPublicKey().toByteArray();
      }
      case UPDATE_ADMIN_KEY -> key = command.getUpdateAdminKey().getPublicKey().toByteArray();
      case DELETE_ADMIN_KEY -> key = new byte[0];
      case SET_CERTIFICATE ->
          certificates.put(
              command.getSetCertificate().getId(),
              command.getSetCertificate().getCertificate().toByteArray());
      case DELETE_CERTIFICATE -> {
        if (certificates.remove(command.getDeleteCertificate().getId()) == null) {
          throw Status.NOT_FOUND.withDescription("not found").asRuntimeException();
        }
      }
      case COUNTERSIGN, ACTION_NOT_SET -> {}
    }
    counter = command.getCounter();
    generation++;
    executed++;
    if (loseAnswer) {
      loseAnswer = false;
      throw Status.UNAVAILABLE.withDescription("the store went away").asRuntimeException();
    }
    return CommandResult.newBuilder()
        .setGeneration(generation)
        .setLocked(others + certificates.size() > 0)
        .setOwnCertificates(certificates.size())
        .setOtherCertificates(others)
        .build();
  }

  private static boolean verifies(byte[] spki, SignedCommand signed)
      throws java.security.GeneralSecurityException {
    var message = new ByteArrayOutputStream();
    message.writeBytes(
        "grep11-gateway certificate manager command v1".getBytes(StandardCharsets.US_ASCII));
    message.write(0);
    message.writeBytes(signed.getPayload().toByteArray());
    // An Ed25519 SubjectPublicKeyInfo has 44 bytes (RFC 8410, 4).
    boolean edwards = spki.length == 44;
    var verifier = Signature.getInstance(edwards ? "Ed25519" : "SHA256withECDSA");
    verifier.initVerify(
        KeyFactory.getInstance(edwards ? "Ed25519" : "EC")
            .generatePublic(new X509EncodedKeySpec(spki)));
    verifier.update(message.toByteArray());
    return verifier.verify(signed.getSignature().toByteArray());
  }

  private static <A> void answer(StreamObserver<A> observer, Supplier<A> answer) {
    try {
      observer.onNext(answer.get());
      observer.onCompleted();
    } catch (StatusRuntimeException e) {
      observer.onError(e);
    }
  }
}
