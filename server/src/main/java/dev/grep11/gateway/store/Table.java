package dev.grep11.gateway.store;

/**
 * The tables of records, in the order in which the head's digest covers them. New ones go to the
 * end.
 */
enum Table {
  INSTANCE("instance", 1, true),
  GRANT("access_grant", 1, true),
  API_KEY("api_key", 1, true),
  REGISTRY("registry", 1, true),
  REPLICA("replica", 2, false),
  SEALING_KEY_USE("sealing_key_use", 2, false),
  ADMINISTRATOR("administrator", 3, true),
  ENROLMENT("enrolment", 3, true),
  EVENT("event", 3, false),
  AUDIT_HEAD("audit_head", 3, false),
  UPKEEP("upkeep", 5, false);

  private final String sqlName;
  private final int schemaVersion;
  private final boolean grants;

  Table(String sqlName, int schemaVersion, boolean grants) {
    this.sqlName = sqlName;
    this.schemaVersion = schemaVersion;
    this.grants = grants;
  }

  /**
   * Whether a row can grant or revoke something, so that a change is anchored. The others change
   * every few seconds, and an older state of them opens no door: a gateway that says so of itself
   * has the anchor asked all the same ({@link Store#change}).
   */
  boolean grants() {
    return grants;
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
      case UpkeepRecord upkeep -> UPKEEP;
    };
  }
}
