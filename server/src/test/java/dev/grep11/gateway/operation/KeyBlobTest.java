package dev.grep11.gateway.operation;

import static dev.grep11.gateway.operation.Client.assertRefused;
import static dev.grep11.gateway.operation.Client.assertRefusedWithOneOf;
import static dev.grep11.gateway.operation.Client.concat;
import static dev.grep11.gateway.operation.Client.flags;
import static dev.grep11.gateway.pkcs11.Cka.*;
import static dev.grep11.gateway.pkcs11.Ckm.*;
import static dev.grep11.gateway.pkcs11.Ckr.*;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.gateway.key.BlobDigest;
import dev.grep11.gateway.key.KeyForm;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.NamedCurve;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.softhsm.SoftHsmExtension;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Random;
import java.util.Set;
import java.util.UUID;
import java.util.function.BiConsumer;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * A blob that is not exactly what the gateway made is refused, whichever call it comes with: never
 * a result, never another exception. Security rule 2.5.
 */
class KeyBlobTest {
  @RegisterExtension static final SoftHsmExtension HSM = new SoftHsmExtension();

  private static final byte[] MESSAGE = "signed or encrypted".getBytes(UTF_8);
  private static final Mechanism ECDSA = Mechanism.of(CKM_ECDSA_SHA256);
  private static final Mechanism EDDSA = Mechanism.of(CKM_EDDSA);
  private static final Mechanism CBC_PAD = Mechanism.of(CKM_AES_CBC_PAD, new byte[16]);
  private static final Mechanism HMAC = Mechanism.of(CKM_SHA256_HMAC);
  private static final byte[] NONE = new byte[0];

  private static Core core;
  private static Client a;
  private static Client b;
  private static Client twinOfA;
  private static NewKeyPair ec;
  private static NewKeyPair edwards;
  private static NewKeyPair rsa;
  private static NewKey aes;
  private static byte[] signature;

  @BeforeAll
  static void open() {
    core = Core.on(HSM.token());
    var operations = core.operations(Policy.COMPATIBLE, true);
    a = new Client(operations, Core.A);
    b = new Client(operations, Core.B);
    twinOfA = new Client(operations, Core.TWIN_OF_A);
    ec = a.ec(NamedCurve.P_256, Template.empty(), flags(CKA_EXTRACTABLE));
    edwards = a.ec(NamedCurve.ED25519, Template.empty(), Template.empty());
    rsa = a.rsa(1024, flags(CKA_WRAP), flags(CKA_UNWRAP));
    aes = a.aes(32, flags(CKA_EXTRACTABLE));
    signature = a.sign(ECDSA, ec.privateKey().blob(), MESSAGE);
  }

  @AfterAll
  static void close() {
    core.close();
  }

  /** A kind of blob and the call that it is for. */
  enum Kind {
    SECRET((client, blob) -> client.encrypt(CBC_PAD, blob, MESSAGE)) {
      @Override
      byte[] blob() {
        return aes.blob();
      }
    },
    SECRET_FOR_MAC((client, blob) -> client.sign(HMAC, blob, MESSAGE)) {
      @Override
      byte[] blob() {
        return aes.blob();
      }
    },
    PRIVATE((client, blob) -> client.sign(ECDSA, blob, MESSAGE)) {
      @Override
      byte[] blob() {
        return ec.privateKey().blob();
      }
    },
    PRIVATE_SEALED_BY_VALUE((client, blob) -> client.sign(EDDSA, blob, MESSAGE)) {
      @Override
      byte[] blob() {
        return edwards.privateKey().blob();
      }
    },
    PUBLIC((client, blob) -> client.verify(ECDSA, blob, MESSAGE, signature())) {
      @Override
      byte[] blob() {
        return ec.publicKey().blob();
      }
    },
    PUBLIC_THAT_ENCRYPTS(
        (client, blob) -> client.encrypt(Mechanism.of(CKM_RSA_PKCS), blob, MESSAGE)) {
      @Override
      byte[] blob() {
        return rsa.publicKey().blob();
      }
    };

    @SuppressWarnings("ImmutableEnumChecker") // a lambda without state
    private final BiConsumer<Client, byte[]> use;

    Kind(BiConsumer<Client, byte[]> use) {
      this.use = use;
    }

    abstract byte[] blob();

    void use(Client client, byte[] blob) {
      use.accept(client, blob);
    }

    boolean isPublic() {
      return this == PUBLIC || this == PUBLIC_THAT_ENCRYPTS;
    }

