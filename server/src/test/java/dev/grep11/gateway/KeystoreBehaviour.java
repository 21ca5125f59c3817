package dev.grep11.gateway;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.JsonNode;
import com.google.protobuf.ByteString;
import dev.grep11.client.Cka;
import dev.grep11.client.Ckk;
import dev.grep11.client.Cko;
import dev.grep11.client.Ckr;
import dev.grep11.client.Curve;
import dev.grep11.client.Grep11Client;
import dev.grep11.client.Grep11Exception;
import dev.grep11.client.KeyPair;
import dev.grep11.client.Keystore;
import dev.grep11.client.KeystoreInfo;
import dev.grep11.client.Mechanisms;
import dev.grep11.client.StoredKey;
import dev.grep11.client.Template;
import dev.grep11.client.Templates;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.iam.GrantRegister;
import dev.grep11.gateway.iam.Roles;
import dev.grep11.gateway.store.Entitlement;
import dev.grep11.gateway.store.Grant;
import dev.grep11.gateway.store.Subject;
import dev.grep11.proto.AttributeValue;
import dev.grep11.proto.KeyBlob;
import dev.grep11.proto.keystore.CreateKeystoreRequest;
import dev.grep11.proto.keystore.KeyStoresGrpc;
import dev.grep11.proto.keystore.KeyStoresGrpc.KeyStoresBlockingStub;
import dev.grep11.proto.keystore.ListKeysByAttributesRequest;
import dev.grep11.proto.keystore.ListKeysByIdsRequest;
import dev.grep11.proto.keystore.StoreNewKeyRequest;
import dev.grep11.proto.keystore.UpdateKeyRequest;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Consumer;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** The keystore service of a whole gateway, over TLS, with two gateways on one store. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
abstract class KeystoreBehaviour {
  static final byte[] MESSAGE = "signed by a key that only the gateway opens".getBytes(UTF_8);
  static final char[] PASSWORD = "k3yst0re".toCharArray();
  private static final Duration PATIENCE = Duration.ofSeconds(20);

  RunningGateway running;
  Gateway second;
  Grep11Client client;
  Grep11Client atSecond;
  private final List<Grep11Client> clients = new ArrayList<>();

  /** Where the store is, by JSON pointer; after the instance was begun there. */
  abstract Map<String, Object> store(Path directory) throws Exception;

  @BeforeAll
  void start(@TempDir Path directory) throws Exception {
    var settings = store(directory);
    running = RunningGateway.start(directory, settings);
    second = running.another("second", settings);
    client = client(running.gateway, RunningGateway.MANAGER);
    atSecond = client(second, RunningGateway.MANAGER);
    await().atMost(PATIENCE).ignoreExceptions().until(() -> client.keystores().list() != null);
    await().atMost(PATIENCE).ignoreExceptions().until(() -> atSecond.keystores().list() != null);
  }

  @AfterAll
  void stop() {
    clients.forEach(Grep11Client::close);
    second.close();
    running.close();
  }

  Grep11Client client(Gateway through, String subject) {
    var made =
        Grep11Client.builder("localhost:" + through.cryptoPort())
            .trustedCa(running.demo.ca())
            .token(() -> running.token(subject))
            .build();
    clients.add(made);
    return made;
  }

  KeyStoresBlockingStub stub(String... headers) throws IOException {
    return KeyStoresGrpc.newBlockingStub(running.channel())
        .withInterceptors(RunningGateway.headers(headers));
  }

  KeyStoresBlockingStub managersStub() throws IOException {
    return stub("authorization", "Bearer " + running.token(RunningGateway.MANAGER));
  }

  Keystore fresh() {
    return client.keystores().create(UUID.randomUUID(), "a test's");
  }

  static Template named(String label) {
    return Template.empty().with(Cka.CKA_LABEL, label);
  }

  static Template privateKey(String label) {
    return named(label)
        .with(Cka.CKA_CLASS, Cko.CKO_PRIVATE_KEY)
        .with(Cka.CKA_KEY_TYPE, Ckk.CKK_EC)
        .with(Cka.CKA_TOKEN, true);
  }

