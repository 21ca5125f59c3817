package dev.grep11.demo;

import static dev.grep11.client.Cka.CKA_EXTRACTABLE;

import com.google.protobuf.ByteString;
import dev.grep11.client.Ckm;
import dev.grep11.client.Ckr;
import dev.grep11.client.Curve;
import dev.grep11.client.EcdsaSignature;
import dev.grep11.client.Grep11Client;
import dev.grep11.client.Grep11Exception;
import dev.grep11.client.Hash;
import dev.grep11.client.KeyPair;
import dev.grep11.client.Mechanisms;
import dev.grep11.client.SecretKeyBlob;
import dev.grep11.client.Template;
import dev.grep11.client.Templates;
import dev.grep11.demo.Steps.Form;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.GetMechanismListRequest;
import dev.grep11.proto.Mechanism;
import dev.grep11.proto.VerifySingleRequest;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * What a gateway does, told in lines: keys made and used, one refusal by each layer, one signature
 * judged by openssl, and the second lock closed and opened.
 *
 * <p>Takes the environment that {@code grep11 up} writes down. Exit code 0 when every step did what
 * it should, 1 otherwise, 2 for wrong use.
 */
public final class Demo {
  private static final byte[] MESSAGE =
      "pay 10 to Alice, and nothing to Mallory".getBytes(StandardCharsets.UTF_8);
  private static final byte[] NOTHING = new byte[0];

  private final Setting setting;
  private final Steps steps;
  private final Grep11Client client;

  public static void main(String[] arguments) {
    Form form;
    Setting setting;
    try {
      form = form(arguments);
      setting = Setting.of(System.getenv());
    } catch (IllegalArgumentException e) {
      System.err.println("demo: " + e.getMessage());
      System.exit(2);
      return;
    }
    var steps = new Steps(System.out, form);
    long begin = System.nanoTime();
    try (var client = setting.authenticated().build()) {
      new Demo(setting, steps, client).run();
    } catch (IllegalArgumentException e) {
      System.err.println("demo: " + e.getMessage());
      System.exit(2);
    }
    System.exit(conclude(steps, form, Duration.ofNanos(System.nanoTime() - begin)));
  }

  private Demo(Setting setting, Steps steps, Grep11Client client) {
    this.setting = setting;
    this.steps = steps;
    this.client = client;
  }

  private static Form form(String[] arguments) {
    return switch (String.join(" ", arguments)) {
      case "", "--output text", "--output=text" -> Form.TEXT;
      case "--output json", "--output=json" -> Form.JSON;
      default -> throw new IllegalArgumentException("usage: demo [--output text|json]");
    };
  }

  private static int conclude(Steps steps, Form form, Duration duration) {
    String failure = steps.firstFailure();
    if (failure != null) {
      System.err.println("demo: did not do what it should: " + failure);
      return 1;
    }
    if (form == Form.TEXT) {
      System.out.printf(
          "%nAll %d steps did what they should, in %.1f s.%n",
          steps.count(), duration.toMillis() / 1e3);
    }
    return 0;
  }

  private void run() {
    steps.chapter("A gateway in front of an HSM, at " + setting.address());
    steps.step("fetch a token, list the mechanisms", this::mechanisms);
    if (steps.firstFailure() != null) {
      // Every further step would only repeat that there is no gateway.
      return;
    }
    steps.step(
        "draw random bytes in the HSM", () -> HexFormat.of().formatHex(client.generateRandom(16)));
    encryption();
    signatures();
    wrapping();
    refusals();
    SecondLock.tell(setting, steps, client);
  }

  private String mechanisms() {
    var mechanisms = client.mechanisms();
    require(mechanisms.contains(Ckm.CKM_RSA_PKCS), "CKM_RSA_PKCS is missing");
    return mechanisms.size() + " mechanisms";
  }

