package dev.grep11.gateway;

import static dev.grep11.gateway.RunningGateway.MANAGER;
import static dev.grep11.gateway.RunningGateway.aesKey;
import static dev.grep11.gateway.RunningGateway.cbcPad;
import static dev.grep11.gateway.RunningGateway.detail;
import static dev.grep11.gateway.RunningGateway.flag;
import static dev.grep11.gateway.RunningGateway.mechanism;
import static dev.grep11.gateway.RunningGateway.number;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.fail;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.protobuf.ByteString;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.HsmOpenException;
import dev.grep11.gateway.hsm.NthCall;
import dev.grep11.gateway.hsm.NthCall.Fault;
import dev.grep11.gateway.hsm.NthCall.Hit;
import dev.grep11.gateway.hsm.NthCall.Origin;
import dev.grep11.gateway.key.PublicKeyInfo;
import dev.grep11.gateway.key.SealingKeyException;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.NamedCurve;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.store.StoreException;
import dev.grep11.gateway.token.StartException;
import dev.grep11.gateway.trust.TestCertificates;
import dev.grep11.gateway.trust.TestCertificates.Identity;
import dev.grep11.proto.AESGCMParm;
import dev.grep11.proto.AttributeValue;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.CryptoGrpc.CryptoBlockingStub;
import dev.grep11.proto.DecryptSingleRequest;
import dev.grep11.proto.DeriveKeyRequest;
import dev.grep11.proto.DigestSingleRequest;
import dev.grep11.proto.ECDH1DeriveParm;
import dev.grep11.proto.EncryptFinalRequest;
import dev.grep11.proto.EncryptInitRequest;
import dev.grep11.proto.EncryptSingleRequest;
import dev.grep11.proto.EncryptUpdateRequest;
import dev.grep11.proto.GenerateKeyPairRequest;
import dev.grep11.proto.GenerateKeyPairResponse;
import dev.grep11.proto.GenerateKeyRequest;
import dev.grep11.proto.GenerateRandomRequest;
import dev.grep11.proto.Mechanism;
import dev.grep11.proto.ReencryptSingleRequest;
import dev.grep11.proto.RewrapKeyBlobRequest;
import dev.grep11.proto.SetAttributeValueRequest;
import dev.grep11.proto.SignFinalRequest;
import dev.grep11.proto.SignInitRequest;
import dev.grep11.proto.SignSingleRequest;
import dev.grep11.proto.SignUpdateRequest;
import dev.grep11.proto.UnwrapKeyRequest;
import dev.grep11.proto.VerifyFinalRequest;
import dev.grep11.proto.VerifyInitRequest;
import dev.grep11.proto.VerifySingleRequest;
import dev.grep11.proto.VerifyUpdateRequest;
import dev.grep11.proto.WrapKeyRequest;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.ForwardingClientCallListener.SimpleForwardingClientCallListener;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.GrpcSslContexts;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.Signature;
import java.security.spec.X509EncodedKeySpec;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Every call of the token fails once, by its number: the client is refused or gets the right
 * answer, each answer is in the audit trail, nothing stays behind in the token, and the same
 * gateway serves again.
 *
 * <p>{@code -Dgrep11.seed=N} repeats a run.
 */
class HsmCallFaultsTest {
  private static final Duration PATIENCE = Duration.ofSeconds(30);
  private static final ByteString DATA =
      ByteString.copyFromUtf8("data that is longer than a block");
  private static final ByteString HALF = DATA.substring(0, 16);
  private static final Map<String, Object> SETTINGS =
      Map.of(
          "/policy",
          "compatible",
          "/softwareFallback",
          true,
          "/limits/administrativeCallsPerMinute",
          1_000_000);

  /**
   * What may fail without a word: the end of something, which is asked for again, and the judgement
   * of a signature that is refused all the same.
   */
  private static final Set<String> MAY_FAIL_UNSEEN =
      Set.of(
          "C_DestroyObject", "C_CloseSession", "C_FindObjectsFinal", "C_VerifyFinal", "C_Verify");

  /** So that a call with this number is not made. */
  private static final int NONE = Integer.MAX_VALUE;

  private static final Pattern CALL = Pattern.compile("call-\\d+-");
  private static final Identity CA = TestCertificates.ca("CN=One CA").selfSigned();
  private static final Identity APP = TestCertificates.client("CN=app").signedBy(CA);
  private static final ObjectMapper JSON = new ObjectMapper();

  @TempDir Path parent = Path.of("");
  private final long seed = Long.getLong("grep11.seed", 11);
  private final Random random = new Random(seed);
  private final NthCall token = new NthCall();
  private final Map<String, Status.Code> answers = new ConcurrentHashMap<>();
  private final AtomicInteger calls = new AtomicInteger();
  private final Map<String, Integer> faulted = new TreeMap<>();
  private RunningGateway running;
  private CryptoBlockingStub client;
  private HttpClient web;

  @BeforeEach
  void start() throws Exception {
    running =
        RunningGateway.start(
            parent.resolve("demo"), SETTINGS, settings -> Hsm.open(token.cryptoki(), settings));
    client =
        CryptoGrpc.newBlockingStub(running.channel())
            .withInterceptors(
                RunningGateway.headers("authorization", "Bearer " + running.token(MANAGER)),
                new Recorded());
    web = running.web();
  }

