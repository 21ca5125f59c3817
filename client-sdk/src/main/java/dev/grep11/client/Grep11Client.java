package dev.grep11.client;

import com.google.protobuf.ByteString;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.DecryptSingleRequest;
import dev.grep11.proto.DeriveKeyRequest;
import dev.grep11.proto.DigestSingleRequest;
import dev.grep11.proto.EncryptSingleRequest;
import dev.grep11.proto.GenerateKeyPairRequest;
import dev.grep11.proto.GenerateKeyRequest;
import dev.grep11.proto.GenerateRandomRequest;
import dev.grep11.proto.GetAttributeValueRequest;
import dev.grep11.proto.GetMechanismInfoRequest;
import dev.grep11.proto.GetMechanismListRequest;
import dev.grep11.proto.Mechanism;
import dev.grep11.proto.ReencryptSingleRequest;
import dev.grep11.proto.RewrapKeyBlobRequest;
import dev.grep11.proto.SetAttributeValueRequest;
import dev.grep11.proto.SignSingleRequest;
import dev.grep11.proto.UnwrapKeyRequest;
import dev.grep11.proto.UnwrapKeyResponse;
import dev.grep11.proto.VerifySingleRequest;
import dev.grep11.proto.WrapKeyRequest;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientInterceptor;
import io.grpc.ClientInterceptors;
import io.grpc.Deadline;
import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import javax.net.ssl.SSLException;
import org.jspecify.annotations.Nullable;

/**
 * A connection to a GREP11 gateway. One client serves any number of threads; close it at the end.
 *
 * <pre>{@code
 * try (var client = Grep11Client.builder("localhost:9876")
 *         .trustedCa(Path.of("ca.pem"))
 *         .apiKey(apiKey, URI.create("https://localhost:9878"))
 *         .build()) {
 *   KeyPair pair = client.generateKeyPair(Templates.ecPair(Curve.P256));
 *   byte[] signature = client.sign(Mechanisms.ecdsaSha256(), pair.privateKey(), message);
 *   boolean genuine = client.verify(Mechanisms.ecdsaSha256(), pair.publicKey(), message, signature);
 * }
 * }</pre>
 *
 * <p>The same as a program that is compiled and run by the tests: {@code ClientExample}.
 *
 * <p><b>Deadline.</b> Every call, with all its retries, ends within the deadline of the builder (30
 * s).
 *
 * <p><b>Retry.</b> A call is repeated, up to four times in all and with growing pauses, when the
 * gateway or the token service cannot be reached ({@code UNAVAILABLE}) or says that repeating may
 * help ({@link Grep11Exception#retry()}). That holds for calls whose repetition has no effect:
 * random, digest, encrypt, decrypt, reencrypt, sign, verify, wrap, rewrap, attributes and
 * mechanisms, and each part of {@link Streams}. Generating, unwrapping, deriving and changing
 * attributes are not repeated, since they may be costly and the first attempt may have been
 * counted; neither is anything called through {@link #stub()}, nor a failed TLS handshake.
 *
 * <p>Every method throws {@link Grep11Exception} when it does not succeed.
 */
public final class Grep11Client implements AutoCloseable {
  private static final int ATTEMPTS = 4;
  private static final long FIRST_PAUSE_MILLIS = 100;

  private static final Metadata.Key<String> INSTANCE =
      Metadata.Key.of("bluemix-instance", Metadata.ASCII_STRING_MARSHALLER);

  private final GatewayConnection connection;
  private final Channel channel;
  private final Duration deadline;

  private Grep11Client(GatewayConnection connection, Duration deadline) {
    this.connection = connection;
    this.channel = connection.channel();
    this.deadline = deadline;
  }

  /**
   * A client of one gateway; nothing is sent before the first call.
   *
   * @param address {@code host:port}
   * @param replicas further addresses of the same gateway, in the order in which they are tried
   *     when the one before cannot be reached; see {@link Builder#inTurn()}
   */
  public static Builder builder(String address, String... replicas) {
    var addresses = new ArrayList<String>();
    addresses.add(address);
    addresses.addAll(List.of(replicas));
    return new Builder(new AddressList(addresses));
  }

