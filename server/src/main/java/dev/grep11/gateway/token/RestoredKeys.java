package dev.grep11.gateway.token;

import static dev.grep11.gateway.pkcs11.Cka.CKA_CLASS;
import static dev.grep11.gateway.pkcs11.Cka.CKA_DECRYPT;
import static dev.grep11.gateway.pkcs11.Cka.CKA_ENCRYPT;
import static dev.grep11.gateway.pkcs11.Cka.CKA_KEY_TYPE;
import static dev.grep11.gateway.pkcs11.Cka.CKA_SIGN;
import static java.nio.charset.StandardCharsets.US_ASCII;

import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.Lane;
import dev.grep11.gateway.hsm.Session;
import dev.grep11.gateway.key.KeyForm;
import dev.grep11.gateway.key.KeySealer;
import dev.grep11.gateway.key.Keyring;
import dev.grep11.gateway.key.Keys;
import dev.grep11.gateway.key.SealingKeyException;
import dev.grep11.gateway.key.WorkingKey;
import dev.grep11.gateway.keystore.Access;
import dev.grep11.gateway.keystore.KeyBlobs;
import dev.grep11.gateway.keystore.Keystores;
import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.store.BackupSample;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.KeystoreRecord;
import dev.grep11.gateway.store.KeystoreTables.Blob;
import dev.grep11.gateway.store.SealingKeyGeneration;
import dev.grep11.gateway.store.SealingKeyGeneration.State;
import dev.grep11.gateway.store.Snapshot;
import dev.grep11.gateway.store.Store;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletionException;
import java.util.function.Function;

/**
 * Shows that what a store holds works with a token: its sealing keys are there, its keystores are
 * whole, and samples of their keys, and those that came with a backup, are loaded into the token
 * and used. Nothing stays in the token, and no sealing key seals anything. Not safe for use by
 * several threads.
 */
public final class RestoredKeys {
  /** Of each generation of each instance. */
  private static final int SAMPLES = 3;

  private static final int CACHED = 16;
  private static final Duration PATIENCE = Duration.ofSeconds(60);
  private static final String CALLER = "rehearsal";
  private static final byte[] SAMPLE = "grep11 backup rehearsal, 32 byte".getBytes(US_ASCII);

  private final Hsm hsm;
  private final Store store;
  private final Snapshot snapshot;
  private final boolean softwareFallback;
  private final KeySealer sealer;
  private final Keys keys;
  private final Keystores keystores;

  /**
   * @param privateObjects whether working copies carry CKA_PRIVATE
   */
  public RestoredKeys(Hsm hsm, Store store, boolean privateObjects, boolean softwareFallback) {
    this.hsm = hsm;
    this.store = store;
    this.snapshot = store.snapshot();
    Map<UUID, Keyring.Generations> generations = new HashMap<>();
    snapshot.instances().forEach(instance -> generations.put(instance.id(), opening(instance)));
    this.softwareFallback = softwareFallback;
    sealer = new KeySealer(hsm, new Keyring(hsm, generations), privateObjects, softwareFallback);
    keys = new Keys(hsm, sealer, CACHED);
    KeyBlobs blobs = new HsmKeyBlobs(hsm, sealer);
    keystores =
        new Keystores(
            store.keystores(), blobs, () -> Optional.of(snapshot), InstantSource.system());
  }

  /**
   * A key that was loaded.
   *
   * @param key its id in its keystore; empty of a blob that was given
   * @param use what it did, such as {@code CKM_ECDSA}; {@code loaded} where its attributes allow
   *     nothing that could be tried
   */
  public record Worked(UUID instance, String generation, Optional<UUID> key, String use) {}

  /**
   * What was found good.
   *
   * @param keysWithPassword which open only for who knows it, and were not tried
   */
  public record Findings(
      int instances,
      int masterKeys,
      long keystores,
      long keys,
      long keysWithPassword,
      List<Worked> worked) {}

