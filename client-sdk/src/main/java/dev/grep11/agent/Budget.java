package dev.grep11.agent;

import java.io.IOException;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;

/**
 * Memory for messages that are read or under way: so much for each connection, so much for the
 * agent. It is taken before the bytes are, and given back when the call was answered.
 *
 * <p>A connection that used up its own waits for its own answers. Where the agent's is used up, a
 * connection waits a little and is then closed, so that those who hold it without going on cannot
 * wait for each other.
 */
final class Budget {
  /** Two of the longest bodies. */
  static final int OF_CONNECTION = 2 * Connection.LONGEST_BODY;

  private static final int WAIT_SECONDS = 10;

  private final Semaphore ofAgent;
  private final Semaphore ofConnection = new Semaphore(OF_CONNECTION);

  private Budget(Semaphore ofAgent) {
    this.ofAgent = ofAgent;
  }

  /** For a whole agent: a quarter of the heap, since a call's values are copied on their way. */
  static Semaphore ofAgent() {
    long quarter = Runtime.getRuntime().maxMemory() / 4;
    return new Semaphore((int) Math.max(OF_CONNECTION, Math.min(quarter, Integer.MAX_VALUE)));
  }

  static Budget ofConnection(Semaphore ofAgent) {
    return new Budget(ofAgent);
  }

  /**
   * Takes so many bytes.
   *
   * @throws IOException when the agent has none to give
   */
  void take(int bytes) throws IOException, InterruptedException {
    ofConnection.acquire(bytes);
    boolean taken = false;
    try {
      taken = ofAgent.tryAcquire(bytes, WAIT_SECONDS, TimeUnit.SECONDS);
    } finally {
      if (!taken) {
        ofConnection.release(bytes);
      }
    }
    if (!taken) {
      throw new IOException("the agent's memory for messages is used up; fewer or shorter ones");
    }
  }

  /** Takes them if that needs no waiting. */
  boolean tryTake(int bytes) {
    if (!ofConnection.tryAcquire(bytes)) {
      return false;
    }
    if (!ofAgent.tryAcquire(bytes)) {
      ofConnection.release(bytes);
      return false;
    }
    return true;
  }

  void giveBack(int bytes) {
    ofAgent.release(bytes);
    ofConnection.release(bytes);
  }
}