  static Template data(String label) {
    return named(label).with(Cka.CKA_CLASS, Cko.CKO_DATA).with(Cka.CKA_VALUE, new byte[] {1, 2});
  }

  static void assertRefused(long returnValue, ThrowingCallable call) {
    assertThatThrownBy(call)
        .isInstanceOfSatisfying(
            Grep11Exception.class,
            e -> assertThat(e.returnValueName()).isEqualTo(Ckr.nameOf(returnValue)));
  }

  static ByteString bytes(UUID id) {
    return ByteString.copyFrom(
        ByteBuffer.allocate(16)
            .putLong(id.getMostSignificantBits())
            .putLong(id.getLeastSignificantBits())
            .array());
  }

  KeyPair pair() {
    return client.generateKeyPair(Templates.ecPair(Curve.P256));
  }

  // ---- Keys

  @Test
  void keepsAKeyThatIsFoundByItsAttributesAndSigns() {
    var keystore = fresh();
    var pair = pair();
    var stored =
        keystore.store(privateKey("orders").with(Cka.CKA_ID, new byte[] {7}), pair.privateKey());
    assertThat(stored.version()).isZero();
    keystore.store(named("orders").with(Cka.CKA_CLASS, Cko.CKO_PUBLIC_KEY), pair.publicKey());
    keystore.store(privateKey("invoices"), pair().privateKey());

    var found =
        atSecond
            .keystores()
            .open(keystore.id())
            .find(named("orders").with(Cka.CKA_CLASS, Cko.CKO_PRIVATE_KEY));
    assertThat(found)
        .singleElement()
        .satisfies(key -> {
          assertThat(key.id()).isEqualTo(stored.id());
          assertThat(key.attributes()).isEqualTo(stored.attributes());
        });
    var signature = atSecond.sign(Mechanisms.ecdsaSha256(), found.getFirst().privateKey(), MESSAGE);
    assertThat(client.verify(Mechanisms.ecdsaSha256(), pair.publicKey(), MESSAGE, signature))
        .isTrue();
    assertThat(client.keystores().find(keystore.id()))
        .hasValueSatisfying(info -> assertThat(info.keys()).isEqualTo(3));
  }

  @Test
  void countsVersionsAndRefusesAStaleOne() {
    var keystore = fresh();
    var first = keystore.store(privateKey("before"), pair().privateKey());
    var next = keystore.update(first.with(privateKey("after")));
    assertThat(next.version()).isEqualTo(1);
    assertRefused(
        Ckr.CKR_IBM_GREP11_CONFLICT, () -> keystore.update(first.with(privateKey("late"))));
    assertRefused(Ckr.CKR_IBM_GREP11_CONFLICT, () -> keystore.delete(first));
    assertThat(keystore.find(named("before"))).isEmpty();
    assertThat(keystore.find(named("after")))
        .singleElement()
        .satisfies(key -> assertThat(key.version()).isEqualTo(1));
    keystore.delete(next);
    assertThat(keystore.find(first.id())).isEmpty();
  }

  @Test
  void ofManyWritersOfOneVersionExactlyOneSucceeds() throws Exception {
    var keystore = fresh();
    var there = atSecond.keystores().open(keystore.id());
    var key = keystore.store(data("contended"));
    try (var threads = Executors.newFixedThreadPool(8)) {
      for (int round = 0; round < 5; round++) {
        var version = key;
        List<Future<Boolean>> attempts = new ArrayList<>();
        for (int i = 0; i < 8; i++) {
          var through = i % 2 == 0 ? keystore : there;
          var label = "writer " + i;
          Callable<Boolean> attempt =
              () -> {
                try {
                  through.update(version.with(data(label)));
                  return true;
                } catch (Grep11Exception e) {
                  assertThat(e.returnValue()).isEqualTo(Ckr.CKR_IBM_GREP11_CONFLICT);
                  return false;
                }
              };
          attempts.add(threads.submit(attempt));
        }
        int succeeded = 0;
        for (var attempt : attempts) {
          succeeded += attempt.get() ? 1 : 0;
        }
        assertThat(succeeded).isEqualTo(1);
        key = keystore.get(key.id());
        assertThat(key.version()).isEqualTo(round + 1);
      }
    }
  }

