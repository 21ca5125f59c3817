package dev.grep11.client;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import dev.grep11.proto.EncryptSingleRequest;
import dev.grep11.proto.EncryptSingleResponse;
import dev.grep11.proto.GenerateKeyPairRequest;
import dev.grep11.proto.GenerateKeyPairResponse;
import dev.grep11.proto.GenerateKeyRequest;
import dev.grep11.proto.GenerateKeyResponse;
import dev.grep11.proto.GenerateRandomRequest;
import dev.grep11.proto.GenerateRandomResponse;
import dev.grep11.proto.GetAttributeValueRequest;
import dev.grep11.proto.GetAttributeValueResponse;
import dev.grep11.proto.GetMechanismInfoRequest;
import dev.grep11.proto.GetMechanismInfoResponse;
import dev.grep11.proto.GetMechanismListRequest;
import dev.grep11.proto.GetMechanismListResponse;
import dev.grep11.proto.Grep11Error;
import dev.grep11.proto.RewrapKeyBlobRequest;
import dev.grep11.proto.RewrapKeyBlobResponse;
import dev.grep11.proto.SetAttributeValueRequest;
import dev.grep11.proto.SetAttributeValueResponse;
import dev.grep11.proto.SignSingleRequest;
import dev.grep11.proto.SignSingleResponse;
import dev.grep11.proto.UnwrapKeyRequest;
import dev.grep11.proto.UnwrapKeyResponse;
import dev.grep11.proto.VerifySingleRequest;
import dev.grep11.proto.VerifySingleResponse;
import io.grpc.Attributes;
import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.Grpc;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.ServerTransportFilter;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsServerCredentials;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.StreamObserver;
import java.net.SocketAddress;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.Signature;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import javax.net.ssl.SSLPeerUnverifiedException;
import javax.net.ssl.SSLSession;
import org.jspecify.annotations.Nullable;

/**
 * A gateway over real TLS with a little software in place of the HSM. It fails when told to, once
 * per failure given, in order.
 */