  private static Keyring.Generations opening(InstanceRecord instance) {
    var active =
        instance
            .active()
            .orElseThrow(() ->
                new StartException("instance " + instance.id() + " has no active master key"));
    return new Keyring.Generations(
        KeyringFollower.ids(active),
        instance.first(State.NEXT).map(KeyringFollower::ids),
        false,
        instance.generations().stream()
            .filter(each -> each.state() == State.PREVIOUS)
            .map(KeyringFollower::ids)
            .toList(),
        Map.of(),
        instance.generations().getFirst().stateRoot());
  }

  /**
   * Tries everything.
   *
   * @throws StartException naming the first that does not work
   */
  public Findings prove() {
    int masterKeys = 0;
    long keystoreCount = 0;
    long keyCount = 0;
    long guarded = 0;
    List<Worked> worked = new ArrayList<>();
    for (var instance : snapshot.instances()) {
      for (var generation : opens(instance)) {
        requireOpens(instance, generation);
        masterKeys++;
        worked.addAll(samples(instance.id(), generation));
      }
      for (var keystore : keystoresOf(instance.id())) {
        keystoreCount++;
        keyCount += keystore.keys();
        guarded += keystore.password().isPresent() ? keystore.keys() : 0;
      }
    }
    return new Findings(
        snapshot.instances().size(), masterKeys, keystoreCount, keyCount, guarded, worked);
  }

  private static List<SealingKeyGeneration> opens(InstanceRecord instance) {
    return instance.generations().stream().filter(each -> each.state().opens()).toList();
  }

  private void requireOpens(InstanceRecord instance, SealingKeyGeneration generation) {
    try {
      var _ =
          new HsmCalls(hsm)
              .call(session -> {
                KeyringFollower.requireOpens(session, instance, generation);
                return true;
              });
    } catch (SealingKeyException | Pkcs11Exception e) {
      throw new StartException(
          "master key %s of instance %s does not open with this token: %s"
              .formatted(generation.id(), instance.id(), e.getMessage()),
          e);
    }
  }

  /** All of an instance, each verified as a whole. */
  private List<KeystoreRecord> keystoresOf(UUID instance) {
    return store
        .keystores()
        .read(
            instance,
            view -> {
              var all = view.keystores();
              all.forEach(view::verify);
              return all;
            });
  }

  private List<Worked> samples(UUID instance, SealingKeyGeneration generation) {
    record Sample(UUID keystore, UUID key) {}
    var samples =
        store
            .keystores()
            .read(
                instance,
                view -> {
                  List<Sample> found = new ArrayList<>();
                  for (var keystore : view.keystoresUnder(generation.id(), Blob.FIRST)) {
                    if (keystore.password().isEmpty() && found.size() < SAMPLES) {
                      view.under(
                              keystore,
                              generation.id(),
                              Blob.FIRST,
                              new byte[0],
                              SAMPLES - found.size())
                          .keys()
                          .forEach(key -> found.add(new Sample(keystore.id(), key.id())));
                    }
                  }
                  return found;
                });
    return samples.stream()
        .map(sample -> {
          var access = new Access(instance, sample.keystore(), CALLER, new byte[0]);
          var stored = keystores.byIds(access, List.of(sample.key())).getFirst();
          try {
            return new Worked(
                instance,
                generation.id(),
                Optional.of(sample.key()),
                use(instance, stored.blobs().getFirst()));
          } catch (Pkcs11Exception e) {
            throw new StartException(
                "key %s of keystore %s (instance %s, master key %s) does not work with this token: %s"
                    .formatted(
                        sample.key(), sample.keystore(), instance, generation.id(), e.getMessage()),
                e);
          }
        })
        .toList();
  }

  /**
   * Opens the samples of a backup: under each master key that opens there has to be one, and all
   * have to decrypt what they encrypted before the backup was made.
   *
   * @return how many were opened; those that are sealed by value only where that is allowed
   * @throws StartException naming the first master key under which one is missing or does not open
   */
  public int prove(List<BackupSample> samples) {
    int opened = 0;
    for (var instance : snapshot.instances()) {
      for (var generation : opens(instance)) {
        int before = opened;
        for (var sample : samples) {
          if (sample.instance().equals(instance.id())
              && sample.masterKey().equals(generation.id())
              && opens(sample)) {
            opened++;
          }
        }
        if (opened == before) {
          throw new StartException(
              "the backup holds no sample under master key %s of instance %s: the token lacked its keys when the backup was made; take another one"
                  .formatted(generation.id(), instance.id()));
        }
      }
    }
    return opened;
  }