  @Test
  void carriesOutATransactionOnce() throws Exception {
    var keystore = fresh();
    var stub = managersStub();
    var request =
        StoreNewKeyRequest.newBuilder()
            .setKeystore(bytes(keystore.id()))
            .setKey(record(data("once")))
            .build();
    var stored = stub.storeNewKey(request).getKey();
    assertCode(Ckr.CKR_IBM_GREP11_REPLAY, () -> stub.storeNewKey(request));
    var update =
        UpdateKeyRequest.newBuilder()
            .setKeystore(bytes(keystore.id()))
            .setKey(stored.toBuilder().setTxID(bytes(UUID.randomUUID())))
            .build();
    assertThat(stub.updateKey(update).getKey().getVersion()).isEqualTo(1);
    assertCode(Ckr.CKR_IBM_GREP11_REPLAY, () -> stub.updateKey(update));
    keystore.delete(keystore.find(named("once")).getFirst());
    assertCode(Ckr.CKR_IBM_GREP11_REPLAY, () -> stub.storeNewKey(request));
    assertThat(keystore.find(Template.empty())).isEmpty();
  }

  @Test
  void saysMissingOfWhatIsNotThere() {
    var keystore = fresh();
    var key = keystore.store(data("there"));
    var nobody = UUID.randomUUID();
    var nowhere = client.keystores().open(nobody);
    assertRefused(Ckr.CKR_IBM_GREP11_MISSING, () -> keystore.get(List.of(key.id(), nobody)));
    assertRefused(Ckr.CKR_IBM_GREP11_MISSING, () -> keystore.delete(nobody));
    assertRefused(Ckr.CKR_IBM_GREP11_MISSING, () -> nowhere.store(data("lost")));
    assertRefused(Ckr.CKR_IBM_GREP11_MISSING, () -> nowhere.update(key));
    assertRefused(Ckr.CKR_IBM_GREP11_MISSING, () -> nowhere.delete(key));
    assertRefused(Ckr.CKR_IBM_GREP11_MISSING, () -> nowhere.find(Template.empty()));
    assertRefused(Ckr.CKR_IBM_GREP11_MISSING, () -> client.keystores().delete(nobody));
    assertThat(client.keystores().find(nobody)).isEmpty();
  }

  @Test
  void givesEveryKeyOnceHoweverSmallThePages() {
    var keystore = fresh();
    Set<UUID> stored = new HashSet<>();
    for (int i = 0; i < 57; i++) {
      stored.add(keystore.store(data("number " + i % 3)).id());
    }
    for (int size : new int[] {1, 10, 57, 500}) {
      List<UUID> found = new ArrayList<>();
      var page = keystore.firstPage(Template.empty(), size);
      found.addAll(ids(page.keys()));
      while (page.hasNext()) {
        assertThat(page.keys()).hasSizeLessThanOrEqualTo(size);
        page = keystore.nextPage(page);
        found.addAll(ids(page.keys()));
      }
      assertThat(found).doesNotHaveDuplicates().containsExactlyInAnyOrderElementsOf(stored);
    }
    assertThat(keystore.find(named("number 1"))).hasSize(19);
    // By what is no column of the database.
    assertThat(keystore.find(Template.empty().with(Cka.CKA_VALUE, new byte[] {1, 2}))).hasSize(57);
    assertThat(keystore.find(Template.empty().with(Cka.CKA_VALUE, new byte[] {1, 3}))).isEmpty();
    assertThat(keystore.find(Template.empty().with(Cka.CKA_SUBJECT, new byte[0]))).isEmpty();
  }

  private static List<UUID> ids(List<StoredKey> keys) {
    return keys.stream().map(StoredKey::id).toList();
  }

  @Test
  void emptiesAKeystoreThatIsDeletedAndMadeAnew() {
    var keystore = fresh();
    keystore.store(data("gone"));
    assertRefused(
        Ckr.CKR_IBM_GREP11_CONFLICT, () -> client.keystores().create(keystore.id(), "again"));
    client.keystores().delete(keystore.id());
    var again = client.keystores().create(keystore.id(), "again");
    assertThat(again.find(Template.empty())).isEmpty();
    assertThat(client.keystores().list("again")).extracting(KeystoreInfo::id).contains(again.id());
    client.keystores().delete(again.id());
  }