  @AfterEach
  void stop() {
    running.close();
  }

  /** Gives each call a correlation id of its own, and keeps how it was answered. */
  private final class Recorded implements ClientInterceptor {
    private static final Metadata.Key<String> CORRELATION =
        Metadata.Key.of("x-correlation-id", Metadata.ASCII_STRING_MARSHALLER);

    @Override
    public <Q, A> ClientCall<Q, A> interceptCall(
        MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
      var id = "call-" + calls.incrementAndGet() + "-";
      return new SimpleForwardingClientCall<>(next.newCall(method, options)) {
        @Override
        public void start(Listener<A> listener, Metadata headers) {
          headers.put(CORRELATION, id);
          super.start(
              new SimpleForwardingClientCallListener<>(listener) {
                @Override
                public void onClose(Status status, Metadata trailers) {
                  answers.put(id, status.getCode());
                  super.onClose(status, trailers);
                }
              },
              headers);
        }
      };
    }
  }

  // ---- What clients ask for

  /** Looks at an answer while the token is well again. */
  private interface Check {
    void run() throws Exception;
  }

  /** Asks; what is to be known of the answer is known before. */
  private interface Work {
    Check ask() throws Exception;
  }

  private interface Preparation {
    Work work() throws Exception;
  }

  private record Operation(String name, Preparation preparation) {}

  private List<Operation> operations() throws Exception {
    var key = keyForEverything();
    var ciphered = encrypt(cbcPad(), key);
    var secret = generate(Ckm.CKM_GENERIC_SECRET_KEY_GEN, 64);
    var mac = sign(Ckm.CKM_SHA256_HMAC, secret);
    var pair = pair(Cka.CKA_SIGN);
    var signature = sign(Ckm.CKM_ECDSA_SHA256, pair.getPrivKeyBytes());
    var rsa = rsaPair();
    var mine = pair(Cka.CKA_DERIVE);
    var peer = pair(Cka.CKA_DERIVE);
    var agreed = encrypt(cbcPad(), derive(mine, peer));
    var gcm =
        Mechanism.newBuilder()
            .setMechanism(Ckm.CKM_AES_GCM)
            .setAESGCMParameter(AESGCMParm.newBuilder().setTagBits(128))
            .build();
    return List.of(
        new Operation(
            "GenerateRandom",
            () ->
                () -> {
                  var bytes =
                      client
                          .generateRandom(GenerateRandomRequest.newBuilder().setLen(32).build())
                          .getRnd();
                  return () ->
                      assertThat(bytes.toByteArray()).hasSize(32).isNotEqualTo(new byte[32]);
                }),
        new Operation(
            "Digest",
            () ->
                () -> {
                  var digest =
                      client
                          .digestSingle(
                              DigestSingleRequest.newBuilder()
                                  .setMech(mechanism(Ckm.CKM_SHA256))
                                  .setData(DATA)
                                  .build())
                          .getDigest();
                  return () ->
                      assertThat(digest.toByteArray())
                          .isEqualTo(TestAdministrator.sha256(DATA.toByteArray()));
                }),
        new Operation(
            "GenerateKey",
            () ->
                () -> {
                  var made = aesKey(client);
                  return () -> assertThat(decrypt(made, encrypt(cbcPad(), made))).isEqualTo(DATA);
                }),
        new Operation(
            "GenerateKey, of a length that no wrap keeps",
            () ->
                () -> {
                  var made = generate(Ckm.CKM_GENERIC_SECRET_KEY_GEN, 21);
                  return () -> assertThat(sign(Ckm.CKM_SHA256_HMAC, made)).hasSize(32);
                }),
        new Operation(
            "GenerateKeyPair",
            () ->
                () -> {
                  var made = pair(Cka.CKA_SIGN);
                  return () -> {
                    var signed = sign(Ckm.CKM_ECDSA_SHA256, made.getPrivKeyBytes());
                    assertSigned("EC", "SHA256withECDSAinP1363Format", made, signed);
                  };
                }),
        new Operation(
            "Encrypt",
            () -> {
              var blob = anew(key);
              return () -> {
                var answer = encrypt(cbcPad(), blob);
                return () -> assertThat(answer).isEqualTo(ciphered);
              };
            }),
        new Operation(
            "Decrypt",
            () -> {
              var blob = anew(key);
              return () -> {
                var answer = decrypt(blob, ciphered);
                return () -> assertThat(answer).isEqualTo(DATA);
              };
            }),
        new Operation(
            "Encrypt, GCM",
            () -> {
              var blob = anew(key);
              return () -> {
                var answer = encrypt(gcm, blob);
                return () ->
                    assertThat(
                            client
                                .decryptSingle(
                                    DecryptSingleRequest.newBuilder()
                                        .setMech(gcm)
                                        .setKeyBytes(key)
                                        .setCiphered(answer)
                                        .build())
                                .getPlain())
                        .isEqualTo(DATA);
              };
            }),
        new Operation(
            "Sign, ECDSA",
            () ->
                () -> {
                  var answer = sign(Ckm.CKM_ECDSA_SHA256, pair.getPrivKeyBytes());
                  return () -> assertSigned("EC", "SHA256withECDSAinP1363Format", pair, answer);
                }),
        new Operation(
            "Sign, RSA",
            () ->
                () -> {
                  var answer = sign(Ckm.CKM_SHA256_RSA_PKCS, rsa.getPrivKeyBytes());
                  return () -> assertSigned("RSA", "SHA256withRSA", rsa, answer);
                }),
        new Operation(
            "Sign, HMAC",
            () ->
                () -> {
                  var answer = sign(Ckm.CKM_SHA256_HMAC, secret);
                  return () -> assertThat(answer).isEqualTo(mac);
                }),
        new Operation(
            "Verify",
            () ->
                () -> {
                  verify(Ckm.CKM_ECDSA_SHA256, pair.getPubKeyBytes(), signature);
                  return () -> {};
                }),
        new Operation(
            "Verify, not the signature",
            () ->
                () -> {
                  refusesAsInvalid(() ->
                      verify(Ckm.CKM_ECDSA_SHA256, pair.getPubKeyBytes(), changed(signature)));
                  return () -> {};
                }),
        new Operation(
            "Verify, not the MAC",
            () ->
                () -> {
                  refusesAsInvalid(() -> verify(Ckm.CKM_SHA256_HMAC, secret, changed(mac)));
                  return () -> {};
                }),
        new Operation(
            "WrapKey",
            () -> {
              var kek = anew(key);
              return () -> {
                var wrapped = wrap(cbcPad(), kek, key);
                return () ->
                    assertThat(encrypt(cbcPad(), unwrap(cbcPad(), key, wrapped)))
                        .isEqualTo(ciphered);
              };
            }),
        new Operation(
            "UnwrapKey",
            () -> {
              var wrapped = wrap(cbcPad(), key, key);
              var kek = anew(key);
              return () -> {
                var unwrapped = unwrap(cbcPad(), kek, wrapped);
                return () -> assertThat(encrypt(cbcPad(), unwrapped)).isEqualTo(ciphered);
              };
            }),
        new Operation(
            "DeriveKey",
            () ->
                () -> {
                  var derived = derive(mine, peer);
                  return () -> assertThat(encrypt(cbcPad(), derived)).isEqualTo(agreed);
                }),
        new Operation(
            "SetAttributeValue",
            () ->
                () -> {
                  var changed = anew(key);
                  return () -> assertThat(encrypt(cbcPad(), changed)).isEqualTo(ciphered);
                }),
        new Operation(
            "Encrypt in parts",
            () -> {
              var blob = anew(key);
              return () -> {
                var answer = encryptInParts(blob);
                return () -> assertThat(answer).isEqualTo(ciphered);
              };
            }),
        new Operation(
            "Sign in parts",
            () ->
                () -> {
                  var answer = signInParts(secret);
                  return () -> assertThat(answer).isEqualTo(mac);
                }),
        new Operation(
            "Verify in parts, not the MAC",
            () ->
                () -> {
                  refusesAsInvalid(() -> verifyInParts(secret, changed(mac)));
                  return () -> {};
                }));
  }

