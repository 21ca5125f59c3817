package dev.grep11.agent.cryptoki;

import static dev.grep11.client.Ckr.CKR_OK;
import static dev.grep11.client.Ckr.CKR_OPERATION_ACTIVE;
import static dev.grep11.client.Ckr.CKR_OPERATION_NOT_INITIALIZED;

import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * A session: its operations, one of each function at most. Its calls are made one after the other,
 * so that nothing here is synchronized.
 */
final class Session {
  private final long handle;
  private final Slot slot;
  private final boolean readWrite;
  private final Map<Function, Operation> operations = new EnumMap<>(Function.class);
  private @Nullable List<Long> found;

  Session(long handle, Slot slot, boolean readWrite) {
    this.handle = handle;
    this.slot = slot;
    this.readWrite = readWrite;
  }

  long handle() {
    return handle;
  }

  Slot slot() {
    return slot;
  }

  boolean readWrite() {
    return readWrite;
  }

  /** The step that the table allows; a refused one has its consequence at once. */
  Phase.Step step(Function function, Phase.Event event) {
    var operation = operations.get(function);
    var phase = operation == null ? Phase.IDLE : operation.phase();
    var step = phase.on(event);
    if (step.refusal() != CKR_OK) {
      take(function, step.failed());
      throw new Refusal(
          step.refusal(), "%s of %s while it is %s".formatted(event, function, phase));
    }
    return step;
  }

  /** The operation of a step that was allowed. */
  Operation operation(Function function) {
    var operation = operations.get(function);
    if (operation == null) {
      throw new Refusal(CKR_OPERATION_NOT_INITIALIZED, function.toString());
    }
    return operation;
  }

  /** The operation, if it is one that has no data yet. */
  Optional<Operation> fresh(Function function) {
    return Optional.ofNullable(operations.get(function))
        .filter(operation -> operation.phase() == Phase.READY && operation.state() == null);
  }

  void begin(Operation operation) {
    operations.put(operation.function(), operation);
  }

  /** To a phase that keeps the operation's state, or ends it. */
  void take(Function function, Phase phase) {
    if (phase == Phase.IDLE) {
      operations.remove(function);
    }
  }

  void cancel(Function function) {
    operations.remove(function);
  }

  List<Operation> active() {
    return List.copyOf(operations.values());
  }

  // ---- Search

  void beginSearch(List<Long> handles) {
    found = handles;
  }

  void requireNoSearch() {
    if (found != null) {
      throw new Refusal(CKR_OPERATION_ACTIVE, "a search is active");
    }
  }

  /** The next handles, at most so many. */
  List<Long> search(long most) {
    var rest = found;
    if (rest == null) {
      throw new Refusal(CKR_OPERATION_NOT_INITIALIZED, "no search is active");
    }
    int count = (int) Math.min(most, rest.size());
    found = rest.subList(count, rest.size());
    return List.copyOf(rest.subList(0, count));
  }

  void endSearch() {
    if (found == null) {
      throw new Refusal(CKR_OPERATION_NOT_INITIALIZED, "no search is active");
    }
    found = null;
  }

  void cancelSearch() {
    found = null;
  }
}
