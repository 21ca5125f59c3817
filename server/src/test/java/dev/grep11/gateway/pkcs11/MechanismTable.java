package dev.grep11.gateway.pkcs11;

import static java.util.stream.Collectors.joining;

import java.util.Locale;
import java.util.Set;

/** The catalog as the table of docs/mechanisms.md, one line a row, in the catalog's order. */
final class MechanismTable {
  private static final Set<Long> SIZED_IN_BITS =
      Set.of(Ckk.CKK_RSA, Ckk.CKK_EC, Ckk.CKK_DSA, Ckk.CKK_DH);

  private MechanismTable() {}

  static String markdown() {
    return MechanismCatalog.all().stream()
        .map(MechanismTable::line)
        .collect(
            joining(
                "\n",
                """
                | Mechanism | Number | Functions and how each is served | Key sizes | Under `strict` |
                |---|---|---|---|---|
                """,
                "\n"));
  }

  private static String line(MechanismRow row) {
    return "| %s%s | `0x%x` | %s | %s | %s |"
        .formatted(
            row.name(),
            row.listed() ? "" : " (unlisted)",
            row.type(),
            functions(row),
            sizes(row),
            strict(row));
  }

  private static String functions(MechanismRow row) {
    return row.functions().entrySet().stream()
        .map(entry -> name(entry.getKey()) + " **" + entry.getValue().by().mark() + "**")
        .collect(joining(", "));
  }

  private static String sizes(MechanismRow row) {
    if (row.keyTypes().isEmpty()) {
      return "";
    }
    var range =
        row.minKeySize() == row.maxKeySize()
            ? Long.toString(row.minKeySize())
            : row.minKeySize() + " to " + row.maxKeySize();
    return range + (row.keyTypes().stream().anyMatch(SIZED_IN_BITS::contains) ? " bits" : " bytes");
  }

  private static String strict(MechanismRow row) {
    var absent =
        row.functions().entrySet().stream()
            .filter(entry -> !entry.getValue().strict())
            .map(entry -> name(entry.getKey()))
            .toList();
    if (absent.isEmpty()) {
      return switch (row.family()) {
        // What is offered as before, and refused in the call.
        case CTR -> "the same, in one part only";
        case GCM -> "the same, encrypting under IVs of the HSM's only";
        default -> "the same";
      };
    }
    return absent.size() == row.functions().size()
        ? "not offered"
        : "without " + String.join(", ", absent);
  }

  private static String name(CryptoFunction function) {
    return function.name().toLowerCase(Locale.ROOT).replace('_', ' ');
  }
}