  // ---- Random and digest

  /** Random bytes of the HSM, 1 to 1,000,000. */
  public byte[] generateRandom(int length) {
    var request = GenerateRandomRequest.newBuilder().setLen(length).build();
    return repeatable(CryptoGrpc.getGenerateRandomMethod(), request).getRnd().toByteArray();
  }

  /** The hash of {@code data}; see {@link Mechanisms#digest}. */
  public byte[] digest(Mechanism mechanism, byte[] data) {
    var request = DigestSingleRequest.newBuilder().setMech(mechanism).setData(bytes(data)).build();
    return repeatable(CryptoGrpc.getDigestSingleMethod(), request).getDigest().toByteArray();
  }

  // ---- Making keys

  /** A new secret key, for instance of {@link Mechanisms#aesKeyGen()} and {@link Templates#aes}. */
  public SecretKeyBlob generateKey(Mechanism mechanism, Template template) {
    var request =
        GenerateKeyRequest.newBuilder().setMech(mechanism).putAllTemplate(template.toMap()).build();
    var answer = once(CryptoGrpc.getGenerateKeyMethod(), request);
    return new SecretKeyBlob(answer.getKeyBytes(), answer.getCheckSum());
  }

  /** A new key pair, for instance of {@link Templates#ecPair}. */
  public KeyPair generateKeyPair(KeyPairTemplate template) {
    var request =
        GenerateKeyPairRequest.newBuilder()
            .setMech(template.mechanism())
            .putAllPubKeyTemplate(template.publicKey().toMap())
            .putAllPrivKeyTemplate(template.privateKey().toMap())
            .build();
    var answer = once(CryptoGrpc.getGenerateKeyPairMethod(), request);
    return new KeyPair(
        new PublicKeyBlob(answer.getPubKeyBytes(), ByteString.EMPTY),
        new PrivateKeyBlob(answer.getPrivKeyBytes(), ByteString.EMPTY));
  }

  // ---- Encryption

  /** Encrypts with a secret key, or with a public one for RSA. */
  public byte[] encrypt(Mechanism mechanism, KeyBlob key, byte[] plain) {
    var request =
        EncryptSingleRequest.newBuilder()
            .setMech(mechanism)
            .setKey(key.toMessage())
            .setPlain(bytes(plain))
            .build();
    return repeatable(CryptoGrpc.getEncryptSingleMethod(), request).getCiphered().toByteArray();
  }

  /** Decrypts with a secret key, or with a private one for RSA. */
  public byte[] decrypt(Mechanism mechanism, KeyBlob key, byte[] ciphered) {
    var request =
        DecryptSingleRequest.newBuilder()
            .setMech(mechanism)
            .setKey(key.toMessage())
            .setCiphered(bytes(ciphered))
            .build();
    return repeatable(CryptoGrpc.getDecryptSingleMethod(), request).getPlain().toByteArray();
  }

  /** Decrypts with one key and encrypts with another; the clear text stays in the gateway. */
  public byte[] reencrypt(
      Mechanism decryption,
      KeyBlob decryptionKey,
      Mechanism encryption,
      KeyBlob encryptionKey,
      byte[] ciphered) {
    var request =
        ReencryptSingleRequest.newBuilder()
            .setDecMech(decryption)
            .setDecKey(decryptionKey.toMessage())
            .setEncMech(encryption)
            .setEncKey(encryptionKey.toMessage())
            .setCiphered(bytes(ciphered))
            .build();
    return repeatable(CryptoGrpc.getReencryptSingleMethod(), request).getReciphered().toByteArray();
  }

  // ---- Signature

