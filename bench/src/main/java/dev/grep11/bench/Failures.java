package dev.grep11.bench;

import dev.grep11.client.Grep11Exception;
import io.grpc.StatusRuntimeException;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.function.BiConsumer;

/** What went wrong, counted by return value and status, each with the first detail seen. */
final class Failures {
  private record Kind(long count, String first) {}

  private final Map<String, Kind> kinds = new TreeMap<>();

  /** Of a failed call its return value and status without a space between them. */
  static String kind(Throwable failure) {
    return switch (failure) {
      case StatusRuntimeException e -> kind(Grep11Exception.of(e));
      case Grep11Exception e -> (e.answered() ? e.returnValueName() + "/" : "") + e.status();
      default -> failure.getClass().getSimpleName();
    };
  }

  static String describe(Throwable failure) {
    var cause = failure.getCause();
    if (failure instanceof ExecutionException && cause != null) {
      return describe(cause);
    }
    var decoded = failure instanceof StatusRuntimeException e ? Grep11Exception.of(e) : failure;
    return decoded.getMessage() == null ? decoded.toString() : decoded.getMessage();
  }

  synchronized void add(String operation, Throwable failure) {
    kinds.merge(
        kind(failure),
        new Kind(1, operation + ": " + describe(failure)),
        (old, more) -> new Kind(old.count() + 1, old.first()));
  }

  synchronized long count() {
    return kinds.values().stream().mapToLong(Kind::count).sum();
  }

  /** Kind, how often, and the first detail, in the order of the kinds. */
  synchronized void each(BiConsumer<Line, String> report) {
    kinds.forEach((kind, seen) ->
        report.accept(new Line().with("failure", kind).with("count", seen.count()), seen.first()));
  }
}
