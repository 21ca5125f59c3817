package dev.grep11.jca;

import dev.grep11.agent.store.StoreException;
import dev.grep11.client.Cka;
import dev.grep11.client.Ckk;
import dev.grep11.client.Cko;
import dev.grep11.client.Grep11Exception;
import dev.grep11.client.Mechanisms;
import dev.grep11.client.SecretKeyBlob;
import dev.grep11.client.Template;
import dev.grep11.client.Templates;
import java.security.InvalidAlgorithmParameterException;
import java.security.InvalidKeyException;
import java.security.Key;
import java.security.NoSuchAlgorithmException;
import java.security.ProviderException;
import java.security.SecureRandom;
import java.security.interfaces.ECPublicKey;
import java.security.spec.AlgorithmParameterSpec;
import java.util.Locale;
import javax.crypto.KeyAgreementSpi;
import javax.crypto.SecretKey;
import org.jspecify.annotations.Nullable;

/**
 * ECDH by the gateway. What is agreed stays in the HSM as a key: of AES or, for any other name, a
 * generic secret for HMAC.
 */
final class GatewayKeyAgreement extends KeyAgreementSpi {
  private GatewayPrivateKey.@Nullable Ec key;
  private @Nullable ECPublicKey peer;

  @Override
  protected void engineInit(Key with, SecureRandom random) throws InvalidKeyException {
    if (!(with instanceof GatewayPrivateKey.Ec ec)) {
      throw new InvalidKeyException("not an EC private key of the provider Grep11");
    }
    key = ec;
    peer = null;
  }

  @Override
  protected void engineInit(
      Key with, @Nullable AlgorithmParameterSpec parameters, SecureRandom random)
      throws InvalidKeyException, InvalidAlgorithmParameterException {
    if (parameters != null) {
      throw new InvalidAlgorithmParameterException("ECDH takes no parameters");
    }
    engineInit(with, random);
  }

  @Override
  protected @Nullable Key engineDoPhase(Key other, boolean last) throws InvalidKeyException {
    if (!last) {
      throw new IllegalStateException("ECDH has one phase");
    }
    if (key == null
        || !(other instanceof ECPublicKey ec)
        || !ec.getParams().getCurve().equals(key.getParams().getCurve())) {
      throw new InvalidKeyException("a public EC key of the same curve is expected");
    }
    peer = ec;
    return null;
  }

  @Override
  protected byte[] engineGenerateSecret() {
    throw new ProviderException(
        "the secret stays in the HSM: use generateSecret(\"AES\") or"
            + " generateSecret(\"HmacSHA256\")");
  }

  @Override
  protected int engineGenerateSecret(byte[] secret, int offset) {
    engineGenerateSecret();
    return 0;
  }

  @Override
  protected SecretKey engineGenerateSecret(String algorithm)
      throws NoSuchAlgorithmException, InvalidKeyException {
    var with = key;
    var other = peer;
    if (with == null || other == null) {
      throw new IllegalStateException("doPhase comes first");
    }
    int length = with.orderBytes();
    var mechanism = Mechanisms.ecdh1Derive(PublicKeys.point(other));
    var template = template(algorithm, length);
    try {
      var blob = with.handle().use((client, base) -> client.deriveKey(mechanism, base, template));
      peer = null;
      return new GatewaySecretKey(
          algorithm, KeyHandle.unsaved(with.handle().reach(), blob, SecretKeyBlob::new));
    } catch (Grep11Exception e) {
      throw new InvalidKeyException(Remedy.of(e), e);
    } catch (StoreException e) {
      throw new InvalidKeyException(e.getMessage(), e);
    }
  }

  /** The leading bytes of the shared coordinate (PKCS #11 v2.40, 2.3.7): of AES at most 32. */
  private static Template template(String algorithm, int length) {
    return algorithm.toUpperCase(Locale.ROOT).startsWith("AES")
        ? Templates.derivedAes(8 * Math.min(length - length % 8, 32))
        : Template.empty()
            .with(Cka.CKA_CLASS, Cko.CKO_SECRET_KEY)
            .with(Cka.CKA_KEY_TYPE, Ckk.CKK_GENERIC_SECRET)
            .with(Cka.CKA_VALUE_LEN, length)
            .with(Cka.CKA_SIGN, true)
            .with(Cka.CKA_VERIFY, true)
            .with(Cka.CKA_DERIVE, true)
            .with(Cka.CKA_EXTRACTABLE, false);
  }
}
