package dev.grep11.gateway;

import static dev.grep11.gateway.KeystoreBehaviour.bytes;
import static dev.grep11.gateway.KeystoreBehaviour.named;
import static dev.grep11.gateway.KeystoreBehaviour.record;
import static dev.grep11.gateway.RunningGateway.ISSUER;
import static dev.grep11.gateway.RunningGateway.MANAGER;
import static dev.grep11.gateway.RunningGateway.aesKey;
import static dev.grep11.gateway.RunningGateway.detail;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import dev.grep11.client.Cka;
import dev.grep11.client.Cko;
import dev.grep11.client.Ckr;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.host.StartSteps;
import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.NthCall;
import dev.grep11.gateway.iam.GrantRegister;
import dev.grep11.gateway.iam.Roles;
import dev.grep11.gateway.store.Entitlement;
import dev.grep11.gateway.store.Grant;
import dev.grep11.gateway.store.KeyRecord;
import dev.grep11.gateway.store.KeystoreRecord;
import dev.grep11.gateway.store.NthStatement;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.store.Subject;
import dev.grep11.gateway.token.HsmCalls;
import dev.grep11.gateway.token.TokenAnchor;
import dev.grep11.gateway.token.TokenKeys;
import dev.grep11.proto.KeyBlob;
import dev.grep11.proto.keystore.ChangePasswordRequest;
import dev.grep11.proto.keystore.CreateKeystoreRequest;
import dev.grep11.proto.keystore.DeleteKeyRequest;
import dev.grep11.proto.keystore.DeleteKeystoreRequest;
import dev.grep11.proto.keystore.KeyStoresGrpc;
import dev.grep11.proto.keystore.KeyStoresGrpc.KeyStoresBlockingStub;
import dev.grep11.proto.keystore.ListKeysByAttributesRequest;
import dev.grep11.proto.keystore.ListKeysByIdsRequest;
import dev.grep11.proto.keystore.ListKeystoresByIdsRequest;
import dev.grep11.proto.keystore.StoreNewKeyRequest;
import dev.grep11.proto.keystore.UpdateKeyRequest;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Each step of the store, and on SQLite each call of the token, fails once by its number in each
 * call of the life of a keystore: what was acknowledged is there, what was refused is not or is
 * said to be unknown, nobody without the password or the right gets a key, no key that nobody knows
 * of stays in the token, and the same gateway serves the next call.
 *
 * <p>{@code -Dgrep11.seed=N} repeats a run.
 */
abstract class KeystoreCallFaults {
  private static final Duration PATIENCE = Duration.ofSeconds(30);
  private static final ByteString NONE = ByteString.EMPTY;
  private static final ByteString FIRST = ByteString.copyFromUtf8("k3yst0re");
  private static final ByteString SECOND = ByteString.copyFromUtf8("an0ther1");
  private static final ByteString WRONG = ByteString.copyFromUtf8("guessed1");
  private static final String UNKNOWN = "it is not known whether";
  private static final String STRANGER = "IBMid-stranger";

  /** What a token that is got back may still be the cause of. */
  private static final Set<String> PASSES = Set.of("CKR_IBM_WK_NOT_INITIALIZED");

  @TempDir Path parent = Path.of("");
  private final long seed = Long.getLong("grep11.seed", 11);
  final Random random = new Random(seed);
  private final NthStatement database = new NthStatement();
  final NthCall token = new NthCall();
  RunningGateway running;

  /** Another program on the same store and token. */
  Host host;

  /** Has every right. */
  private KeyStoresBlockingStub manager;

  /** Has a right on the keys of another keystore. */
  private KeyStoresBlockingStub stranger;

  /** Has none. */
  private KeyStoresBlockingStub nobody;

  ByteString blob;
  private int faulted;
  private int refused;
  private int unknown;

  /** Begins a store for the demo in this directory, and gives the settings that name it. */
  abstract Map<String, Object> store(Path demo) throws Exception;