  private ByteString keyForEverything() {
    return client
        .generateKey(
            GenerateKeyRequest.newBuilder()
                .setMech(mechanism(Ckm.CKM_AES_KEY_GEN))
                .putTemplate(Cka.CKA_VALUE_LEN, number(32))
                .putTemplate(Cka.CKA_ENCRYPT, flag(true))
                .putTemplate(Cka.CKA_DECRYPT, flag(true))
                .putTemplate(Cka.CKA_WRAP, flag(true))
                .putTemplate(Cka.CKA_UNWRAP, flag(true))
                .putTemplate(Cka.CKA_EXTRACTABLE, flag(true))
                .build())
        .getKeyBytes();
  }

  private ByteString generate(long mechanism, long length) {
    return client
        .generateKey(
            GenerateKeyRequest.newBuilder()
                .setMech(mechanism(mechanism))
                .putTemplate(Cka.CKA_VALUE_LEN, number(length))
                .build())
        .getKeyBytes();
  }

  private GenerateKeyPairResponse pair(long right) {
    return client.generateKeyPair(
        GenerateKeyPairRequest.newBuilder()
            .setMech(mechanism(Ckm.CKM_EC_KEY_PAIR_GEN))
            .putPubKeyTemplate(
                Cka.CKA_EC_PARAMS,
                AttributeValue.newBuilder()
                    .setAttributeB(ByteString.copyFrom(NamedCurve.P_256.parameters()))
                    .build())
            .putPrivKeyTemplate(right, flag(true))
            .build());
  }

  private GenerateKeyPairResponse rsaPair() {
    return client.generateKeyPair(
        GenerateKeyPairRequest.newBuilder()
            .setMech(mechanism(Ckm.CKM_RSA_PKCS_KEY_PAIR_GEN))
            .putPubKeyTemplate(Cka.CKA_MODULUS_BITS, number(2048))
            .putPrivKeyTemplate(Cka.CKA_SIGN, flag(true))
            .build());
  }