  // ---- What is refused

  static KeyBlob record(Template attributes) {
    return KeyBlob.newBuilder()
        .setKeyBlobID(bytes(UUID.randomUUID()))
        .setTxID(bytes(UUID.randomUUID()))
        .putAllAttributes(attributes.toMap())
        .build();
  }

  private static void assertCode(long returnValue, ThrowingCallable call) {
    var refusal = catchThrowableOfType(StatusRuntimeException.class, call);
    assertThat(refusal).as("a refusal").isNotNull();
    assertThat(Ckr.nameOf(RunningGateway.detail(refusal).getCode()))
        .isEqualTo(Ckr.nameOf(returnValue));
  }

  record Wrong(String what, long returnValue, Consumer<KeyBlob.Builder> change) {
    @Override
    public String toString() {
      return what;
    }
  }

  static List<Wrong> wrongRecords() {
    var bytes8k = AttributeValue.newBuilder().setAttributeB(ByteString.copyFrom(new byte[8192]));
    return List.of(
        new Wrong("no id", Ckr.CKR_ARGUMENTS_BAD, r -> r.clearKeyBlobID()),
        new Wrong(
            "an id of 17 bytes",
            Ckr.CKR_ARGUMENTS_BAD,
            r -> r.setKeyBlobID(ByteString.copyFrom(new byte[17]))),
        new Wrong("no transaction", Ckr.CKR_ARGUMENTS_BAD, r -> r.clearTxID()),
        new Wrong("a version of a new key", Ckr.CKR_ARGUMENTS_BAD, r -> r.setVersion(1)),
        new Wrong("a negative version", Ckr.CKR_ARGUMENTS_BAD, r -> r.setVersion(-1)),
        new Wrong("no class", Ckr.CKR_TEMPLATE_INCOMPLETE, r -> r.removeAttributes(Cka.CKA_CLASS)),
        new Wrong(
            "a class of another kind",
            Ckr.CKR_ATTRIBUTE_VALUE_INVALID,
            r -> r.putAttributes(Cka.CKA_CLASS, RunningGateway.number(6))),
        new Wrong(
            "a key without a blob",
            Ckr.CKR_TEMPLATE_INCONSISTENT,
            r -> r.putAttributes(Cka.CKA_CLASS, RunningGateway.number(Cko.CKO_SECRET_KEY))),
        new Wrong(
            "data with a blob",
            Ckr.CKR_TEMPLATE_INCONSISTENT,
            r -> r.addKeyBlobs(ByteString.copyFromUtf8("blob"))),
        new Wrong(
            "a blob that is none",
            Ckr.CKR_IBM_BLOB_ERROR,
            r ->
                r.putAttributes(Cka.CKA_CLASS, RunningGateway.number(Cko.CKO_SECRET_KEY))
                    .removeAttributes(Cka.CKA_VALUE)
                    .addKeyBlobs(ByteString.copyFromUtf8("blob"))),
        new Wrong(
            "the value of a secret key",
            Ckr.CKR_ATTRIBUTE_SENSITIVE,
            r ->
                r.putAttributes(Cka.CKA_CLASS, RunningGateway.number(Cko.CKO_SECRET_KEY))
                    .addKeyBlobs(ByteString.copyFromUtf8("blob"))),
        new Wrong(
            "an attribute nobody knows",
            Ckr.CKR_ATTRIBUTE_TYPE_INVALID,
            r -> r.putAttributes(0x80ab_cdefL, bytes8k.build())),
        new Wrong(
            "a password among the attributes",
            Ckr.CKR_ATTRIBUTE_TYPE_INVALID,
            r -> r.putAttributes(Cka.CKA_GREP11_KEYSTORE_PASSWORD, bytes8k.build())),
        new Wrong(
            "an attribute of 8 KiB and one byte",
            Ckr.CKR_ATTRIBUTE_VALUE_INVALID,
            r ->
                r.putAttributes(
                    Cka.CKA_VALUE,
                    AttributeValue.newBuilder()
                        .setAttributeB(ByteString.copyFrom(new byte[8193]))
                        .build())),
        new Wrong(
            "more than 64 KiB",
            Ckr.CKR_DATA_LEN_RANGE,
            r -> {
              for (long type : new long[] {0x10, 0x11, 0x12, 0x81, 0x82, 0x89, 0x8a, 0x8b, 0x101}) {
                r.putAttributes(type, bytes8k.build());
              }
            }),
        new Wrong(
            "more than 64 attributes",
            Ckr.CKR_TEMPLATE_INCONSISTENT,
            r -> {
              for (long type = 0; type < 65; type++) {
                r.putAttributes(0x1000 + type, bytes8k.clone().clearAttributeB().build());
              }
            }));
  }

