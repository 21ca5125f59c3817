package dev.grep11.jca;

import dev.grep11.client.Grep11Exception;
import java.security.ProviderException;
import java.security.SecureRandomSpi;

/** Random bytes of the HSM. */
final class GatewayRandom extends SecureRandomSpi {
  private static final long serialVersionUID = 1;
  private static final int MOST = 1_000_000;

  private final transient Grep11Provider provider;

  GatewayRandom(Grep11Provider provider) {
    this.provider = provider;
  }

  /** Nothing: the HSM seeds its generator by itself. */
  @Override
  protected void engineSetSeed(byte[] seed) {}

  @Override
  protected void engineNextBytes(byte[] bytes) {
    for (int from = 0; from < bytes.length; from += MOST) {
      int length = Math.min(MOST, bytes.length - from);
      try {
        byte[] some = provider.current().reach().ask(client -> client.generateRandom(length));
        System.arraycopy(some, 0, bytes, from, length);
      } catch (Grep11Exception e) {
        throw new ProviderException(Remedy.of(e), e);
      }
    }
  }

  @Override
  protected byte[] engineGenerateSeed(int length) {
    byte[] seed = new byte[length];
    engineNextBytes(seed);
    return seed;
  }
}
