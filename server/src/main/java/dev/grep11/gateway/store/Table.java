package dev.grep11.gateway.store;

/**
 * The tables of records, in the order in which the head's digest covers them. New ones go to the
 * end.
 */
enum Table {
  INSTANCE("instance"),
  GRANT("access_grant"),
  API_KEY("api_key"),
  REGISTRY("registry");

  private final String sqlName;

  Table(String sqlName) {
    this.sqlName = sqlName;
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
    };
  }
}