    /** Every call that takes such a blob. */
    ThrowingCallable[] calls(Client client, byte[] blob) {
      return new ThrowingCallable[] {
        () -> use(client, blob),
        () -> client.operations.attributes(client.by, blob, Set.of(CKA_CLASS)),
        () -> client.operations.setAttributes(client.by, blob, Client.without(CKA_MODIFIABLE)),
        () -> client.wrap(CBC_PAD, blob, aes.blob()),
        () -> client.wrap(CBC_PAD, aes.blob(), blob),
      };
    }

    /** Refused as a blob, by every call. */
    void assertRefusedEverywhere(byte[] blob) {
      var calls = calls(a, blob);
      for (int i = 0; i < 3; i++) {
        assertRefusedWithOneOf(calls[i], CKR_IBM_BLOB_ERROR, CKR_IBM_WKID_MISMATCH);
      }
    }
  }

  private static byte[] signature() {
    return signature;
  }

  @ParameterizedTest
  @EnumSource(Kind.class)
  void isUsedAsItWasMade(Kind kind) {
    kind.use(a, kind.blob());
    assertThat(a.operations.attributes(a.by, kind.blob(), Set.of(CKA_CLASS)).size()).isOne();
  }

  @ParameterizedTest
  @EnumSource(Kind.class)
  void refusesEveryByteChanged(Kind kind) {
    var blob = kind.blob();
    kind.use(a, blob); // A warm cache must not help.
    for (int i = 0; i < blob.length; i++) {
      for (int change : new int[] {0x01, 0x80, 0xff}) {
        var changed = blob.clone();
        changed[i] ^= (byte) change;
        kind.assertRefusedEverywhere(changed);
      }
    }
  }

  @ParameterizedTest
  @EnumSource(Kind.class)
  void refusesEveryTruncation(Kind kind) {
    var blob = kind.blob();
    kind.use(a, blob);
    int bare = kind.isPublic() ? spkiOf(kind).length : -1;
    for (int length = 1; length < blob.length; length++) {
      if (length != bare) {
        kind.assertRefusedEverywhere(Arrays.copyOf(blob, length));
      }
    }
    for (var call : Arrays.copyOf(kind.calls(a, NONE), 3)) {
      assertRefused(CKR_KEY_HANDLE_INVALID, call);
    }
  }

  @ParameterizedTest
  @EnumSource(Kind.class)
  void refusesWhatIsAppended(Kind kind) {
    var blob = kind.blob();
    kind.use(a, blob);
    var noise = new byte[100_000];
    new Random(1).nextBytes(noise);
    for (int more : new int[] {1, 2, 16, 1000, 65_536, 100_000}) {
      kind.assertRefusedEverywhere(Arrays.copyOf(blob, blob.length + more));
      kind.assertRefusedEverywhere(concat(blob, Arrays.copyOf(noise, more)));
      kind.assertRefusedEverywhere(concat(Arrays.copyOf(noise, more), blob));
    }
    kind.assertRefusedEverywhere(concat(blob, blob));
  }

  /** Two AES keys of the same length with opposite rights, cut and joined at every byte. */
  @Test
  void refusesTheHeaderOfOneKeyWithTheBodyOfAnother() {
    var wide = a.aes(32, flags(CKA_ENCRYPT, CKA_DECRYPT, CKA_EXTRACTABLE)).blob();
    var narrow = a.aes(32, Client.without(CKA_ENCRYPT)).blob();
    assertThat(wide).hasSameSizeAs(narrow);
    int joined = 0;
    for (int cut = 0; cut <= wide.length; cut++) {
      for (var pair : new byte[][][] {{wide, narrow}, {narrow, wide}}) {
        var spliced = Arrays.copyOf(pair[0], wide.length);
        System.arraycopy(pair[1], cut, spliced, cut, wide.length - cut);
        if (!Arrays.equals(spliced, wide) && !Arrays.equals(spliced, narrow)) {
          Kind.SECRET.assertRefusedEverywhere(spliced);
          joined++;
        }
      }
    }
    assertThat(joined).isGreaterThan(wide.length);
    // One field at a time: salt, attributes, sealed key, MAC.
    int attributes = 56 + 2;
    int attributesLength = ByteBuffer.wrap(wide).getShort(56);
    int sealed = attributes + attributesLength + 2;
    int mac = wide.length - 32;
    for (int[] field :
        new int[][] {{40, 56}, {attributes, sealed - 2}, {sealed, mac}, {mac, wide.length}}) {
      var spliced = narrow.clone();
      System.arraycopy(wide, field[0], spliced, field[0], field[1] - field[0]);
      assertThat(spliced).isNotEqualTo(narrow);
      Kind.SECRET.assertRefusedEverywhere(spliced);
    }
  }

