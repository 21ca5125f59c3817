package dev.grep11.gateway.iam;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import dev.grep11.gateway.store.Subject;
import java.net.Inet6Address;
import java.net.InetAddress;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * What an address or a subject may cost within a minute: every request a little, a refused one
 * more. An IPv6 host has a /64 for itself, so that is what counts there.
 */
public final class CallBudget {
  private static final Duration WINDOW = Duration.ofMinutes(1);
  private static final int MOST_REMEMBERED = 100_000;

  private final int perWindow;
  private final Cache<Object, AtomicInteger> spent =
      Caffeine.newBuilder().expireAfterWrite(WINDOW).maximumSize(MOST_REMEMBERED).build();

  public CallBudget(int perWindow) {
    this.perWindow = perWindow;
  }

  /** What is spent after this, compared with the budget. */
  public enum Balance {
    WITHIN,
    /** This cost is the one that went beyond. */
    JUST_EXCEEDED,
    EXCEEDED
  }

  /** Takes what a request of this address costs. */
  public Balance spend(InetAddress address, int cost) {
    return spendOf(key(address), cost);
  }

  /** Takes what a request of this subject costs. */
  public Balance spend(Subject subject, int cost) {
    return spendOf(subject, cost);
  }

  /** Takes what a request of this subject costs that comes from this address. */
  public Balance spend(Subject subject, InetAddress address, int cost) {
    return spendOf(new From(subject, key(address)), cost);
  }

  /** Whether this address has spent more than it has. */
  public boolean exceeded(InetAddress address) {
    var already = spent.getIfPresent(key(address));
    return already != null && already.get() > perWindow;
  }

  private record From(Subject subject, ByteBuffer address) {}

  private static ByteBuffer key(InetAddress address) {
    byte[] bytes = address.getAddress();
    return ByteBuffer.wrap(address instanceof Inet6Address ? Arrays.copyOf(bytes, 8) : bytes);
  }

  private Balance spendOf(Object key, int cost) {
    int after = spent.get(key, _ -> new AtomicInteger()).addAndGet(cost);
    if (after <= perWindow) {
      return Balance.WITHIN;
    }
    return after - cost <= perWindow ? Balance.JUST_EXCEEDED : Balance.EXCEEDED;
  }
}