  private void encryption() {
    steps.chapter("Encrypt: the key is a sealed blob, only the HSM opens it");
    var aes = new Holder<SecretKeyBlob>();
    var authenticated = new Holder<byte[]>();
    steps.step(
        "make an AES-256 key",
        () -> {
          aes.value = client.generateKey(Mechanisms.aesKeyGen(), Templates.aes(256));
          return aes.value + ", check sum " + HexFormat.of().formatHex(aes.value.checkSum());
        });
    steps.step(
        "encrypt and decrypt, AES-CBC-PAD",
        () -> {
          var mechanism = Mechanisms.aesCbcPad(client.generateRandom(16));
          byte[] ciphered = client.encrypt(mechanism, aes.value(), MESSAGE);
          require(!Arrays.equals(ciphered, MESSAGE), "the ciphertext is the message");
          require(
              Arrays.equals(client.decrypt(mechanism, aes.value(), ciphered), MESSAGE),
              "another message came back");
          return MESSAGE.length + " bytes became " + ciphered.length + " and came back";
        });
    steps.step(
        "encrypt and decrypt, AES-GCM, IV by the HSM",
        () -> {
          byte[] ciphered = client.encrypt(Mechanisms.aesGcm(), aes.value(), MESSAGE);
          authenticated.value = ciphered;
          require(
              Arrays.equals(client.decrypt(Mechanisms.aesGcm(), aes.value(), ciphered), MESSAGE),
              "another message came back");
          return MESSAGE.length + " bytes became " + ciphered.length + " (IV, data, tag)";
        });
    steps.refusal(
        "decrypt AES-GCM with one bit flipped",
        e -> e.status() == Status.Code.UNKNOWN && e.answered(),
        () -> {
          // Made in the step before, so that only the decryption can be what is refused.
          byte[] changed = flipLastBit(authenticated.value());
          int length = client.decrypt(Mechanisms.aesGcm(), aes.value(), changed).length;
          return length + " bytes";
        });
  }

  private void signatures() {
    steps.chapter("Sign");
    var rsa = pair("make an RSA-2048 pair", () -> client.generateKeyPair(Templates.rsaPair(2048)));
    signAndVerify("RSA PKCS #1 v1.5, SHA-256", rsa, Mechanisms.sha256RsaPkcs());
    signAndVerify("RSA-PSS, SHA-256", rsa, Mechanisms.rsaPss(Hash.SHA256));
    var ec = pair("make a P-256 pair", () -> client.generateKeyPair(Templates.ecPair(Curve.P256)));
    signAndVerify("ECDSA, SHA-256", ec, Mechanisms.ecdsaSha256());
    var edwards =
        pair("make an Ed25519 pair", () -> client.generateKeyPair(Templates.ed25519Pair()));
    signAndVerify("Ed25519", edwards, Mechanisms.ed25519());
    steps.step("let openssl judge an ECDSA signature", () -> openssl(ec.value()));
    steps.step(
        "verify a changed signature: exactly CKR_SIGNATURE_INVALID", () -> tampered(ec.value()));
  }

  private Holder<KeyPair> pair(String name, Callable<KeyPair> generation) {
    var pair = new Holder<KeyPair>();
    steps.step(
        name,
        () -> {
          pair.value = generation.call();
          return pair.value.privateKey() + ", " + pair.value.publicKey();
        });
    return pair;
  }

  private void signAndVerify(String name, Holder<KeyPair> pair, Mechanism mechanism) {
    steps.step(
        "sign and verify, " + name,
        () -> {
          byte[] signature = client.sign(mechanism, pair.value().privateKey(), MESSAGE);
          require(
              client.verify(mechanism, pair.value().publicKey(), MESSAGE, signature),
              "the own signature is not genuine");
          require(
              !client.verify(mechanism, pair.value().publicKey(), MESSAGE, flipLastBit(signature)),
              "a changed signature is genuine");
          return signature.length + "-byte signature genuine, with one bit flipped it is not";
        });
  }

  private String openssl(KeyPair ec) throws Exception {
    byte[] signature = client.sign(Mechanisms.ecdsaSha256(), ec.privateKey(), MESSAGE);
    var verdict =
        OpensslCheck.verify(
            ec.publicKey().subjectPublicKeyInfo(), MESSAGE, EcdsaSignature.toDer(signature));
    require(verdict.genuine(), verdict.toString());
    return verdict.toString();
  }