  @Test
  void refusesThePublicKeyOfOnePairWithTheTrailerOfAnother() {
    var other = a.ec(NamedCurve.P_256, Template.empty(), Template.empty());
    int length = Client.spki(ec).length;
    var trailer =
        Arrays.copyOfRange(other.publicKey().blob(), length, other.publicKey().blob().length);
    Kind.PUBLIC.assertRefusedEverywhere(concat(Client.spki(ec), trailer));
    Kind.PUBLIC.assertRefusedEverywhere(concat(Client.spki(ec), ec.privateKey().blob()));
  }

  @Test
  void refusesKindsInEachOthersPlace() {
    var secret = aes.blob();
    var privateKey = ec.privateKey().blob();
    var publicKey = ec.publicKey().blob();
    var pkcs = Mechanism.of(CKM_RSA_PKCS);
    var template = Client.aesTemplate(32);
    ThrowingCallable[] inconsistent = {
      () -> a.encrypt(CBC_PAD, privateKey, MESSAGE),
      () -> a.encrypt(CBC_PAD, publicKey, MESSAGE),
      () -> a.sign(ECDSA, secret, MESSAGE),
      () -> a.sign(ECDSA, publicKey, MESSAGE),
      () -> a.verify(ECDSA, privateKey, MESSAGE, signature()),
      () -> a.verify(ECDSA, secret, MESSAGE, signature()),
      () -> a.sign(HMAC, privateKey, MESSAGE),
      () -> a.sign(HMAC, publicKey, MESSAGE),
      () -> a.encrypt(pkcs, rsa.privateKey().blob(), MESSAGE),
      () -> a.decrypt(pkcs, rsa.publicKey().blob(), new byte[128]),
      () -> a.sign(EDDSA, privateKey, MESSAGE),
      () -> a.sign(ECDSA, edwards.privateKey().blob(), MESSAGE),
      () -> a.verify(ECDSA, edwards.publicKey().blob(), MESSAGE, new byte[64]),
      () -> a.derive(Mechanism.of(CKM_ECDH1_DERIVE, Client.spki(ec)), publicKey, template),
      () -> a.derive(Mechanism.of(CKM_ECDH1_DERIVE, Client.spki(ec)), secret, template),
    };
    for (var call : inconsistent) {
      assertRefused(CKR_KEY_TYPE_INCONSISTENT, call);
    }
    assertRefused(
        CKR_WRAPPING_KEY_TYPE_INCONSISTENT, () -> a.wrap(pkcs, secret, rsa.privateKey().blob()));
    assertRefused(CKR_WRAPPING_KEY_TYPE_INCONSISTENT, () -> a.wrap(CBC_PAD, secret, privateKey));
    assertRefused(
        CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT,
        () -> a.unwrap(pkcs, new byte[128], rsa.publicKey().blob(), template));
    assertRefused(CKR_KEY_NOT_WRAPPABLE, () -> a.wrap(pkcs, publicKey, rsa.publicKey().blob()));
  }

  @Test
  void anAbsentKeyIsAnInvalidHandleOfItsRole() {
    var template = Client.aesTemplate(32);
    assertRefused(CKR_WRAPPING_KEY_HANDLE_INVALID, () -> a.wrap(CBC_PAD, aes.blob(), NONE));
    assertRefused(CKR_KEY_HANDLE_INVALID, () -> a.wrap(CBC_PAD, NONE, kek()));
    assertRefused(
        CKR_UNWRAPPING_KEY_HANDLE_INVALID, () -> a.unwrap(CBC_PAD, new byte[48], NONE, template));
    assertRefused(
        CKR_KEY_HANDLE_INVALID,
        () -> a.derive(Mechanism.of(CKM_ECDH1_DERIVE, Client.spki(ec)), NONE, template));
  }

  private static byte[] kek() {
    return a.aes(32, flags(CKA_WRAP, CKA_UNWRAP)).blob();
  }

  /** What is left without the trailer is a bare key, which verifies and does nothing else. */
  @Test
  void aBareKeyVerifiesAndDoesNothingElse() {
    var bareEc = Client.spki(ec);
    a.verify(ECDSA, bareEc, MESSAGE, signature());
    var bareRsa = Client.spki(rsa);
    var pkcs = Mechanism.of(CKM_RSA_PKCS);
    a.verify(pkcs, bareRsa, MESSAGE, a.sign(pkcs, rsa.privateKey().blob(), MESSAGE));
    assertRefused(CKR_IBM_BLOB_ERROR, () -> a.encrypt(pkcs, bareRsa, MESSAGE));
    assertRefused(CKR_IBM_BLOB_ERROR, () -> a.wrap(pkcs, aes.blob(), bareRsa));
    assertRefused(
        CKR_IBM_BLOB_ERROR,
        () -> a.operations.setAttributes(a.by, bareRsa, Client.without(CKA_VERIFY)));
    assertRefused(CKR_KEY_TYPE_INCONSISTENT, () -> a.decrypt(pkcs, bareRsa, new byte[128]));
    assertRefused(CKR_KEY_TYPE_INCONSISTENT, () -> a.sign(ECDSA, bareEc, MESSAGE));
    // With its trailer a key has the rights that the trailer says, and no others.
    var mute = a.operations.setAttributes(a.by, ec.publicKey().blob(), Client.without(CKA_VERIFY));
    assertRefused(
        CKR_KEY_FUNCTION_NOT_PERMITTED, () -> a.verify(ECDSA, mute, MESSAGE, signature()));
  }

