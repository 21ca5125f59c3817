package dev.grep11.gateway.token;

import static dev.grep11.gateway.pkcs11.Cka.*;
import static java.nio.charset.StandardCharsets.US_ASCII;

import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.SecretBuffer;
import dev.grep11.gateway.hsm.Session;
import dev.grep11.gateway.key.KeySealer;
import dev.grep11.gateway.key.Keyring;
import dev.grep11.gateway.key.SealingKeyException;
import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.gateway.store.BackupSample;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.SealingKeyGeneration;
import dev.grep11.gateway.store.Snapshot;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Makes key blobs for a backup: under each master key that opens, one in each way that a blob can
 * be sealed (docs/key-blob.md), so that KEK-N, KEK-X, the MAC key and, where keys may be sealed by
 * value, the value key have each made something that a rehearsal is to open. Each is an AES key
 * that nobody has; with it goes what it made of a known text. They are session objects, and gone
 * when this returns.
 *
 * <p>Also under master keys that seal nothing for clients, or not yet: no client gets a sample.
 */
public final class SampleBlobs {
  /** What each key has encrypted. */
  static final byte[] TEXT = "grep11 sample of a backup".getBytes(US_ASCII);

  static final Mechanism MECHANISM = Mechanism.of(Ckm.CKM_AES_CBC_PAD, new byte[16]);
  private static final int KEY_LENGTH = 32;

  private final Hsm hsm;
  private final boolean privateObjects;
  private final boolean softwareFallback;

  /**
   * @param softwareFallback whether keys may be sealed by value
   */
  public SampleBlobs(Hsm hsm, boolean privateObjects, boolean softwareFallback) {
    this.hsm = hsm;
    this.privateObjects = privateObjects;
    this.softwareFallback = softwareFallback;
  }

  /** Of every master key that opens by this state of a store, and whose keys the token has. */
  public List<BackupSample> of(Snapshot snapshot) {
    List<BackupSample> samples = new ArrayList<>();
    for (var instance : snapshot.instances()) {
      for (var generation : instance.generations()) {
        if (generation.state().opens()) {
          samples.addAll(of(instance, generation));
        }
      }
    }
    return samples;
  }

  private List<BackupSample> of(InstanceRecord instance, SealingKeyGeneration generation) {
    var alone =
        new Keyring.Generations(
            KeyringFollower.ids(generation),
            Optional.empty(),
            false,
            List.of(),
            Map.of(),
            instance.generations().getFirst().stateRoot());
    var sealer =
        new KeySealer(
            hsm, new Keyring(hsm, Map.of(instance.id(), alone)), privateObjects, softwareFallback);
    try {
      return new HsmCalls(hsm)
          .call(session -> {
            var its = new OneMasterKey(sealer, session, instance, generation);
            List<BackupSample> samples = new ArrayList<>();
            samples.add(its.wrapped(false));
            samples.add(its.wrapped(true));
            if (softwareFallback) {
              samples.add(its.byValue());
            }
            return samples;
          });
    } catch (SealingKeyException _) {
      // A backup is better than none; a rehearsal says which master key does not open.
      return List.of();
    }
  }

  /** Samples of one master key. */
  private record OneMasterKey(
      KeySealer sealer, Session session, InstanceRecord instance, SealingKeyGeneration generation) {

    BackupSample wrapped(boolean extractable) {
      long key =
          session.generateKey(
              Mechanism.of(Ckm.CKM_AES_KEY_GEN), passing().put(CKA_VALUE_LEN, KEY_LENGTH).build());
      try {
        return sample(key, sealer.seal(instance.id(), key, attributes(extractable)));
      } finally {
        session.destroyObject(key);
      }
    }

    BackupSample byValue() {
      byte[] random = session.random(KEY_LENGTH);
      try (var value = SecretBuffer.allocate(KEY_LENGTH)) {
        value.buffer().put(random);
        long key = session.createObject(passing().putOffHeap(CKA_VALUE, value.buffer()).build());
        try {
          return sample(key, sealer.sealValue(instance.id(), value, attributes(false)));
        } finally {
          session.destroyObject(key);
        }
      } finally {
        Arrays.fill(random, (byte) 0);
      }
    }

    private BackupSample sample(long key, byte[] blob) {
      var ciphertext = session.encrypt(MECHANISM, key, ByteBuffer.wrap(TEXT));
      return new BackupSample(instance.id(), generation.id(), blob, ciphertext);
    }

    private static Template.Builder passing() {
      return Template.builder()
          .put(CKA_CLASS, Cko.CKO_SECRET_KEY)
          .put(CKA_KEY_TYPE, Ckk.CKK_AES)
          .put(CKA_TOKEN, false)
          .put(CKA_PRIVATE, true)
          .put(CKA_SENSITIVE, true)
          .put(CKA_EXTRACTABLE, true)
          .put(CKA_ENCRYPT, true);
    }

    private static Template attributes(boolean extractable) {
      return Template.builder()
          .put(CKA_CLASS, Cko.CKO_SECRET_KEY)
          .put(CKA_KEY_TYPE, Ckk.CKK_AES)
          .put(CKA_VALUE_LEN, KEY_LENGTH)
          .put(CKA_ENCRYPT, false)
          .put(CKA_DECRYPT, true)
          .put(CKA_EXTRACTABLE, extractable)
          .build();
    }
  }
}
