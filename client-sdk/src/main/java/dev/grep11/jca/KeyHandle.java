package dev.grep11.jca;

import dev.grep11.agent.store.RemoteStore;
import dev.grep11.agent.store.StoredObject;
import dev.grep11.client.Ckr;
import dev.grep11.client.Grep11Client;
import dev.grep11.client.Grep11Exception;
import dev.grep11.client.KeyBlob;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.function.BiFunction;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/** A sealed key and the user who reaches the gateway with it. Safe for use by several threads. */
final class KeyHandle<K extends KeyBlob> {
  /** A record of a keystore. */
  record Place(RemoteStore store, UUID id) {}

  private final RemoteStore.Reach reach;
  private final Function<byte[], K> form;

  /** The best first. */
  private volatile List<K> blobs;

  private volatile @Nullable Place place;

  private KeyHandle(
      RemoteStore.Reach reach, Function<byte[], K> form, List<K> blobs, @Nullable Place place) {
    this.reach = reach;
    this.form = form;
    this.blobs = blobs;
    this.place = place;
  }

  /** A key that is kept nowhere: with the last handle of it, it is gone. */
  static <K extends KeyBlob> KeyHandle<K> unsaved(
      RemoteStore.Reach reach, K blob, Function<byte[], K> form) {
    return new KeyHandle<>(reach, form, List.of(blob), null);
  }

  /** A key that is in a keystore. */
  static <K extends KeyBlob> KeyHandle<K> saved(
      RemoteStore.Reach reach, RemoteStore store, StoredObject object, Function<byte[], K> form) {
    return new KeyHandle<>(reach, form, forms(object.blobs(), form), new Place(store, object.id()));
  }

  private static <K> List<K> forms(List<byte[]> blobs, Function<byte[], K> form) {
    return blobs.stream().map(form).toList();
  }

  RemoteStore.Reach reach() {
    return reach;
  }

  K blob() {
    return blobs.get(0);
  }

  Optional<Place> place() {
    return Optional.ofNullable(place);
  }

  void savedAt(Place where) {
    place = where;
  }

  /**
   * A call with the key. When the gateway no longer opens the blob, because the operator rotated
   * its master key, the key's other blob is tried, and then its record is read again: a server that
   * loaded its key months ago goes on.
   */
  <T> T use(BiFunction<Grep11Client, K, T> call) {
    var known = blobs;
    try {
      return reach.ask(client -> call.apply(client, known.get(0)));
    } catch (Grep11Exception e) {
      if (e.returnValue() != Ckr.CKR_IBM_WKID_MISMATCH) {
        throw e;
      }
      for (K other : others(known)) {
        try {
          T result = reach.ask(client -> call.apply(client, other));
          blobs = List.of(other);
          return result;
        } catch (Grep11Exception again) {
          if (again.returnValue() != Ckr.CKR_IBM_WKID_MISMATCH) {
            throw again;
          }
        }
      }
      throw e;
    }
  }

  private List<K> others(List<K> known) {
    var others = new ArrayList<>(known.subList(1, known.size()));
    var where = place;
    if (where != null) {
      where
          .store()
          .read(where.id())
          .ifPresent(object -> others.addAll(forms(object.blobs(), form)));
    }
    others.remove(known.get(0));
    return others;
  }

  /** The same record of a keystore, or the same blob. */
  @Override
  public boolean equals(@Nullable Object other) {
    if (!(other instanceof KeyHandle<?> handle)) {
      return false;
    }
    var here = place;
    var there = handle.place;
    if (here == null || there == null) {
      return blob().equals(handle.blob());
    }
    return here.id().equals(there.id());
  }

  /** One for all: what is equal may change, since keys are saved and rotated. */
  @Override
  public int hashCode() {
    return 1;
  }

  @Override
  public String toString() {
    var where = place;
    return where == null ? "not in a keystore" : "object " + where.id();
  }
}