  /** The same key in a blob that the gateway has not loaded yet. */
  private ByteString anew(ByteString key) {
    return client
        .setAttributeValue(
            SetAttributeValueRequest.newBuilder()
                .setObject(key)
                .putAttributes(Cka.CKA_DERIVE, flag(false))
                .build())
        .getObject();
  }

  private ByteString encrypt(Mechanism mechanism, ByteString key) {
    return client
        .encryptSingle(
            EncryptSingleRequest.newBuilder()
                .setMech(mechanism)
                .setKeyBytes(key)
                .setPlain(DATA)
                .build())
        .getCiphered();
  }

  private ByteString decrypt(ByteString key, ByteString ciphered) {
    return client
        .decryptSingle(
            DecryptSingleRequest.newBuilder()
                .setMech(cbcPad())
                .setKeyBytes(key)
                .setCiphered(ciphered)
                .build())
        .getPlain();
  }

  private ByteString sign(long mechanism, ByteString key) {
    return client
        .signSingle(
            SignSingleRequest.newBuilder()
                .setMech(mechanism(mechanism))
                .setPrivKeyBytes(key)
                .setData(DATA)
                .build())
        .getSignature();
  }

  private void verify(long mechanism, ByteString key, ByteString signature) {
    var _ =
        client.verifySingle(
            VerifySingleRequest.newBuilder()
                .setMech(mechanism(mechanism))
                .setPubKeyBytes(key)
                .setData(DATA)
                .setSignature(signature)
                .build());
  }

  private static void assertSigned(
      String algorithm, String scheme, GenerateKeyPairResponse pair, ByteString signature)
      throws Exception {
    var verifier = Signature.getInstance(scheme);
    verifier.initVerify(
        KeyFactory.getInstance(algorithm).generatePublic(new X509EncodedKeySpec(spki(pair))));
    verifier.update(DATA.toByteArray());
    assertThat(verifier.verify(signature.toByteArray())).as("signature").isTrue();
  }

  /** Without what the gateway says of the key behind it. */
  private static byte[] spki(GenerateKeyPairResponse pair) {
    var blob = pair.getPubKeyBytes().toByteArray();
    return Arrays.copyOf(blob, PublicKeyInfo.leadingLength(blob));
  }

  private static ByteString changed(ByteString signature) {
    var bytes = signature.toByteArray();
    bytes[0] ^= 1;
    return ByteString.copyFrom(bytes);
  }

  private static void refusesAsInvalid(Runnable verification) {
    try {
      verification.run();
    } catch (StatusRuntimeException e) {
      if (detail(e).getCode() == Ckr.CKR_SIGNATURE_INVALID) {
        return;
      }
      throw e;
    }
    fail("what is not the signature was accepted");
  }

  private ByteString wrap(Mechanism mechanism, ByteString kek, ByteString key) {
    return client
        .wrapKey(
            WrapKeyRequest.newBuilder()
                .setMech(mechanism)
                .setKeKBytes(kek)
                .setKeyBytes(key)
                .build())
        .getWrapped();
  }

  private ByteString unwrap(Mechanism mechanism, ByteString kek, ByteString wrapped) {
    return client
        .unwrapKey(
            UnwrapKeyRequest.newBuilder()
                .setMech(mechanism)
                .setKeKBytes(kek)
                .setWrapped(wrapped)
                .putTemplate(Cka.CKA_CLASS, number(Cko.CKO_SECRET_KEY))
                .putTemplate(Cka.CKA_KEY_TYPE, number(Ckk.CKK_AES))
                .putTemplate(Cka.CKA_VALUE_LEN, number(32))
                .putTemplate(Cka.CKA_ENCRYPT, flag(true))
                .build())
        .getUnwrappedBytes();
  }

  private ByteString derive(GenerateKeyPairResponse mine, GenerateKeyPairResponse peer) {
    return client
        .deriveKey(
            DeriveKeyRequest.newBuilder()
                .setMech(
                    Mechanism.newBuilder()
                        .setMechanism(Ckm.CKM_ECDH1_DERIVE)
                        .setECDH1DeriveParameter(
                            ECDH1DeriveParm.newBuilder()
                                .setKdf(ECDH1DeriveParm.KeyDerivationFunction.CkdNull)
                                .setPublicData(point(peer))))
                .setBaseKeyBytes(mine.getPrivKeyBytes())
                .putTemplate(Cka.CKA_CLASS, number(Cko.CKO_SECRET_KEY))
                .putTemplate(Cka.CKA_KEY_TYPE, number(Ckk.CKK_AES))
                .putTemplate(Cka.CKA_VALUE_LEN, number(32))
                .putTemplate(Cka.CKA_ENCRYPT, flag(true))
                .build())
        .getNewKeyBytes();
  }

  /** Where it stands in a SubjectPublicKeyInfo of P-256. */
  private static ByteString point(GenerateKeyPairResponse pair) {
    return pair.getPubKeyBytes().substring(26, 26 + 65);
  }

