package dev.grep11.client;

import dev.grep11.proto.Mechanism;

/**
 * What {@link Grep11Client#generateKeyPair} makes: the mechanism and the attributes of both halves.
 */
public record KeyPairTemplate(Mechanism mechanism, Template publicKey, Template privateKey) {

  public KeyPairTemplate withPublic(long attribute, boolean flag) {
    return new KeyPairTemplate(mechanism, publicKey.with(attribute, flag), privateKey);
  }

  public KeyPairTemplate withPrivate(long attribute, boolean flag) {
    return new KeyPairTemplate(mechanism, publicKey, privateKey.with(attribute, flag));
  }
}
