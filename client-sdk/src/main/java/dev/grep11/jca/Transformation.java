package dev.grep11.jca;

import java.util.List;

/** The cipher transformations, by their JCA names. */
enum Transformation {
  AES_GCM("AES/GCM/NoPadding"),
  AES_CBC("AES/CBC/NoPadding"),
  AES_CBC_PAD("AES/CBC/PKCS5Padding"),
  AES_ECB("AES/ECB/NoPadding"),
  AES_CTR("AES/CTR/NoPadding"),
  /** RFC 3394. Wraps and unwraps only. */
  AES_KW("AES/KW/NoPadding", "AESWrap"),
  /** RFC 5649. Wraps and unwraps only. */
  AES_KWP("AES/KWP/NoPadding", "AESWrapPad"),
  RSA_PKCS1("RSA/ECB/PKCS1Padding", "RSA"),
  RSA_OAEP("RSA/ECB/OAEPPadding"),
  RSA_OAEP_SHA1("RSA/ECB/OAEPWithSHA-1AndMGF1Padding", "RSA/ECB/OAEPWithSHA1AndMGF1Padding"),
  RSA_OAEP_SHA256("RSA/ECB/OAEPWithSHA-256AndMGF1Padding");

  private final String algorithm;

  @SuppressWarnings("ImmutableEnumChecker") // List.of
  private final List<String> aliases;

  Transformation(String algorithm, String... aliases) {
    this.algorithm = algorithm;
    this.aliases = List.of(aliases);
  }

  String algorithm() {
    return algorithm;
  }

  List<String> aliases() {
    return aliases;
  }

  boolean isRsa() {
    return switch (this) {
      case RSA_PKCS1, RSA_OAEP, RSA_OAEP_SHA1, RSA_OAEP_SHA256 -> true;
      case AES_GCM, AES_CBC, AES_CBC_PAD, AES_ECB, AES_CTR, AES_KW, AES_KWP -> false;
    };
  }

  boolean hasBlockIv() {
    return this == AES_CBC || this == AES_CBC_PAD || this == AES_CTR;
  }

  /** Those of RFC 3394 and RFC 5649 take no data, only keys. */
  boolean isForKeysOnly() {
    return this == AES_KW || this == AES_KWP;
  }

  Class<?> keyClass() {
    return isRsa() ? GatewayPrivateKey.Rsa.class : GatewaySecretKey.class;
  }
}