  static Client[] foreigners() {
    return new Client[] {b, twinOfA};
  }

  /** Other master keys, and the very same ones under another instance's name. */
  @ParameterizedTest
  @MethodSource("foreigners")
  void refusesBlobsOfAnotherInstanceWithAColdAndAWarmCache(Client foreign) {
    for (var kind : Kind.values()) {
      var blob = kind == Kind.SECRET ? a.aes(32, Template.empty()).blob() : kind.blob();
      for (int round = 0; round < 2; round++) {
        var calls = kind.calls(foreign, blob);
        for (int i = 0; i < 3; i++) {
          assertRefused(CKR_IBM_WKID_MISMATCH, calls[i]);
        }
        assertRefused(
            CKR_IBM_WKID_MISMATCH,
            () -> foreign.wrap(CBC_PAD, blob, foreign.aes(32, flags(CKA_WRAP)).blob()));
        assertThat(
                core.keys.isLoaded(
                    foreign.by.instance(), BlobDigest.of(blob).orElseThrow(), KeyForm.USE))
            .isFalse();
        kind.use(a, blob);
      }
      assertThat(
              core.keys.isLoaded(
                  Core.A,
                  BlobDigest.of(blob).orElseThrow(),
                  kind == Kind.SECRET_FOR_MAC ? KeyForm.HMAC : KeyForm.USE))
          .isTrue();
    }
  }

  @Test
  void anInstanceThatNobodyMadeHasNoMasterKey() {
    var nobody = new Client(a.operations, UUID.fromString("0000000c-0000-4000-8000-000000000003"));
    assertRefusedWithOneOf(
        () -> nobody.encrypt(CBC_PAD, aes.blob(), MESSAGE),
        CKR_IBM_WKID_MISMATCH,
        CKR_IBM_WK_NOT_INITIALIZED);
    assertRefused(CKR_IBM_WK_NOT_INITIALIZED, () -> nobody.aes(32, Template.empty()));
  }

  /** Bytes that begin well and go on at random, as a fuzzer would send them. */
  @Test
  void refusesNoise() {
    var random = new Random(20261121);
    var beginnings =
        new byte[][] {
          NONE,
          "G11K".getBytes(UTF_8),
          {0x30},
          {0x30, (byte) 0x82},
          Arrays.copyOf(aes.blob(), 58),
          Arrays.copyOf(ec.publicKey().blob(), 91),
          {0x30, (byte) 0x80},
          {0x30, (byte) 0x84}
        };
    for (int i = 0; i < 2000; i++) {
      var noise = new byte[1 + random.nextInt(600)];
      random.nextBytes(noise);
      var blob = concat(beginnings[i % beginnings.length], noise);
      Kind.values()[i % Kind.values().length].assertRefusedEverywhere(blob);
    }
  }

  @Test
  void theOldBlobKeepsItsRightsAndTheNewOneHasItsOwn() {
    var key = a.aes(32, Template.empty());
    var narrowed = a.operations.setAttributes(a.by, key.blob(), Client.without(CKA_ENCRYPT));
    assertRefused(CKR_KEY_FUNCTION_NOT_PERMITTED, () -> a.encrypt(CBC_PAD, narrowed, MESSAGE));
    assertThat(a.decrypt(CBC_PAD, narrowed, a.encrypt(CBC_PAD, key.blob(), MESSAGE)))
        .isEqualTo(MESSAGE);
  }

  /** RFC 5649 is deterministic; the salt and the MAC make two blobs of one key differ. */
  @Test
  void twoBlobsOfOneKeyDiffer() {
    var key = a.aes(32, Template.empty());
    var one = a.operations.setAttributes(a.by, key.blob(), Client.without(CKA_ENCRYPT));
    var other = a.operations.setAttributes(a.by, key.blob(), Client.without(CKA_ENCRYPT));
    assertThat(one).isNotEqualTo(other);
  }

  private static byte[] spkiOf(Kind kind) {
    return a.operations
        .attributes(a.by, kind.blob(), Set.of(CKA_PUBLIC_KEY_INFO))
        .bytes(CKA_PUBLIC_KEY_INFO)
        .orElseThrow();
  }
}
