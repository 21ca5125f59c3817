package dev.grep11.gateway.key;

import dev.grep11.gateway.hsm.Epoch;
import dev.grep11.gateway.pkcs11.Template;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * A key loaded into the token. {@link Keys} lends it; whoever borrowed it closes it, and only the
 * last one to let go lets the object be destroyed, so that eviction never pulls a key from under a
 * call.
 */
public final class WorkingKey implements AutoCloseable {
  private final long handle;
  private final KeySealer.Opened opened;
  private final Epoch epoch;
  private final Destruction destruction;
  // One for the cache, one for each borrower; at zero the object is given up for good.
  private final AtomicInteger holders = new AtomicInteger(1);

  /** Takes the objects that nobody holds any more. */
  interface Destruction {
    void add(WorkingKey key);
  }

  WorkingKey(long handle, KeySealer.Opened opened, Epoch epoch, Destruction destruction) {
    this.handle = handle;
    this.opened = opened;
    this.epoch = epoch;
    this.destruction = destruction;
  }

  /** The object handle, valid in {@link #epoch}. */
  public long handle() {
    return handle;
  }

  public Template attributes() {
    return opened.attributes();
  }

  /** The public key, when this is one. */
  public @Nullable PublicKeyInfo publicKey() {
    return opened instanceof KeySealer.OpenedPublicKey publicKey ? publicKey.key() : null;
  }

  /** Whether this is a public key without our MAC. */
  public boolean isBare() {
    return opened instanceof KeySealer.OpenedPublicKey publicKey && publicKey.bare();
  }

  /** What its blob was sealed with; empty for a bare public key. */
  Optional<SealingKeys> sealedWith() {
    return opened.keys();
  }

  Epoch epoch() {
    return epoch;
  }

  /** One more holder; false when the last one has gone already. */
  boolean borrow() {
    int now;
    do {
      now = holders.get();
      if (now == 0) {
        return false;
      }
    } while (!holders.compareAndSet(now, now + 1));
    return true;
  }

  @Override
  public void close() {
    if (holders.decrementAndGet() == 0) {
      destruction.add(this);
    }
  }

  @Override
  public String toString() {
    return "WorkingKey[" + handle + " in " + epoch + "]";
  }
}
