package dev.grep11.demo;

import com.google.gson.JsonObject;
import dev.grep11.client.Grep11Exception;
import java.io.PrintStream;
import java.time.Duration;
import java.util.Locale;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * Runs the steps of the story and tells each as one line. A step that does not do what it should is
 * told and remembered, and the story goes on.
 */
final class Steps {
  enum Form {
    TEXT,
    JSON
  }

  /** What a step does; its answer is the result that is shown. */
  @FunctionalInterface
  interface Action {
    String run() throws Exception;
  }

  private final PrintStream out;
  private final Form form;
  private @Nullable String firstFailure;
  private int count;

  Steps(PrintStream out, Form form) {
    this.out = out;
    this.form = form;
  }

  void chapter(String title) {
    if (form == Form.TEXT) {
      out.println();
      out.println(title);
    }
  }

  /** A step that must succeed. */
  void step(String name, Action action) {
    long begin = System.nanoTime();
    try {
      String result = action.run();
      tell(name, true, begin, result);
    } catch (Exception e) {
      tell(name, false, begin, text(e));
    }
  }

  /** A step that must be refused, and for the reason that {@code expected} recognises. */
  void refusal(String name, Predicate<Grep11Exception> expected, Action action) {
    refusal(name, Grep11Exception.class, expected, action);
  }

  /** A step that must be refused in this way. */
  <E extends RuntimeException> void refusal(
      String name, Class<E> way, Predicate<E> expected, Action action) {
    long begin = System.nanoTime();
    try {
      tell(name, false, begin, "was not refused: " + action.run());
    } catch (Exception e) {
      if (!way.isInstance(e)) {
        tell(name, false, begin, text(e));
        return;
      }
      boolean right = expected.test(way.cast(e));
      tell(name, right, begin, (right ? "refused: " : "refused for another reason: ") + text(e));
    }
  }

  int count() {
    return count;
  }

  /** The first step that did not do what it should, or null. */
  @Nullable String firstFailure() {
    return firstFailure;
  }

  private void tell(String name, boolean right, long begin, String result) {
    count++;
    if (!right && firstFailure == null) {
      firstFailure = name;
    }
    var duration = Duration.ofNanos(System.nanoTime() - begin);
    switch (form) {
      case TEXT ->
          out.printf(
              Locale.ROOT,
              "  %-4s  %-58s %8.1f ms  %s%n",
              right ? "ok" : "FAIL",
              name,
              duration.toNanos() / 1e6,
              result);
      case JSON -> {
        var json = new JsonObject();
        json.addProperty("step", name);
        json.addProperty("ok", right);
        json.addProperty("micros", duration.toNanos() / 1000);
        json.addProperty("result", result);
        out.println(json);
      }
    }
  }

  private static String text(Exception e) {
    String message = e.getMessage() == null ? e.toString() : e.getMessage();
    return message.lines().findFirst().orElse("");
  }
}
