package dev.grep11.gateway.store;

import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.UUID;

/**
 * The client CAs of an instance. No record means refuse; a record without entries means that no CA
 * is registered and the second lock is open (security rules 2.12).
 *
 * @param generation counts the changes of the instance's client CAs and administrators, 0 when
 *     created
 */
public record RegistryRecord(UUID instance, long generation, List<Entry> entries)
    implements Stored {
  public RegistryRecord {
    if (generation < 0) {
      throw new IllegalArgumentException("registry generation " + generation);
    }
    entries = List.copyOf(entries);
  }

  static RegistryRecord empty(UUID instance) {
    return new RegistryRecord(instance, 0, List.of());
  }

  /** The same with other entries, one change later. */
  public RegistryRecord next(List<Entry> changed) {
    return new RegistryRecord(instance, generation + 1, changed);
  }

  /** The entry of this administrator with this id. */
  public Optional<Entry> entry(Subject owner, String id) {
    return entries.stream()
        .filter(entry -> entry.owner().equals(owner) && entry.id().equals(id))
        .findFirst();
  }

  /**
   * A registered certificate.
   *
   * @param owner the administrator who registered it; ids are unique for each
   * @param certificate DER
   */
  @SuppressWarnings("ArrayRecordComponent") // Copied in and out; equality is by content.
  public record Entry(Subject owner, String id, byte[] certificate, Instant registered) {
    public Entry {
      Text.checked("certificate id", id);
      certificate = certificate.clone();
    }

    @Override
    public byte[] certificate() {
      return certificate.clone();
    }

    @Override
    public boolean equals(Object other) {
      return other instanceof Entry that
          && owner.equals(that.owner)
          && id.equals(that.id)
          && registered.equals(that.registered)
          && Arrays.equals(certificate, that.certificate);
    }

    @Override
    public int hashCode() {
      return id.hashCode();
    }
  }
}
