package dev.grep11.gateway.store;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * A table as a backup holds it: its rows as they stand in the database, sealed as they are. The
 * data key and the head have a place of their own.
 *
 * @param records which records these are; empty for those of keystores
 */
record BackedUp(String name, List<Column> columns, Optional<Table> records) {
  /** Rows that are written or read in one go. */
  static final int BATCH = 250;

  /** No row is longer: a keystore takes keys of less than 1 MiB. */
  private static final int MOST_BYTES = 16 << 20;

  private static final int ROW = 1;
  private static final int END = 0;

  /** All of them, those of records first. */
  static final List<BackedUp> TABLES =
      Stream.concat(
              Arrays.stream(Table.values())
                  .map(table ->
                      new BackedUp(
                          table.sqlName(),
                          List.of(bytes("row_key"), number("version"), bytes("sealed")),
                          Optional.of(table))),
              Stream.of(
                  ofKeystores(
                      "keystore",
                      bytes("row_key"),
                      bytes("instance"),
                      number("revision"),
                      bytes("sealed")),
                  ofKeystores(
                      "keystore_key",
                      bytes("keystore"),
                      bytes("row_key"),
                      number("version"),
                      bytes("generation"),
                      bytes("older"),
                      bytes("of_class"),
                      bytes("of_type"),
                      bytes("of_label"),
                      bytes("of_id"),
                      bytes("of_subject"),
                      bytes("nonce"),
                      bytes("sealed")),
                  ofKeystores(
                      "keystore_transaction",
                      bytes("keystore"),
                      bytes("tag"),
                      number("carried_out"))))
          .toList();

  /** A column of bytes, or a BIGINT. */
  record Column(String name, boolean number) {}

  private static Column bytes(String name) {
    return new Column(name, false);
  }

  private static Column number(String name) {
    return new Column(name, true);
  }

  private static BackedUp ofKeystores(String name, Column... columns) {
    return new BackedUp(name, List.of(columns), Optional.empty());
  }

  private String columnNames() {
    return columns.stream().map(Column::name).collect(Collectors.joining(", "));
  }

  long count(Connection connection) throws SQLException {
    return Sql.query(
        connection,
        "SELECT COUNT(*) FROM " + name,
        List.of(),
        row -> row.next() ? row.getLong(1) : 0L);
  }

  /**
   * Writes all rows, one after the other as the database gives them.
   *
   * @return how many there were
   */
  long write(Connection connection, DataOutputStream out) throws SQLException, IOException {
    long rows = 0;
    try (var statement = connection.createStatement()) {
      // PostgreSQL's driver would otherwise hold them all in memory.
      statement.setFetchSize(BATCH);
      try (var row = statement.executeQuery("SELECT " + columnNames() + " FROM " + name)) {
        for (; row.next(); rows++) {
          out.writeByte(ROW);
          write(row, out);
        }
      }
    }
    out.writeByte(END);
    return rows;
  }

  private void write(ResultSet row, DataOutputStream out) throws SQLException, IOException {
    for (int i = 1; i <= columns.size(); i++) {
      if (columns.get(i - 1).number()) {
        out.writeLong(row.getLong(i));
      } else {
        byte[] value = row.getBytes(i);
        // SQLite's driver gives null for no bytes.
        Fields.blob(out, value == null ? new byte[0] : value);
      }
    }
  }

  /**
   * Reads a row that {@link #write} wrote: Long and byte[] in the order of the columns.
   *
   * @return empty after the last
   */
  Optional<List<Object>> read(DataInputStream in) throws IOException {
    int mark = in.readUnsignedByte();
    if (mark == END) {
      return Optional.empty();
    }
    if (mark != ROW) {
      throw new IOException("neither a row nor the end of table " + name);
    }
    List<Object> values = new ArrayList<>(columns.size());
    for (var column : columns) {
      values.add(column.number() ? (Object) in.readLong() : blob(in));
    }
    return Optional.of(values);
  }

  static byte[] blob(DataInputStream in) throws IOException {
    int length = in.readInt();
    if (length < 0 || length > MOST_BYTES) {
      throw new IOException("a column of " + length + " bytes");
    }
    byte[] value = in.readNBytes(length);
    if (value.length < length) {
      throw new IOException("a column is cut short");
    }
    return value;
  }

  static String text(DataInputStream in) throws IOException {
    return new String(blob(in), UTF_8);
  }

  PreparedStatement insertion(Connection connection) throws SQLException {
    return connection.prepareStatement(
        "INSERT INTO %s (%s) VALUES (%s)"
            .formatted(
                name, columnNames(), String.join(", ", Collections.nCopies(columns.size(), "?"))));
  }
}
