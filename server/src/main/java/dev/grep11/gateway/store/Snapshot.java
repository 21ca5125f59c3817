package dev.grep11.gateway.store;

import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.UUID;

/**
 * Everything in the store at one generation, verified as a whole; the lists have no order that
 * means anything.
 *
 * @param generation counts the committed changes of this store; a later snapshot never has a lower
 *     one
 */
public record Snapshot(
    long generation,
    List<InstanceRecord> instances,
    List<Grant> grants,
    List<ApiKeyRecord> apiKeys,
    List<RegistryRecord> registries,
    List<ReplicaRecord> replicas,
    List<SealingKeyUse> uses,
    List<AdministratorRecord> administrators,
    List<EnrolmentRecord> enrolments,
    List<EventRecord> events,
    List<AuditHeadRecord> auditHeads,
    List<UpkeepRecord> upkeep) {

  /** Of a store that holds nothing. */
  public static final Snapshot EMPTY =
      new Snapshot(
          0, List.of(), List.of(), List.of(), List.of(), List.of(), List.of(), List.of(), List.of(),
          List.of(), List.of(), List.of());

  public Snapshot {
    instances = List.copyOf(instances);
    grants = List.copyOf(grants);
    apiKeys = List.copyOf(apiKeys);
    registries = List.copyOf(registries);
    replicas = List.copyOf(replicas);
    uses = List.copyOf(uses);
    administrators = List.copyOf(administrators);
    enrolments = List.copyOf(enrolments);
    events = List.copyOf(events);
    auditHeads = List.copyOf(auditHeads);
    upkeep = List.copyOf(upkeep);
  }

  /** When this was done last, and well. */
  public Optional<UpkeepRecord> last(UpkeepRecord.Kind kind) {
    return upkeep.stream().filter(done -> done.kind() == kind).findFirst();
  }

  /** The instance with this id. */
  public Optional<InstanceRecord> instance(UUID id) {
    return instances.stream().filter(i -> i.id().equals(id)).findFirst();
  }

  /** The API key with this id. */
  public Optional<ApiKeyRecord> apiKey(UUID id) {
    return apiKeys.stream().filter(k -> k.id().equals(id)).findFirst();
  }

  /** The registry of client CAs of this instance; absent means refuse. */
  public Optional<RegistryRecord> registry(UUID instance) {
    return registries.stream().filter(r -> r.instance().equals(instance)).findFirst();
  }

  /** Gateways that may be serving at this time. */
  public List<ReplicaRecord> live(Instant now) {
    return replicas.stream().filter(replica -> replica.live(now)).toList();
  }

  /** What is recorded of the use of a generation. */
  public Optional<SealingKeyUse> use(UUID instance, String generation) {
    return uses.stream()
        .filter(use -> use.instance().equals(instance) && use.generation().equals(generation))
        .findFirst();
  }

  /** The certificate administrators of this instance. */
  public List<AdministratorRecord> administrators(UUID instance) {
    return administrators.stream().filter(a -> a.instance().equals(instance)).toList();
  }

  /** The certificate administrator that this subject is in this instance. */
  public Optional<AdministratorRecord> administrator(UUID instance, Subject subject) {
    return administrators(instance).stream().filter(a -> a.subject().equals(subject)).findFirst();
  }

  /** The leave that this subject has to register a key. */
  public List<EnrolmentRecord> enrolments(UUID instance, Subject subject) {
    return enrolments(instance).stream().filter(each -> each.subject().equals(subject)).toList();
  }

  /** The leaves to enrol that this administrator gave others by countersignature. */
  public List<EnrolmentRecord> countersignatures(UUID instance, Subject by) {
    return enrolments(instance).stream()
        .filter(each -> each.by().filter(signer -> signer.subject().equals(by)).isPresent())
        .toList();
  }

  /** All leaves to enrol with an instance. */
  public List<EnrolmentRecord> enrolments(UUID instance) {
    return enrolments.stream().filter(each -> each.instance().equals(instance)).toList();
  }

  /** What this subject was granted, in any instance. */
  public List<Grant> grants(Subject subject) {
    return grants.stream().filter(g -> g.subject().equals(subject)).toList();
  }
}