  /** Signs with a private key, or authenticates with a secret one (HMAC, CMAC). */
  public byte[] sign(Mechanism mechanism, KeyBlob key, byte[] data) {
    var request =
        SignSingleRequest.newBuilder()
            .setMech(mechanism)
            .setPrivKey(key.toMessage())
            .setData(bytes(data))
            .build();
    return repeatable(CryptoGrpc.getSignSingleMethod(), request).getSignature().toByteArray();
  }

  /**
   * Whether the signature is genuine, by a public key, or by a secret one (HMAC, CMAC).
   *
   * @return false only for CKR_SIGNATURE_INVALID and CKR_SIGNATURE_LEN_RANGE; whatever else keeps
   *     the signature from being checked is an exception and says nothing about it
   */
  public boolean verify(Mechanism mechanism, KeyBlob key, byte[] data, byte[] signature) {
    var request =
        VerifySingleRequest.newBuilder()
            .setMech(mechanism)
            .setPubKey(key.toMessage())
            .setData(bytes(data))
            .setSignature(bytes(signature))
            .build();
    return isGenuine(() -> repeatable(CryptoGrpc.getVerifySingleMethod(), request));
  }

  /** Whether this call that verifies succeeds; what says nothing of the signature is thrown. */
  static boolean isGenuine(Runnable verification) {
    try {
      verification.run();
      return true;
    } catch (Grep11Exception e) {
      if (e.returnValue() == Ckr.CKR_SIGNATURE_INVALID
          || e.returnValue() == Ckr.CKR_SIGNATURE_LEN_RANGE) {
        return false;
      }
      throw e;
    }
  }

  // ---- Data of any length

  /** Digest, encryption and signature of streams and files, part by part. */
  public Streams streams() {
    return new Streams(this);
  }

  // ---- Keys under keys

  /** A key encrypted under {@code kek}, a secret or a public key; it must be extractable. */
  public byte[] wrapKey(Mechanism mechanism, KeyBlob kek, KeyBlob key) {
    var request =
        WrapKeyRequest.newBuilder()
            .setMech(mechanism)
            .setKeK(kek.toMessage())
            .setKey(key.toMessage())
            .build();
    return repeatable(CryptoGrpc.getWrapKeyMethod(), request).getWrapped().toByteArray();
  }

  /** A secret key from its wrapped form, with the rights that {@code template} names. */
  public SecretKeyBlob unwrapKey(
      Mechanism mechanism, KeyBlob kek, byte[] wrapped, Template template) {
    var answer = unwrap(mechanism, kek, wrapped, template);
    return new SecretKeyBlob(answer.getUnwrappedBytes(), answer.getCheckSum());
  }

  /** A private key from wrapped PKCS #8, with the rights that {@code template} names. */
  public PrivateKeyBlob unwrapPrivateKey(
      Mechanism mechanism, KeyBlob kek, byte[] wrapped, Template template) {
    var answer = unwrap(mechanism, kek, wrapped, template);
    return new PrivateKeyBlob(answer.getUnwrappedBytes(), answer.getCheckSum());
  }

  /**
   * Somebody else's public key, to encrypt or wrap with. (Verifying takes a bare key without
   * import.)
   *
   * @param subjectPublicKeyInfo DER, as {@link java.security.Key#getEncoded} gives it
   * @param template the rights: CKA_ENCRYPT, CKA_WRAP, CKA_VERIFY
   */
  public PublicKeyBlob importPublicKey(byte[] subjectPublicKeyInfo, Template template) {
    var answer = unwrap(Mechanisms.transportKey(), null, subjectPublicKeyInfo, template);
    return new PublicKeyBlob(answer.getUnwrappedBytes(), answer.getCheckSum());
  }

  /** A secret key derived from another key, for instance by {@link Mechanisms#ecdh1Derive}. */
  public SecretKeyBlob deriveKey(Mechanism mechanism, KeyBlob base, Template template) {
    var request =
        DeriveKeyRequest.newBuilder()
            .setMech(mechanism)
            .setBaseKey(base.toMessage())
            .putAllTemplate(template.toMap())
            .build();
    var answer = once(CryptoGrpc.getDeriveKeyMethod(), request);
    return new SecretKeyBlob(answer.getNewKeyBytes(), answer.getCheckSum());
  }