  @BeforeEach
  void start() throws Exception {
    var demo = parent.resolve("demo");
    var settings = new HashMap<String, Object>(Map.of("/masterKey/quarantineSeconds", 0));
    settings.putAll(store(demo));
    running =
        RunningGateway.start(
            demo, settings, hsm -> Hsm.open(token.cryptoki(), hsm), this::openStore);
    host = Host.open(running.config);
    var register = new GrantRegister(host.store(), Roles.standard());
    assertThat(
            register.add(
                new Grant(
                    new Subject(ISSUER, STRANGER),
                    running.instance,
                    new Entitlement.Actions(Roles.standard().actions("Key operator")),
                    Optional.of("keystore:" + UUID.randomUUID()))))
        .isTrue();
    manager = keystores(MANAGER);
    stranger = keystores(STRANGER);
    nobody = keystores("IBMid-nobody");
    blob = aesKey(running.client());
    // Known by now, or every refusal would be for want of any right.
    await()
        .atMost(PATIENCE)
        .until(() -> refusal(() -> byIds(stranger, NONE, NONE)) == Ckr.CKR_ARGUMENTS_BAD);
  }

  private Store openStore(GatewayConfig config, HsmCalls calls) {
    return database.open(
        config.database(),
        StartSteps.envelope(config, calls),
        new TokenAnchor(calls, TokenKeys.read(config.store())));
  }

  private KeyStoresBlockingStub keystores(String subject) throws Exception {
    return KeyStoresGrpc.newBlockingStub(running.channel())
        .withInterceptors(
            RunningGateway.headers("authorization", "Bearer " + running.token(subject)));
  }

  @AfterEach
  void stop() {
    host.close();
    running.close();
  }

  private static long refusal(Runnable call) {
    try {
      call.run();
    } catch (StatusRuntimeException e) {
      return detail(e).getCode();
    }
    return Ckr.CKR_OK;
  }

  // ---- What fails

  /**
   * What was reached by its number.
   *
   * @param failed false where the fault is none that this call can have
   */
  record Hit(String what, boolean failed) {
    @Override
    public String toString() {
      return what;
    }
  }

  /** What may fail, by its number. */
  interface Fault {
    void arm(int number);

    Optional<Hit> disarm();
  }

  private List<Fault> ofTheStore() {
    return Stream.of(NthStatement.Fault.values())
        .<Fault>map(kind ->
            new Fault() {
              @Override
              public void arm(int number) {
                database.arm(number, kind, NthStatement.Origin.CALLER);
              }

              @Override
              public Optional<Hit> disarm() {
                return database.disarm().map(hit -> new Hit(hit.toString(), true));
              }
            })
        .toList();
  }

  final Fault ofTheToken(NthCall.Fault kind) {
    return new Fault() {
      @Override
      public void arm(int number) {
        token.arm(number, kind, EnumSet.of(NthCall.Origin.CLIENT));
      }

      @Override
      public Optional<Hit> disarm() {
        return token.disarm().map(hit -> new Hit(hit.toString(), hit.failed()));
      }
    };
  }

  final void tell(String what) {
    assertThat(faulted).isPositive();
    System.out.printf(
        "faulted %s in calls of keystores %d, refused %d, of these unknown %d, seed %d%n",
        what, faulted, refused, unknown, seed);
  }

  // ---- Each step of the store

  @Test
  void noFailedStepOfTheStoreLosesAKeyOrGivesOneAway() {
    everyStep(false);
  }

  @Test
  @Tag("long")
  void noFailedStepOfTheStoreLosesAKeyOrGivesOneAwayByAnyFault() {
    everyStep(true);
  }

  private void everyStep(boolean everyFault) {
    var all = new ArrayList<>(ofTheStore());
    boolean more = true;
    for (int n = 1; more; n++) {
      more = false;
      Collections.shuffle(all, random);
      for (var fault : everyFault ? all : all.subList(0, 2)) {
        more |= new Life(n, fault, false).lived();
      }
      // A password takes its time.
      if (everyFault || random.nextInt(3) == 0) {
        for (var fault : everyFault ? all : all.subList(2, 3)) {
          more |= new Life(n, fault, true).lived();
        }
      }
    }
    tell("steps of the store");
    assertThat(unknown).as("changes of which nobody knew").isPositive();
  }