  /** False of one that may not be opened here. */
  private boolean opens(BackupSample sample) {
    try {
      return onToken(() -> {
        if (!softwareFallback
            && sealer.open(sample.instance(), sample.blob()) instanceof KeySealer.OpenedKey opened
            && sealer.isSealedValue(opened)) {
          return false;
        }
        try (var key = keys.borrow(sample.instance(), sample.blob(), KeyForm.USE)) {
          var ciphertext = ByteBuffer.wrap(sample.ciphertext());
          var text = hsm.session().decrypt(SampleBlobs.MECHANISM, key.handle(), ciphertext);
          if (!Arrays.equals(SampleBlobs.TEXT, text)) {
            throw new StartException("it is another key than was sealed");
          }
          return true;
        } finally {
          keys.purge();
        }
      });
    } catch (SealingKeyException | Pkcs11Exception | StartException e) {
      throw new StartException(
          "a sample under master key %s of instance %s does not open with this token, and so would no key blob of a client: %s"
              .formatted(sample.masterKey(), sample.instance(), e.getMessage()),
          e);
    }
  }

  /**
   * Tries a blob that a client kept.
   *
   * @throws StartException when it opens in no instance
   */
  public Worked prove(byte[] blob) {
    String why = "there is no instance";
    for (var instance : snapshot.instances()) {
      try {
        return new Worked(instance.id(), "", Optional.empty(), use(instance.id(), blob));
      } catch (Pkcs11Exception e) {
        why = String.valueOf(e.getMessage());
      }
    }
    throw new StartException("the blob does not work with this token and backup: " + why);
  }

  private String use(UUID instance, byte[] blob) {
    return onToken(() -> {
      try (var key = keys.borrow(instance, blob, KeyForm.USE)) {
        return use(hsm.session(), key);
      } finally {
        keys.purge();
      }
    });
  }

  private <T> T onToken(Callable<T> work) {
    try {
      return hsm.submit(Lane.LOAD, CALLER, System.nanoTime() + PATIENCE.toNanos(), work).join();
    } catch (CompletionException e) {
      throw e.getCause() instanceof RuntimeException refusal ? refusal : e;
    }
  }

  /** The plainest operation that the attributes of the key allow. */
  private static String use(Session session, WorkingKey key) {
    var attributes = key.attributes();
    long type = attributes.ulong(CKA_KEY_TYPE).orElse(-1);
    boolean secret = attributes.ulong(CKA_CLASS).orElse(-1) == Cko.CKO_SECRET_KEY;
    boolean signs = attributes.isTrue(CKA_SIGN);
    if (secret && type == Ckk.CKK_AES && attributes.isTrue(CKA_ENCRYPT)) {
      var mechanism = Mechanism.of(Ckm.CKM_AES_CBC_PAD, new byte[16]);
      var sealed = session.encrypt(mechanism, key.handle(), ByteBuffer.wrap(SAMPLE));
      if (attributes.isTrue(CKA_DECRYPT)
          && !Arrays.equals(
              SAMPLE, session.decrypt(mechanism, key.handle(), ByteBuffer.wrap(sealed)))) {
        throw new StartException("what it encrypted does not decrypt");
      }
      return mechanism.name();
    }
    Function<Mechanism, String> signing =
        mechanism -> {
          var _ = session.sign(mechanism, key.handle(), ByteBuffer.wrap(SAMPLE));
          return mechanism.name();
        };
    if (signs && secret && type == Ckk.CKK_GENERIC_SECRET) {
      return signing.apply(Mechanism.of(Ckm.CKM_SHA256_HMAC));
    }
    if (signs && type == Ckk.CKK_EC) {
      return signing.apply(Mechanism.of(Ckm.CKM_ECDSA));
    }
    if (signs && type == Ckk.CKK_RSA) {
      return signing.apply(Mechanism.of(Ckm.CKM_RSA_PKCS));
    }
    return "loaded";
  }
}
