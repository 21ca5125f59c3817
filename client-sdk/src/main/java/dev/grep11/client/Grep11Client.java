package dev.grep11.client;

import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.Mechanism;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.ClientInterceptor;
import io.grpc.ClientInterceptors;
import io.grpc.Deadline;
import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
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
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import java.util.stream.Stream;
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
 * <p><b>Retry.</b> A call is repeated with growing pauses when the gateway or the token service
 * cannot be reached (up to nine times, over some 5 s) or answers that repeating may help ({@link
 * Grep11Exception#retry()}: up to three times, within 0.7 s). That holds for calls whose repetition
 * has no effect: random, digest, encrypt, decrypt, reencrypt, sign, verify, wrap, rewrap,
 * attributes and mechanisms, and each part of {@link Streams}. Generating, unwrapping, deriving and
 * changing attributes are not repeated, since they may be costly and the first attempt may have
 * been counted, except where a gateway that goes away did not take the call, or refused it as not
 * begun ({@link Grep11Exception#isNotBegun()}); neither is anything called through {@link #stub()},
 * nor a failed TLS handshake.
 *
 * <p>Every method throws {@link Grep11Exception} when it does not succeed.
 */
public final class Grep11Client implements AutoCloseable {
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
    return run(Call.generateRandom(length));
  }

  /** The hash of {@code data}; see {@link Mechanisms#digest}. */
  public byte[] digest(Mechanism mechanism, byte[] data) {
    return run(Call.digest(mechanism, data));
  }

  // ---- Making keys

  /** A new secret key, for instance of {@link Mechanisms#aesKeyGen()} and {@link Templates#aes}. */
  public SecretKeyBlob generateKey(Mechanism mechanism, Template template) {
    return run(Call.generateKey(mechanism, template));
  }

  /** A new key pair, for instance of {@link Templates#ecPair}. */
  public KeyPair generateKeyPair(KeyPairTemplate template) {
    return run(Call.generateKeyPair(template));
  }

  // ---- Encryption

  /** Encrypts with a secret key, or with a public one for RSA. */
  public byte[] encrypt(Mechanism mechanism, KeyBlob key, byte[] plain) {
    return run(Call.encrypt(mechanism, key, plain));
  }

  /** Decrypts with a secret key, or with a private one for RSA. */
  public byte[] decrypt(Mechanism mechanism, KeyBlob key, byte[] ciphered) {
    return run(Call.decrypt(mechanism, key, ciphered));
  }

  /** Decrypts with one key and encrypts with another; the clear text stays in the gateway. */
  public byte[] reencrypt(
      Mechanism decryption,
      KeyBlob decryptionKey,
      Mechanism encryption,
      KeyBlob encryptionKey,
      byte[] ciphered) {
    return run(Call.reencrypt(decryption, decryptionKey, encryption, encryptionKey, ciphered));
  }

  // ---- Signature

  /** Signs with a private key, or authenticates with a secret one (HMAC, CMAC). */
  public byte[] sign(Mechanism mechanism, KeyBlob key, byte[] data) {
    return run(Call.sign(mechanism, key, data));
  }

  /**
   * Whether the signature is genuine, by a public key, or by a secret one (HMAC, CMAC).
   *
   * @return false only for CKR_SIGNATURE_INVALID and CKR_SIGNATURE_LEN_RANGE; whatever else keeps
   *     the signature from being checked is an exception and says nothing about it
   */
  public boolean verify(Mechanism mechanism, KeyBlob key, byte[] data, byte[] signature) {
    return run(Call.verify(mechanism, key, data, signature));
  }

  // ---- Many calls at once, and data of any length

  /**
   * The same calls without a thread that waits. What is chained to a future runs on gRPC's own pool
   * of threads.
   */
  public AsyncGrep11Client async() {
    return new AsyncGrep11Client(this, connection, null);
  }

  /**
   * As {@link #async()}, with what is chained to a future on {@code executor}. {@code
   * Runnable::run} is the fastest and runs it on the thread that reads the connection: it must
   * never wait there.
   */
  public AsyncGrep11Client async(Executor executor) {
    return new AsyncGrep11Client(this, connection, executor);
  }

  /** Digest, encryption and signature of streams and files, part by part. */
  public Streams streams() {
    return new Streams(this);
  }

  // ---- Keys that the gateway keeps

  /** The keystores of the instance, where PKCS #11 applications have their token objects. */
  public Keystores keystores() {
    return new Keystores(this);
  }

  // ---- Keys under keys

  /** A key encrypted under {@code kek}, a secret or a public key; it must be extractable. */
  public byte[] wrapKey(Mechanism mechanism, KeyBlob kek, KeyBlob key) {
    return run(Call.wrapKey(mechanism, kek, key));
  }

  /** A secret key from its wrapped form, with the rights that {@code template} names. */
  public SecretKeyBlob unwrapKey(
      Mechanism mechanism, KeyBlob kek, byte[] wrapped, Template template) {
    return run(Call.unwrapKey(mechanism, kek, wrapped, template));
  }

  /** A private key from wrapped PKCS #8, with the rights that {@code template} names. */
  public PrivateKeyBlob unwrapPrivateKey(
      Mechanism mechanism, KeyBlob kek, byte[] wrapped, Template template) {
    return run(Call.unwrapPrivateKey(mechanism, kek, wrapped, template));
  }

  /**
   * Somebody else's public key, to encrypt or wrap with. (Verifying takes a bare key without
   * import.)
   *
   * @param subjectPublicKeyInfo DER, as {@link java.security.Key#getEncoded} gives it
   * @param template the rights: CKA_ENCRYPT, CKA_WRAP, CKA_VERIFY
   */
  public PublicKeyBlob importPublicKey(byte[] subjectPublicKeyInfo, Template template) {
    return run(Call.importPublicKey(subjectPublicKeyInfo, template));
  }

  /** A secret key derived from another key, for instance by {@link Mechanisms#ecdh1Derive}. */
  public SecretKeyBlob deriveKey(Mechanism mechanism, KeyBlob base, Template template) {
    return run(Call.deriveKey(mechanism, base, template));
  }

  // ---- Attributes

  /** The values of these {@link Cka} attributes; all or an exception. */
  public Template attributes(KeyBlob key, long... attributes) {
    return run(Call.attributes(key, attributes));
  }

  /**
   * A blob of the same key with these attributes changed. The old blob keeps its rights and stays
   * valid, so taking a right away needs the old blob to be destroyed.
   */
  public <K extends KeyBlob> K setAttributes(K key, Template changes) {
    return run(Call.setAttributes(key, changes));
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
    return run(Call.rewrap(key));
  }

  // ---- What the gateway can do

  /** The {@link Ckm} numbers offered. */
  public List<Long> mechanisms() {
    return run(Call.mechanisms());
  }

  public MechanismInfo mechanismInfo(long mechanism) {
    return run(Call.mechanismInfo(mechanism));
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

  /** When a call that begins now has to be over. */
  Deadline callEnd() {
    return Deadline.after(deadline.toNanos(), TimeUnit.NANOSECONDS);
  }

  /** Makes a call, and makes it again as {@link Repetition} says. */
  <Q, A, T> T run(Call<Q, A, T> call) {
    var end = callEnd();
    var repetition = new Repetition(call, end);
    while (true) {
      try {
        var options = CallOptions.DEFAULT.withDeadline(end);
        return call.result()
            .apply(ClientCalls.blockingUnaryCall(channel, call.method(), options, call.request()));
      } catch (StatusRuntimeException e) {
        var failure = Grep11Exception.of(e, connection.address());
        var result = call.refused().apply(failure);
        if (result.isPresent()) {
          return result.get();
        }
        var pause = repetition.pauseMillis(failure);
        if (pause.isEmpty()) {
          throw failure;
        }
        if (!slept(pause.getAsLong())) {
          throw failure;
        }
        connection.tryAgain();
      }
    }
  }

  /** False when the thread was interrupted. */
  private static boolean slept(long millis) {
    try {
      Thread.sleep(millis);
      return true;
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return false;
    }
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
    private int connections = 1;
    private @Nullable EventLoop eventLoop;

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

    /**
     * Spreads the calls over so many connections, 1 to 64; one unless set. A connection is served
     * by one thread here and one in the gateway, so that a second one helps where there are
     * processors for it and many calls at once. Each costs a handshake and a place in the gateway.
     */
    public Builder connections(int number) {
      if (number < 1 || number > 64) {
        throw new IllegalArgumentException(number + " connections; 1 to 64 expected");
      }
      this.connections = number;
      return this;
    }

    /** Does input and output on a thread of the caller's instead of one of gRPC's. */
    public Builder eventLoop(EventLoop loop) {
      this.eventLoop = loop;
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
      var credentials = tls.build();
      List<ClientInterceptor> interceptors = interceptors();
      List<ManagedChannel> opened =
          Stream.generate(() -> open(credentials)).limit(connections).toList();
      return new GatewayConnection(
          String.join(", ", addresses.addresses()),
          opened,
          ClientInterceptors.intercept(new SpreadChannel(opened), interceptors));
    }

    private ManagedChannel open(ChannelCredentials credentials) {
      var builder =
          (eventLoop == null
                  ? Grpc.newChannelBuilder(addresses.target(), credentials)
                  : eventLoop.channel(addresses.target(), credentials))
              .defaultLoadBalancingPolicy(inTurn ? "round_robin" : "pick_first")
              .maxInboundMessageSize(maxInboundBytes)
              // grpc sends again what a gateway that goes away did not take, whatever the call;
              // everything else is ours to repeat, so that it is counted once.
              .disableServiceConfigLookUp();
      if (authority != null) {
        builder.overrideAuthority(authority);
      }
      return builder.build();
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