  /** Not by {@code client.verify}, which makes false of it: this shows what travels. */
  private String tampered(KeyPair ec) {
    byte[] signature = client.sign(Mechanisms.ecdsaSha256(), ec.privateKey(), MESSAGE);
    var request =
        VerifySingleRequest.newBuilder()
            .setMech(Mechanisms.ecdsaSha256())
            .setPubKey(ec.publicKey().toMessage())
            .setData(ByteString.copyFrom(MESSAGE))
            .setSignature(ByteString.copyFrom(flipLastBit(signature)))
            .build();
    try {
      var unexpected = client.stub().verifySingle(request);
      throw new IllegalStateException("a changed signature is genuine " + unexpected);
    } catch (StatusRuntimeException failure) {
      var details = StatusProto.fromThrowable(failure);
      require(details != null && details.getDetailsCount() == 1, "not exactly one detail");
      var refusal = Grep11Exception.of(failure);
      require(failure.getStatus().getCode() == Status.Code.UNKNOWN, "status is not UNKNOWN");
      require(
          "CKR_SIGNATURE_INVALID".equals(failure.getStatus().getDescription()),
          "message is " + failure.getStatus().getDescription());
      require(refusal.returnValue() == 192, "the detail holds " + refusal.returnValue());
      return "UNKNOWN, CKR_SIGNATURE_INVALID, one detail with code 192";
    }
  }

  private void wrapping() {
    steps.chapter("Move a key: wrapped under another key, never in clear");
    var key = new Holder<SecretKeyBlob>();
    steps.step(
        "make an extractable AES-128 key",
        () -> {
          key.value =
              client.generateKey(
                  Mechanisms.aesKeyGen(), Templates.aes(128).with(CKA_EXTRACTABLE, true));
          return key.value.toString();
        });
    steps.step(
        "wrap and unwrap it, AES key wrap with padding",
        () -> {
          var kek = client.generateKey(Mechanisms.aesKeyGen(), Templates.aesWrapping(256));
          byte[] wrapped = client.wrapKey(Mechanisms.aesKeyWrapPad(), kek, key.value());
          var unwrapped =
              client.unwrapKey(Mechanisms.aesKeyWrapPad(), kek, wrapped, Templates.unwrappedAes());
          return sameKey(key.value(), unwrapped, wrapped);
        });
    steps.step(
        "wrap and unwrap it, RSA-OAEP",
        () -> {
          var oaep = Mechanisms.rsaOaep(Hash.SHA1);
          var kek = client.generateKeyPair(Templates.rsaWrappingPair(2048));
          byte[] wrapped = client.wrapKey(oaep, kek.publicKey(), key.value());
          var unwrapped =
              client.unwrapKey(oaep, kek.privateKey(), wrapped, Templates.unwrappedAes());
          return sameKey(key.value(), unwrapped, wrapped);
        });
  }

  private String sameKey(SecretKeyBlob key, SecretKeyBlob unwrapped, byte[] wrapped) {
    byte[] checkSum = key.checkSum();
    require(checkSum.length > 0, "no check sum");
    require(
        Arrays.equals(checkSum, Arrays.copyOf(unwrapped.checkSum(), checkSum.length)),
        "the check sums differ");
    var mechanism = Mechanisms.aesCbcPad(client.generateRandom(16));
    byte[] ciphered = client.encrypt(mechanism, key, MESSAGE);
    require(
        Arrays.equals(client.decrypt(mechanism, unwrapped, ciphered), MESSAGE),
        "the unwrapped key is another");
    return wrapped.length + " bytes wrapped; both blobs hold the same key";
  }

