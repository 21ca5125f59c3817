package dev.grep11.jca;

import dev.grep11.client.KeyBlob;
import java.io.NotSerializableException;
import java.io.ObjectStreamException;
import java.security.Key;
import org.jspecify.annotations.Nullable;

/** What all keys of this provider have in common: they have no encoding and leave no process. */
abstract sealed class GatewayKey<K extends KeyBlob> implements Key
    permits GatewaySecretKey, GatewayPrivateKey {
  private final String algorithm;
  private final transient KeyHandle<K> handle;

  GatewayKey(String algorithm, KeyHandle<K> handle) {
    this.algorithm = algorithm;
    this.handle = handle;
  }

  final KeyHandle<K> handle() {
    return handle;
  }

  @Override
  public final String getAlgorithm() {
    return algorithm;
  }

  /** Null: the value stays in the HSM. */
  @Override
  public final @Nullable String getFormat() {
    return null;
  }

  /** Null: the value stays in the HSM. */
  @Override
  public final byte @Nullable [] getEncoded() {
    return null;
  }

  /** A blob on a disk would be a credential that nobody guards. Serialization calls it. */
  @SuppressWarnings("DoNotCallSuggester")
  final Object writeReplace() throws ObjectStreamException {
    throw new NotSerializableException(
        "keys behind a gateway are not serialized; load them from the KeyStore by their alias");
  }

  @Override
  public final boolean equals(@Nullable Object other) {
    return other instanceof GatewayKey<?> key
        && getClass() == key.getClass()
        && handle.equals(key.handle);
  }

  @Override
  public final int hashCode() {
    return algorithm.hashCode();
  }

  @Override
  public final String toString() {
    return "Grep11 %s key, %s".formatted(algorithm, handle);
  }
}