  /** More keys than one step of a deletion takes. */
  private static final int MANY = 201;

  @Test
  void aDeletionThatStopsInBetweenSaysSo() {
    var fault = ofTheStore().getFirst();
    int partly = 0;
    boolean more = true;
    for (int n = 1 + random.nextInt(3); more; n += 3) {
      var id = withManyKeys();
      fault.arm(n);
      String why = "";
      try {
        deleteKeystore(id);
      } catch (StatusRuntimeException e) {
        why = detail(e).getDetail();
      }
      var hit = fault.disarm();
      var about = "%s: %s".formatted(hit, why);
      more = hit.isPresent();
      long left = keysOf(id);
      if (why.isEmpty()) {
        assertThat(left).as(about).isNegative();
      } else {
        assertThat(why.contains("some of its keys are gone")).as(about).isEqualTo(left < MANY);
        partly += left < MANY ? 1 : 0;
        deleteKeystore(id);
        assertThat(keysOf(id)).as("%s, and again", about).isNegative();
      }
    }
    assertThat(partly).as("deletions that stopped in between").isPositive();
  }

  private UUID withManyKeys() {
    var id = UUID.randomUUID();
    assertThat(host.createKeystore(running.instance, id, "many")).isTrue();
    boolean all =
        host.store()
            .keystores()
            .change(
                running.instance,
                change -> {
                  var present = change.find(id).orElseThrow();
                  return IntStream.range(0, MANY)
                      .mapToObj(_ ->
                          new KeyRecord(
                              UUID.randomUUID(), 0, UUID.randomUUID(), List.of(), new byte[8]))
                      .allMatch(each -> change.add(present, each, Map.of()));
                });
    assertThat(all).isTrue();
    return id;
  }

  /** Negative where there is no such keystore. */
  private long keysOf(UUID id) {
    return host.store()
        .keystores()
        .read(running.instance, view -> view.find(id).map(KeystoreRecord::keys).orElse(-1L));
  }

  private void deleteKeystore(UUID id) {
    var _ =
        manager.deleteKeystore(DeleteKeystoreRequest.newBuilder().setKeystore(bytes(id)).build());
  }

  // ---- The life of a keystore

  /** One keystore and a key in it, from the first call to the last, of which each fails once. */
  final class Life {
    private final int n;
    private final Fault fault;
    private final boolean guarded;
    private final UUID id = UUID.randomUUID();
    private final ByteString keystore = bytes(id);
    private final KeyBlob key =
        record(named("orders").with(Cka.CKA_CLASS, Cko.CKO_SECRET_KEY)).toBuilder()
            .addKeyBlobs(blob)
            .build();
    private ByteString password;

    /** Whether any call made so many steps. */
    private boolean some;

    Life(int n, Fault fault, boolean guarded) {
      this.n = n;
      this.fault = fault;
      this.guarded = guarded;
      this.password = guarded ? FIRST : NONE;
    }

    /** False when no call has as many steps. */
    boolean lived() {
      changes(
          "CreateKeystore",
          () ->
              manager.createKeystore(
                  CreateKeystoreRequest.newBuilder()
                      .setId(keystore)
                      .setName("faulted")
                      .setPassword(password)
                      .build()),
          this::exists);
      changes("StoreNewKey", () -> store(password, key), () -> version() == 0);
      keepsOut();
      changes("UpdateKey", () -> update(password), () -> version() == 1);
      gives("ListKeysByIds", () -> byIds(manager, keystore, password, key.getKeyBlobID()));
      gives("ListKeysByAttributes", this::byLabel);
      if (guarded) {
        changes("ChangePassword", () -> changePassword(password), () -> opens(SECOND));
        password = SECOND;
        assertThat(opens(FIRST)).as("the password before").isFalse();
      }
      addsUp();
      changes("DeleteKey", this::deleteKey, () -> version() < 0);
      // So that one is deleted with its keystore.
      eventually(() -> store(password, another()));
      changes("DeleteKeystore", () -> deleteKeystore(id), () -> !exists());
      return some;
    }

