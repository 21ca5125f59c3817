package dev.grep11.agent.cryptoki;

import dev.grep11.client.EventLoop;

/**
 * A call on an event loop came to where it would wait: for the gateway, a keystore, a file, or a
 * lock that is held meanwhile. The loop reads the answer that would be waited for, so the call is
 * made again where it may wait. Nothing was done before.
 */
public final class WouldWait extends RuntimeException {
  private static final long serialVersionUID = 1;

  private WouldWait() {
    super("on the event loop nothing waits", null, false, false);
  }

  /** Before everything that waits. */
  static void unlessElsewhere() {
    if (EventLoop.isCurrent()) {
      throw new WouldWait();
    }
  }
}
