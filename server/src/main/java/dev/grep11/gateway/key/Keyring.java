package dev.grep11.gateway.key;

import dev.grep11.gateway.hsm.Epoch;
import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * The sealing keys of every instance, as handles of the current HSM epoch. Thread-safe; a lookup
 * that finds its keys not yet loaded in this epoch loads them in the calling thread's session.
 */
public final class Keyring {

  /** The generations of one instance, the active one first. */
  public record Generations(List<SealingKeyIds> ids) {
    public Generations {
      ids = List.copyOf(ids);
      if (ids.isEmpty()) {
        throw new IllegalArgumentException("an instance without sealing keys");
      }
    }
  }

  private record Id(UUID instance, ByteBuffer masterKeyId) {}

  private record Loaded(Epoch epoch, Map<Id, SealingKeys> keys) {}

  private final Hsm hsm;
  private final Map<UUID, Generations> instances;
  private volatile @Nullable Loaded loaded;

  public Keyring(Hsm hsm, Map<UUID, Generations> instances) {
    this.hsm = hsm;
    this.instances = Map.copyOf(instances);
  }

  /**
   * Finds every key of every generation, so that a gateway with a missing one does not start.
   *
   * @throws SealingKeyException naming the key
   */
  public void loadAll() {
    instances.forEach(
        (instance, generations) -> generations.ids().forEach(ids -> load(instance, ids)));
  }

  /** The keys that seal new blobs. */
  SealingKeys active(UUID instance) {
    return load(instance, generations(instance).ids().getFirst());
  }

  /**
   * The keys that a blob was sealed with. A blob of another instance gets the same answer as one of
   * an unknown master key.
   */
  SealingKeys find(UUID instance, UUID ofBlob, byte[] masterKeyId) {
    if (instance.equals(ofBlob)) {
      for (var ids : generations(instance).ids()) {
        if (Arrays.equals(ids.masterKeyId(), masterKeyId)) {
          return load(instance, ids);
        }
      }
    }
    throw new Pkcs11Exception(
        Ckr.CKR_IBM_WKID_MISMATCH, "the blob was not sealed under this instance's master key");
  }

  private Generations generations(UUID instance) {
    var generations = instances.get(instance);
    if (generations == null) {
      throw new Pkcs11Exception(Ckr.CKR_IBM_WK_NOT_INITIALIZED, "unknown instance");
    }
    return generations;
  }

  private SealingKeys load(UUID instance, SealingKeyIds ids) {
    var session = hsm.session();
    var current = loaded;
    if (current == null || current.epoch() != session.epoch()) {
      current = new Loaded(session.epoch(), new ConcurrentHashMap<>());
      loaded = current;
    }
    var id = new Id(instance, ByteBuffer.wrap(ids.masterKeyId()));
    var keys = current.keys().get(id);
    if (keys == null) {
      keys = SealingKeys.load(session, instance, ids);
      current.keys().put(id, keys);
    }
    return keys;
  }
}