    private KeyBlob another() {
      return key.toBuilder()
          .setKeyBlobID(bytes(UUID.randomUUID()))
          .setTxID(bytes(UUID.randomUUID()))
          .build();
    }

    private Object store(ByteString by, KeyBlob what) {
      return manager.storeNewKey(
          StoreNewKeyRequest.newBuilder()
              .setKeystore(keystore)
              .setPassword(by)
              .setKey(what)
              .build());
    }

    private Object update(ByteString by) {
      return manager.updateKey(
          UpdateKeyRequest.newBuilder()
              .setKeystore(keystore)
              .setPassword(by)
              .setKey(key.toBuilder().setTxID(bytes(UUID.randomUUID())))
              .build());
    }

    private Object changePassword(ByteString by) {
      return manager.changePassword(
          ChangePasswordRequest.newBuilder()
              .setKeystore(keystore)
              .setOldPassword(by)
              .setNewPassword(SECOND)
              .build());
    }

    private Object deleteKey() {
      return manager.deleteKey(
          DeleteKeyRequest.newBuilder()
              .setKeystore(keystore)
              .setPassword(password)
              .setKey(key.getKeyBlobID())
              .setVersion(1)
              .build());
    }

    private List<KeyBlob> byLabel() {
      return manager
          .listKeysByAttributes(
              ListKeysByAttributesRequest.newBuilder()
                  .setKeystore(keystore)
                  .setPassword(password)
                  .putAllAttributes(named("orders").toMap())
                  .build())
          .getKeysList();
    }

    // What is there, asked while nothing fails.

    private boolean exists() {
      return eventually(() ->
          manager
              .listKeystoresByIds(
                  ListKeystoresByIdsRequest.newBuilder().addKeystores(keystore).build())
              .getKeystoresCount())
          == 1;
    }

    /** Of the key; negative when it is not there. */
    private long version() {
      return eventually(() -> {
        try {
          var found = byIds(manager, keystore, password, key.getKeyBlobID());
          assertIsTheKey(found);
          return found.getFirst().getVersion();
        } catch (StatusRuntimeException e) {
          if (detail(e).getCode() == Ckr.CKR_IBM_GREP11_MISSING) {
            return -1L;
          }
          throw e;
        }
      });
    }

    private boolean opens(ByteString by) {
      return eventually(() -> {
        try {
          assertIsTheKey(byIds(manager, keystore, by, key.getKeyBlobID()));
          return true;
        } catch (StatusRuntimeException e) {
          if (detail(e).getCode() == Ckr.CKR_PIN_INCORRECT) {
            return false;
          }
          throw e;
        }
      });
    }

    private void assertIsTheKey(List<KeyBlob> found) {
      assertThat(found).hasSize(1);
      // Where there are two, the one that was stored is the older one.
      assertThat(found.getFirst().getKeyBlobsList()).isNotEmpty().endsWith(blob);
    }

    /** By the sum that each change carries along, and by which the keystore would be refused. */
    private void addsUp() {
      var _ =
          host.store()
              .keystores()
              .read(
                  running.instance,
                  view -> {
                    view.verify(view.find(id).orElseThrow());
                    return true;
                  });
    }

    // While a step fails.

    private void changes(String name, Runnable request, BooleanSupplier done) {
      fault.arm(n);
      boolean acknowledged = false;
      boolean notKnown = false;
      String why = "";
      try {
        request.run();
        acknowledged = true;
      } catch (StatusRuntimeException e) {
        why = why(e);
        notKnown = why.contains(UNKNOWN);
      }
      var hit = fault.disarm();
      var about = about(name, hit, why);
      count(hit, acknowledged, notKnown);
      assertThat(acknowledged || hit.filter(Hit::failed).isPresent()).as(about).isTrue();
      boolean made = done.getAsBoolean();
      if (!notKnown) {
        assertThat(made).as(about).isEqualTo(acknowledged);
      }
      if (!made) {
        eventually(() -> {
          request.run();
          return true;
        });
        assertThat(done.getAsBoolean()).as("%s, repeated", about).isTrue();
      }
    }