  private ByteString encryptInParts(ByteString key) {
    var state =
        client
            .encryptInit(EncryptInitRequest.newBuilder().setMech(cbcPad()).setKeyBytes(key).build())
            .getState();
    var first =
        client.encryptUpdate(
            EncryptUpdateRequest.newBuilder().setState(state).setPlain(HALF).build());
    var second =
        client.encryptUpdate(
            EncryptUpdateRequest.newBuilder()
                .setState(first.getState())
                .setPlain(DATA.substring(HALF.size()))
                .build());
    var last =
        client.encryptFinal(EncryptFinalRequest.newBuilder().setState(second.getState()).build());
    return first.getCiphered().concat(second.getCiphered()).concat(last.getCiphered());
  }

  private ByteString signInParts(ByteString key) {
    var state =
        client
            .signInit(
                SignInitRequest.newBuilder()
                    .setMech(mechanism(Ckm.CKM_SHA256_HMAC))
                    .setPrivKeyBytes(key)
                    .build())
            .getState();
    state =
        client
            .signUpdate(SignUpdateRequest.newBuilder().setState(state).setData(DATA).build())
            .getState();
    return client.signFinal(SignFinalRequest.newBuilder().setState(state).build()).getSignature();
  }

  private void verifyInParts(ByteString key, ByteString mac) {
    var state =
        client
            .verifyInit(
                VerifyInitRequest.newBuilder()
                    .setMech(mechanism(Ckm.CKM_SHA256_HMAC))
                    .setPubKeyBytes(key)
                    .build())
            .getState();
    state =
        client
            .verifyUpdate(VerifyUpdateRequest.newBuilder().setState(state).setData(DATA).build())
            .getState();
    var _ =
        client.verifyFinal(
            VerifyFinalRequest.newBuilder().setState(state).setSignature(mac).build());
  }

  // ---- More that clients ask for: keys that move, and keys that travel with their attributes

  private List<Operation> operationsOnKeys() {
    var key = keyForEverything();
    var ciphered = encrypt(cbcPad(), key);
    var other = keyForEverything();
    var macKey = bound(Ckm.CKM_GENERIC_SECRET_KEY_GEN);
    var kek = bound(Ckm.CKM_AES_KEY_GEN, Cka.CKA_WRAP, Cka.CKA_UNWRAP);
    var traveller =
        bound(Ckm.CKM_AES_KEY_GEN, Cka.CKA_EXTRACTABLE, Cka.CKA_ENCRYPT, Cka.CKA_DECRYPT);
    var byTraveller = encrypt(cbcPad(), traveller);
    var wrapped = wrapBound(kek, macKey, traveller);
    try (var host = Host.open(running.config)) {
      var _ = host.masterKeys().createNext(running.instance);
    }
    return List.of(
        new Operation(
            "ReencryptSingle",
            () -> {
              var from = anew(key);
              var to = anew(other);
              return () -> {
                var answer = reencrypt(from, to, ciphered);
                return () -> assertThat(decrypt(other, answer)).isEqualTo(DATA);
              };
            }),
        new Operation(
            "RewrapKeyBlob",
            () -> {
              // A lost token is back, and shows the next sealing keys too.
              awaited(() -> rewrap(key));
              return () -> {
                var moved = rewrap(key);
                return () -> {
                  assertThat(moved).isNotEqualTo(key);
                  assertThat(encrypt(cbcPad(), moved)).isEqualTo(ciphered);
                };
              };
            }),
        new Operation(
            "WrapKey, attribute-bound",
            () ->
                () -> {
                  var answer = wrapBound(kek, macKey, traveller);
                  return () ->
                      assertThat(encrypt(cbcPad(), unwrapBound(kek, macKey, answer)))
                          .isEqualTo(byTraveller);
                }),
        new Operation(
            "UnwrapKey, attribute-bound",
            () ->
                () -> {
                  var unwrapped = unwrapBound(kek, macKey, wrapped);
                  return () -> assertThat(encrypt(cbcPad(), unwrapped)).isEqualTo(byTraveller);
                }),
        new Operation(
            "UnwrapKey, attribute-bound, not the MAC",
            () ->
                () -> {
                  refusesAsNotWrapped(() -> unwrapBound(kek, macKey, changedAtTheEnd(wrapped)));
                  return () -> {};
                }));
  }

  private ByteString bound(long mechanism, long... rights) {
    var request =
        GenerateKeyRequest.newBuilder()
            .setMech(mechanism(mechanism))
            .putTemplate(Cka.CKA_VALUE_LEN, number(32))
            .putTemplate(Cka.CKA_IBM_ATTRBOUND, flag(true));
    for (long right : rights) {
      request.putTemplate(right, flag(true));
    }
    return client.generateKey(request.build()).getKeyBytes();
  }

  private ByteString wrapBound(ByteString kek, ByteString macKey, ByteString key) {
    return client
        .wrapKey(
            WrapKeyRequest.newBuilder()
                .setMech(mechanism(Ckm.CKM_IBM_ATTRIBUTEBOUND_WRAP))
                .setKeKBytes(kek)
                .setMacKeyBytes(macKey)
                .setKeyBytes(key)
                .build())
        .getWrapped();
  }