  @ParameterizedTest
  @MethodSource("wrongRecords")
  void storesNothingWrong(Wrong wrong) throws Exception {
    var keystore = fresh();
    var record = record(data("wrong")).toBuilder();
    wrong.change().accept(record);
    var stub = managersStub();
    assertCode(
        wrong.returnValue(),
        () ->
            stub.storeNewKey(
                StoreNewKeyRequest.newBuilder()
                    .setKeystore(bytes(keystore.id()))
                    .setKey(record)
                    .build()));
    assertThat(keystore.find(Template.empty())).isEmpty();
  }

  @Test
  void refusesRequestsBeyondTheirBounds() throws Exception {
    var keystore = fresh();
    var stub = managersStub();
    var id = bytes(keystore.id());
    assertCode(
        Ckr.CKR_ARGUMENTS_BAD,
        () ->
            stub.listKeysByAttributes(
                ListKeysByAttributesRequest.newBuilder().setKeystore(id).setPageSize(501).build()));
    assertCode(
        Ckr.CKR_ARGUMENTS_BAD,
        () ->
            stub.listKeysByAttributes(
                ListKeysByAttributesRequest.newBuilder()
                    .setKeystore(id)
                    .setPage(ByteString.copyFrom(new byte[65]))
                    .build()));
    var many = ListKeysByIdsRequest.newBuilder().setKeystore(id);
    assertCode(Ckr.CKR_ARGUMENTS_BAD, () -> stub.listKeysByIds(many.build()));
    for (int i = 0; i < 101; i++) {
      many.addKeys(bytes(UUID.randomUUID()));
    }
    assertCode(Ckr.CKR_ARGUMENTS_BAD, () -> stub.listKeysByIds(many.build()));
    assertCode(
        Ckr.CKR_DATA_LEN_RANGE,
        () ->
            stub.storeNewKey(
                StoreNewKeyRequest.newBuilder()
                    .setKeystore(id)
                    .setPassword(ByteString.copyFrom(new byte[200_000]))
                    .setKey(record(data("long")))
                    .build()));
    for (var name : List.of("", " ", "x".repeat(33), "two\nlines")) {
      assertCode(
          Ckr.CKR_ARGUMENTS_BAD,
          () ->
              stub.createKeystore(
                  CreateKeystoreRequest.newBuilder()
                      .setId(bytes(UUID.randomUUID()))
                      .setName(name)
                      .build()));
    }
    // 32 characters, however many bytes.
    client.keystores().delete(client.keystores().create(UUID.randomUUID(), "ü".repeat(32)).id());
  }

  @Test
  void takesABlobForWhatItIsAndNothingElse() {
    var keystore = fresh();
    var key = pair().privateKey();
    assertRefused(
        Ckr.CKR_TEMPLATE_INCONSISTENT,
        () -> keystore.store(Template.empty().with(Cka.CKA_CLASS, Cko.CKO_SECRET_KEY), key));
    assertRefused(
        Ckr.CKR_ATTRIBUTE_VALUE_INVALID, () -> keystore.store(privateKey("x".repeat(33)), key));
    var broken = key.bytes();
    broken[broken.length - 1] ^= 1;
    assertRefused(
        Ckr.CKR_IBM_BLOB_ERROR,
        () -> keystore.store(privateKey("broken"), new dev.grep11.client.PrivateKeyBlob(broken)));
  }

  // ---- Rights

