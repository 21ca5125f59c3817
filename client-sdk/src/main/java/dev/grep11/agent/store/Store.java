package dev.grep11.agent.store;

import java.util.List;
import java.util.Optional;
import java.util.UUID;

/**
 * A keystore: the token objects of one user of a slot. Every agent that has the same store sees the
 * same objects. Methods block and may be called by several threads; they throw {@link
 * StoreException}.
 */
public interface Store extends AutoCloseable {

  /** All objects that have these attributes with these values. */
  List<StoredObject> find(Attributes template);

  /** What the object is now, if it still exists. */
  Optional<StoredObject> read(UUID id);

  /** A new object of version 0. */
  StoredObject create(Attributes attributes, List<byte[]> blobs);

  /**
   * The object with new contents, one version later.
   *
   * @param version the one that the caller has seen; {@link StoreException.Reason#CONFLICT} when
   *     somebody else changed it since, {@link StoreException.Reason#MISSING} when there is no such
   *     object any more
   */
  StoredObject update(UUID id, long version, Attributes attributes, List<byte[]> blobs);

  /** {@link StoreException.Reason#MISSING} when there is no such object. */
  void delete(UUID id);

  /** Deletes every object, and gives the token its label (C_InitToken). */
  void initialize(String label);

  /** The label that {@link #initialize} gave, if it was ever called. */
  Optional<String> label();

  /**
   * {@link StoreException.Reason#PASSWORD} when the keystore has another password than it was
   * opened with, so that a login tells it and not the first key that is missed.
   */
  void requirePassword();

  /**
   * Gives the keystore another password; it was opened with the one that it has. Where it has the
   * new one already nothing happens, so that a change that was cut off may be repeated.
   *
   * @param password 6 to 8 characters, the caller's to wipe
   * @throws StoreException {@link StoreException.Reason#PASSWORD} when it has neither
   */
  void changePassword(char[] password);

  @Override
  void close();
}
