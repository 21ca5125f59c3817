package dev.grep11.bench.vectors;

import java.util.Map;
import java.util.Optional;
import java.util.function.Function;

/** The calls that put a case of one schema to the gateway. */
@FunctionalInterface
interface Scheme {

  /**
   * Runs a case; a refusal of the gateway may rise as a {@link dev.grep11.client.Grep11Exception}.
   */
  Outcome run(Case vector);

  Map<String, Function<Peer, Scheme>> BY_SCHEMA =
      Map.ofEntries(
          Map.entry("mac_test_schema_v1.json", MacScheme::new),
          Map.entry("aead_test_schema_v1.json", AeadScheme::new),
          Map.entry("ind_cpa_test_schema_v1.json", CipherScheme::new),
          Map.entry("keywrap_test_schema_v1.json", KeyWrapScheme::new),
          Map.entry("ecdh_ecpoint_test_schema_v1.json", AgreementScheme::new),
          Map.entry("ecdh_test_schema_v1.json", AgreementScheme::new),
          Map.entry("xdh_comp_schema_v1.json", AgreementScheme::new),
          Map.entry("ecdsa_p1363_verify_schema_v1.json", SignatureScheme::new),
          Map.entry("ecdsa_verify_schema_v1.json", SignatureScheme::new),
          Map.entry("dsa_p1363_verify_schema_v1.json", SignatureScheme::new),
          Map.entry("dsa_verify_schema_v1.json", SignatureScheme::new),
          Map.entry("eddsa_verify_schema_v1.json", SignatureScheme::new),
          Map.entry("rsassa_pkcs1_verify_schema_v1.json", SignatureScheme::new),
          Map.entry("rsassa_pss_verify_schema_v1.json", SignatureScheme::new),
          Map.entry("rsaes_oaep_decrypt_schema_v1.json", RsaDecryptionScheme::new),
          Map.entry("rsaes_pkcs1_decrypt_schema_v1.json", RsaDecryptionScheme::new));

  /** Empty for a schema that has no counterpart in GREP11. */
  static Optional<Scheme> of(VectorFile file, Peer peer) {
    return Optional.ofNullable(BY_SCHEMA.get(file.schema())).map(scheme -> scheme.apply(peer));
  }
}
