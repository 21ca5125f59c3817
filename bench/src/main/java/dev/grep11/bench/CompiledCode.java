package dev.grep11.bench;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * How much of a Java process is code that its compilers made, every quarter of a minute. They go on
 * for some twenty minutes after a start, a little less each minute: what grows besides is a leak.
 *
 * <p>The process needs {@code -XX:NativeMemoryTracking=summary} and must not have {@code
 * -XX:+DisableAttachMechanism}. A call of it takes some hundredths of a second of the processor.
 */
final class CompiledCode implements AutoCloseable {
  private static final Duration INTERVAL = Duration.ofSeconds(15);
  private static final Pattern COMMITTED =
      Pattern.compile("- +Code \\(reserved=\\d+KB, committed=(\\d+)KB\\)");

  private final String pid;

  /** Bytes by time of {@link System#nanoTime}. */
  private final TreeMap<Long, Long> readings = new TreeMap<>();

  private final Thread sampler;

  /**
   * @throws BenchException if the process does not tell
   */
  CompiledCode(long pid) {
    this.pid = Long.toString(pid);
    read();
    sampler = Thread.ofPlatform().daemon().name("compiled-code").start(this::sample);
  }

  private void sample() {
    try {
      while (true) {
        Thread.sleep(INTERVAL);
        read();
      }
    } catch (InterruptedException | BenchException ended) {
      // What was read until the process went stays.
    }
  }

  /** Asks now. */
  void read() {
    long bytes = committed(summary());
    synchronized (readings) {
      readings.put(System.nanoTime(), bytes);
    }
  }

  private String summary() {
    var jcmd = Path.of(System.getProperty("java.home"), "bin", "jcmd").toString();
    try {
      var asked =
          new ProcessBuilder(jcmd, pid, "VM.native_memory", "summary", "scale=KB")
              .redirectErrorStream(true)
              .start();
      try (var answer = asked.getInputStream()) {
        return new String(answer.readAllBytes(), UTF_8);
      }
    } catch (IOException e) {
      throw new BenchException("jcmd does not start", e);
    }
  }

  /** Bytes, by what {@code VM.native_memory summary scale=KB} says. */
  static long committed(String summary) {
    var found = COMMITTED.matcher(summary);
    if (!found.find()) {
      throw new BenchException(
          "the process does not tell of its memory (-XX:NativeMemoryTracking=summary, no -XX:+DisableAttachMechanism): "
              + summary.strip());
    }
    return Long.parseLong(found.group(1)) * 1024;
  }

  /** Bytes at a time of {@link System#nanoTime}: on the line between the readings around it. */
  long at(long nanos) {
    synchronized (readings) {
      return between(readings.floorEntry(nanos), readings.ceilingEntry(nanos), nanos);
    }
  }

  private static long between(
      Map.@Nullable Entry<Long, Long> before, Map.@Nullable Entry<Long, Long> after, long nanos) {
    if (before == null || after == null) {
      var nearest = before == null ? after : before;
      if (nearest == null) {
        throw new IllegalStateException("there always is a first reading");
      }
      return nearest.getValue();
    }
    long span = after.getKey() - before.getKey();
    double part = span == 0 ? 0 : (double) (nanos - before.getKey()) / span;
    return Math.round(before.getValue() + part * (after.getValue() - before.getValue()));
  }

  @Override
  public void close() {
    sampler.interrupt();
  }
}