  // ---- Attributes

  /** The values of these {@link Cka} attributes; all or an exception. */
  public Template attributes(KeyBlob key, long... attributes) {
    var request = GetAttributeValueRequest.newBuilder().setObject(key.wireBytes());
    for (long attribute : attributes) {
      request.putAttributes(attribute, dev.grep11.proto.AttributeValue.getDefaultInstance());
    }
    return Template.of(
        repeatable(CryptoGrpc.getGetAttributeValueMethod(), request.build()).getAttributesMap());
  }

  /**
   * A blob of the same key with these attributes changed. The old blob keeps its rights and stays
   * valid, so taking a right away needs the old blob to be destroyed.
   */
  public <K extends KeyBlob> K setAttributes(K key, Template changes) {
    var request =
        SetAttributeValueRequest.newBuilder()
            .setObject(key.wireBytes())
            .putAllAttributes(changes.toMap())
            .build();
    ByteString changed = once(CryptoGrpc.getSetAttributeValueMethod(), request).getObject();
    return withBytes(key, changed);
  }

  // ---- When the operator rotates the master key

  /**
   * A blob of the same key under the instance's newest master key, good at once on every replica;
   * store it in the place of the old one, which stays good until the operator retires its master
   * key.
   *
   * @throws Grep11Exception {@link Ckr#CKR_IBM_WK_NOT_INITIALIZED} when there is no newer master
   *     key than the blob's, so that there is nothing to do; with {@link Grep11Exception#retry()}
   *     when there soon will be
   */
  public <K extends KeyBlob> K rewrap(K key) {
    var request = RewrapKeyBlobRequest.newBuilder().setWrappedKey(key.toMessage()).build();
    return withBytes(
        key, repeatable(CryptoGrpc.getRewrapKeyBlobMethod(), request).getRewrappedKeyBytes());
  }

  // ---- What the gateway can do

  /** The {@link Ckm} numbers offered. */
  public List<Long> mechanisms() {
    return List.copyOf(
        repeatable(
                CryptoGrpc.getGetMechanismListMethod(),
                GetMechanismListRequest.getDefaultInstance())
            .getMechsList());
  }

  public MechanismInfo mechanismInfo(long mechanism) {
    var request = GetMechanismInfoRequest.newBuilder().setMech(mechanism).build();
    var info = repeatable(CryptoGrpc.getGetMechanismInfoMethod(), request).getMechInfo();
    return new MechanismInfo(info.getMinKeySize(), info.getMaxKeySize(), info.getFlags());
  }

  // ---- Everything else

  /**
   * The generated stub, for rpcs without a method here (single parts of {@link Streams}, Login).
   * Token, instance and deadline apply; it throws {@link StatusRuntimeException}, which {@link
   * Grep11Exception#of} decodes, and nothing is retried.
   */
  public CryptoGrpc.CryptoBlockingStub stub() {
    return CryptoGrpc.newBlockingStub(channel);
  }

  /** Closes the connection; calls that run get five seconds to finish. */
  @Override
  public void close() {
    connection.close();
  }

  private UnwrapKeyResponse unwrap(
      Mechanism mechanism, @Nullable KeyBlob kek, byte[] wrapped, Template template) {
    var request =
        UnwrapKeyRequest.newBuilder()
            .setMech(mechanism)
            .setWrapped(bytes(wrapped))
            .putAllTemplate(template.toMap());
    if (kek != null) {
      request.setKeK(kek.toMessage());
    }
    return once(CryptoGrpc.getUnwrapKeyMethod(), request.build());
  }