  private ByteString unwrapBound(ByteString kek, ByteString macKey, ByteString wrapped) {
    return client
        .unwrapKey(
            UnwrapKeyRequest.newBuilder()
                .setMech(mechanism(Ckm.CKM_IBM_ATTRIBUTEBOUND_WRAP))
                .setKeKBytes(kek)
                .setMacKeyBytes(macKey)
                .setWrapped(wrapped)
                .putTemplate(Cka.CKA_KEY_TYPE, number(Ckk.CKK_AES))
                .build())
        .getUnwrappedBytes();
  }

  private ByteString reencrypt(ByteString from, ByteString to, ByteString ciphered) {
    return client
        .reencryptSingle(
            ReencryptSingleRequest.newBuilder()
                .setDecMech(cbcPad())
                .setEncMech(cbcPad())
                .setDecKeyBytes(from)
                .setEncKeyBytes(to)
                .setCiphered(ciphered)
                .build())
        .getReciphered();
  }

  private ByteString rewrap(ByteString key) {
    return client
        .rewrapKeyBlob(RewrapKeyBlobRequest.newBuilder().setWrappedKeyBytes(key).build())
        .getRewrappedKeyBytes();
  }

  private static ByteString changedAtTheEnd(ByteString wrapped) {
    var bytes = wrapped.toByteArray();
    bytes[bytes.length - 1] ^= 1;
    return ByteString.copyFrom(bytes);
  }

  private static void refusesAsNotWrapped(Runnable unwrap) {
    try {
      unwrap.run();
    } catch (StatusRuntimeException e) {
      if (detail(e).getCode() == Ckr.CKR_WRAPPED_KEY_INVALID) {
        return;
      }
      throw e;
    }
    fail("what was changed on its way was unwrapped");
  }

  // ---- Clients while a call fails

  @Test
  void noFailedCallOfTheTokenGivesAClientAWrongAnswer() throws Exception {
    everyCallForClients(false);
  }

  @Test
  @Tag("long")
  void noFailedCallOfTheTokenGivesAClientAWrongAnswerByAnyFault() throws Exception {
    everyCallForClients(true);
  }

  private void everyCallForClients(boolean everyFault) throws Exception {
    var all = new ArrayList<>(operations());
    all.addAll(operationsOnKeys());
    all.forEach(this::serves);
    int sessions = token.openSessions();
    for (var operation : all) {
      boolean more = true;
      for (int n = 1; more; n++) {
        more = false;
        for (var fault : faults(everyFault)) {
          var hit = refusesOrAnswersRightly(operation, n, fault);
          more |= hit.isPresent();
          assertNothingStays(operation.name() + ": " + hit, sessions);
        }
      }
      // The page is a second old at most.
      await()
          .untilAsserted(() ->
              assertThat(token.heldObjects())
                  .as("working copies after %s", operation.name())
                  .isEqualTo(loadedKeys()));
    }
    tell("for clients");
    assertEveryAnswerIsRecorded();
  }

  /** One that the gateway survives, at the least. */
  private Set<Fault> faults(boolean every) {
    if (every) {
      return EnumSet.allOf(Fault.class);
    }
    var some = EnumSet.of(Fault.TOO_LONG, Fault.TOO_SHORT);
    some.add(random.nextBoolean() ? Fault.DEVICE_ERROR : Fault.FUNCTION_FAILED);
    if (random.nextInt(6) == 0) {
      some.add(random.nextBoolean() ? Fault.DEVICE_REMOVED : Fault.SESSION_HANDLE_INVALID);
    }
    return some;
  }

  /** Empty when the operation makes not so many calls. */
  private Optional<Hit> refusesOrAnswersRightly(Operation operation, int n, Fault fault)
      throws Exception {
    var work = operation.preparation().work();
    token.arm(n, fault, EnumSet.of(Origin.CLIENT));
    try {
      requireRefusedOrRight(work);
    } catch (AssertionError | Exception e) {
      throw new AssertionError(
          "%s: %s, seed %d: %s".formatted(operation.name(), token.disarm(), seed, e.getMessage()),
          e);
    }
    var hit = token.disarm();
    count(hit);
    // No session in the place of one that is stuck is the loss of the token too.
    if (fault.losesTheToken()
        || hit.filter(each -> each.function().equals("C_OpenSession")).isPresent()) {
      serves(operation);
    }
    return hit;
  }

  private void requireRefusedOrRight(Work work) throws Exception {
    Check check;
    try {
      check = work.ask();
    } catch (StatusRuntimeException e) {
      var hit = token.disarm().filter(Hit::failed);
      assertThat(hit).as("what failed before %s", e).isPresent();
      assertThat(detail(e).getCode()).isNotEqualTo(Ckr.CKR_OK);
      if (!hit.get().function().equals("C_Verify") && !hit.get().function().equals("C_Decrypt")) {
        assertThat(detail(e).getCode())
            .as("data blamed for %s", hit)
            .isNotIn(Ckr.CKR_SIGNATURE_INVALID, Ckr.CKR_ENCRYPTED_DATA_INVALID);
        if (hit.get().function().endsWith("Init")) {
          assertThat(detail(e).getCode()).isNotEqualTo(Ckr.CKR_WRAPPED_KEY_INVALID);
        }
      }
      assertThat(detail(e).getDetail()).doesNotContain("internal error");
      return;
    }
    var hit = token.disarm();
    check.run();
    hit.filter(Hit::failed)
        .ifPresent(each -> assertThat(each.function()).as("failed unseen").isIn(MAY_FAIL_UNSEEN));
  }