  private void grant(String subject, Set<String> actions, Optional<String> resource) {
    try (var host = Host.open(running.config)) {
      var register = new GrantRegister(host.store(), Roles.standard());
      assertThat(
              register.add(
                  new Grant(
                      new Subject(RunningGateway.ISSUER, subject),
                      running.instance,
                      new Entitlement.Actions(actions),
                      resource)))
          .isTrue();
    }
  }

  private static final Set<String> KEY_OPERATOR = Roles.standard().actions("Key operator");

  /** A subject with these rights, once the gateway knows of them. */
  private Grep11Client limited(String resource) {
    var subject = "IBMid-" + UUID.randomUUID();
    grant(subject, KEY_OPERATOR, Optional.of(resource));
    return client(running.gateway, subject);
  }

  @ParameterizedTest
  @CsvSource({"keystore:,true,false", "keystore,true,true", "key,true,true"})
  void aGrantReachesAsFarAsItsResource(String resource, boolean own, boolean other) {
    var granted = fresh();
    var beside = fresh();
    granted.store(data("granted"));
    beside.store(data("beside"));
    var operator = limited(resource.endsWith(":") ? resource + granted.id() : resource).keystores();
    if (own) {
      await()
          .atMost(PATIENCE)
          .ignoreExceptions()
          .untilAsserted(
              () -> assertThat(operator.open(granted.id()).find(Template.empty())).hasSize(1));
    }
    if (other) {
      assertThat(operator.open(beside.id()).find(named("beside"))).hasSize(1);
    } else {
      assertSameAsAbsent(operator.open(beside.id()), operator.open(UUID.randomUUID()));
      assertThat(operator.find(beside.id())).isEmpty();
      assertThat(operator.find(granted.id())).isPresent();
    }
    // The right to write keys is none to give the keystore another password.
    assertRefused(
        resource.equals("key") ? Ckr.CKR_IBM_GREP11_MISSING : Ckr.CKR_USER_PIN_NOT_INITIALIZED,
        () -> operator.open(granted.id()).changePassword("another".toCharArray()));
    assertRefused(
        Ckr.CKR_IBM_GREP11_NOT_AUTHENTICATED, () -> operator.create(UUID.randomUUID(), "no"));
    assertRefused(Ckr.CKR_IBM_GREP11_NOT_AUTHENTICATED, () -> operator.delete(granted.id()));
  }

  private void assertSameAsAbsent(Keystore forbidden, Keystore absent) {
    var key = fresh().store(data("elsewhere"));
    var calls =
        List.<Consumer<Keystore>>of(
            keystore -> keystore.store(data("x")),
            keystore -> keystore.update(key),
            keystore -> keystore.delete(key),
            keystore -> keystore.get(key.id()),
            keystore -> keystore.find(Template.empty()),
            keystore -> keystore.changePassword("another".toCharArray()));
    for (var call : calls) {
      var one = catchThrowableOfType(Grep11Exception.class, () -> call.accept(forbidden));
      var two = catchThrowableOfType(Grep11Exception.class, () -> call.accept(absent));
      assertThat(one).isNotNull();
      assertThat(one.returnValue()).isEqualTo(Ckr.CKR_IBM_GREP11_MISSING);
      assertThat(one).hasMessage(two.getMessage());
    }
  }

  @Test
  void listsOnlyKeystoresThatTheCallerHasARightOn() {
    var granted = fresh();
    var beside = fresh();
    var subject = "IBMid-" + UUID.randomUUID();
    grant(
        subject,
        Roles.standard().actions("Keystore operator"),
        Optional.of("keystore:" + granted.id()));
    var operator = client(running.gateway, subject).keystores();
    await()
        .atMost(PATIENCE)
        .ignoreExceptions()
        .untilAsserted(() ->
            assertThat(operator.list()).extracting(KeystoreInfo::id).containsExactly(granted.id()));
    assertRefused(Ckr.CKR_IBM_GREP11_MISSING, () -> operator.delete(beside.id()));
    assertRefused(Ckr.CKR_IBM_GREP11_MISSING, () -> operator.create(beside.id(), "taken"));
    assertThat(client.keystores().find(beside.id())).isPresent();
    operator.delete(granted.id());
  }

