package dev.grep11.jca;

import dev.grep11.agent.store.StoreException;
import dev.grep11.client.Ckm;
import dev.grep11.client.Grep11Exception;
import dev.grep11.client.Mechanisms;
import dev.grep11.proto.Mechanism;
import java.security.AlgorithmParameters;
import java.security.InvalidAlgorithmParameterException;
import java.security.InvalidKeyException;
import java.security.InvalidParameterException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.Security;
import java.security.Signature;
import java.security.SignatureException;
import java.security.SignatureSpi;
import java.security.spec.AlgorithmParameterSpec;
import java.security.spec.EdDSAParameterSpec;
import java.security.spec.InvalidParameterSpecException;
import java.security.spec.MGF1ParameterSpec;
import java.security.spec.PSSParameterSpec;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Signs by the gateway and verifies by the JDK.
 *
 * <p>The data is hashed here, so that data of any length is one short call. Verifying takes no
 * secret: the JDK's own code does it with the public key, without a way over the network that could
 * fail or lie.
 *
 * <p>JCA passes a key of somebody else to the next provider, unless parameters came first: by those
 * it has chosen already. Then another provider's code signs too.
 */
final class GatewaySignature extends SignatureSpi {
  private final SignatureScheme scheme;

  private @Nullable GatewayPrivateKey key;
  private @Nullable PSSParameterSpec pss;

  /** One of these takes the data, once a key is there. */
  private @Nullable MessageDigest digest;

  private final Buffer data = new Buffer();

  /** Data has come, which other parameters would lose. */
  private boolean begun;

  /** Another provider's, which does the work in place of a key of the gateway. */
  private @Nullable Signature other;

  GatewaySignature(SignatureScheme scheme) {
    this.scheme = scheme;
  }

  // ---- Init

  @Override
  protected void engineInitSign(PrivateKey privateKey) throws InvalidKeyException {
    if (pss != null && !(privateKey instanceof GatewayPrivateKey)) {
      delegate(signature -> signature.initSign(privateKey));
      return;
    }
    // Any other key is some other provider's, which JCA asks next.
    if (!scheme.keyClass().isInstance(privateKey)) {
      throw new InvalidKeyException(
          privateKey instanceof GatewayPrivateKey other
              ? "%s is not for a key of %s".formatted(scheme.name(), other.getAlgorithm())
              : "not a key of the provider Grep11");
    }
    if (privateKey instanceof GatewayPrivateKey.Edwards edwards
        && !edwards.getParams().getName().equals("Ed25519")) {
      throw new InvalidKeyException(edwards.getParams().getName() + " is not offered, Ed25519 is");
    }
    if (pss != null) {
      try {
        requireSupported(pss);
      } catch (InvalidAlgorithmParameterException e) {
        throw new InvalidKeyException("the parameters are not for this key: " + e.getMessage(), e);
      }
    }
    other = null;
    key = (GatewayPrivateKey) privateKey;
    digest = freshDigest();
    data.clear();
    begun = false;
  }

  @Override
  protected void engineInitVerify(PublicKey publicKey) throws InvalidKeyException {
    delegate(signature -> signature.initVerify(publicKey));
  }

  private interface Init {
    void of(Signature signature) throws InvalidKeyException;
  }

  /**
   * To the first provider but this one that takes the key. By the name of the algorithm alone JCA
   * could answer this one again, which may stand first.
   */
  private void delegate(Init init) throws InvalidKeyException {
    key = null;
    other = null;
    begun = false;
    data.clear();
    var refused = new InvalidKeyException("no other provider takes this key for " + scheme.name());
    for (var provider : Security.getProviders()) {
      if (provider instanceof Grep11Provider
          || provider.getService("Signature", scheme.name()) == null) {
        continue;
      }
      try {
        var signature = Signature.getInstance(scheme.name(), provider);
        if (pss != null) {
          signature.setParameter(pss);
        }
        init.of(signature);
        other = signature;
        return;
      } catch (NoSuchAlgorithmException
          | InvalidAlgorithmParameterException
          | InvalidKeyException e) {
        refused.addSuppressed(e);
      }
    }
    throw refused;
  }

  private @Nullable MessageDigest freshDigest() {
    var name = pss == null ? scheme.hash() : pss.getDigestAlgorithm();
    try {
      return name.isEmpty() ? null : MessageDigest.getInstance(name);
    } catch (NoSuchAlgorithmException e) {
      throw new InvalidParameterException("no provider has " + name);
    }
  }

  // ---- Data

  @Override
  protected void engineUpdate(byte octet) throws SignatureException {
    engineUpdate(new byte[] {octet}, 0, 1);
  }

  @Override
  protected void engineUpdate(byte[] bytes, int offset, int length) throws SignatureException {
    if (other != null) {
      other.update(bytes, offset, length);
      return;
    }
    requirePss();
    begun = true;
    if (digest != null) {
      digest.update(bytes, offset, length);
    } else {
      data.write(bytes, offset, length);
    }
  }

  // ---- Results