  private void count(Optional<Hit> hit) {
    hit.filter(Hit::failed).ifPresent(each -> faulted.merge(each.function(), 1, Integer::sum));
  }

  /** Waits for a gateway that gets its token back. */
  private void serves(Operation operation) {
    await()
        .atMost(PATIENCE)
        .pollInterval(Duration.ofMillis(5))
        .until(() -> {
          try {
            operation.preparation().work().ask().run();
            return true;
          } catch (StatusRuntimeException e) {
            assertThat(mayPass(e.getStatus())).as("%s", e).isTrue();
            return false;
          }
        });
  }

  private void assertNothingStays(String after, int sessions) {
    assertThat(token.openSessions()).as("sessions after %s", after).isEqualTo(sessions);
    assertThat(token.passingObjects()).as("objects of calls after %s", after).isZero();
  }

  /** Working copies that the gateway knows of. */
  private int loadedKeys() throws Exception {
    var metrics =
        web.send(
                HttpRequest.newBuilder(
                        URI.create(
                            "https://localhost:" + running.gateway.healthPort() + "/metrics"))
                    .build(),
                HttpResponse.BodyHandlers.ofString())
            .body();
    return metrics
        .lines()
        .filter(line -> line.startsWith("grep11_keys_loaded "))
        .mapToInt(line -> (int) Double.parseDouble(line.substring(line.indexOf(' '))))
        .findFirst()
        .orElseThrow();
  }

  private void assertEveryAnswerIsRecorded() {
    await()
        .atMost(PATIENCE)
        .untilAsserted(() -> {
          var missing = new HashMap<>(answers);
          try (var lines = Files.lines(running.directory.resolve("audit.jsonl"), UTF_8)) {
            lines.forEach(line -> {
              var id = CALL.matcher(line);
              if (id.find()) {
                assertThat(line.contains("\"outcome\":\"success\""))
                    .as("success of %s", line)
                    .isEqualTo(answers.get(id.group()) == Status.Code.OK);
                missing.remove(id.group());
              }
            });
          }
          assertThat(missing).as("answers without a record").isEmpty();
        });
  }

  // ---- What the gateway asks for itself

  @Test
  void noFailedCallOfTheTokenLosesAnAdministratorsChangeOrOpensTheLock() throws Exception {
    var administrator =
        TestAdministrator.granted(running, "admin", TestAdministrator.p256()).enrolled();
    assertThat(administrator.execute(administrator.set("one", CA.der())).getLocked()).isTrue();
    var registered = Set.of("one");
    var channel = running.channel();
    var bare =
        CryptoGrpc.newBlockingStub(channel)
            .withInterceptors(
                RunningGateway.headers("authorization", "Bearer " + running.token(MANAGER)));
    var ssl = GrpcSslContexts.forClient().trustManager(running.demo.ca().toFile());
    ssl.keyManager(APP.privateKey(), APP.certificate());
    var app =
        CryptoGrpc.newBlockingStub(running.channel("localhost", ssl))
            .withInterceptors(
                RunningGateway.headers("authorization", "Bearer " + running.token(MANAGER)));
    boolean more = true;
    for (int n = 1; more; n++) {
      more = false;
      for (var fault : Fault.values()) {
        // A token that was lost is back.
        awaited(() -> aesKey(app));
        boolean adds = !registered.contains("two");
        var command =
            administrator.sign(
                adds ? administrator.set("two", CA.der()) : administrator.delete("two"));
        token.arm(n, fault, EnumSet.of(Origin.GATEWAY));
        boolean acknowledged = administrator.acknowledged(command);
        var hit = token.disarm();
        count(hit);
        more |= hit.isPresent();
        channel.resetConnectBackoff();
        assertThatThrownBy(() -> aesKey(bare))
            .as("a client without a certificate after %s", hit)
            .isInstanceOf(StatusRuntimeException.class);
        var now = registeredNow(administrator);
        assertThat(now).contains("one");
        if (acknowledged || hit.filter(Hit::failed).isEmpty()) {
          assertThat(acknowledged).as("acknowledged; %s", hit).isTrue();
          assertThat(now.contains("two")).as("acknowledged; %s", hit).isEqualTo(adds);
        }
        registered = now;
      }
    }
    tell("for administrators");
    running.close();
    running = RunningGateway.start(parent.resolve("demo"), SETTINGS);
    assertThat(registeredNow(administrator.through(running))).isEqualTo(registered);
    running.assertRecorded(administrator.acknowledged);
  }

  /** Of a registry that can be reached again. */
  private static Set<String> registeredNow(TestAdministrator administrator) {
    return await()
        .atMost(PATIENCE)
        .pollInterval(Duration.ofMillis(5))
        .ignoreExceptions()
        .until(administrator::registered, Objects::nonNull);
  }

