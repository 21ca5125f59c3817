package dev.grep11.gateway.doctor;

import dev.grep11.findings.Findings;
import dev.grep11.gateway.config.GatewayConfig;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** Whether the ports of a gateway are free, or who has them: proc(5), {@code /proc/net/tcp}. */
final class Ports {
  private static final String LISTENING = "0A";
  private static final int LOCAL = 1;
  private static final int STATE = 3;
  private static final int OWNER = 7;
  private static final int INODE = 9;

  private final Path proc;
  private final String program;
  private final Optional<Set<Long>> gateways;
  private final Findings findings;

  private Ports(Surroundings surroundings, Optional<Set<Long>> gateways, Findings findings) {
    proc = surroundings.proc();
    program = surroundings.program();
    this.gateways = gateways;
    this.findings = findings;
  }

  /** A socket that listens, and who owns it. */
  private record Listener(String user, String inode) {}

  /**
   * Looks at each.
   *
   * @param gateways processes that say in the store that they are gateways; empty where it cannot
   *     be read
   */
  static void look(
      GatewayConfig config,
      Faulty faulty,
      Surroundings surroundings,
      Optional<Set<Long>> gateways,
      Findings findings) {
    if (faulty.concern("listen")) {
      findings.warning("ports", "not checked", "correct the section listen first");
      return;
    }
    var ports = new Ports(surroundings, gateways, findings);
    var listen = config.listen();
    ports.look("crypto port", listen.crypto());
    ports.look("certificate manager port", listen.certificateManager());
    config
        .privateListen()
        .ifPresent(inside -> {
          ports.look("private crypto port", inside.crypto());
          ports.look("private certificate manager port", inside.certificateManager());
        });
    if (config.tokenService().isPresent()) {
      ports.look("token service port", listen.tokenService());
    }
    ports.look("health port", listen.health());
  }

  private void look(String check, InetSocketAddress address) {
    if (address.getPort() == 0) {
      findings.good(check, "a free one is taken at start");
      return;
    }
    var text = address.getHostString() + ":" + address.getPort();
    var refusal = refusal(address);
    if (refusal.isEmpty()) {
      findings.good(check, text + " is free");
      return;
    }
    var listener = listener(address.getPort());
    if (listener.isEmpty()) {
      findings.bad(
          check,
          "%s cannot be bound: %s".formatted(text, refusal.get()),
          "choose an address of this host by listen.host (health: listen.healthHost, private network:"
              + " listen.private.host), and a portBase from 1024 on");
      return;
    }
    var process = process(listener.get().inode());
    if (process.isEmpty()) {
      findings.bad(
          check,
          "%s is in use by a process of the user with number %s"
              .formatted(text, listener.get().user()),
          "see which one as root (ss -ltnp), stop it, or choose another listen.portBase");
      return;
    }
    long pid = process.get();
    var command = command(pid);
    boolean isGateway = command.contains(program);
    if (gateways.isPresent() && gateways.get().contains(pid)) {
      findings.good(check, "%s is that of the gateway that runs, process %d".formatted(text, pid));
    } else if (isGateway && gateways.isEmpty()) {
      findings.warning(
          check,
          "%s is in use by a gateway, process %d".formatted(text, pid),
          "see whether it is this one: what is wrong above keeps the store, which knows, from being"
              + " read");
    } else {
      findings.bad(
          check,
          isGateway
              ? "%s is in use by another gateway, process %d".formatted(text, pid)
              : "%s is in use by process %d (%s)".formatted(text, pid, command.split("\0", 2)[0]),
          "stop that, or choose another listen.portBase");
    }
  }

  /** Why it cannot be bound; tried for a moment, as the listeners do. */
  private static Optional<String> refusal(InetSocketAddress address) {
    try (var socket = new ServerSocket()) {
      socket.setReuseAddress(true);
      socket.bind(address);
      return Optional.empty();
    } catch (IOException e) {
      return Optional.of(String.valueOf(e.getMessage()));
    }
  }

  private Optional<Listener> listener(int port) {
    for (var table : List.of("net/tcp", "net/tcp6")) {
      try {
        for (var line : Files.readAllLines(proc.resolve(table))) {
          var fields = line.strip().split("\\s+", -1);
          if (fields.length > INODE
              && fields[STATE].equals(LISTENING)
              && fields[LOCAL].endsWith(":%04X".formatted(port))) {
            return Optional.of(new Listener(fields[OWNER], fields[INODE]));
          }
        }
      } catch (IOException _) {
        // A kernel without this family.
      }
    }
    return Optional.empty();
  }

  /** Empty where it is another user's, whose descriptors this one may not see. */
  private Optional<Long> process(String inode) {
    var wanted = "socket:[" + inode + "]";
    try (var entries = Files.list(proc)) {
      return entries
          .filter(entry -> entry.getFileName().toString().matches("\\d+"))
          .filter(entry -> holds(entry.resolve("fd"), wanted))
          .map(entry -> Long.parseLong(entry.getFileName().toString()))
          .findFirst();
    } catch (IOException e) {
      return Optional.empty();
    }
  }

  private static boolean holds(Path descriptors, String wanted) {
    try (var all = Files.list(descriptors)) {
      for (var each : all.toList()) {
        if (target(each).equals(wanted)) {
          return true;
        }
      }
      return false;
    } catch (IOException e) {
      return false;
    }
  }

  private static String target(Path descriptor) {
    try {
      return Files.readSymbolicLink(descriptor).toString();
    } catch (IOException e) {
      return "";
    }
  }

  private String command(long pid) {
    try {
      return Files.readString(proc.resolve(Long.toString(pid)).resolve("cmdline"));
    } catch (IOException e) {
      return "unknown";
    }
  }
}