  @Test
  void aReaderReadsAndAWriterStores() {
    var keystore = fresh();
    var key = keystore.store(data("read"));
    running.grant("IBMid-reader", "Reader");
    running.grant("IBMid-writer", "Writer");
    var reader = client(running.gateway, "IBMid-reader").keystores().open(keystore.id());
    await().atMost(PATIENCE).ignoreExceptions().until(() -> reader.find(key.id()).isPresent());
    assertRefused(Ckr.CKR_IBM_GREP11_NOT_AUTHENTICATED, () -> reader.store(data("no")));
    assertRefused(Ckr.CKR_IBM_GREP11_NOT_AUTHENTICATED, () -> reader.delete(key));
    var writers = client(running.gateway, "IBMid-writer").keystores();
    await()
        .atMost(PATIENCE)
        .ignoreExceptions()
        .until(() -> writers.open(keystore.id()).store(data("yes")).version() == 0);
    assertRefused(Ckr.CKR_IBM_GREP11_NOT_AUTHENTICATED, () -> writers.delete(keystore.id()));
  }

  // ---- Passwords

  @Test
  void opensWithItsPasswordOnly() {
    var keystore = client.keystores().create(UUID.randomUUID(), "guarded", PASSWORD);
    var key = pair().privateKey();
    var stored = keystore.store(privateKey("secret name"), key);
    try {
      // The other gateway derives the key anew.
      var there = atSecond.keystores().open(keystore.id(), PASSWORD);
      assertThat(there.find(named("secret name")))
          .singleElement()
          .satisfies(found -> assertThat(found.blobs().getFirst()).isEqualTo(key.bytes()));
      var without = client.keystores().open(keystore.id());
      for (var wrong :
          List.of(without, client.keystores().open(keystore.id(), "k3ystore".toCharArray()))) {
        assertRefused(Ckr.CKR_PIN_INCORRECT, () -> wrong.find(named("secret name")));
        assertRefused(Ckr.CKR_PIN_INCORRECT, () -> wrong.store(data("x")));
      }
      assertRefused(Ckr.CKR_PIN_INCORRECT, () -> without.get(stored.id()));
      assertRefused(Ckr.CKR_PIN_INCORRECT, () -> without.delete(stored));
      assertRefused(Ckr.CKR_PIN_INCORRECT, () -> without.update(stored));
      assertThat(client.keystores().find(keystore.id()).orElseThrow().passwordProtected()).isTrue();
      var open = fresh();
      assertRefused(
          Ckr.CKR_USER_PIN_NOT_INITIALIZED,
          () -> client.keystores().open(open.id(), PASSWORD).find(Template.empty()));
    } finally {
      client.keystores().delete(keystore.id());
    }
  }

  @Test
  void changesAPasswordAndForgetsTheOldOneEverywhere() {
    var old = client.keystores().create(UUID.randomUUID(), "guarded", PASSWORD);
    try {
      old.store(data("kept"));
      var there = atSecond.keystores().open(old.id(), PASSWORD);
      assertThat(there.find(named("kept"))).hasSize(1);
      assertRefused(Ckr.CKR_PIN_LEN_RANGE, () -> old.changePassword("toolong99".toCharArray()));
      assertRefused(
          Ckr.CKR_PIN_INCORRECT,
          () ->
              client
                  .keystores()
                  .open(old.id(), "guessed".toCharArray())
                  .changePassword("another".toCharArray()));
      var changed = old.changePassword("newpass".toCharArray());
      assertThat(changed.find(named("kept"))).hasSize(1);
      assertRefused(Ckr.CKR_PIN_INCORRECT, () -> old.find(named("kept")));
      assertRefused(Ckr.CKR_PIN_INCORRECT, () -> there.find(named("kept")));
      assertThat(atSecond.keystores().open(old.id(), "newpass".toCharArray()).find(named("kept")))
          .hasSize(1);
    } finally {
      client.keystores().delete(old.id());
    }
  }

  @ParameterizedTest
  @CsvSource({"five5", "ninechars", "öäüß1"})
  void takesPasswordsOfSixToEightCharacters(String password) {
    assertRefused(
        Ckr.CKR_PIN_LEN_RANGE,
        () -> client.keystores().create(UUID.randomUUID(), "no", password.toCharArray()));
  }