final class FakeGateway implements AutoCloseable {
  record Call(
      String method,
      Metadata headers,
      @Nullable String clientCertificate,
      @Nullable SocketAddress remote) {
    @Nullable String header(String name) {
      return headers.get(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER));
    }
  }

  private final Server server;
  private final Service service = new Service();
  private final Queue<StatusRuntimeException> failures = new ArrayDeque<>();
  private final List<Call> calls = Collections.synchronizedList(new ArrayList<>());
  private final Semaphore begun = new Semaphore(0);
  private final Semaphore cancelled = new Semaphore(0);
  private final AtomicInteger connections = new AtomicInteger();
  private volatile boolean silent;
  private volatile Held held = new Held("", new CountDownLatch(0));

  /** Calls of a method that wait for the test. */
  private record Held(String method, CountDownLatch until) {}

  FakeGateway(TestAuthority.Identity identity, @Nullable Path clientCa) throws Exception {
    this(identity, clientCa, 0);
  }

  /** One on this port, in the place of one that is gone. */
  FakeGateway(TestAuthority.Identity identity, @Nullable Path clientCa, int port) throws Exception {
    var tls =
        TlsServerCredentials.newBuilder()
            .keyManager(identity.certificate().toFile(), identity.key().toFile());
    if (clientCa != null) {
      tls.trustManager(clientCa.toFile()).clientAuth(TlsServerCredentials.ClientAuth.REQUIRE);
    }
    server =
        Grpc.newServerBuilderForPort(port, tls.build())
            .addService(service)
            .intercept(new Recorder())
            .addTransportFilter(new Connections())
            .maxInboundMessageSize(64 << 20)
            .build()
            .start();
  }

  String address() {
    return "localhost:" + port();
  }

  int port() {
    return server.getPort();
  }

  List<Call> calls() {
    return List.copyOf(calls);
  }

  /** Bytes of all parts taken so far. */
  long absorbed() {
    return service.absorbed.get();
  }

  /** From now on nothing is answered. */
  void fallSilent() {
    silent = true;
  }

  /** From now on calls of this method are answered after {@link #letGo}. */
  void hold(String method) {
    held = new Held(method, new CountDownLatch(1));
  }

  void letGo() {
    held.until().countDown();
  }

  /** How many clients are connected. */
  int connections() {
    return connections.get();
  }

  /** Until a call has come, one for each time. */
  void awaitCall() throws InterruptedException {
    await(begun, "no call came");
  }

  /** Until a call that is not answered was cancelled. */
  void awaitCancellation() throws InterruptedException {
    await(cancelled, "no call was cancelled");
  }

  private static void await(Semaphore what, String otherwise) throws InterruptedException {
    if (!what.tryAcquire(10, TimeUnit.SECONDS)) {
      throw new AssertionError(otherwise);
    }
  }

  void failNext(StatusRuntimeException... next) {
    synchronized (failures) {
      failures.addAll(Arrays.asList(next));
    }
  }

  static StatusRuntimeException refusal(
      Status.Code status, long code, String detail, boolean retry) {
    return StatusProto.toStatusRuntimeException(
        com.google.rpc.Status.newBuilder()
            .setCode(status.value())
            .setMessage(Ckr.nameOf(code))
            .addDetails(
                Any.pack(
                    Grep11Error.newBuilder()
                        .setCode(code)
                        .setDetail(detail)
                        .setRetry(retry)
                        .build()))
            .build());
  }

  @Override
  public void close() {
    letGo();
    server.shutdownNow();
  }

  private final class Connections extends ServerTransportFilter {
    @Override
    public Attributes transportReady(Attributes attributes) {
      connections.incrementAndGet();
      return attributes;
    }

    @Override
    public void transportTerminated(Attributes attributes) {
      connections.decrementAndGet();
    }
  }

  private final class Recorder implements ServerInterceptor {
    @Override
    public <Q, A> ServerCall.Listener<Q> interceptCall(
        ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
      calls.add(
          new Call(
              String.valueOf(call.getMethodDescriptor().getBareMethodName()),
              headers,
              subject(call.getAttributes().get(Grpc.TRANSPORT_ATTR_SSL_SESSION)),
              call.getAttributes().get(Grpc.TRANSPORT_ATTR_REMOTE_ADDR)));
      begun.release();
      var now = held;
      if (now.method().equals(call.getMethodDescriptor().getBareMethodName())) {
        try {
          now.until().await();
        } catch (InterruptedException e) {
          Thread.currentThread().interrupt();
        }
      }
      if (silent) {
        return new ServerCall.Listener<>() {
          @Override
          public void onCancel() {
            cancelled.release();
          }
        };
      }
      StatusRuntimeException failure;
      synchronized (failures) {
        failure = failures.poll();
      }
      if (failure != null) {
        Metadata trailers = failure.getTrailers();
        call.close(failure.getStatus(), trailers == null ? new Metadata() : trailers);
        return new ServerCall.Listener<>() {};
      }
      return Contexts.interceptCall(Context.current(), call, headers, next);
    }

    private static @Nullable String subject(@Nullable SSLSession session) {
      try {
        return session == null ? null : session.getPeerPrincipal().getName();
      } catch (SSLPeerUnverifiedException noneWasAskedFor) {
        return null;
      }
    }
  }

  private static final class Service extends SoftwareParts {
    @Override
    public void generateRandom(
        GenerateRandomRequest request, StreamObserver<GenerateRandomResponse> observer) {
      answer(
          observer,
          GenerateRandomResponse.newBuilder()
              .setRnd(ByteString.copyFrom(new byte[Math.toIntExact(request.getLen())]))
              .build());
    }

    @Override
    public void getMechanismList(
        GetMechanismListRequest request, StreamObserver<GetMechanismListResponse> observer) {
      answer(
          observer,
          GetMechanismListResponse.newBuilder()
              .addMechs(Ckm.CKM_RSA_PKCS)
              .addMechs(Ckm.CKM_IBM_BTC_DERIVE)
              .build());
    }

    @Override
    public void getMechanismInfo(
        GetMechanismInfoRequest request, StreamObserver<GetMechanismInfoResponse> observer) {
      answer(
          observer,
          GetMechanismInfoResponse.newBuilder()
              .setMechInfo(
                  dev.grep11.proto.MechanismInfo.newBuilder()
                      .setMinKeySize(16)
                      .setMaxKeySize(32)
                      .setFlags(0x8000))
              .build());
    }

    @Override
    public void generateKey(
        GenerateKeyRequest request, StreamObserver<GenerateKeyResponse> observer) {
      answer(
          observer,
          GenerateKeyResponse.newBuilder()
              .setKeyBytes(ByteString.copyFromUtf8("secret blob"))
              .setCheckSum(ByteString.copyFrom(new byte[] {1, 2, 3}))
              .build());
    }

    @Override
    public void generateKeyPair(
        GenerateKeyPairRequest request, StreamObserver<GenerateKeyPairResponse> observer) {
      var pair = TestAuthority.ecPair();
      answer(
          observer,
          GenerateKeyPairResponse.newBuilder()
              .setPrivKeyBytes(ByteString.copyFrom(pair.getPrivate().getEncoded()))
              .setPubKeyBytes(ByteString.copyFrom(pair.getPublic().getEncoded()))
              .build());
    }

    @Override
    public void encryptSingle(
        EncryptSingleRequest request, StreamObserver<EncryptSingleResponse> observer) {
      answer(observer, EncryptSingleResponse.newBuilder().setCiphered(request.getPlain()).build());
    }

    @Override
    public void unwrapKey(UnwrapKeyRequest request, StreamObserver<UnwrapKeyResponse> observer) {
      answer(
          observer,
          UnwrapKeyResponse.newBuilder()
              .setUnwrappedBytes(request.getWrapped())
              .setCheckSum(ByteString.copyFrom(new byte[] {1, 2, 3, 0, 0, 1, 0}))
              .build());
    }

    @Override
    public void signSingle(SignSingleRequest request, StreamObserver<SignSingleResponse> observer) {
      try {
        var signer = Signature.getInstance("SHA256withECDSAinP1363Format");
        signer.initSign(
            KeyFactory.getInstance("EC")
                .generatePrivate(
                    new PKCS8EncodedKeySpec(request.getPrivKey().getKeyBlobs(0).toByteArray())));
        signer.update(request.getData().toByteArray());
        answer(
            observer,
            SignSingleResponse.newBuilder()
                .setSignature(ByteString.copyFrom(signer.sign()))
                .build());
      } catch (GeneralSecurityException e) {
        observer.onError(refusal(Status.Code.UNKNOWN, Ckr.CKR_IBM_BLOB_ERROR, "key blob", false));
      }
    }

    @Override
    public void verifySingle(
        VerifySingleRequest request, StreamObserver<VerifySingleResponse> observer) {
      try {
        var verifier = Signature.getInstance("SHA256withECDSAinP1363Format");
        verifier.initVerify(
            KeyFactory.getInstance("EC")
                .generatePublic(
                    new X509EncodedKeySpec(request.getPubKey().getKeyBlobs(0).toByteArray())));
        verifier.update(request.getData().toByteArray());
        if (verifier.verify(request.getSignature().toByteArray())) {
          answer(observer, VerifySingleResponse.getDefaultInstance());
          return;
        }
      } catch (GeneralSecurityException e) {
        // Answered as below.
      }
      observer.onError(refusal(Status.Code.UNKNOWN, Ckr.CKR_SIGNATURE_INVALID, "signature", false));
    }

    @Override
    public void getAttributeValue(
        GetAttributeValueRequest request, StreamObserver<GetAttributeValueResponse> observer) {
      var template = Template.empty().with(Cka.CKA_SIGN, true).with(Cka.CKA_VALUE_LEN, 32);
      answer(
          observer,
          GetAttributeValueResponse.newBuilder().putAllAttributes(template.toMap()).build());
    }

    /** One rotation: a blob that ends with a prime is under the newest master key. */
    @Override
    public void rewrapKeyBlob(
        RewrapKeyBlobRequest request, StreamObserver<RewrapKeyBlobResponse> observer) {
      var prime = ByteString.copyFromUtf8("'");
      var blob = request.getWrappedKey().getKeyBlobs(0);
      if (blob.endsWith(prime)) {
        observer.onError(
            refusal(Status.Code.UNKNOWN, Ckr.CKR_IBM_WK_NOT_INITIALIZED, "newest already", false));
        return;
      }
      answer(
          observer,
          RewrapKeyBlobResponse.newBuilder().setRewrappedKeyBytes(blob.concat(prime)).build());
    }

    @Override
    public void setAttributeValue(
        SetAttributeValueRequest request, StreamObserver<SetAttributeValueResponse> observer) {
      answer(
          observer,
          SetAttributeValueResponse.newBuilder()
              .setObject(request.getObject().concat(ByteString.copyFromUtf8("'")))
              .build());
    }
  }
}
