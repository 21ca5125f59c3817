package dev.grep11.agent.store;

import static dev.grep11.client.Cka.CKA_ID;
import static dev.grep11.client.Cka.CKA_LABEL;
import static dev.grep11.client.Cka.CKA_TOKEN;
import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.grep11.agent.store.StoreException.Reason;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FileStoreTest {
  private static final UUID ID = UUID.fromString("7c0c7d1e-07c4-4a6b-8d3c-0e5f5f3f6a11");
  private static final byte[] BLOB = "a sealed key blob".getBytes(UTF_8);
  private static final Attributes SIGNER =
      Attributes.empty()
          .with(CKA_TOKEN, true)
          .with(CKA_LABEL, "signer-of-invoices".getBytes(UTF_8))
          .with(CKA_ID, new byte[] {1});

  @TempDir private Path path;

  private FileStore open() {
    return FileStore.open(path, ID, null);
  }

  private FileStore open(String password) {
    return FileStore.open(path, ID, password.toCharArray());
  }

  private static Reason reason(org.assertj.core.api.ThrowableAssert.ThrowingCallable work) {
    var refused = catchThrowableOfType(StoreException.class, work);
    assertThat(refused).isNotNull();
    return refused.reason();
  }

  @Test
  void keepsObjectsOverARestart() {
    var made = open().create(SIGNER, List.of(BLOB));

    var found = open().find(Attributes.empty().with(CKA_ID, new byte[] {1}));

    assertThat(found).hasSize(1);
    assertThat(found.get(0).id()).isEqualTo(made.id());
    assertThat(found.get(0).attributes()).isEqualTo(SIGNER);
    assertThat(found.get(0).blobs()).hasSize(1);
    assertThat(found.get(0).blobs().get(0)).isEqualTo(BLOB);
    assertThat(open().find(Attributes.empty().with(CKA_ID, new byte[] {2}))).isEmpty();
  }

  @Test
  void seesWhatAnotherAgentDoes() {
    var here = open();
    var there = open();
    var made = here.create(SIGNER, List.of());

    assertThat(there.find(SIGNER)).hasSize(1);
    there.update(made.id(), 0, SIGNER.with(CKA_ID, new byte[] {9}), List.of());
    assertThat(here.read(made.id()).orElseThrow().version()).isEqualTo(1);
    there.delete(made.id());
    assertThat(here.find(Attributes.empty())).isEmpty();
    assertThat(reason(() -> here.delete(made.id()))).isEqualTo(Reason.MISSING);
  }

  /** One keystore whose lock fails must not stop those of all other slots. */
  @Test
  void aLockThatCannotBeHadIsToldAndHoldsNothing() throws Exception {
    var store = open();
    try (var other =
            FileChannel.open(
                path.resolve(ID.toString()).resolve("lock"), StandardOpenOption.WRITE);
        var held = other.lock()) {
      assertThat(held.isValid()).isTrue();
      assertThat(reason(() -> store.create(SIGNER, List.of()))).isEqualTo(Reason.BROKEN);
    }
    var elsewhere = Executors.newSingleThreadExecutor();
    try {
      var made = elsewhere.submit(() -> store.create(SIGNER, List.of()));
      assertThat(made.get(20, TimeUnit.SECONDS).version()).isZero();
    } finally {
      elsewhere.shutdownNow();
    }
  }

  @Test
  void letsExactlyOneOfTwoUpdatesThrough() throws Exception {
    var made = open().create(SIGNER, List.of());
    var pool = Executors.newFixedThreadPool(8);
    try {
      var updates = new ArrayList<Callable<Boolean>>();
      for (int i = 0; i < 8; i++) {
        byte[] id = {(byte) i};
        updates.add(() -> {
          try {
            open().update(made.id(), 0, SIGNER.with(CKA_ID, id), List.of());
            return true;
          } catch (StoreException e) {
            assertThat(e.reason()).isEqualTo(Reason.CONFLICT);
            return false;
          }
        });
      }
      long through = 0;
      for (var result : pool.invokeAll(updates)) {
        through += result.get() ? 1 : 0;
      }
      assertThat(through).isEqualTo(1);
    } finally {
      pool.shutdownNow();
    }
  }

  @Test
  void writesNothingInClearAndForNobodyElse() throws IOException {
    open().create(SIGNER, List.of(BLOB));

    try (var files = Files.walk(path)) {
      for (Path file : files.filter(Files::isRegularFile).toList()) {
        assertThat(new String(Files.readAllBytes(file), ISO_8859_1))
            .as(file.toString())
            .doesNotContain("signer-of-invoices", "a sealed key blob");
        if (!file.endsWith("lock")) {
          assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(file)))
              .isEqualTo("rw-------");
        }
      }
    }
    assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(path.resolve(ID + ""))))
        .isEqualTo("rwx------");
  }

  @Test
  void noticesAChangedACutAndAnExchangedRecord() throws IOException {
    var store = open();
    var one = store.create(SIGNER, List.of(BLOB));
    var two = store.create(SIGNER.with(CKA_ID, new byte[] {2}), List.of(BLOB));
    Path first = path.resolve(ID.toString()).resolve(one.id() + ".object");
    Path second = path.resolve(ID.toString()).resolve(two.id() + ".object");
    byte[] good = Files.readAllBytes(first);
    for (int i = 0; i < good.length; i++) {
      byte[] bad = good.clone();
      bad[i] ^= 1;
      Files.write(first, bad);
      assertThat(reason(() -> open().read(one.id()))).as("byte %d", i).isEqualTo(Reason.BROKEN);
    }
    Files.write(first, java.util.Arrays.copyOf(good, good.length / 2));
    assertThat(reason(() -> open().read(one.id()))).isEqualTo(Reason.BROKEN);
    Files.copy(second, first, java.nio.file.StandardCopyOption.REPLACE_EXISTING);
    assertThat(reason(() -> open().read(one.id()))).isEqualTo(Reason.BROKEN);
    Files.write(first, good);
    assertThat(open().read(one.id())).isPresent();
  }

  @Test
  void goesOnWithTheOthersWhenOneFileIsBad() throws IOException {
    var warnings = new ArrayList<String>();
    var store = open().warning(warnings::add);
    var bad = store.create(SIGNER, List.of(BLOB));
    var good = store.create(SIGNER, List.of(BLOB));
    Path keystore = path.resolve(ID.toString());
    Files.write(keystore.resolve(bad.id() + ".object"), new byte[] {1, 2, 3});
    Files.createDirectory(keystore.resolve("no-name-of-an-object.object"));

    for (int i = 0; i < 3; i++) {
      assertThat(store.find(SIGNER)).extracting(StoredObject::id).containsExactly(good.id());
    }
    assertThat(warnings).hasSize(2);
    assertThat(warnings.get(0) + warnings.get(1)).contains(bad.id() + ".object");
    assertThat(reason(() -> store.read(bad.id()))).isEqualTo(Reason.BROKEN);
  }

  @Test
  void opensWithItsPasswordOnly() {
    open("k3yst0re").create(SIGNER, List.of(BLOB));

    assertThat(open("k3yst0re").find(SIGNER)).hasSize(1);
    assertThat(reason(() -> open("an0ther"))).isEqualTo(Reason.PASSWORD);
    assertThat(reason(this::open)).isEqualTo(Reason.PASSWORD);
    assertThatThrownBy(() -> open("an0ther"))
        .hasMessageNotContaining("an0ther")
        .hasMessageNotContaining("k3yst0re");
  }

  @Test
  void opensWithTheNewPasswordOnlyWhenItWasChanged() {
    var here = open("k3yst0re");
    var there = open("k3yst0re");
    var made = here.create(SIGNER, List.of(BLOB));

    here.changePassword("n3wpass".toCharArray());

    assertThat(open("n3wpass").find(SIGNER)).hasSize(1);
    assertThat(reason(() -> open("k3yst0re"))).isEqualTo(Reason.PASSWORD);
    here.requirePassword();
    // Another agent that is running: it says so at a login, and what it writes can be read.
    assertThat(reason(there::requirePassword)).isEqualTo(Reason.PASSWORD);
    there.update(made.id(), 0, SIGNER.with(CKA_ID, new byte[] {7}), List.of(BLOB));
    assertThat(open("n3wpass").read(made.id()).orElseThrow().version()).isEqualTo(1);
  }

  @Test
  void takesAChangeOfThePasswordOnceMoreAndNoneOverAnothers() {
    var here = open("k3yst0re");
    var there = open("k3yst0re");
    here.changePassword("n3wpass".toCharArray());

    here.changePassword("n3wpass".toCharArray());
    there.changePassword("n3wpass".toCharArray());
    there.requirePassword();
    here.changePassword("th1rdpw".toCharArray());
    assertThat(reason(() -> there.changePassword("f0urthpw".toCharArray())))
        .isEqualTo(Reason.PASSWORD);

    assertThat(open("th1rdpw").find(Attributes.empty())).isEmpty();
  }

  @Test
  void makesNoNewSealOverRecordsOfTheOldOne() throws IOException {
    open("k3yst0re").create(SIGNER, List.of(BLOB));
    Path seal = path.resolve(ID.toString()).resolve("seal");
    byte[] good = Files.readAllBytes(seal);
    for (int i = 0; i < good.length; i++) {
      byte[] bad = good.clone();
      bad[i] ^= 1;
      // scrypt takes its time: bytes of each part, and not all of them.
      if (i % 11 == 0) {
        Files.write(seal, bad);
        assertThat(reason(() -> open("k3yst0re"))).as("byte %d", i).isEqualTo(Reason.PASSWORD);
      }
    }
    Files.write(seal, java.util.Arrays.copyOf(good, good.length - 1));
    assertThat(reason(() -> open("k3yst0re"))).isEqualTo(Reason.BROKEN);
    Files.delete(seal);
    assertThat(reason(() -> open("k3yst0re"))).isEqualTo(Reason.BROKEN);
    assertThat(seal).doesNotExist();
    Files.write(seal, good);
    assertThat(open("k3yst0re").find(SIGNER)).hasSize(1);
  }

  @Test
  void putsOtherBlobsOfAKeyIntoARecordThatNobodyChanged() {
    byte[] rewrapped = "the same under another master key".getBytes(UTF_8);
    var here = open();
    var there = open();
    var made = here.create(SIGNER, List.of(BLOB));

    assertThat(there.rewrapped(made, List.of(rewrapped, BLOB))).isTrue();
    assertThat(here.read(made.id()).orElseThrow())
        .isEqualTo(new StoredObject(made.id(), 0, SIGNER, List.of(rewrapped, BLOB)));
    assertThat(here.rewrapped(made, List.of("late".getBytes(UTF_8), BLOB))).isFalse();

    // An application that holds the record as it was changes a label, and not the key.
    var changed = SIGNER.with(CKA_ID, new byte[] {5});
    here.update(made.id(), 0, changed, List.of(BLOB));
    assertThat(there.read(made.id()).orElseThrow())
        .isEqualTo(new StoredObject(made.id(), 1, changed, List.of(rewrapped, BLOB)));
    // Another right of the key is another blob, in the place of both.
    byte[] other = "with another right".getBytes(UTF_8);
    assertThat(here.update(made.id(), 1, changed, List.of(other)).blobs()).containsExactly(other);
    here.delete(made.id());
    assertThat(reason(() -> there.rewrapped(made, List.of(rewrapped)))).isEqualTo(Reason.MISSING);
  }

  @Test
  void losesNothingWhenAWriteWasCutOff() throws IOException {
    var made = open().create(SIGNER, List.of(BLOB));
    Path unfinished = path.resolve(ID.toString()).resolve(made.id() + ".object.new");
    Files.write(unfinished, new byte[] {1, 2, 3});

    assertThat(open().read(made.id()).orElseThrow().attributes()).isEqualTo(SIGNER);
    assertThat(unfinished).doesNotExist();
  }

  @Test
  void isEmptiedAndLabelled() {
    var store = open();
    store.create(SIGNER, List.of(BLOB));
    assertThat(store.label()).isEmpty();

    store.initialize("orders");

    assertThat(open().find(Attributes.empty())).isEmpty();
    assertThat(open().label()).contains("orders");
  }
}
