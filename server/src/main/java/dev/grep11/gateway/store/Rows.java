package dev.grep11.gateway.store;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;

/**
 * The rows of all tables, in the order of their keys as unsigned bytes, whatever order the database
 * prefers.
 */
final class Rows {
  static final int DIGEST_LENGTH = 32;

  /** As it stands in the database, and what it says. */
  record Row(long version, byte[] sealed, Stored record) {}

  private final Map<Table, Map<byte[], Row>> tables = new EnumMap<>(Table.class);

  Rows() {
    for (Table table : Table.values()) {
      tables.put(table, new TreeMap<>(Arrays::compareUnsigned));
    }
  }

  Map<byte[], Row> of(Table table) {
    return Objects.requireNonNull(tables.get(table));
  }

  Snapshot snapshot(long generation) {
    List<InstanceRecord> instances = new ArrayList<>();
    List<Grant> grants = new ArrayList<>();
    List<ApiKeyRecord> apiKeys = new ArrayList<>();
    List<RegistryRecord> registries = new ArrayList<>();
    List<ReplicaRecord> replicas = new ArrayList<>();
    List<SealingKeyUse> uses = new ArrayList<>();
    List<AdministratorRecord> administrators = new ArrayList<>();
    List<EnrolmentRecord> enrolments = new ArrayList<>();
    List<EventRecord> events = new ArrayList<>();
    List<AuditHeadRecord> auditHeads = new ArrayList<>();
    List<UpkeepRecord> upkeep = new ArrayList<>();
    for (Table table : Table.values()) {
      for (Row row : of(table).values()) {
        switch (row.record()) {
          case InstanceRecord instance -> instances.add(instance);
          case Grant grant -> grants.add(grant);
          case ApiKeyRecord apiKey -> apiKeys.add(apiKey);
          case RegistryRecord registry -> registries.add(registry);
          case ReplicaRecord replica -> replicas.add(replica);
          case SealingKeyUse use -> uses.add(use);
          case AdministratorRecord administrator -> administrators.add(administrator);
          case EnrolmentRecord enrolment -> enrolments.add(enrolment);
          case EventRecord event -> events.add(event);
          case AuditHeadRecord head -> auditHeads.add(head);
          case UpkeepRecord done -> upkeep.add(done);
        }
      }
    }
    return new Snapshot(
        generation,
        instances,
        grants,
        apiKeys,
        registries,
        replicas,
        uses,
        administrators,
        enrolments,
        events,
        auditHeads,
        upkeep);
  }

  /**
   * SHA-256 over every table in its order: name and number of rows, then key, version and sealed
   * bytes of each row, all with their lengths; a table that came later only when it has rows. It
   * lives inside the sealed head, so it needs no key.
   */
  byte[] digest() {
    try {
      MessageDigest sha256 = MessageDigest.getInstance("SHA-256");
      for (Table table : Table.values()) {
        Map<byte[], Row> of = of(table);
        if (of.isEmpty() && !table.digestedWhenEmpty()) {
          continue;
        }
        sha256.update(
            RowSeal.concatenate(table.sqlName().getBytes(UTF_8), RowSeal.number(of.size())));
        of.forEach((rowKey, row) ->
            sha256.update(
                RowSeal.concatenate(rowKey, RowSeal.number(row.version()), row.sealed())));
      }
      return sha256.digest();
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException("SHA-256 is part of every JDK", e);
    }
  }
}
