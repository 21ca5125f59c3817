package dev.grep11.agent.cryptoki;

import com.google.protobuf.ByteString;
import dev.grep11.proto.Mechanism;
import org.jspecify.annotations.Nullable;

/**
 * An active operation of a session. Its progress is a state that the gateway sealed and nobody else
 * reads; before the first part there is none, so that Init and a single part are one call.
 */
final class Operation {
  private final Function function;
  private final Mechanism mechanism;
  private final @Nullable CkObject key;
  private Phase phase;
  private @Nullable ByteString state;

  Operation(Function function, Mechanism mechanism, @Nullable CkObject key) {
    this(function, mechanism, key, Phase.READY, null);
  }

  /** One that goes on from a saved state (C_SetOperationState). */
  Operation(
      Function function,
      Mechanism mechanism,
      @Nullable CkObject key,
      Phase phase,
      @Nullable ByteString state) {
    this.function = function;
    this.mechanism = mechanism;
    this.key = key;
    this.phase = phase;
    this.state = state;
  }

  Function function() {
    return function;
  }

  Mechanism mechanism() {
    return mechanism;
  }

  /** Null for a digest. */
  @Nullable CkObject key() {
    return key;
  }

  Phase phase() {
    return phase;
  }

  /** What the gateway gave last, if it was asked yet. */
  @Nullable ByteString state() {
    return state;
  }

  void advance(Phase to, @Nullable ByteString newState) {
    this.phase = to;
    this.state = newState;
  }
}
