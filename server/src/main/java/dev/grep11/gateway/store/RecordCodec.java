package dev.grep11.gateway.store;

import static dev.grep11.gateway.store.Fields.blob;
import static dev.grep11.gateway.store.Fields.bytes;
import static dev.grep11.gateway.store.Fields.text;
import static dev.grep11.gateway.store.Fields.uuid;

import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.UUID;

/**
 * Records as bytes: a format number, then the fields in order, everything of variable length with
 * its length. Format 2 is that of instances whose generations know since when they are in their
 * state, of registries whose entries know who registered them and when, of replicas that say their
 * rules, and of API keys that may be disabled.
 */
final class RecordCodec {
  private static final int FIRST = 1;
  private static final int GENERATIONS_SINCE = 2;
  private static final int ENTRIES_OWNED = 2;
  private static final int REPLICA_RULES = 2;
  private static final int API_KEYS_DISABLED = 2;

  /** Since then a countersignature says whose it is; one that does not holds no longer. */
  private static final int SIGNERS_KNOWN = 2;

  private RecordCodec() {}

  /** What a record is found by; unique in its table. */
  static byte[] identity(Stored record) {
    return bytes(out -> {
      switch (record) {
        case InstanceRecord instance -> uuid(out, instance.id());
        case Grant grant -> grant(out, grant);
        case ApiKeyRecord apiKey -> uuid(out, apiKey.id());
        case RegistryRecord registry -> uuid(out, registry.instance());
        case ReplicaRecord replica -> uuid(out, replica.id());
        case SealingKeyUse use -> {
          uuid(out, use.instance());
          text(out, use.generation());
        }
        case AdministratorRecord administrator -> {
          uuid(out, administrator.instance());
          subject(out, administrator.subject());
        }
        case EnrolmentRecord enrolment -> {
          uuid(out, enrolment.instance());
          subject(out, enrolment.subject());
          text(out, enrolment.kind().name());
        }
        case EventRecord event -> uuid(out, event.id());
        case AuditHeadRecord head -> {
          uuid(out, head.file());
          uuid(out, head.source());
        }
        case UpkeepRecord upkeep -> text(out, upkeep.kind().name());
      }
    });
  }

  static byte[] encode(Stored record) {
    return bytes(out -> {
      out.writeByte(format(Table.of(record)));
      switch (record) {
        case InstanceRecord instance -> instance(out, instance);
        case Grant grant -> grant(out, grant);
        case ApiKeyRecord apiKey -> apiKey(out, apiKey);
        case RegistryRecord registry -> registry(out, registry);
        case ReplicaRecord replica -> replica(out, replica);
        case SealingKeyUse use -> use(out, use);
        case AdministratorRecord administrator -> administrator(out, administrator);
        case EnrolmentRecord enrolment -> enrolment(out, enrolment);
        case EventRecord event -> event(out, event);
        case AuditHeadRecord head -> auditHead(out, head);
        case UpkeepRecord upkeep -> upkeep(out, upkeep);
      }
    });
  }

  static Stored decode(Table table, byte[] encoded) {
    try (var in = new DataInputStream(new ByteArrayInputStream(encoded))) {
      int format = in.readUnsignedByte();
      if (format < FIRST || format > format(table)) {
        throw new StoreException(
            "row of table " + table.sqlName() + " has format " + format + ", not " + format(table));
      }
      Stored record =
          switch (table) {
            case INSTANCE -> instance(in, format);
            case GRANT -> grant(in);
            case API_KEY -> apiKey(in, format);
            case REGISTRY -> registry(in, format);
            case REPLICA -> replica(in, format);
            case SEALING_KEY_USE -> use(in);
            case ADMINISTRATOR -> administrator(in);
            case ENROLMENT -> enrolment(in, format);
            case EVENT -> event(in);
            case AUDIT_HEAD -> auditHead(in);
            case UPKEEP -> upkeep(in);
          };
      if (in.available() != 0) {
        throw new StoreException("row of table " + table.sqlName() + " has bytes left over");
      }
      return record;
    } catch (IOException | IllegalArgumentException e) {
      throw new StoreException("row of table " + table.sqlName() + " does not decode", e);
    }
  }

