package dev.grep11.jca;

import dev.grep11.client.EcdsaSignature;
import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;

/**
 * A signature algorithm by its JCA name.
 *
 * @param hash its digest by its JCA name; empty where the data is signed as it is, or, of
 *     RSASSA-PSS, where the parameters name it
 */
record SignatureScheme(String name, List<String> aliases, Family family, String hash) {

  enum Family {
    /** Signatures as a DER SEQUENCE. */
    ECDSA,
    /** Signatures {@code r ‖ s}. */
    ECDSA_P1363,
    RSA_PKCS1,
    RSA_PSS,
    EDDSA
  }

  static List<SignatureScheme> all() {
    var all = new ArrayList<SignatureScheme>();
    var hashes = List.of("SHA1", "SHA224", "SHA256", "SHA384", "SHA512");
    var ecdsa =
        List.of(
            "1.2.840.10045.4.1",
            "1.2.840.10045.4.3.1",
            "1.2.840.10045.4.3.2",
            "1.2.840.10045.4.3.3",
            "1.2.840.10045.4.3.4");
    var rsa =
        List.of(
            "1.2.840.113549.1.1.5",
            "1.2.840.113549.1.1.14",
            "1.2.840.113549.1.1.11",
            "1.2.840.113549.1.1.12",
            "1.2.840.113549.1.1.13");
    for (int i = 0; i < hashes.size(); i++) {
      // MessageDigest has the hyphen, Signature has not.
      var digest = hashes.get(i).replace("SHA", "SHA-");
      all.add(of(hashes.get(i) + "withECDSA", Family.ECDSA, digest, ecdsa.get(i)));
      all.add(of(hashes.get(i) + "withECDSAinP1363Format", Family.ECDSA_P1363, digest));
      all.add(of(hashes.get(i) + "withRSA", Family.RSA_PKCS1, digest, rsa.get(i)));
    }
    all.add(of("NONEwithECDSA", Family.ECDSA, ""));
    all.add(of("NONEwithECDSAinP1363Format", Family.ECDSA_P1363, ""));
    all.add(of("NONEwithRSA", Family.RSA_PKCS1, ""));
    all.add(of("RSASSA-PSS", Family.RSA_PSS, "", "1.2.840.113549.1.1.10"));
    all.add(of("Ed25519", Family.EDDSA, "", "1.3.101.112"));
    all.add(of("EdDSA", Family.EDDSA, ""));
    return all;
  }

  private static SignatureScheme of(String name, Family family, String hash, String... oids) {
    var aliases = new ArrayList<String>();
    for (var oid : oids) {
      aliases.add(oid);
      aliases.add("OID." + oid);
    }
    return new SignatureScheme(name, aliases, family, hash);
  }

  Class<?> keyClass() {
    return switch (family) {
      case ECDSA, ECDSA_P1363 -> GatewayPrivateKey.Ec.class;
      case RSA_PKCS1, RSA_PSS -> GatewayPrivateKey.Rsa.class;
      case EDDSA -> GatewayPrivateKey.Edwards.class;
    };
  }

  /** DigestInfo (RFC 8017, 9.2): what RSASSA-PKCS1-v1_5 signs of a hash. */
  byte[] digestInfo(byte[] digest) {
    var prefix =
        switch (hash) {
          case "" -> "";
          case "SHA-1" -> "3021300906052b0e03021a05000414";
          case "SHA-224" -> "302d300d06096086480165030402040500041c";
          case "SHA-256" -> "3031300d060960864801650304020105000420";
          case "SHA-384" -> "3041300d060960864801650304020205000430";
          case "SHA-512" -> "3051300d060960864801650304020305000440";
          default -> throw new IllegalStateException(hash);
        };
    var info = new ByteArrayOutputStream();
    info.writeBytes(HexFormat.of().parseHex(prefix));
    info.writeBytes(digest);
    return info.toByteArray();
  }

  /** What JCA gives the application of the {@code r ‖ s} that PKCS #11 has. */
  byte[] encoded(byte[] raw) {
    return family == Family.ECDSA ? EcdsaSignature.toDer(raw) : raw;
  }
}
