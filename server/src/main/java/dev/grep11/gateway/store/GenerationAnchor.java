package dev.grep11.gateway.store;

/**
 * Remembers outside of the database which generation last granted or revoked something: in the
 * gateway, an object on the token. A database that knows less than the anchor is an older one that
 * was put back. Safe for use by several threads, and by several processes with the same store.
 */
public interface GenerationAnchor {
  /**
   * The highest generation that was ever kept; 0 when there is none yet.
   *
   * @throws RuntimeException when it cannot be told
   */
  long highest();

  /**
   * Keeps a generation: on return {@link #highest} is at least this one, whatever becomes of the
   * process. A higher one that is kept already stays.
   *
   * @throws RuntimeException when it could not be written
   */
  void advance(long generation);

  /** What the operator finds it by, for messages. */
  String name();
}
