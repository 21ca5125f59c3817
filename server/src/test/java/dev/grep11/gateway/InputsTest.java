package dev.grep11.gateway;

import static dev.grep11.gateway.RunningGateway.detail;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.LoggerContext;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.classic.spi.ThrowableProxyUtil;
import ch.qos.logback.core.AppenderBase;
import com.google.protobuf.ByteString;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.proto.AESCTRParm;
import dev.grep11.proto.AESGCMParm;
import dev.grep11.proto.AttributeValue;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.DecryptSingleRequest;
import dev.grep11.proto.DeriveKeyRequest;
import dev.grep11.proto.DigestSingleRequest;
import dev.grep11.proto.ECDH1DeriveParm;
import dev.grep11.proto.EDDSAParm;
import dev.grep11.proto.EncryptSingleRequest;
import dev.grep11.proto.GenerateKeyPairRequest;
import dev.grep11.proto.GenerateKeyRequest;
import dev.grep11.proto.GenerateRandomRequest;
import dev.grep11.proto.GetAttributeValueRequest;
import dev.grep11.proto.GetMechanismInfoRequest;
import dev.grep11.proto.GetMechanismListRequest;
import dev.grep11.proto.LoginRequest;
import dev.grep11.proto.LogoutRequest;
import dev.grep11.proto.Mechanism;
import dev.grep11.proto.RSAOAEPParm;
import dev.grep11.proto.RSAPSSParm;
import dev.grep11.proto.ReencryptSingleRequest;
import dev.grep11.proto.RewrapKeyBlobRequest;
import dev.grep11.proto.SetAttributeValueRequest;
import dev.grep11.proto.SignSingleRequest;
import dev.grep11.proto.UnwrapKeyRequest;
import dev.grep11.proto.VerifySingleRequest;
import dev.grep11.proto.WrapKeyRequest;
import io.grpc.CallOptions;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.slf4j.LoggerFactory;

