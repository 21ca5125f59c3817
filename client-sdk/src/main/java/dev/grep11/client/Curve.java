package dev.grep11.client;

import java.util.HexFormat;

/** Curves by their object identifier, which is what CKA_EC_PARAMS holds (PKCS #11 v2.40, 2.3.3). */
public enum Curve {
  P192("06082a8648ce3d030101"),
  P224("06052b81040021"),
  P256("06082a8648ce3d030107"),
  P384("06052b81040022"),
  P521("06052b81040023"),
  SECP256K1("06052b8104000a"),
  BRAINPOOL_P256R1("06092b2403030208010107"),
  BRAINPOOL_P384R1("06092b240303020801010b"),
  BRAINPOOL_P512R1("06092b240303020801010d"),
  X25519("06032b656e"),
  X448("06032b656f"),
  ED25519("06032b6570"),
  ED448("06032b6571");

  private final String oid;

  Curve(String oid) {
    this.oid = oid;
  }

  /** The OBJECT IDENTIFIER in DER. */
  public byte[] parameters() {
    return HexFormat.of().parseHex(oid);
  }
}
