package dev.grep11.agent.rpc;

/**
 * The buffer that an application has for a result.
 *
 * @param bytes its size; 0 when the application passed none and asks for the size
 * @param present whether there is one. Clients of before p11-kit 0.25.6 cannot tell a buffer of no
 *     bytes from none.
 */
public record Room(long bytes, boolean present) {
  /** How newer clients say "a buffer of no bytes". */
  private static final long EMPTY_BUFFER = 0xffffffffL;

  static Room of(long count) {
    return count == EMPTY_BUFFER ? new Room(0, true) : new Room(count, count > 0);
  }

  /** Whether the application asks how long the result is. */
  public boolean asksLength() {
    return !present;
  }
}