    private void gives(String name, Supplier<List<KeyBlob>> request) {
      fault.arm(n);
      try {
        var found = request.get();
        var hit = fault.disarm();
        count(hit, true, false);
        assertIsTheKey(found);
      } catch (StatusRuntimeException e) {
        var hit = fault.disarm();
        count(hit, false, false);
        assertThat(hit.filter(Hit::failed)).as(about(name, hit, why(e))).isPresent();
      }
      assertIsTheKey(eventually(request));
    }

    private void keepsOut() {
      var wanted = key.getKeyBlobID();
      var none = Set.of(Ckr.CKR_IBM_GREP11_NOT_AUTHENTICATED);
      var missing = Set.of(Ckr.CKR_IBM_GREP11_MISSING);
      var wrong = Set.of(Ckr.CKR_PIN_INCORRECT);
      refuses("a list without any right", none, () -> byIds(nobody, keystore, password, wanted));
      refuses(
          "a list without the right", missing, () -> byIds(stranger, keystore, password, wanted));
      if (guarded) {
        refuses("a list without password", wrong, () -> byIds(manager, keystore, NONE, wanted));
        refuses("a list by a guess", wrong, () -> byIds(manager, keystore, WRONG, wanted));
        refuses("a key stored by a guess", wrong, () -> store(WRONG, another()));
        refuses("another password by a guess", wrong, () -> changePassword(WRONG));
      }
      assertThat(version()).isZero();
    }

    private void refuses(String name, Set<Long> reasons, Runnable request) {
      fault.arm(n);
      try {
        request.run();
      } catch (StatusRuntimeException e) {
        var hit = fault.disarm();
        count(hit, false, false);
        assertThat(reasons.contains(detail(e).getCode()) || hit.filter(Hit::failed).isPresent())
            .as(about(name, hit, why(e)))
            .isTrue();
        return;
      }
      throw new AssertionError("not refused: " + about(name, fault.disarm(), ""));
    }

    private String why(StatusRuntimeException e) {
      var error = detail(e);
      assertThat(error.getCode()).isNotEqualTo(Ckr.CKR_OK);
      assertThat(error.getDetail()).doesNotContain("internal error");
      return Ckr.nameOf(error.getCode()) + ": " + error.getDetail();
    }

    private String about(String name, Optional<Hit> hit, String why) {
      return "%s%s, %s, seed %d: %s"
          .formatted(name, guarded ? " with a password" : "", hit, seed, why);
    }

    private void count(Optional<Hit> hit, boolean acknowledged, boolean notKnown) {
      some |= hit.isPresent();
      if (hit.filter(Hit::failed).isPresent()) {
        faulted++;
        refused += acknowledged ? 0 : 1;
        unknown += notKnown ? 1 : 0;
      }
    }
  }

  private static List<KeyBlob> byIds(
      KeyStoresBlockingStub caller, ByteString keystore, ByteString password, ByteString... keys) {
    return caller
        .listKeysByIds(
            ListKeysByIdsRequest.newBuilder()
                .setKeystore(keystore)
                .setPassword(password)
                .addAllKeys(List.of(keys))
                .build())
        .getKeysList();
  }

  /** Of a token that may have to be got back first. */
  private static <T> T eventually(Supplier<T> call) {
    var answer = new AtomicReference<T>();
    await()
        .atMost(PATIENCE)
        .pollDelay(Duration.ZERO)
        .pollInterval(Duration.ofMillis(5))
        .ignoreExceptionsMatching(e ->
            e instanceof StatusRuntimeException refusal
                && (refusal.getStatus().getCode() == Status.Code.UNAVAILABLE
                    || PASSES.contains(String.valueOf(refusal.getStatus().getDescription()))))
        .until(() -> {
          answer.set(call.get());
          return true;
        });
    return answer.get();
  }
}
