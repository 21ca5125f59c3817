package dev.grep11.agent.store;

import dev.grep11.agent.store.StoreException.Reason;
import java.util.List;
import java.util.Optional;
import java.util.UUID;

/** No storage is configured: there are session objects only. */
public final class NoStore implements Store {
  @Override
  public List<StoredObject> find(Attributes template) {
    return List.of();
  }

  @Override
  public Optional<StoredObject> read(UUID id) {
    return Optional.empty();
  }

  @Override
  public StoredObject create(Attributes attributes, List<byte[]> blobs) {
    throw absent();
  }

  @Override
  public StoredObject update(UUID id, long version, Attributes attributes, List<byte[]> blobs) {
    throw absent();
  }

  @Override
  public void delete(UUID id) {
    throw absent();
  }

  @Override
  public void initialize(String label) {
    throw absent();
  }

  @Override
  public Optional<String> label() {
    return Optional.empty();
  }

  @Override
  public void requirePassword() {}

  @Override
  public void changePassword(char[] password) {
    throw absent();
  }

  @Override
  public void close() {}

  private static StoreException absent() {
    return new StoreException(
        Reason.ABSENT, "no storage is enabled for this slot, so that there are no token objects");
  }
}