  @SuppressWarnings("unchecked") // The permitted classes are final, so K is the class of the case.
  private static <K extends KeyBlob> K withBytes(K key, ByteString bytes) {
    ByteString checkSum = ByteString.copyFrom(key.checkSum());
    if (key instanceof SecretKeyBlob) {
      return (K) new SecretKeyBlob(bytes, checkSum);
    }
    return key instanceof PrivateKeyBlob
        ? (K) new PrivateKeyBlob(bytes, checkSum)
        : (K) new PublicKeyBlob(bytes, checkSum);
  }

  private <Q, A> A once(MethodDescriptor<Q, A> method, Q request) {
    try {
      return call(method, request, Deadline.after(deadline.toNanos(), TimeUnit.NANOSECONDS));
    } catch (StatusRuntimeException e) {
      throw Grep11Exception.of(e, connection.address());
    }
  }

  /** A call whose repetition has no effect. */
  <Q, A> A repeatable(MethodDescriptor<Q, A> method, Q request) {
    var end = Deadline.after(deadline.toNanos(), TimeUnit.NANOSECONDS);
    for (int attempt = 1; ; attempt++) {
      try {
        return call(method, request, end);
      } catch (StatusRuntimeException e) {
        var failure = Grep11Exception.of(e, connection.address());
        if (!failure.retry()
            || attempt == ATTEMPTS
            || brokeInTheHandshake(e)
            || !pause(attempt, end)) {
          throw failure;
        }
      }
    }
  }

  private <Q, A> A call(MethodDescriptor<Q, A> method, Q request, Deadline end) {
    return ClientCalls.blockingUnaryCall(
        channel, method, CallOptions.DEFAULT.withDeadline(end), request);
  }

  /**
   * Waits before the next attempt; false when the deadline or an interrupt leaves no time for one.
   */
  private static boolean pause(int attempt, Deadline end) {
    long most = FIRST_PAUSE_MILLIS << (attempt - 1);
    // Half fixed, half drawn, so that clients of one gateway do not come back in step.
    long millis = most / 2 + ThreadLocalRandom.current().nextLong(most / 2 + 1);
    if (end.timeRemaining(TimeUnit.MILLISECONDS) <= millis) {
      return false;
    }
    try {
      Thread.sleep(millis);
      return true;
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return false;
    }
  }

