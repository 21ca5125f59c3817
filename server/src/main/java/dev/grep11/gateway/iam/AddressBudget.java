package dev.grep11.gateway.iam;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import java.net.Inet6Address;
import java.net.InetAddress;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * What an address may cost within a minute: every request a little, a refused one more. An IPv6
 * host has a /64 for itself, so that is what counts there.
 */
final class AddressBudget {
  private static final Duration WINDOW = Duration.ofMinutes(1);
  private static final int MAX_ADDRESSES = 100_000;

  private final int perWindow;
  private final Cache<ByteBuffer, AtomicInteger> spent =
      Caffeine.newBuilder().expireAfterWrite(WINDOW).maximumSize(MAX_ADDRESSES).build();

  AddressBudget(int perWindow) {
    this.perWindow = perWindow;
  }

  /** What is spent after this, compared with the budget. */
  enum Balance {
    WITHIN,
    /** This cost is the one that went beyond. */
    JUST_EXCEEDED,
    EXCEEDED
  }

  Balance spend(InetAddress address, int cost) {
    int after = of(address).addAndGet(cost);
    if (after <= perWindow) {
      return Balance.WITHIN;
    }
    return after - cost <= perWindow ? Balance.JUST_EXCEEDED : Balance.EXCEEDED;
  }

  private AtomicInteger of(InetAddress address) {
    byte[] bytes = address.getAddress();
    ByteBuffer key =
        ByteBuffer.wrap(address instanceof Inet6Address ? Arrays.copyOf(bytes, 8) : bytes);
    return spent.get(key, _ -> new AtomicInteger());
  }
}
