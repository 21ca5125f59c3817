package dev.grep11.gateway.store;

import java.util.Arrays;
import java.util.List;
import java.util.UUID;

/**
 * The client CAs of an instance. No record means refuse; a record without entries means that no CA
 * is registered and the second lock is open (security rules 2.12).
 *
 * @param generation counts the changes of this registry, 0 when created
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

  /** A registered certificate, DER. */
  @SuppressWarnings("ArrayRecordComponent") // Copied in and out; equality is by content.
  public record Entry(String id, byte[] certificate) {
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
          && id.equals(that.id)
          && Arrays.equals(certificate, that.certificate);
    }

    @Override
    public int hashCode() {
      return id.hashCode();
    }
  }
}
