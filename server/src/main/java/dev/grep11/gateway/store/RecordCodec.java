package dev.grep11.gateway.store;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.UUID;

/**
 * Records as bytes: a format number, then the fields in order, everything of variable length with
 * its length.
 */
final class RecordCodec {
  private static final int FORMAT = 1;

  private RecordCodec() {}

  /** What a record is found by; unique in its table. */
  static byte[] identity(Stored record) {
    return bytes(out -> {
      switch (record) {
        case InstanceRecord instance -> uuid(out, instance.id());
        case Grant grant -> grant(out, grant);
        case ApiKeyRecord apiKey -> uuid(out, apiKey.id());
        case RegistryRecord registry -> uuid(out, registry.instance());
      }
    });
  }

  static byte[] encode(Stored record) {
    return bytes(out -> {
      out.writeByte(FORMAT);
      switch (record) {
        case InstanceRecord instance -> instance(out, instance);
        case Grant grant -> grant(out, grant);
        case ApiKeyRecord apiKey -> apiKey(out, apiKey);
        case RegistryRecord registry -> registry(out, registry);
      }
    });
  }

  static Stored decode(Table table, byte[] encoded) {
    try (var in = new DataInputStream(new ByteArrayInputStream(encoded))) {
      int format = in.readUnsignedByte();
      if (format != FORMAT) {
        throw new StoreException(
            "row of table " + table.sqlName() + " has format " + format + ", not " + FORMAT);
      }
      Stored record =
          switch (table) {
            case INSTANCE -> instance(in);
            case GRANT -> grant(in);
            case API_KEY -> apiKey(in);
            case REGISTRY -> registry(in);
          };
      if (in.available() != 0) {
        throw new StoreException("row of table " + table.sqlName() + " has bytes left over");
      }
      return record;
    } catch (IOException | IllegalArgumentException e) {
      throw new StoreException("row of table " + table.sqlName() + " does not decode", e);
    }
  }

  private static void instance(DataOutputStream out, InstanceRecord instance) throws IOException {
    uuid(out, instance.id());
    text(out, instance.name());
    text(out, instance.account());
    text(out, instance.location());
    out.writeInt(instance.generations().size());
    for (SealingKeyGeneration generation : instance.generations()) {
      text(out, generation.state().name());
      instant(out, generation.created());
      blob(out, generation.masterKeyId());
      blob(out, generation.kekN());
      blob(out, generation.kekX());
      blob(out, generation.macKey());
      blob(out, generation.valueKey());
      blob(out, generation.stateRoot());
    }
  }

  private static InstanceRecord instance(DataInputStream in) throws IOException {
    UUID id = uuid(in);
    String name = text(in);
    String account = text(in);
    String location = text(in);
    List<SealingKeyGeneration> generations = new ArrayList<>();
    for (int left = in.readInt(); left > 0; left--) {
      var state = SealingKeyGeneration.State.valueOf(text(in));
      Instant created = instant(in);
      generations.add(
          new SealingKeyGeneration(
              blob(in), state, blob(in), blob(in), blob(in), blob(in), blob(in), created));
    }
    return new InstanceRecord(id, name, account, location, generations);
  }

  private static void grant(DataOutputStream out, Grant grant) throws IOException {
    subject(out, grant.subject());
    uuid(out, grant.instance());
    switch (grant.entitlement()) {
      case Entitlement.Role role -> {
        out.writeByte(0);
        text(out, role.name());
      }
      case Entitlement.Actions actions -> {
        out.writeByte(1);
        out.writeInt(actions.names().size());
        for (String name : actions.names()) {
          text(out, name);
        }
      }
    }
    out.writeBoolean(grant.resource().isPresent());
    if (grant.resource().isPresent()) {
      text(out, grant.resource().get());
    }
  }

  private static Grant grant(DataInputStream in) throws IOException {
    Subject subject = subject(in);
    UUID instance = uuid(in);
    Entitlement entitlement =
        switch (in.readByte()) {
          case 0 -> new Entitlement.Role(text(in));
          case 1 -> {
            Set<String> names = new TreeSet<>();
            for (int left = in.readInt(); left > 0; left--) {
              names.add(text(in));
            }
            yield new Entitlement.Actions(names);
          }
          default -> throw new IOException("unknown kind of entitlement");
        };
    Optional<String> resource = in.readBoolean() ? Optional.of(text(in)) : Optional.empty();
    return new Grant(subject, instance, entitlement, resource);
  }

  private static void apiKey(DataOutputStream out, ApiKeyRecord apiKey) throws IOException {
    uuid(out, apiKey.id());
    text(out, apiKey.name());
    blob(out, apiKey.hash());
    subject(out, apiKey.subject());
    instant(out, apiKey.created());
  }

  private static ApiKeyRecord apiKey(DataInputStream in) throws IOException {
    return new ApiKeyRecord(uuid(in), text(in), blob(in), subject(in), instant(in));
  }

  private static void registry(DataOutputStream out, RegistryRecord registry) throws IOException {
    uuid(out, registry.instance());
    out.writeLong(registry.generation());
    out.writeInt(registry.entries().size());
    for (RegistryRecord.Entry entry : registry.entries()) {
      text(out, entry.id());
      blob(out, entry.certificate());
    }
  }

  private static RegistryRecord registry(DataInputStream in) throws IOException {
    UUID instance = uuid(in);
    long generation = in.readLong();
    List<RegistryRecord.Entry> entries = new ArrayList<>();
    for (int left = in.readInt(); left > 0; left--) {
      entries.add(new RegistryRecord.Entry(text(in), blob(in)));
    }
    return new RegistryRecord(instance, generation, entries);
  }

  private static void subject(DataOutputStream out, Subject subject) throws IOException {
    text(out, subject.issuer());
    text(out, subject.id());
  }

  private static Subject subject(DataInputStream in) throws IOException {
    return new Subject(text(in), text(in));
  }

  private static void uuid(DataOutputStream out, UUID id) throws IOException {
    out.writeLong(id.getMostSignificantBits());
    out.writeLong(id.getLeastSignificantBits());
  }

  private static UUID uuid(DataInputStream in) throws IOException {
    return new UUID(in.readLong(), in.readLong());
  }

  private static void instant(DataOutputStream out, Instant instant) throws IOException {
    out.writeLong(instant.getEpochSecond());
    out.writeInt(instant.getNano());
  }

  private static Instant instant(DataInputStream in) throws IOException {
    return Instant.ofEpochSecond(in.readLong(), in.readInt());
  }

  private static void text(DataOutputStream out, String value) throws IOException {
    blob(out, value.getBytes(UTF_8));
  }

  private static String text(DataInputStream in) throws IOException {
    return new String(blob(in), UTF_8);
  }

  private static void blob(DataOutputStream out, byte[] value) throws IOException {
    out.writeInt(value.length);
    out.write(value);
  }

  private static byte[] blob(DataInputStream in) throws IOException {
    int length = in.readInt();
    if (length < 0 || length > in.available()) {
      throw new IOException("length " + length + " exceeds the row");
    }
    return in.readNBytes(length);
  }

  private interface Encoding {
    void writeTo(DataOutputStream out) throws IOException;
  }

  private static byte[] bytes(Encoding encoding) {
    var bytes = new ByteArrayOutputStream();
    try (var out = new DataOutputStream(bytes)) {
      encoding.writeTo(out);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return bytes.toByteArray();
  }
}
