package dev.grep11.gateway.doctor;

import static java.nio.charset.StandardCharsets.US_ASCII;

import dev.grep11.findings.Findings;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.tls.ConnectionLimits;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.regex.Pattern;

/** What the kernel allows a gateway: proc(5), {@code /proc/self/limits}; listen(2). */
final class KernelLimits {
  private static final long FEWEST_FILES = 1_024;

  /** Besides connections: libraries, token, database, audit files, key sets. */
  private static final long OTHER_FILES = 1_024;

  private static final long ENOUGH_FILES = 65_536;
  private static final long LEAST_LOCKED = 64 * 1024;
  private static final long SHORT_QUEUE = 1_024;

  private final Path proc;
  private final Findings findings;

  private KernelLimits(Path proc, Findings findings) {
    this.proc = proc;
    this.findings = findings;
  }

  /**
   * Looks.
   *
   * @param config by which connections are admitted; the standard ones where it is empty
   */
  static void look(Surroundings surroundings, Optional<GatewayConfig> config, Findings findings) {
    var limits = new KernelLimits(surroundings.proc(), findings);
    limits.openFiles(
        config.map(KernelLimits::connections).orElse(connections(ConnectionLimits.DEFAULT, 1)));
    limits.coreFiles();
    limits.lockedMemory();
    limits.listenQueue();
  }

  private static long connections(GatewayConfig config) {
    return connections(config.connections(), config.privateListen().isPresent() ? 2 : 1);
  }

  /**
   * Of all ports: crypto and certificate manager listen on each address, with limits of its own.
   */
  private static long connections(ConnectionLimits crypto, int addresses) {
    long small = ConnectionLimits.SMALL.open();
    return addresses * (crypto.open() + small) + crypto.ofVisits().open() + small;
  }

  private void openFiles(long connections) {
    var check = "open files";
    long needed = connections + OTHER_FILES;
    var remedy =
        "raise it: ulimit -n %1$d, LimitNOFILE=%1$d in the unit, or nofile of the container; or lower limits.connections"
            .formatted(Math.max(needed, ENOUGH_FILES));
    var limit = limit("Max open files");
    if (limit.isEmpty()) {
      unknown(check);
    } else if (limit.getAsLong() < FEWEST_FILES) {
      findings.bad(
          check,
          "%d may be open: connections, token and database need more".formatted(limit.getAsLong()),
          remedy);
    } else if (limit.getAsLong() < needed) {
      findings.warning(
          check,
          "%d may be open, and with %d connections, which the ports admit, %d would be"
              .formatted(limit.getAsLong(), connections, needed),
          remedy);
    } else {
      findings.good(check, text(limit.getAsLong()) + " may be open");
    }
  }

  private void coreFiles() {
    var check = "core files";
    var limit = limit("Max core file size");
    if (limit.isEmpty()) {
      unknown(check);
    } else if (limit.getAsLong() > 0) {
      findings.warning(
          check,
          "one of %s bytes would be written at a crash, with what is in memory"
              .formatted(text(limit.getAsLong())),
          "switch them off: ulimit -c 0, LimitCORE=0 in the unit, or start by ./grep11");
    } else {
      findings.good(check, "none is written");
    }
  }

  private void lockedMemory() {
    var check = "locked memory";
    var limit = limit("Max locked memory");
    if (limit.isEmpty()) {
      unknown(check);
    } else if (limit.getAsLong() < LEAST_LOCKED) {
      findings.warning(
          check,
          "%d bytes: a software token keeps its keys in locked memory, and fails without"
              .formatted(limit.getAsLong()),
          "raise it: ulimit -l 8192, LimitMEMLOCK=8M in the unit, or memlock of the container");
    } else {
      findings.good(check, text(limit.getAsLong()) + " bytes");
    }
  }

  private void listenQueue() {
    var check = "listen queue";
    var file = proc.resolve("sys/net/core/somaxconn");
    // In one read: a file below /proc/sys answers the first one only, and Files.readString, which
    // believes its size of 0, begins with one byte.
    try (var in = Files.newInputStream(file)) {
      long length = Long.parseLong(new String(in.readNBytes(32), US_ASCII).strip());
      if (length < SHORT_QUEUE) {
        findings.warning(
            check,
            "%d connections may wait to be accepted, more are dropped".formatted(length),
            "raise it: sysctl -w net.core.somaxconn=4096, in a container by its own sysctls");
      } else {
        findings.good(check, "%d connections may wait to be accepted".formatted(length));
      }
    } catch (IOException | NumberFormatException e) {
      unknown(check);
    }
  }

  private void unknown(String check) {
    findings.warning(
        check, "%s does not tell".formatted(proc), "look at ulimit -a of the gateway's user");
  }

  /** The soft one, which binds; the largest number where there is none. */
  private OptionalLong limit(String name) {
    try {
      var line = Pattern.compile("(?m)^" + name + " +(\\d+|unlimited) ");
      var found = line.matcher(Files.readString(proc.resolve("self/limits")));
      if (!found.find()) {
        return OptionalLong.empty();
      }
      return OptionalLong.of(
          found.group(1).equals("unlimited") ? Long.MAX_VALUE : Long.parseLong(found.group(1)));
    } catch (IOException | NumberFormatException e) {
      return OptionalLong.empty();
    }
  }

  private static String text(long limit) {
    return limit == Long.MAX_VALUE ? "any number of" : Long.toString(limit);
  }
}