  /** Trust does not come back within a retry's pause. */
  private static boolean brokeInTheHandshake(Throwable failure) {
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      if (cause instanceof SSLException) {
        return true;
      }
    }
    return false;
  }

  private static ByteString bytes(byte[] data) {
    return ByteString.copyFrom(data);
  }

  /** What a client needs to know. Each method checks its argument at once. */
  public static final class Builder {
    private final AddressList addresses;
    private boolean inTurn;
    private @Nullable Path ca;
    private @Nullable Path certificate;
    private @Nullable Path privateKey;
    private @Nullable UUID instance;
    private @Nullable String authority;
    private @Nullable ApiKey apiKey;
    private @Nullable URI iamEndpoint;
    private @Nullable Path iamCa;
    private @Nullable Supplier<String> token;
    private Duration deadline = Duration.ofSeconds(30);
    private int maxInboundBytes = 64 << 20;

    private Builder(AddressList addresses) {
      this.addresses = addresses;
    }

    /**
     * Sends the calls to the replicas in turn. Unless set, all go to the first that can be reached,
     * whose cache then holds the keys in use; another takes over when it is lost.
     */
    public Builder inTurn() {
      this.inTurn = true;
      return this;
    }

    /** PEM of the CAs that may have signed the gateway's certificate; without it, the system's. */
    public Builder trustedCa(Path pem) {
      this.ca = pem;
      return this;
    }

    /** Certificate (with intermediates) and key, PEM, for a gateway that asks for one. */
    public Builder clientCertificate(Path certificatePem, Path privateKeyPem) {
      this.certificate = certificatePem;
      this.privateKey = privateKeyPem;
      return this;
    }

    /**
     * Tokens for an API key, fetched from {@code iamEndpoint} and renewed ahead of their end. The
     * array is copied; wipe it.
     */
    public Builder apiKey(char[] key, URI iamEndpoint) {
      this.apiKey = ApiKey.of(key);
      this.iamEndpoint = iamEndpoint;
      return this;
    }

    /** As {@link #apiKey(char[], URI)}, with a file that is read again for each token. */
    public Builder apiKey(Path file, URI iamEndpoint) {
      this.apiKey = ApiKey.in(file);
      this.iamEndpoint = iamEndpoint;
      return this;
    }

    /** PEM of the CAs of the token service; without it those of {@link #trustedCa}. */
    public Builder iamCa(Path pem) {
      this.iamCa = pem;
      return this;
    }

    /** Tokens from elsewhere: asked once per call, on a thread that may wait. */
    public Builder token(Supplier<String> token) {
      this.token = token;
      return this;
    }

    /** The instance, where the gateway's address alone does not tell it. */
    public Builder instance(UUID instance) {
      this.instance = instance;
      return this;
    }

    /** The name that the gateway's certificate must carry when it is not that of the address. */
    public Builder authority(String authority) {
      this.authority = authority;
      return this;
    }

    /** The time that a call may take with all its retries; 30 s unless set. */
    public Builder deadline(Duration deadline) {
      if (deadline.isNegative() || deadline.isZero()) {
        throw new IllegalArgumentException("deadline " + deadline);
      }
      this.deadline = deadline;
      return this;
    }

    /** The largest answer accepted; 64 MiB unless set. */
    public Builder maxInboundBytes(int bytes) {
      this.maxInboundBytes = bytes;
      return this;
    }

    /**
     * Reads the files; the connection is made at the first call.
     *
     * @throws IllegalArgumentException when a file cannot be used or two sources of tokens were
     *     named
     */
    public Grep11Client build() {
      return new Grep11Client(connect(), deadline);
    }

    /**
     * The connection alone, for another service of the gateway, such as the certificate manager.
     *
     * @throws IllegalArgumentException as {@link #build()}
     */
    public GatewayConnection connect() {
      if (apiKey != null && token != null) {
        throw new IllegalArgumentException("an API key and a token supplier: one of them");
      }
      var tls = TlsChannelCredentials.newBuilder();
      tls.trustManager(ca == null ? ExplainedTrust.inTheSystem() : Pem.trust(ca));
      if (certificate != null && privateKey != null) {
        tls.keyManager(Pem.identity(certificate, privateKey));
      }
      var builder =
          Grpc.newChannelBuilder(addresses.target(), tls.build())
              .defaultLoadBalancingPolicy(inTurn ? "round_robin" : "pick_first")
              .maxInboundMessageSize(maxInboundBytes)
              // Retries are ours, so that they are counted once.
              .disableRetry();
      if (authority != null) {
        builder.overrideAuthority(authority);
      }
      List<ClientInterceptor> interceptors = interceptors();
      ManagedChannel connection = builder.build();
      return new GatewayConnection(
          String.join(", ", addresses.addresses()),
          connection,
          ClientInterceptors.intercept(connection, interceptors));
    }

    private List<ClientInterceptor> interceptors() {
      var interceptors = new ArrayList<ClientInterceptor>();
      interceptors.add(new CallDefaults.WithDeadline(deadline));
      if (instance != null) {
        var headers = new Metadata();
        headers.put(INSTANCE, instance.toString());
        interceptors.add(MetadataUtils.newAttachHeadersInterceptor(headers));
      }
      if (apiKey != null && iamEndpoint != null) {
        var endpoint = new TokenEndpoint(iamEndpoint, iamCa == null ? ca : iamCa, apiKey);
        var credentials = new ApiKeyCredentials(endpoint::request, InstantSource.system());
        interceptors.add(new CallDefaults.WithCredentials(credentials, credentials::rejected));
      } else if (token != null) {
        interceptors.add(
            new CallDefaults.WithCredentials(new SuppliedCredentials(token), () -> {}));
      }
      return interceptors;
    }
  }
}
