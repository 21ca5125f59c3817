package dev.grep11.gateway.operation;

import static dev.grep11.gateway.pkcs11.Cka.CKA_CHECK_VALUE;
import static dev.grep11.gateway.pkcs11.Cka.CKA_KEY_TYPE;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import dev.grep11.gateway.pkcs11.OverloadedException;
import dev.grep11.gateway.pkcs11.Template;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * How often CBC_PAD unwrapping may fail under one wrapping key. Whether it fails tells something of
 * the padding, and a few hundred answers a byte are what Vaudenay's attack needs: {@value
 * #PER_HOUR} an hour and replica leave a real client its mistakes and an attacker months for a
 * block.
 */
final class UnwrapFailures {
  static final int PER_HOUR = 100;
  private static final int KEYS = 100_000;

  private record Key(UUID instance, long keyType, ByteBuffer checkValue) {}

  private final Cache<Key, AtomicInteger> failures =
      Caffeine.newBuilder().maximumSize(KEYS).expireAfterWrite(Duration.ofHours(1)).build();

  /** What is left to one wrapping key in its current hour. */
  record Budget(AtomicInteger spent) {
    void requireLeft() {
      if (spent.get() >= PER_HOUR) {
        throw new OverloadedException(
            "CBC_PAD unwrapping failed %d times within the hour under this key"
                .formatted(PER_HOUR));
      }
    }

    void spend() {
      spent.incrementAndGet();
    }
  }

  /**
   * The budget of a wrapping key, by what stays the same in all its blobs: a client can have many
   * of one key by SetAttributeValue. Two keys whose check values agree share a budget, which is
   * rare and costs nobody a key.
   */
  Budget of(UUID instance, Template wrappingKey) {
    var key =
        new Key(
            instance,
            wrappingKey.ulong(CKA_KEY_TYPE).orElseThrow(),
            ByteBuffer.wrap(wrappingKey.bytes(CKA_CHECK_VALUE).orElseThrow()));
    return new Budget(failures.get(key, ignored -> new AtomicInteger()));
  }
}