  private void refusals() {
    steps.chapter("Every layer refuses, and says why");
    steps.refusal(
        "TLS: speak to the port without it",
        e -> e.status() == Status.Code.UNAVAILABLE && !e.answered(),
        this::speakInClear);
    steps.refusal(
        "token: one that nobody issued",
        e -> e.status() == Status.Code.UNAUTHENTICATED && isNotAuthenticated(e),
        () -> {
          try (var thief = setting.gateway().token(() -> "e30.e30.Zm9yZ2Vk").build()) {
            return thief.generateRandom(1).length + " byte";
          }
        });
    steps.refusal(
        "grant: a good token at an instance of somebody else",
        e -> e.status() == Status.Code.PERMISSION_DENIED && isNotAuthenticated(e),
        () -> {
          try (var trespasser = setting.authenticated().instance(UUID.randomUUID()).build()) {
            return trespasser.generateRandom(1).length + " byte";
          }
        });
    steps.refusal(
        "key usage: sign with a key for agreement only",
        is(Ckr.CKR_KEY_FUNCTION_NOT_PERMITTED),
        () -> {
          var agreement = client.generateKeyPair(Templates.ecdhPair(Curve.P256));
          return client.sign(Mechanisms.ecdsaSha256(), agreement.privateKey(), MESSAGE).length
              + "-byte signature";
        });
    steps.refusal(
        "key usage: wrap a key that is not extractable",
        is(Ckr.CKR_KEY_UNEXTRACTABLE),
        () -> {
          var kek = client.generateKey(Mechanisms.aesKeyGen(), Templates.aesWrapping(256));
          var key = client.generateKey(Mechanisms.aesKeyGen(), Templates.aes(128));
          return client.wrapKey(Mechanisms.aesKeyWrapPad(), kek, key).length + " bytes";
        });
    steps.refusal(
        "mechanism: digest with a mechanism that is none",
        is(Ckr.CKR_MECHANISM_INVALID),
        () -> client.digest(Mechanisms.of(Ckm.CKM_AES_KEY_GEN), MESSAGE).length + "-byte digest");
    steps.refusal(
        "attributes: make a sealed key extractable",
        is(Ckr.CKR_ATTRIBUTE_READ_ONLY),
        () -> {
          var key = client.generateKey(Mechanisms.aesKeyGen(), Templates.aes(128));
          return client.setAttributes(key, Template.empty().with(CKA_EXTRACTABLE, true)).toString();
        });
    steps.refusal(
        "key blob: one bit flipped",
        is(Ckr.CKR_IBM_BLOB_ERROR),
        () -> {
          var key = client.generateKey(Mechanisms.aesKeyGen(), Templates.aes(256));
          var forged = new SecretKeyBlob(flipLastBit(key.bytes()));
          return client.encrypt(Mechanisms.aesGcm(), forged, NOTHING).length + " bytes";
        });
  }

  private String speakInClear() {
    var channel =
        Grpc.newChannelBuilder(setting.address(), InsecureChannelCredentials.create()).build();
    try {
      var answer =
          CryptoGrpc.newBlockingStub(channel)
              .withDeadlineAfter(5, TimeUnit.SECONDS)
              .getMechanismList(GetMechanismListRequest.getDefaultInstance());
      return "connected in clear, " + answer.getMechsCount() + " mechanisms";
    } catch (StatusRuntimeException e) {
      throw Grep11Exception.of(e);
    } finally {
      channel.shutdownNow();
    }
  }

  private static Predicate<Grep11Exception> is(long returnValue) {
    return e -> e.answered() && e.returnValue() == returnValue;
  }

  private static boolean isNotAuthenticated(Grep11Exception e) {
    return e.returnValue() == Ckr.CKR_IBM_GREP11_NOT_AUTHENTICATED;
  }

  private static byte[] flipLastBit(byte[] bytes) {
    byte[] changed = bytes.clone();
    changed[changed.length - 1] ^= 1;
    return changed;
  }

  private static void require(boolean condition, String otherwise) {
    if (!condition) {
      throw new IllegalStateException(otherwise);
    }
  }

  /** What one step makes for later ones. */
  private static final class Holder<T> {
    private @Nullable T value;

    T value() {
      if (value == null) {
        throw new IllegalStateException("an earlier step did not make it");
      }
      return value;
    }
  }
}
