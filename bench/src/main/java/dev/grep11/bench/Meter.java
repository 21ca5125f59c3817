package dev.grep11.bench;

import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/**
 * Who used the machine's processors during a window: this process, the one that is measured with
 * its children, and everybody else. From {@code /proc} (proc(5)), in steps of 10 ms.
 */
final class Meter {
  /** USER_HZ, which Linux keeps at 100 for /proc whatever the kernel's own clock. */
  private static final long TICK_NANOS = 10_000_000;

  // user, nice, system, irq, softirq, steal (proc(5), /proc/stat); idle and iowait are not work.
  private static final int[] BUSY_FIELDS = {1, 2, 3, 6, 7, 8};

  // utime and stime (proc(5), /proc/pid/stat), counted behind the program's name.
  private static final int USER_TIME = 11;
  private static final int SYSTEM_TIME = 12;

  /** No process but this one. */
  static final Meter OF_THIS_PROCESS = new Meter(0);

  private static final OperatingSystemMXBean OWN =
      ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class);

  private final long measured;

  /**
   * @param measured process identifier of the peer, or 0 where this process is the peer
   */
  Meter(long measured) {
    this.measured = measured;
  }

  /**
   * Nanoseconds of processor time, of all processors together.
   *
   * @param own this process
   * @param peer the process that is measured, 0 where that is this one
   * @param others everybody else, and what the hypervisor took
   */
  record Usage(long own, long peer, long others) {
    static final Usage NONE = new Usage(0, 0, 0);

    Usage since(Usage earlier) {
      return new Usage(
          own - earlier.own, peer - earlier.peer, Math.max(0, others - earlier.others));
    }

    Usage plus(Usage more) {
      return new Usage(own + more.own, peer + more.peer, others + more.others);
    }
  }

  /** Totals since some time in the past. */
  Usage read() {
    long own = OWN.getProcessCpuTime();
    long peer = measured == 0 ? 0 : family(measured);
    return new Usage(own, peer, busy(firstLine(Path.of("/proc/stat"))) - own - peer);
  }

  /** The totals of a load generator that is a process of its own, and of those that serve it. */
  static Usage of(long generator, List<Long> servers) {
    long own = ofProcess(generator);
    long peer = servers.stream().mapToLong(Meter::family).sum();
    return new Usage(own, peer, busy(firstLine(Path.of("/proc/stat"))) - own - peer);
  }

  /** Of a process and those it began, which p11-kit does for each connection. */
  private static long family(long pid) {
    return ProcessHandle.of(pid).stream()
        .flatMap(process -> Stream.concat(Stream.of(process), process.descendants()))
        .mapToLong(process -> ofProcess(process.pid()))
        .sum();
  }

  /** Nanoseconds of processor time of a process; 0 when it has gone. */
  static long ofProcess(long pid) {
    try {
      return processTime(firstLine(Path.of("/proc", Long.toString(pid), "stat")));
    } catch (UncheckedIOException gone) {
      return 0;
    }
  }

  /** User and system time in nanoseconds, from {@code /proc/PID/stat}. */
  static long processTime(String line) {
    // The name may hold spaces and parentheses; what follows its last one does not.
    var fields = line.substring(line.lastIndexOf(')') + 2).split(" ", -1);
    return (Long.parseLong(fields[USER_TIME]) + Long.parseLong(fields[SYSTEM_TIME])) * TICK_NANOS;
  }

  /** Nanoseconds of all processors, from the first line of {@code /proc/stat}. */
  static long busy(String line) {
    var fields = line.split("\\s+", -1);
    long ticks = 0;
    for (int field : BUSY_FIELDS) {
      ticks += Long.parseLong(fields[field]);
    }
    return ticks * TICK_NANOS;
  }

  private static String firstLine(Path file) {
    try (var lines = Files.lines(file)) {
      return lines.findFirst().orElse("");
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
