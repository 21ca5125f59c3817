package dev.grep11.bench.vectors;

import dev.grep11.bench.vectors.Case.Expected;
import java.util.List;
import java.util.Optional;
import java.util.function.Predicate;

/**
 * A rule by which the gateway's answer may differ from Wycheproof's: over algorithm, flag and size,
 * never over the number of a case. Listed in CONTRIBUTING.md.
 *
 * @param algorithm the file's
 * @param size of key, IV or message, whichever it is about
 * @param answer what the gateway does instead
 */
record Deviation(
    String name,
    String algorithm,
    Expected expected,
    Predicate<Case> size,
    Class<? extends Outcome> answer,
    String reason) {

  static final List<Deviation> RULES =
      List.of(
          new Deviation(
              "gcm-short-iv",
              "AES-GCM",
              Expected.VALID,
              vector -> vector.number("ivSize") < 96,
              Outcome.Rejected.class,
              "an IV has at least 12 bytes (security rule 3.4): shorter ones repeat"),
          new Deviation(
              "gcm-long-iv",
              "AES-GCM",
              Expected.VALID,
              vector -> vector.number("ivSize") > 2048,
              Outcome.Rejected.class,
              "an IV has at most 256 bytes (PKCS #11 v2.40, CK_GCM_PARAMS)"),
          secretOfUnusualLength("AES-KWP"),
          secretOfUnusualLength("AES-WRAP"),
          new Deviation(
              "kwp-odd-length",
              "AES-KWP",
              Expected.VALID,
              vector -> vector.bytes("msg").length % 8 != 0,
              Outcome.Partly.class,
              "such a key is unwrapped, and is sealed by value then, since the token's key wrap"
                  + " fills it with zeros (docs/mechanisms.md); it is not wrapped again"),
          new Deviation(
              "pkcs1-implicit-rejection",
              "RSAES-PKCS1-v1_5",
              Expected.INVALID,
              vector -> vector.bytes("ct").length * 8 == vector.number("keySize"),
              Outcome.Different.class,
              "a wrong padding answers a pseudo-random message instead of an error"
                  + " (interfaces 6), so that there is no padding oracle"));

  private static Deviation secretOfUnusualLength(String algorithm) {
    return new Deviation(
        "secret-length",
        algorithm,
        Expected.VALID,
        vector -> vector.bytes("msg").length < 8 || vector.bytes("msg").length > 256,
        Outcome.Rejected.class,
        "a generic secret has 8 to 256 bytes (docs/mechanisms.md)");
  }

  static Optional<Deviation> of(Case vector, Outcome outcome) {
    return RULES.stream().filter(rule -> rule.covers(vector, outcome)).findFirst();
  }

  private boolean covers(Case vector, Outcome outcome) {
    return algorithm.equals(vector.algorithm())
        && expected == vector.expected()
        && answer.isInstance(outcome)
        && size.test(vector);
  }
}