  @Test
  void aGuesserIsLockedOutAndNobodyElse() {
    var keystore = client.keystores().create(UUID.randomUUID(), "guarded", PASSWORD);
    try {
      keystore.store(data("guarded"));
      var guesser = limited("keystore:" + keystore.id()).keystores();
      await()
          .atMost(PATIENCE)
          .ignoreExceptions()
          .until(() -> guesser.find(keystore.id()).isPresent());
      for (int i = 0; i < 5; i++) {
        var guess = guesser.open(keystore.id(), ("guess0" + i).toCharArray());
        assertRefused(Ckr.CKR_PIN_INCORRECT, () -> guess.find(Template.empty()));
      }
      // Not even the right one, though another caller's use of it has just been remembered.
      var right = guesser.open(keystore.id(), PASSWORD);
      assertRefused(Ckr.CKR_PIN_LOCKED, () -> right.find(Template.empty()));
      assertThat(keystore.find(Template.empty())).hasSize(1);
    } finally {
      client.keystores().delete(keystore.id());
    }
  }

  @Test
  void hasAtMostFiveKeystoresWithAPassword() {
    List<UUID> made = new ArrayList<>();
    try {
      for (int i = 0; i < 5; i++) {
        made.add(client.keystores().create(UUID.randomUUID(), "guarded", PASSWORD).id());
      }
      assertRefused(
          Ckr.CKR_DEVICE_MEMORY,
          () -> client.keystores().create(UUID.randomUUID(), "sixth", PASSWORD));
    } finally {
      made.forEach(client.keystores()::delete);
    }
  }

  // ---- Audit

  @Test
  void recordsEveryCallByItsActionAndNoSecret() throws Exception {
    var stub = managersStub();
    var id = UUID.randomUUID();
    var canary = "canary label of a key";
    stub.withInterceptors(RunningGateway.correlation("make-" + id))
        .createKeystore(
            CreateKeystoreRequest.newBuilder()
                .setId(bytes(id))
                .setName("canary name")
                .setPassword(ByteString.copyFromUtf8("canary99"))
                .build());
    var key = record(data(canary));
    stub.withInterceptors(RunningGateway.correlation("store-" + id))
        .storeNewKey(
            StoreNewKeyRequest.newBuilder()
                .setKeystore(bytes(id))
                .setPassword(ByteString.copyFromUtf8("canary99"))
                .setKey(key)
                .build());
    var wrong =
        ListKeysByAttributesRequest.newBuilder()
            .setKeystore(bytes(id))
            .setPassword(ByteString.copyFromUtf8("canary00"))
            .build();
    assertCode(
        Ckr.CKR_PIN_INCORRECT,
        () ->
            stub.withInterceptors(RunningGateway.correlation("guess-" + id))
                .listKeysByAttributes(wrong));
    client.keystores().delete(id);

    var made = one(running.audited("make-" + id));
    assertThat(made.at("/action").asText()).isEqualTo("hs-crypto.keystore.createkeystore");
    assertThat(made.at("/outcome").asText()).isEqualTo("success");
    assertThat(made.at("/target/name").asText()).isEqualTo(id.toString());
    var stored = one(running.audited("store-" + id));
    assertThat(stored.at("/action").asText()).isEqualTo("hs-crypto.keystore.storenewkey");
    assertThat(stored.at("/target/typeURI").asText()).isEqualTo("hs-crypto/key");
    assertThat(stored.at("/target/name").asText()).startsWith(id + "/");
    var guess = one(running.audited("guess-" + id));
    assertThat(guess.at("/action").asText()).isEqualTo("hs-crypto.keystore.listkeysbyattributes");
    assertThat(guess.at("/reason/reasonCode").asInt()).isEqualTo(403);
    assertThat(guess.at("/severity").asText()).isEqualTo("critical");
    await()
        .atMost(PATIENCE)
        .until(() ->
            running.events(id.toString()).stream()
                .anyMatch(event ->
                    event.at("/action").asText().equals("hs-crypto.keystore.deletekeystore")
                        && event.at("/severity").asText().equals("critical")));
    assertThat(running.events("canary")).isEmpty();
  }

  private static JsonNode one(List<JsonNode> events) {
    assertThat(events).hasSize(1);
    return events.getFirst();
  }
}