  @Test
  void noFailedCallOfTheTokenGivesATokenThatIsNotGood() throws Exception {
    boolean more = true;
    for (int n = 1; more; n++) {
      more = false;
      for (var fault : Fault.values()) {
        token.arm(n, fault, EnumSet.of(Origin.GATEWAY));
        var answer = running.identityToken(running.demoApiKey());
        var hit = token.disarm();
        count(hit);
        more |= hit.isPresent();
        if (answer.statusCode() == 200) {
          var bearer = JSON.readTree(answer.body()).get("access_token").asText();
          assertThat(awaited(() -> aesKey(running.client("authorization", "Bearer " + bearer))))
              .as("%s", hit)
              .isNotEmpty();
        } else {
          assertThat(hit.filter(Hit::failed)).as("%s", answer.body()).isPresent();
          assertThat(answer.statusCode()).as("%s", hit).isGreaterThanOrEqualTo(500);
          assertThat(answer.body()).doesNotContain("access_token");
        }
        awaited(() -> aesKey(client));
      }
    }
    tell("for tokens");
  }

  private static ByteString awaited(Callable<ByteString> call) {
    return await()
        .atMost(PATIENCE)
        .pollInterval(Duration.ofMillis(5))
        .ignoreExceptionsMatching(
            e -> e instanceof StatusRuntimeException refusal && mayPass(refusal.getStatus()))
        .until(call, key -> !key.isEmpty());
  }

  /** A sealing key that a token did not find is believed to be gone until the next look at it. */
  private static boolean mayPass(Status status) {
    return status.getCode() == Status.Code.UNAVAILABLE
        || "CKR_IBM_WK_NOT_INITIALIZED".equals(status.getDescription());
  }

  // ---- The way back, and the start

  @Test
  void aTokenComesBackThoughACallFailsOnTheWay() throws Exception {
    comesBack(20);
  }

  @Test
  @Tag("long")
  void aTokenComesBackWhicheverCallFailsOnTheWay() throws Exception {
    comesBack(Integer.MAX_VALUE);
  }

  private void comesBack(int most) {
    awaited(() -> aesKey(client));
    int sessions = token.openSessions();
    token.arm(NONE, Fault.DEVICE_ERROR, EnumSet.of(Origin.RECOVERY));
    loseAndGetBack();
    token.disarm();
    for (int n : numbers(token.seen(), most)) {
      for (var fault : faults(most == Integer.MAX_VALUE)) {
        token.arm(n, fault, EnumSet.of(Origin.RECOVERY));
        loseAndGetBack();
        var hit = token.disarm();
        count(hit);
        assertNothingStays("recovery with " + hit, sessions);
      }
    }
    tell("of recoveries");
    assertEveryAnswerIsRecorded();
  }

  private void loseAndGetBack() {
    token.loseTheToken();
    assertThatThrownBy(() -> aesKey(client)).isInstanceOf(StatusRuntimeException.class);
    awaited(() -> aesKey(client));
  }

  @Test
  void aStartIsRefusedOrWholeThoughACallFails() throws Exception {
    starts(20);
  }

  @Test
  @Tag("long")
  void aStartIsRefusedOrWholeWhicheverCallFails() throws Exception {
    starts(Integer.MAX_VALUE);
  }

  private void starts(int most) throws Exception {
    var other = new NthCall();
    other.arm(NONE, Fault.DEVICE_ERROR, EnumSet.allOf(Origin.class));
    another(other).close();
    other.disarm();
    int refused = 0;
    for (int n : numbers(other.seen(), most)) {
      for (var fault : most == NONE ? EnumSet.allOf(Fault.class) : Set.of(anyFault())) {
        other.arm(n, fault, EnumSet.allOf(Origin.class));
        try (var gateway = another(other)) {
          assertThat(gateway.cryptoPort()).isPositive();
        } catch (StartException
            | SealingKeyException
            | HsmOpenException
            | Pkcs11Exception
            | StoreException e) {
          refused++;
          assertThat(e.getMessage()).as("%s", other.disarm()).isNotBlank();
        } catch (RuntimeException e) {
          throw new AssertionError("%s, seed %d: %s".formatted(other.disarm(), seed, e), e);
        }
        var hit = other.disarm();
        count(hit);
        assertThat(other.openSessions()).as("sessions after %s", hit).isZero();
      }
    }
    tell("of starts, of which %d refused,".formatted(refused));
    awaited(() -> aesKey(client));
  }

  private Gateway another(NthCall through) {
    return running.another("another", SETTINGS, settings -> Hsm.open(through.cryptoki(), settings));
  }

  private Fault anyFault() {
    var all = List.of(Fault.values());
    return all.get(random.nextInt(all.size()));
  }

  /** All, or where these are too many some. */
  private List<Integer> numbers(int calls, int most) {
    var all = new ArrayList<>(IntStream.rangeClosed(1, calls).boxed().toList());
    Collections.shuffle(all, random);
    return all.subList(0, Math.min(most, calls));
  }

  private void tell(String what) {
    System.out.printf(
        "faulted calls of the token %s %d, seed %d, %s%n",
        what, faulted.values().stream().mapToInt(Integer::intValue).sum(), seed, faulted);
  }
}
