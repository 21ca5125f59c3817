package dev.grep11.gateway.store;

/**
 * The tables of records, in the order in which the head's digest covers them. New ones go to the
 * end.
 */
enum Table {
  INSTANCE("instance", 1),
  GRANT("access_grant", 1),
  API_KEY("api_key", 1),
  REGISTRY("registry", 1),
  REPLICA("replica", 2),
  SEALING_KEY_USE("sealing_key_use", 2),
  ADMINISTRATOR("administrator", 3),
  ENROLMENT("enrolment", 3),
  EVENT("event", 3),
  AUDIT_HEAD("audit_head", 3);

  private final String sqlName;
  private final int schemaVersion;

  Table(String sqlName, int schemaVersion) {
    this.sqlName = sqlName;
    this.schemaVersion = schemaVersion;
  }

  /** Whether the head's digest covers it also without rows: so that a new table is no change. */
  boolean digestedWhenEmpty() {
    return schemaVersion == 1;
  }

  String sqlName() {
    return sqlName;
  }

  static Table of(Stored record) {
    return switch (record) {
      case InstanceRecord instance -> INSTANCE;
      case Grant grant -> GRANT;
      case ApiKeyRecord apiKey -> API_KEY;
      case RegistryRecord registry -> REGISTRY;
      case ReplicaRecord replica -> REPLICA;
      case SealingKeyUse use -> SEALING_KEY_USE;
      case AdministratorRecord administrator -> ADMINISTRATOR;
      case EnrolmentRecord enrolment -> ENROLMENT;
      case EventRecord event -> EVENT;
      case AuditHeadRecord head -> AUDIT_HEAD;
    };
  }
}
