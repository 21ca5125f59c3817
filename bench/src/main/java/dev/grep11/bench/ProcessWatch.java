package dev.grep11.bench;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * The gateway's process from outside, by {@code /proc}: resident memory once a second, and the
 * numbers of its open files (connections among them) and threads. PKCS #11 sessions and objects of
 * SoftHSM are neither, only memory: a leak of them shows as a slope.
 *
 * <p>A JVM's heap grows into its bound for a while. To see a slope that means something let the
 * gateway have its heap from the start ({@code -Xms} as {@code -Xmx}, {@code -XX:+AlwaysPreTouch}),
 * or watch for long.
 */
final class ProcessWatch implements AutoCloseable {
  private static final Duration INTERVAL = Duration.ofSeconds(1);
  private static final double MIB = 1 << 20;
  private static final double MINUTE = 60e9;

  /** Resident bytes at a time of {@link System#nanoTime}. */
  record Reading(long nanos, long bytes) {}

  private final Path process;
  private final List<Reading> readings = new ArrayList<>();
  private final Thread sampler;
  private volatile boolean over;

  /**
   * @throws BenchException if there is no such process, or it is not ours to see
   */
  ProcessWatch(long pid) {
    process = Path.of("/proc", Long.toString(pid));
    try {
      var _ = resident();
      var _ = openFiles();
    } catch (UncheckedIOException e) {
      throw new BenchException("process " + pid + " cannot be watched", e);
    }
    sampler = Thread.ofPlatform().daemon().name("process-watch").start(this::sample);
  }

  private void sample() {
    try {
      while (!over) {
        var reading = new Reading(System.nanoTime(), resident());
        synchronized (readings) {
          readings.add(reading);
        }
        Thread.sleep(INTERVAL);
      }
    } catch (InterruptedException | UncheckedIOException ended) {
      // What was read until the process went stays; the calls that fail tell the rest.
    }
  }

  /** Bytes. */
  long resident() {
    for (var line : read("status").split("\n", -1)) {
      if (line.startsWith("VmRSS:")) {
        return Long.parseLong(line.replaceAll("\\D", "")) * 1024;
      }
    }
    throw new BenchException(process + " has no memory");
  }

  long openFiles() {
    return entries("fd");
  }

  long threads() {
    return entries("task");
  }

  /**
   * MiB a minute from this time of {@link System#nanoTime} on.
   *
   * @throws BenchException with fewer than 10 readings, which would pass any bound
   */
  double slope(long from) {
    return slope(readings(from));
  }

  /** What was read from this time of {@link System#nanoTime} on. */
  List<Reading> readings(long from) {
    synchronized (readings) {
      return readings.stream().filter(reading -> reading.nanos() >= from).toList();
    }
  }

  /**
   * Median of the slopes between any two readings (Theil and Sen), so that a single step, such as a
   * heap region that the collector takes or gives back, does not make a trend.
   */
  static double slope(List<Reading> readings) {
    if (readings.size() < 10) {
      throw new BenchException("the process was watched for too short a time to see a slope");
    }
    var slopes = new ArrayList<Double>();
    for (int i = 0; i < readings.size(); i++) {
      for (int j = i + 1; j < readings.size(); j++) {
        double minutes = (readings.get(j).nanos() - readings.get(i).nanos()) / MINUTE;
        slopes.add((readings.get(j).bytes() - readings.get(i).bytes()) / MIB / minutes);
      }
    }
    slopes.sort(null);
    return (slopes.get((slopes.size() - 1) / 2) + slopes.get(slopes.size() / 2)) / 2;
  }

  private String read(String file) {
    try {
      return Files.readString(process.resolve(file));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private long entries(String directory) {
    try (var entries = Files.list(process.resolve(directory))) {
      return entries.count();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Override
  public void close() {
    over = true;
    sampler.interrupt();
  }
}
