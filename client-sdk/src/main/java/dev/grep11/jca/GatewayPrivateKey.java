package dev.grep11.jca;

import dev.grep11.client.PrivateKeyBlob;
import java.math.BigInteger;
import java.security.PublicKey;
import java.security.interfaces.ECKey;
import java.security.interfaces.ECPublicKey;
import java.security.interfaces.EdECKey;
import java.security.interfaces.EdECPublicKey;
import java.security.interfaces.RSAKey;
import java.security.interfaces.RSAPublicKey;
import java.security.spec.AlgorithmParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.NamedParameterSpec;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * A private key of one algorithm each. JSSE chooses by {@link RSAKey} and {@link ECKey} which
 * signature schemes a key is good for, and JCA by the class which provider a key belongs to.
 */
abstract sealed class GatewayPrivateKey extends GatewayKey<PrivateKeyBlob>
    implements Grep11PrivateKey {
  private final transient Optional<PublicKey> publicKey;

  private GatewayPrivateKey(
      String algorithm, KeyHandle<PrivateKeyBlob> handle, @Nullable PublicKey publicKey) {
    super(algorithm, handle);
    this.publicKey = Optional.ofNullable(publicKey);
  }

  /**
   * The key of the kind of its public half; empty where this provider does nothing with it.
   *
   * @param algorithm of a key whose public half is not known, as its key type tells
   */
  static Optional<GatewayPrivateKey> of(
      KeyHandle<PrivateKeyBlob> handle, @Nullable PublicKey publicKey, String algorithm) {
    if (publicKey instanceof RSAPublicKey key) {
      return Optional.of(new Rsa(handle, key));
    }
    if (publicKey instanceof ECPublicKey key) {
      return Optional.of(new Ec(handle, key));
    }
    if (publicKey instanceof EdECPublicKey key) {
      return Optional.of(new Edwards(handle, key));
    }
    return publicKey == null && !algorithm.isEmpty()
        ? Optional.of(new Unknown(algorithm, handle))
        : Optional.empty();
  }

  @Override
  public final Optional<PublicKey> publicKey() {
    return publicKey;
  }

  static final class Rsa extends GatewayPrivateKey implements RSAKey {
    private static final long serialVersionUID = 1;
    private final transient BigInteger modulus;

    private Rsa(KeyHandle<PrivateKeyBlob> handle, RSAPublicKey publicKey) {
      super("RSA", handle, publicKey);
      this.modulus = publicKey.getModulus();
    }

    @Override
    public BigInteger getModulus() {
      return modulus;
    }

    /**
     * Null: the key is for any RSA scheme. Named here, since from JDK 22 on two interfaces of this
     * class have it.
     */
    @Override
    public @Nullable AlgorithmParameterSpec getParams() {
      return null;
    }
  }

  static final class Ec extends GatewayPrivateKey implements ECKey {
    private static final long serialVersionUID = 1;
    private final transient ECParameterSpec curve;

    private Ec(KeyHandle<PrivateKeyBlob> handle, ECPublicKey publicKey) {
      super("EC", handle, publicKey);
      this.curve = publicKey.getParams();
    }

    @Override
    public ECParameterSpec getParams() {
      return curve;
    }

    int orderBytes() {
      return (curve.getOrder().bitLength() + 7) / 8;
    }
  }

  /** Ed25519 and Ed448 (RFC 8032). */
  static final class Edwards extends GatewayPrivateKey implements EdECKey {
    private static final long serialVersionUID = 1;
    private final transient NamedParameterSpec curve;

    private Edwards(KeyHandle<PrivateKeyBlob> handle, EdECPublicKey publicKey) {
      super("EdDSA", handle, publicKey);
      this.curve = publicKey.getParams();
    }

    @Override
    public NamedParameterSpec getParams() {
      return curve;
    }
  }

  /** A key whose record has no public half: it is listed and can be deleted, and signs nothing. */
  static final class Unknown extends GatewayPrivateKey {
    private static final long serialVersionUID = 1;

    private Unknown(String algorithm, KeyHandle<PrivateKeyBlob> handle) {
      super(algorithm, handle, null);
    }
  }
}