/**
 * What a running gateway answers to requests that no honest client sends; and that, whatever comes,
 * nothing secret is written anywhere.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class InputsTest {
  private static final int MIB = 1 << 20;
  private static final String CANARY = "Canary-in-the-plaintext-7f3a9c";
  private static final String PIN = "Pin#4711-xyz";
  private static final ByteString PLAIN = ByteString.copyFromUtf8(CANARY + "|");

  /** Operations that give a state or need one. */
  private static final Set<String> IN_PARTS =
      Set.of(
          "DigestInit",
          "Digest",
          "DigestUpdate",
          "DigestKey",
          "DigestFinal",
          "EncryptInit",
          "EncryptUpdate",
          "Encrypt",
          "EncryptFinal",
          "DecryptInit",
          "DecryptUpdate",
          "Decrypt",
          "DecryptFinal",
          "SignInit",
          "SignUpdate",
          "Sign",
          "SignFinal",
          "VerifyInit",
          "VerifyUpdate",
          "Verify",
          "VerifyFinal");

  private final Queue<String> logged = new ConcurrentLinkedQueue<>();
  private final ByteArrayOutputStream printed = new ByteArrayOutputStream();
  private final PrintStream out = System.out;
  private final PrintStream err = System.err;
  private final Map<String, byte[]> secrets = new LinkedHashMap<>();
  private final AppenderBase<ILoggingEvent> appender =
      new AppenderBase<>() {
        @Override
        protected void append(ILoggingEvent event) {
          logged.add(
              event.getFormattedMessage()
                  + "\n"
                  + ThrowableProxyUtil.asString(event.getThrowableProxy()));
        }
      };

  private RunningGateway running;
  private CryptoGrpc.CryptoBlockingStub client;
  private String token;
  private ByteString aes;
  private ByteString privateKey;
  private ByteString publicKey;

  @BeforeAll
  void start(@TempDir Path parent) throws Exception {
    var context = (LoggerContext) LoggerFactory.getILoggerFactory();
    appender.setContext(context);
    appender.start();
    root().addAppender(appender);
    root().setLevel(Level.INFO);
    context.getLogger("dev.grep11").setLevel(Level.TRACE);
    System.setOut(new PrintStream(printed, true, UTF_8));
    System.setErr(new PrintStream(printed, true, UTF_8));
    running = RunningGateway.start(parent.resolve("demo"));
    token = running.token(RunningGateway.MANAGER);
    client = running.client("authorization", "Bearer " + token);
    aes =
        client
            .generateKey(
                GenerateKeyRequest.newBuilder()
                    .setMech(mech(Ckm.CKM_AES_KEY_GEN))
                    .putTemplate(Cka.CKA_VALUE_LEN, number(32))
                    .putTemplate(Cka.CKA_EXTRACTABLE, flag(true))
                    .putTemplate(Cka.CKA_WRAP, flag(true))
                    .putTemplate(Cka.CKA_UNWRAP, flag(true))
                    .build())
            .getKeyBytes();
    var rsa =
        client.generateKeyPair(
            GenerateKeyPairRequest.newBuilder()
                .setMech(mech(Ckm.CKM_RSA_PKCS_KEY_PAIR_GEN))
                .putPubKeyTemplate(Cka.CKA_MODULUS_BITS, number(2048))
                .putPubKeyTemplate(Cka.CKA_PUBLIC_EXPONENT, number(65537))
                .build());
    privateKey = rsa.getPrivKeyBytes();
    publicKey = rsa.getPubKeyBytes();
    secrets.put("plaintext", CANARY.getBytes(UTF_8));
    secrets.put("PIN", PIN.getBytes(UTF_8));
    secrets.put("token", token.getBytes(UTF_8));
    secrets.put("token's signature", token.substring(token.lastIndexOf('.') + 1).getBytes(UTF_8));
    secrets.put("API key", running.demoApiKey().getBytes(UTF_8));
    secrets.put("secret key blob", aes.substring(aes.size() - 40).toByteArray());
    secrets.put("private key blob", privateKey.substring(privateKey.size() - 40).toByteArray());
    secrets.put(
        "PIN of the token",
        Files.readString(running.directory.resolve("token").resolve("pin")).getBytes(UTF_8));
  }

  /** Whatever the tests of this class have sent: it is last, and looks at all of it. */
  @AfterAll
  void nothingSecretIsWrittenAnywhere() throws Exception {
    try {
      var badToken = running.client("authorization", "Bearer " + token + "x");
      assertThat(catchThrowableOfType(StatusRuntimeException.class, () -> random(badToken, 1)))
          .isNotNull();
      assertThat(running.tokenFor(running.demoApiKey())).isNotEmpty();
      assertThat(running.identityToken(running.demoApiKey() + "x").statusCode()).isEqualTo(400);
      running.close();
    } finally {
      System.setOut(out);
      System.setErr(err);
      root().detachAppender(appender);
      root().setLevel(Level.WARN);
      ((LoggerContext) LoggerFactory.getILoggerFactory()).getLogger("dev.grep11").setLevel(null);
    }
    var written = new LinkedHashMap<String, String>();
    written.put("log", String.join("\n", logged));
    written.put("output", printed.toString(UTF_8));
    written.put("audit", Files.readString(running.directory.resolve("audit.jsonl")));
    assertThat(written.get("audit")).contains("CKR_IBM_BLOB_ERROR", "hs-crypto.ep11.use");
    assertThat(written.get("log")).contains("token refused");
    written.forEach((where, text) -> assertClean(where, text));
  }

  private void assertClean(String where, String text) {
    var lowerCase = text.toLowerCase(java.util.Locale.ROOT);
    secrets.forEach((what, secret) -> {
      assertThat(text).as("%s in the %s", what, where).doesNotContain(new String(secret, UTF_8));
      assertThat(lowerCase)
          .as("%s in the %s, in hexadecimal", what, where)
          .doesNotContain(HexFormat.of().formatHex(secret));
      // Three phases: what precedes it decides how a secret looks in base64.
      for (int skipped = 0; skipped < 3; skipped++) {
        var part = java.util.Arrays.copyOfRange(secret, skipped, secret.length);
        part = java.util.Arrays.copyOf(part, part.length - part.length % 3);
        for (var encoder : List.of(Base64.getEncoder(), Base64.getUrlEncoder())) {
          assertThat(text)
              .as("%s in the %s, in base64", what, where)
              .doesNotContain(encoder.encodeToString(part));
        }
      }
    });
  }

  private static Logger root() {
    return ((LoggerContext) LoggerFactory.getILoggerFactory()).getLogger("ROOT");
  }

  /** A request, and what it is refused with; empty when it is served. */
  record Row(String what, Optional<String> expected, Function call) {
    interface Function {
      Object call(InputsTest test, CryptoGrpc.CryptoBlockingStub client);
    }

    @Override
    public String toString() {
      return what + " -> " + expected.orElse("served");
    }
  }

  private static Row row(String what, long code, Row.Function call) {
    return new Row(what, Optional.of(Ckr.name(code)), call);
  }

  private static Row served(String what, Row.Function call) {
    return new Row(what, Optional.empty(), call);
  }

  static Stream<Row> rows() {
    return Stream.of(
            random(), digest(), cipher(), signature(), keys(), query(), templates(), enums())
        .flatMap(List::stream);
  }

  private static List<Row> random() {
    return LongStream.of(0, 1_000_001, Long.MAX_VALUE, -1)
        .mapToObj(length ->
            row("GenerateRandom " + length, Ckr.CKR_ARGUMENTS_BAD, (_, c) -> random(c, length)))
        .toList();
  }

  private static Object random(CryptoGrpc.CryptoBlockingStub client, long length) {
    return client.generateRandom(GenerateRandomRequest.newBuilder().setLen(length).build());
  }

  private static List<Row> digest() {
    var full = DigestSingleRequest.newBuilder().setMech(mech(Ckm.CKM_SHA256)).setData(PLAIN);
    return List.of(
        served("DigestSingle", (_, c) -> c.digestSingle(full.build())),
        row(
            "DigestSingle without Mech",
            Ckr.CKR_MECHANISM_INVALID,
            (_, c) -> c.digestSingle(full.clone().clearMech().build())),
        row(
            "DigestSingle without Data",
            Ckr.CKR_DATA_LEN_RANGE,
            (_, c) -> c.digestSingle(full.clone().clearData().build())),
        row(
            "DigestSingle with a cipher",
            Ckr.CKR_MECHANISM_INVALID,
            (_, c) -> c.digestSingle(full.clone().setMech(cbcPad()).build())),
        row(
            "DigestSingle with no mechanism there is",
            Ckr.CKR_MECHANISM_INVALID,
            (_, c) -> c.digestSingle(full.clone().setMech(mech(-1)).build())));
  }

  private static List<Row> cipher() {
    return List.of(
        served("EncryptSingle", (t, c) -> c.encryptSingle(t.encrypt().build())),
        row(
            "EncryptSingle without Mech",
            Ckr.CKR_MECHANISM_INVALID,
            (t, c) -> c.encryptSingle(t.encrypt().clearMech().build())),
        row(
            "EncryptSingle without Key",
            Ckr.CKR_KEY_HANDLE_INVALID,
            (t, c) -> c.encryptSingle(t.encrypt().clearKeyBytes().build())),
        served(
            "EncryptSingle of nothing, padded",
            (t, c) -> c.encryptSingle(t.encrypt().clearPlain().build())),
        row(
            "EncryptSingle with a cut IV",
            Ckr.CKR_MECHANISM_PARAM_INVALID,
            (t, c) ->
                c.encryptSingle(
                    t.encrypt()
                        .setMech(
                            mech(Ckm.CKM_AES_CBC_PAD).toBuilder()
                                .setParameterB(ByteString.copyFrom(new byte[15])))
                        .build())),
        row(
            "EncryptSingle with a blob that is none",
            Ckr.CKR_IBM_BLOB_ERROR,
            (t, c) -> c.encryptSingle(t.encrypt().setKeyBytes(PLAIN).build())),
        row(
            "EncryptSingle with a cut blob",
            Ckr.CKR_IBM_BLOB_ERROR,
            (t, c) ->
                c.encryptSingle(
                    t.encrypt().setKeyBytes(t.aes.substring(0, t.aes.size() - 1)).build())),
        row(
            "EncryptSingle with a blob of 1 MiB",
            Ckr.CKR_IBM_BLOB_ERROR,
            (t, c) ->
                c.encryptSingle(
                    t.encrypt()
                        .setKeyBytes(t.aes.concat(ByteString.copyFrom(new byte[MIB])))
                        .build())),
        row(
            "DecryptSingle without Mech",
            Ckr.CKR_MECHANISM_INVALID,
            (t, c) -> c.decryptSingle(t.decrypt().clearMech().build())),
        row(
            "DecryptSingle without Key",
            Ckr.CKR_KEY_HANDLE_INVALID,
            (t, c) -> c.decryptSingle(t.decrypt().clearKeyBytes().build())),
        row(
            "DecryptSingle of nothing",
            Ckr.CKR_ENCRYPTED_DATA_LEN_RANGE,
            (t, c) -> c.decryptSingle(t.decrypt().clearCiphered().build())),
        row(
            "ReencryptSingle without DecMech",
            Ckr.CKR_MECHANISM_INVALID,
            (t, c) -> c.reencryptSingle(t.reencrypt().clearDecMech().build())),
        row(
            "ReencryptSingle without EncMech",
            Ckr.CKR_MECHANISM_INVALID,
            (t, c) -> c.reencryptSingle(t.reencrypt().clearEncMech().build())),
        row(
            "ReencryptSingle without DecKey",
            Ckr.CKR_KEY_HANDLE_INVALID,
            (t, c) -> c.reencryptSingle(t.reencrypt().clearDecKeyBytes().build())),
        row(
            "ReencryptSingle without EncKey",
            Ckr.CKR_KEY_HANDLE_INVALID,
            (t, c) -> c.reencryptSingle(t.reencrypt().clearEncKeyBytes().build())));
  }

  private static List<Row> signature() {
    return List.of(
        served("SignSingle", (t, c) -> c.signSingle(t.sign().build())),
        row(
            "SignSingle without Mech",
            Ckr.CKR_MECHANISM_INVALID,
            (t, c) -> c.signSingle(t.sign().clearMech().build())),
        row(
            "SignSingle without PrivKey",
            Ckr.CKR_KEY_HANDLE_INVALID,
            (t, c) -> c.signSingle(t.sign().clearPrivKeyBytes().build())),
        served(
            "SignSingle of nothing, hashed", (t, c) -> c.signSingle(t.sign().clearData().build())),
        row(
            "VerifySingle without Mech",
            Ckr.CKR_MECHANISM_INVALID,
            (t, c) -> c.verifySingle(t.verify().clearMech().build())),
        row(
            "VerifySingle without PubKey",
            Ckr.CKR_KEY_HANDLE_INVALID,
            (t, c) -> c.verifySingle(t.verify().clearPubKeyBytes().build())),
        row(
            "VerifySingle without Signature",
            Ckr.CKR_SIGNATURE_LEN_RANGE,
            (t, c) -> c.verifySingle(t.verify().clearSignature().build())),
        row(
            "VerifySingle of another signature",
            Ckr.CKR_SIGNATURE_INVALID,
            (t, c) -> c.verifySingle(t.verify().build())));
  }

  private static List<Row> keys() {
    return List.of(
        row(
            "GenerateKey without Mech",
            Ckr.CKR_MECHANISM_INVALID,
            (_, c) -> c.generateKey(GenerateKeyRequest.getDefaultInstance())),
        row(
            "GenerateKey without a length",
            Ckr.CKR_TEMPLATE_INCOMPLETE,
            (_, c) ->
                c.generateKey(
                    GenerateKeyRequest.newBuilder().setMech(mech(Ckm.CKM_AES_KEY_GEN)).build())),
        row(
            "GenerateKeyPair without Mech",
            Ckr.CKR_MECHANISM_INVALID,
            (_, c) -> c.generateKeyPair(GenerateKeyPairRequest.getDefaultInstance())),
        row(
            "GenerateKeyPair without templates",
            Ckr.CKR_TEMPLATE_INCOMPLETE,
            (_, c) ->
                c.generateKeyPair(
                    GenerateKeyPairRequest.newBuilder()
                        .setMech(mech(Ckm.CKM_EC_KEY_PAIR_GEN))
                        .build())),
        served("WrapKey", (t, c) -> c.wrapKey(t.wrap().build())),
        row(
            "WrapKey without Mech",
            Ckr.CKR_MECHANISM_INVALID,
            (t, c) -> c.wrapKey(t.wrap().clearMech().build())),
        row(
            "WrapKey without Key",
            Ckr.CKR_KEY_HANDLE_INVALID,
            (t, c) -> c.wrapKey(t.wrap().clearKeyBytes().build())),
        row(
            "WrapKey without KeK",
            Ckr.CKR_WRAPPING_KEY_HANDLE_INVALID,
            (t, c) -> c.wrapKey(t.wrap().clearKeKBytes().build())),
        row(
            "UnwrapKey without Mech",
            Ckr.CKR_MECHANISM_INVALID,
            (t, c) -> c.unwrapKey(t.unwrap().clearMech().build())),
        row(
            "UnwrapKey without KeK",
            Ckr.CKR_UNWRAPPING_KEY_HANDLE_INVALID,
            (t, c) -> c.unwrapKey(t.unwrap().clearKeKBytes().build())),
        row(
            "UnwrapKey without Wrapped",
            Ckr.CKR_WRAPPED_KEY_LEN_RANGE,
            (t, c) -> c.unwrapKey(t.unwrap().clearWrapped().build())),
        row(
            "UnwrapKey without Template",
            Ckr.CKR_TEMPLATE_INCOMPLETE,
            (t, c) -> c.unwrapKey(t.unwrap().clearTemplate().build())),
        row(
            "DeriveKey without Mech",
            Ckr.CKR_MECHANISM_INVALID,
            (t, c) -> c.deriveKey(t.derive().clearMech().build())),
        row(
            "DeriveKey without BaseKey",
            Ckr.CKR_KEY_HANDLE_INVALID,
            (t, c) -> c.deriveKey(t.derive().clearBaseKeyBytes().build())));
  }

  private static List<Row> query() {
    return List.of(
        served(
            "GetMechanismList",
            (_, c) -> c.getMechanismList(GetMechanismListRequest.getDefaultInstance())),
        row(
            "GetMechanismInfo of none",
            Ckr.CKR_MECHANISM_INVALID,
            (_, c) -> c.getMechanismInfo(GetMechanismInfoRequest.newBuilder().setMech(-1).build())),
        row(
            "GetAttributeValue without Object",
            Ckr.CKR_KEY_HANDLE_INVALID,
            (_, c) ->
                c.getAttributeValue(
                    GetAttributeValueRequest.newBuilder()
                        .putAttributes(Cka.CKA_CLASS, number(0))
                        .build())),
        row(
            "GetAttributeValue of nothing",
            Ckr.CKR_ARGUMENTS_BAD,
            (t, c) ->
                c.getAttributeValue(
                    GetAttributeValueRequest.newBuilder().setObject(t.aes).build())),
        row(
            "GetAttributeValue of the value",
            Ckr.CKR_ATTRIBUTE_SENSITIVE,
            (t, c) ->
                c.getAttributeValue(
                    GetAttributeValueRequest.newBuilder()
                        .setObject(t.aes)
                        .putAttributes(Cka.CKA_VALUE, number(0))
                        .build())),
        row(
            "SetAttributeValue without Object",
            Ckr.CKR_KEY_HANDLE_INVALID,
            (_, c) ->
                c.setAttributeValue(
                    SetAttributeValueRequest.newBuilder()
                        .putAttributes(Cka.CKA_ENCRYPT, flag(false))
                        .build())),
        row(
            "Login without Pin",
            Ckr.CKR_PIN_LEN_RANGE,
            (_, c) -> c.login(LoginRequest.getDefaultInstance())),
        row(
            "Login with a Pin of 17 bytes",
            Ckr.CKR_PIN_LEN_RANGE,
            (_, c) ->
                c.login(
                    LoginRequest.newBuilder()
                        .setPin(ByteString.copyFromUtf8(PIN + "12345"))
                        .build())),
        served(
            "Login",
            (_, c) ->
                c.login(LoginRequest.newBuilder().setPin(ByteString.copyFromUtf8(PIN)).build())),
        served("Logout", (_, c) -> c.logout(LogoutRequest.getDefaultInstance())),
        row(
            "RewrapKeyBlob",
            Ckr.CKR_IBM_WK_NOT_INITIALIZED,
            (t, c) ->
                c.rewrapKeyBlob(
                    RewrapKeyBlobRequest.newBuilder().setWrappedKeyBytes(t.aes).build())),
        row(
            "RewrapKeyBlob without WrappedKey",
            Ckr.CKR_KEY_HANDLE_INVALID,
            (_, c) -> c.rewrapKeyBlob(RewrapKeyBlobRequest.getDefaultInstance())));
  }

  private static List<Row> templates() {
    var rows = new ArrayList<Row>();
    var thousand =
        LongStream.range(0, 1000)
            .boxed()
            .collect(Collectors.toMap(i -> 0x8000_0000L + i, _ -> number(1)));
    rows.add(
        row(
            "a template of a thousand entries",
            Ckr.CKR_TEMPLATE_INCONSISTENT,
            (_, c) ->
                c.generateKey(
                    GenerateKeyRequest.newBuilder()
                        .setMech(mech(Ckm.CKM_AES_KEY_GEN))
                        .putAllTemplate(thousand)
                        .build())));
    rows.add(
        template(
            "an unset arm",
            Cka.CKA_VALUE_LEN,
            AttributeValue.getDefaultInstance(),
            Ckr.CKR_ATTRIBUTE_VALUE_INVALID));
    rows.add(
        template(
            "a negative length", Cka.CKA_VALUE_LEN, number(-16), Ckr.CKR_ATTRIBUTE_VALUE_INVALID));
    rows.add(
        template(
            "the smallest integer",
            Cka.CKA_VALUE_LEN,
            number(Long.MIN_VALUE),
            Ckr.CKR_ATTRIBUTE_VALUE_INVALID));
    rows.add(
        template(
            "the largest integer",
            Cka.CKA_VALUE_LEN,
            number(Long.MAX_VALUE),
            Ckr.CKR_KEY_SIZE_RANGE));
    rows.add(
        template("a negative flag", Cka.CKA_ENCRYPT, number(-1), Ckr.CKR_ATTRIBUTE_VALUE_INVALID));
    rows.add(
        template("a flag that is 2", Cka.CKA_ENCRYPT, number(2), Ckr.CKR_ATTRIBUTE_VALUE_INVALID));
    rows.add(
        template(
            "a flag of two bytes", Cka.CKA_ENCRYPT, bytes(2), Ckr.CKR_ATTRIBUTE_VALUE_INVALID));
    rows.add(
        template(
            "a length that is a flag",
            Cka.CKA_VALUE_LEN,
            flag(true),
            Ckr.CKR_ATTRIBUTE_VALUE_INVALID));
    rows.add(
        template(
            "a length of nine bytes",
            Cka.CKA_VALUE_LEN,
            bytes(9),
            Ckr.CKR_ATTRIBUTE_VALUE_INVALID));
    rows.add(
        template("a label of 1 MiB", Cka.CKA_LABEL, bytes(MIB), Ckr.CKR_ATTRIBUTE_VALUE_INVALID));
    return rows;
  }

  private static Row template(String what, long type, AttributeValue value, long code) {
    return row(
        what,
        code,
        (_, c) ->
            c.generateKey(
                GenerateKeyRequest.newBuilder()
                    .setMech(mech(Ckm.CKM_AES_KEY_GEN))
                    .putTemplate(Cka.CKA_VALUE_LEN, number(32))
                    .putTemplate(type, value)
                    .build()));
  }

  private static List<Row> enums() {
    var rows = new ArrayList<Row>();
    for (int absurd : new int[] {-1, 9, 0x80_0009, Integer.MAX_VALUE, Integer.MIN_VALUE}) {
      rows.add(
          row(
              "PSS Mgf " + absurd,
              Ckr.CKR_MECHANISM_PARAM_INVALID,
              (t, c) ->
                  c.signSingle(
                      t.sign()
                          .setMech(
                              mech(Ckm.CKM_SHA256_RSA_PKCS_PSS).toBuilder()
                                  .setRSAPSSParameter(
                                      RSAPSSParm.newBuilder()
                                          .setHashMech(Ckm.CKM_SHA256)
                                          .setMgfValue(absurd)))
                          .build())));
      rows.add(
          row(
              "OAEP EncodingParmType " + absurd,
              Ckr.CKR_MECHANISM_PARAM_INVALID,
              (t, c) ->
                  c.encryptSingle(
                      t.encrypt()
                          .setKeyBytes(t.publicKey)
                          .setMech(
                              mech(Ckm.CKM_RSA_PKCS_OAEP).toBuilder()
                                  .setRSAOAEPParameter(
                                      RSAOAEPParm.newBuilder()
                                          .setHashMech(Ckm.CKM_SHA256)
                                          .setMgf(RSAOAEPParm.Mask.CkgMgf1Sha256)
                                          .setEncodingParmTypeValue(absurd)))
                          .build())));
      rows.add(
          row(
              "ECDH Kdf " + absurd,
              Ckr.CKR_MECHANISM_PARAM_INVALID,
              (t, c) ->
                  c.deriveKey(
                      t.derive()
                          .setMech(
                              mech(Ckm.CKM_ECDH1_DERIVE).toBuilder()
                                  .setECDH1DeriveParameter(
                                      ECDH1DeriveParm.newBuilder().setKdfValue(absurd)))
                          .build())));
    }
    for (int tagBits : new int[] {8, 127, 136, -1}) {
      rows.add(
          row(
              "GCM TagBits " + tagBits,
              Ckr.CKR_MECHANISM_PARAM_INVALID,
              (t, c) ->
                  c.encryptSingle(
                      t.encrypt()
                          .setMech(
                              mech(Ckm.CKM_AES_GCM).toBuilder()
                                  .setAESGCMParameter(AESGCMParm.newBuilder().setTagBits(tagBits)))
                          .build())));
    }
    rows.add(
        row(
            "CTR CounterBits -1",
            Ckr.CKR_MECHANISM_PARAM_INVALID,
            (t, c) ->
                c.encryptSingle(
                    t.encrypt()
                        .setMech(
                            mech(Ckm.CKM_AES_CTR).toBuilder()
                                .setAESCTRParameter(
                                    AESCTRParm.newBuilder()
                                        .setCounterBits(-1)
                                        .setCounterBlock(ByteString.copyFrom(new byte[16]))))
                        .build())));
    rows.add(
        row(
            "a parameter of another mechanism",
            Ckr.CKR_MECHANISM_PARAM_INVALID,
            (t, c) ->
                c.encryptSingle(
                    t.encrypt()
                        .setMech(
                            cbcPad().toBuilder().setEDDSAParameter(EDDSAParm.getDefaultInstance()))
                        .build())));
    return rows;
  }

  @ParameterizedTest
  @MethodSource
  void rows(Row row) {
    var refusal =
        catchThrowableOfType(StatusRuntimeException.class, () -> row.call().call(this, client));
    var got = Optional.ofNullable(refusal).map(r -> Ckr.name(detail(r).getCode()));

    assertThat(got).isEqualTo(row.expected());
    if (refusal != null) {
      assertThat(refusal.getStatus().getCode()).isEqualTo(Status.Code.UNKNOWN);
      assertThat(refusal.getStatus().getDescription()).isEqualTo(row.expected().orElseThrow());
      assertThat(detail(refusal).getRetry()).isFalse();
      assertClean("detail", detail(refusal).getDetail());
    }
  }

  @Test
  void theLargestRandomIsServedWhole() {
    assertThat(
            client
                .generateRandom(GenerateRandomRequest.newBuilder().setLen(1_000_000).build())
                .getRnd())
        .hasSize(1_000_000);
  }

  @Test
  void sixtyMebibytesAreEncryptedAndSixtyFiveAreTooMany() {
    var plain = ByteString.copyFrom(CANARY.repeat(60 * MIB / CANARY.length()), UTF_8);

    assertThat(client.encryptSingle(encrypt().setPlain(plain).build()).getCiphered().size())
        .isGreaterThan(plain.size());

    var tooLong = encrypt().setPlain(plain.concat(plain.substring(0, 5 * MIB))).build();
    assertThat(
            catchThrowableOfType(StatusRuntimeException.class, () -> client.encryptSingle(tooLong))
                .getStatus()
                .getCode())
        .isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
  }

  @TestFactory
  Stream<DynamicTest> bytesThatAreNoMessageAreRefusedByEveryRpc() {
    return CryptoGrpc.getServiceDescriptor().getMethods().stream()
        .map(method ->
            DynamicTest.dynamicTest(
                method.getBareMethodName(),
                () -> {
                  var garbage =
                      ByteString.copyFrom(new byte[] {0x0a, (byte) 0xff, 1}).concat(PLAIN);
                  assertThat(
                          Ckr.name(detail(refusal(method.getFullMethodName(), garbage)).getCode()))
                      .isEqualTo("CKR_IBM_GREP11_CANNOT_UNMARSHAL");
                }));
  }

  @TestFactory
  Stream<DynamicTest> operationsInPartsNeedAMechanismToBeginAndAStateToGoOn() {
    return IN_PARTS.stream()
        .sorted()
        .map(name ->
            DynamicTest.dynamicTest(
                name,
                () -> {
                  var refusal = refusal("grep11.Crypto/" + name, ByteString.EMPTY);
                  assertThat(refusal.getStatus().getCode()).isEqualTo(Status.Code.UNKNOWN);
                  var expected =
                      switch (name) {
                        case String init when init.endsWith("Init") -> "CKR_MECHANISM_INVALID";
                        case "DigestKey" -> "CKR_KEY_HANDLE_INVALID";
                        default -> "CKR_OPERATION_NOT_INITIALIZED";
                      };
                  assertThat(Ckr.name(detail(refusal).getCode())).isEqualTo(expected);
                }));
  }

  @Test
  void anUnknownRpcAndAnUnknownServiceAreUnimplemented() {
    for (var name : List.of("grep11.Crypto/Frobnicate", "grep11.Other/SignSingle")) {
      assertThat(refusal(name, PLAIN).getStatus().getCode()).isEqualTo(Status.Code.UNIMPLEMENTED);
    }
  }

  private StatusRuntimeException refusal(String method, ByteString request) {
    var raw =
        MethodDescriptor.newBuilder(RAW, RAW)
            .setType(MethodDescriptor.MethodType.UNARY)
            .setFullMethodName(method)
            .build();
    return catchThrowableOfType(
        StatusRuntimeException.class,
        () ->
            ClientCalls.blockingUnaryCall(
                client.getChannel(), raw, CallOptions.DEFAULT, request.toByteArray()));
  }

  private static final MethodDescriptor.Marshaller<byte[]> RAW =
      new MethodDescriptor.Marshaller<>() {
        @Override
        public InputStream stream(byte[] value) {
          return new ByteArrayInputStream(value);
        }

        @Override
        public byte[] parse(InputStream stream) {
          try {
            return stream.readAllBytes();
          } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
          }
        }
      };

  // ---- Requests that are whole

  private EncryptSingleRequest.Builder encrypt() {
    return EncryptSingleRequest.newBuilder().setMech(cbcPad()).setKeyBytes(aes).setPlain(PLAIN);
  }

  private DecryptSingleRequest.Builder decrypt() {
    return DecryptSingleRequest.newBuilder()
        .setMech(cbcPad())
        .setKeyBytes(aes)
        .setCiphered(ByteString.copyFrom(new byte[32]));
  }

  private ReencryptSingleRequest.Builder reencrypt() {
    return ReencryptSingleRequest.newBuilder()
        .setDecMech(cbcPad())
        .setEncMech(cbcPad())
        .setDecKeyBytes(aes)
        .setEncKeyBytes(aes)
        .setCiphered(client.encryptSingle(encrypt().build()).getCiphered());
  }

  private SignSingleRequest.Builder sign() {
    return SignSingleRequest.newBuilder()
        .setMech(mech(Ckm.CKM_SHA256_RSA_PKCS))
        .setPrivKeyBytes(privateKey)
        .setData(PLAIN);
  }

  private VerifySingleRequest.Builder verify() {
    return VerifySingleRequest.newBuilder()
        .setMech(mech(Ckm.CKM_SHA256_RSA_PKCS))
        .setPubKeyBytes(publicKey)
        .setData(PLAIN)
        .setSignature(ByteString.copyFrom(new byte[256]));
  }

  private WrapKeyRequest.Builder wrap() {
    return WrapKeyRequest.newBuilder()
        .setMech(mech(Ckm.CKM_AES_KEY_WRAP))
        .setKeyBytes(aes)
        .setKeKBytes(aes);
  }

  private UnwrapKeyRequest.Builder unwrap() {
    return UnwrapKeyRequest.newBuilder()
        .setMech(mech(Ckm.CKM_AES_KEY_WRAP))
        .setKeKBytes(aes)
        .setWrapped(client.wrapKey(wrap().build()).getWrapped())
        .putTemplate(Cka.CKA_CLASS, number(Cko.CKO_SECRET_KEY))
        .putTemplate(Cka.CKA_KEY_TYPE, number(Ckk.CKK_AES));
  }

  private DeriveKeyRequest.Builder derive() {
    return DeriveKeyRequest.newBuilder()
        .setMech(
            mech(Ckm.CKM_ECDH1_DERIVE).toBuilder()
                .setECDH1DeriveParameter(
                    ECDH1DeriveParm.newBuilder()
                        .setKdf(ECDH1DeriveParm.KeyDerivationFunction.CkdNull)
                        .setPublicData(PLAIN)))
        .setBaseKeyBytes(privateKey)
        .putTemplate(Cka.CKA_CLASS, number(Cko.CKO_SECRET_KEY))
        .putTemplate(Cka.CKA_KEY_TYPE, number(Ckk.CKK_AES))
        .putTemplate(Cka.CKA_VALUE_LEN, number(32));
  }

  private static Mechanism cbcPad() {
    return mech(Ckm.CKM_AES_CBC_PAD).toBuilder()
        .setParameterB(ByteString.copyFrom(new byte[16]))
        .build();
  }

  private static Mechanism mech(long number) {
    return Mechanism.newBuilder().setMechanism(number).build();
  }

  private static AttributeValue number(long value) {
    return AttributeValue.newBuilder().setAttributeI(value).build();
  }

  private static AttributeValue flag(boolean value) {
    return AttributeValue.newBuilder().setAttributeTF(value).build();
  }

  private static AttributeValue bytes(int length) {
    return AttributeValue.newBuilder().setAttributeB(ByteString.copyFrom(new byte[length])).build();
  }
}
