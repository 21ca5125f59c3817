package dev.grep11.gateway.store;

/** What keys of a keystore can be found by in the database, each by a keyed hash of its value. */
public enum Searched {
  CLASS("of_class"),
  KEY_TYPE("of_type"),
  LABEL("of_label"),
  ID("of_id"),
  SUBJECT("of_subject");

  private final String column;

  Searched(String column) {
    this.column = column;
  }

  String column() {
    return column;
  }
}