  @Override
  protected byte[] engineSign() throws SignatureException {
    if (other != null) {
      return other.sign();
    }
    if (key == null) {
      throw new SignatureException("not initialized for signing");
    }
    requirePss();
    byte[] input = digest == null ? data.take() : digest.digest();
    begun = false;
    var mechanism = mechanism();
    byte[] signed = toSign(key, input);
    try {
      return scheme.encoded(
          key.handle().use((client, blob) -> client.sign(mechanism, blob, signed)));
    } catch (Grep11Exception e) {
      throw new SignatureException(Remedy.of(e), e);
    } catch (StoreException e) {
      throw new SignatureException(e.getMessage(), e);
    }
  }

  private void requirePss() throws SignatureException {
    if (scheme.family() == SignatureScheme.Family.RSA_PSS && pss == null) {
      throw new SignatureException(
          "RSASSA-PSS needs parameters: Signature.setParameter(new PSSParameterSpec(...))");
    }
  }

  private Mechanism mechanism() throws SignatureException {
    return switch (scheme.family()) {
      case ECDSA, ECDSA_P1363 -> Mechanisms.ecdsa();
      case RSA_PKCS1 -> Mechanisms.of(Ckm.CKM_RSA_PKCS);
      case EDDSA -> Mechanisms.ed25519();
      case RSA_PSS -> {
        var parameters = pss;
        if (parameters == null) {
          throw new SignatureException("RSASSA-PSS needs parameters");
        }
        yield Mechanisms.rsaPssOfHash(
            Hashes.of(parameters.getDigestAlgorithm()), parameters.getSaltLength());
      }
    };
  }

  private byte[] toSign(GatewayPrivateKey key, byte[] input) {
    return switch (scheme.family()) {
      case ECDSA, ECDSA_P1363 ->
          // The leftmost bits (FIPS 186-5, 6.4.1). Orders here have whole octets, or more bits
          // than any hash.
          key instanceof GatewayPrivateKey.Ec ec && input.length > ec.orderBytes()
              ? Arrays.copyOf(input, ec.orderBytes())
              : input;
      case RSA_PKCS1 -> scheme.digestInfo(input);
      case RSA_PSS, EDDSA -> input;
    };
  }

  @Override
  protected boolean engineVerify(byte[] signature) throws SignatureException {
    if (other == null) {
      throw new SignatureException("not initialized for verifying");
    }
    return other.verify(signature);
  }

  // ---- Parameters

  @Override
  protected void engineSetParameter(@Nullable AlgorithmParameterSpec parameters)
      throws InvalidAlgorithmParameterException {
    if (other != null) {
      if (parameters != null) {
        other.setParameter(parameters);
      }
      // They hold for the next key too, whosever it is.
      if (parameters instanceof PSSParameterSpec spec) {
        pss = spec;
      }
      return;
    }
    switch (scheme.family()) {
      case RSA_PSS -> {
        if (!(parameters instanceof PSSParameterSpec spec)) {
          throw new InvalidAlgorithmParameterException("RSASSA-PSS takes a PSSParameterSpec");
        }
        requireSupported(spec);
        if (begun) {
          throw new InvalidAlgorithmParameterException("parameters come before the data");
        }
        pss = spec;
        digest = freshDigest();
      }
      case EDDSA -> {
        if (parameters instanceof EdDSAParameterSpec spec
            && (spec.isPrehash() || spec.getContext().isPresent())) {
          throw new InvalidAlgorithmParameterException(
              "Ed25519ph and contexts are not offered, pure Ed25519 is");
        }
      }
      case ECDSA, ECDSA_P1363, RSA_PKCS1 -> {
        if (parameters != null) {
          throw new InvalidAlgorithmParameterException(scheme.name() + " takes no parameters");
        }
      }
    }
  }

  private static void requireSupported(PSSParameterSpec spec)
      throws InvalidAlgorithmParameterException {
    boolean mask =
        spec.getMGFAlgorithm().equalsIgnoreCase("MGF1")
            && spec.getMGFParameters() instanceof MGF1ParameterSpec mgf
            && Hashes.isKnown(spec.getDigestAlgorithm())
            && Hashes.isKnown(mgf.getDigestAlgorithm())
            && Hashes.of(mgf.getDigestAlgorithm()) == Hashes.of(spec.getDigestAlgorithm());
    if (!mask || spec.getTrailerField() != PSSParameterSpec.TRAILER_FIELD_BC) {
      throw new InvalidAlgorithmParameterException(
          "offered are SHA-1, SHA-224, SHA-256, SHA-384 or SHA-512 with MGF1 of the same hash and"
              + " trailer field 1");
    }
  }

  @Override
  protected @Nullable AlgorithmParameters engineGetParameters() {
    if (pss == null) {
      return null;
    }
    try {
      var parameters = AlgorithmParameters.getInstance("RSASSA-PSS");
      parameters.init(pss);
      return parameters;
    } catch (NoSuchAlgorithmException | InvalidParameterSpecException e) {
      throw new InvalidParameterException(e.getMessage());
    }
  }

  @Override
  @Deprecated
  protected void engineSetParameter(String name, Object value) {
    throw new InvalidParameterException("use setParameter(AlgorithmParameterSpec)");
  }

  @Override
  @Deprecated
  protected Object engineGetParameter(String name) {
    throw new InvalidParameterException("use getParameters()");
  }
}