  private static int format(Table table) {
    return switch (table) {
      case INSTANCE -> GENERATIONS_SINCE;
      case REGISTRY -> ENTRIES_OWNED;
      case REPLICA -> REPLICA_RULES;
      case ENROLMENT -> SIGNERS_KNOWN;
      case API_KEY -> API_KEYS_DISABLED;
      case GRANT, SEALING_KEY_USE, ADMINISTRATOR, EVENT, AUDIT_HEAD, UPKEEP -> FIRST;
    };
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
      instant(out, generation.since());
      blob(out, generation.masterKeyId());
      blob(out, generation.kekN());
      blob(out, generation.kekX());
      blob(out, generation.macKey());
      blob(out, generation.valueKey());
      blob(out, generation.stateRoot());
    }
  }

  private static InstanceRecord instance(DataInputStream in, int format) throws IOException {
    UUID id = uuid(in);
    String name = text(in);
    String account = text(in);
    String location = text(in);
    List<SealingKeyGeneration> generations = new ArrayList<>();
    for (int left = in.readInt(); left > 0; left--) {
      var state = SealingKeyGeneration.State.valueOf(text(in));
      Instant created = instant(in);
      Instant since = format < GENERATIONS_SINCE ? created : instant(in);
      generations.add(
          new SealingKeyGeneration(
              blob(in), state, blob(in), blob(in), blob(in), blob(in), blob(in), created, since));
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
        texts(out, actions.names());
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
          case 1 -> new Entitlement.Actions(texts(in));
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
    out.writeBoolean(apiKey.disabled().isPresent());
    if (apiKey.disabled().isPresent()) {
      instant(out, apiKey.disabled().get());
    }
  }

  private static ApiKeyRecord apiKey(DataInputStream in, int format) throws IOException {
    return new ApiKeyRecord(
        uuid(in),
        text(in),
        blob(in),
        subject(in),
        instant(in),
        format >= API_KEYS_DISABLED && in.readBoolean()
            ? Optional.of(instant(in))
            : Optional.empty());
  }

  private static void registry(DataOutputStream out, RegistryRecord registry) throws IOException {
    uuid(out, registry.instance());
    out.writeLong(registry.generation());
    out.writeInt(registry.entries().size());
    for (RegistryRecord.Entry entry : registry.entries()) {
      subject(out, entry.owner());
      text(out, entry.id());
      blob(out, entry.certificate());
      instant(out, entry.registered());
    }
  }

  private static RegistryRecord registry(DataInputStream in, int format) throws IOException {
    UUID instance = uuid(in);
    long generation = in.readLong();
    List<RegistryRecord.Entry> entries = new ArrayList<>();
    int left = in.readInt();
    if (format < ENTRIES_OWNED && left > 0) {
      throw new IOException("client CAs that nobody registered");
    }
    for (; left > 0; left--) {
      entries.add(new RegistryRecord.Entry(subject(in), text(in), blob(in), instant(in)));
    }
    return new RegistryRecord(instance, generation, entries);
  }

  private static void replica(DataOutputStream out, ReplicaRecord replica) throws IOException {
    uuid(out, replica.id());
    text(out, replica.name());
    instant(out, replica.seen());
    instant(out, replica.until());
    texts(out, replica.opens());
    texts(out, replica.rewrapsUnder());
    texts(out, replica.seals());
    out.writeBoolean(replica.rules().isPresent());
    if (replica.rules().isPresent()) {
      out.writeBoolean(replica.rules().get().certificatesRequired());
      text(out, replica.rules().get().enrolment());
    }
  }

  private static ReplicaRecord replica(DataInputStream in, int format) throws IOException {
    return new ReplicaRecord(
        uuid(in),
        text(in),
        instant(in),
        instant(in),
        texts(in),
        texts(in),
        texts(in),
        format >= REPLICA_RULES && in.readBoolean()
            ? Optional.of(new ReplicaRecord.Rules(in.readBoolean(), text(in)))
            : Optional.empty());
  }

  private static void use(DataOutputStream out, SealingKeyUse use) throws IOException {
    uuid(out, use.instance());
    text(out, use.generation());
    out.writeLong(use.count());
    instant(out, use.lastUsed());
  }

  private static SealingKeyUse use(DataInputStream in) throws IOException {
    return new SealingKeyUse(uuid(in), text(in), in.readLong(), instant(in));
  }

  private static void administrator(DataOutputStream out, AdministratorRecord administrator)
      throws IOException {
    uuid(out, administrator.instance());
    subject(out, administrator.subject());
    blob(out, administrator.publicKey());
    out.writeLong(administrator.counter());
    instant(out, administrator.since());
  }

  private static AdministratorRecord administrator(DataInputStream in) throws IOException {
    return new AdministratorRecord(uuid(in), subject(in), blob(in), in.readLong(), instant(in));
  }

  private static void enrolment(DataOutputStream out, EnrolmentRecord enrolment)
      throws IOException {
    uuid(out, enrolment.instance());
    subject(out, enrolment.subject());
    text(out, enrolment.kind().name());
    blob(out, enrolment.proof());
    instant(out, enrolment.expires());
    out.writeBoolean(enrolment.by().isPresent());
    if (enrolment.by().isPresent()) {
      subject(out, enrolment.by().get().subject());
      text(out, enrolment.by().get().keyFingerprint());
    }
  }

  private static EnrolmentRecord enrolment(DataInputStream in, int format) throws IOException {
    return new EnrolmentRecord(
        uuid(in),
        subject(in),
        EnrolmentRecord.Kind.valueOf(text(in)),
        blob(in),
        instant(in),
        format >= SIGNERS_KNOWN && in.readBoolean()
            ? Optional.of(new EnrolmentRecord.Signer(subject(in), text(in)))
            : Optional.empty());
  }

  private static void event(DataOutputStream out, EventRecord event) throws IOException {
    uuid(out, event.id());
    text(out, event.event());
    uuid(out, event.writer());
    instant(out, event.written());
  }

  private static EventRecord event(DataInputStream in) throws IOException {
    return new EventRecord(uuid(in), text(in), uuid(in), instant(in));
  }

  private static void auditHead(DataOutputStream out, AuditHeadRecord head) throws IOException {
    uuid(out, head.file());
    uuid(out, head.source());
    text(out, head.path());
    out.writeLong(head.sequence());
    blob(out, head.chain());
    out.writeLong(head.offset());
    instant(out, head.time());
    out.writeBoolean(head.closing());
  }

  private static AuditHeadRecord auditHead(DataInputStream in) throws IOException {
    return new AuditHeadRecord(
        uuid(in),
        uuid(in),
        text(in),
        in.readLong(),
        blob(in),
        in.readLong(),
        instant(in),
        in.readBoolean());
  }

  private static void upkeep(DataOutputStream out, UpkeepRecord upkeep) throws IOException {
    text(out, upkeep.kind().name());
    instant(out, upkeep.time());
    text(out, upkeep.file());
    out.writeLong(upkeep.generation());
  }

  private static UpkeepRecord upkeep(DataInputStream in) throws IOException {
    return new UpkeepRecord(
        UpkeepRecord.Kind.valueOf(text(in)), instant(in), text(in), in.readLong());
  }

  private static void texts(DataOutputStream out, Set<String> values) throws IOException {
    out.writeInt(values.size());
    for (String value : values) {
      text(out, value);
    }
  }

  private static Set<String> texts(DataInputStream in) throws IOException {
    Set<String> values = new TreeSet<>();
    for (int left = in.readInt(); left > 0; left--) {
      values.add(text(in));
    }
    return values;
  }

  private static void subject(DataOutputStream out, Subject subject) throws IOException {
    text(out, subject.issuer());
    text(out, subject.id());
  }

  private static Subject subject(DataInputStream in) throws IOException {
    return new Subject(text(in), text(in));
  }

  private static void instant(DataOutputStream out, Instant instant) throws IOException {
    out.writeLong(instant.getEpochSecond());
    out.writeInt(instant.getNano());
  }

  private static Instant instant(DataInputStream in) throws IOException {
    return Instant.ofEpochSecond(in.readLong(), in.readInt());
  }
}
