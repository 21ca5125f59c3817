package dev.grep11.bench;

import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.function.Supplier;

/**
 * How much of the machine everybody else took while only this process had work: {@code others=}, in
 * processors. A run with more than a few hundredths of one is for a look and not for a claim.
 */
final class Neighbours {
  /** USER_HZ, which Linux keeps at 100 for /proc whatever the kernel's own clock. */
  private static final long TICK_NANOS = 10_000_000;

  // user, nice, system, irq, softirq, steal (proc(5), /proc/stat); idle and iowait are not work.
  private static final int[] BUSY_FIELDS = {1, 2, 3, 6, 7, 8};

  private final OperatingSystemMXBean own =
      ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class);
  private long taken;
  private long elapsed;

  <T> T watch(Supplier<T> work) {
    long began = System.nanoTime();
    long others = others();
    var result = work.get();
    taken += others() - others;
    elapsed += System.nanoTime() - began;
    return result;
  }

  /** Processors in use, on average; 0 before anything was watched. */
  double processors() {
    return elapsed == 0 ? 0 : Math.max(0, (double) taken / elapsed);
  }

  private long others() {
    try (var lines = Files.lines(Path.of("/proc/stat"))) {
      return busy(lines.findFirst().orElseThrow()) - own.getProcessCpuTime();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
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
}
