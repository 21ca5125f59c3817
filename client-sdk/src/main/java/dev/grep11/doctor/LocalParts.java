package dev.grep11.doctor;

import dev.grep11.findings.Findings;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import jdk.net.ExtendedSocketOptions;

/**
 * What this host has for applications: the agent's socket, the module, and the distribution's.
 *
 * @param socket where applications look for the agent
 * @param module {@code pkcs11-grep11.so}, if the launcher could make it
 * @param distribution {@code p11-kit-client.so}, if it is installed
 */
public record LocalParts(Path socket, Optional<Path> module, Optional<Path> distribution) {
  private static final int ANSWER_MILLIS = 3_000;
  private static final int TOOL_SECONDS = 20;

  /** S_IFMT and S_IFSOCK of {@code sys/stat.h}. */
  private static final int FILE_TYPE = 0170000;

  private static final int SOCKET_TYPE = 0140000;
  private static final String START = "start it: ./grep11 agent --config FILE --socket ";
  private static final List<String> CLIENTS =
      List.of("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib");

  /** {@code p11-kit-client.so} where distributions keep it. */
  public static Optional<Path> ofTheDistribution() {
    return CLIENTS.stream()
        .map(folder -> Path.of(folder, "pkcs11", "p11-kit-client.so"))
        .filter(Files::exists)
        .findFirst();
  }

  void examine(Findings findings) {
    boolean answers = agent(findings);
    if (module.filter(Files::isReadable).isPresent()) {
      findings.good("module", module.get() + " is there");
    } else {
      findings.warning(
          "module",
          "pkcs11-grep11.so was not made",
          "install a C compiler, or let applications load p11-kit-client.so");
    }
    if (distribution.isPresent()) {
      hidden(findings, answers);
    }
  }

  /** Whether it can be asked. */
  private boolean agent(Findings findings) {
    var check = "agent";
    try {
      if (!Files.exists(socket, LinkOption.NOFOLLOW_LINKS)) {
        findings.warning(check, "there is no socket " + socket, START + socket);
        return false;
      }
      int mode = (int) Files.getAttribute(socket, "unix:mode", LinkOption.NOFOLLOW_LINKS);
      if ((mode & FILE_TYPE) != SOCKET_TYPE) {
        findings.bad(check, socket + " is no socket", "name another by GREP11_AGENT_SOCKET");
        return false;
      }
    } catch (IOException e) {
      findings.bad(
          check, socket + " cannot be looked at: " + e.getMessage(), "ask as the agent's user");
      return false;
    }
    try (var channel = SocketChannel.open(StandardProtocolFamily.UNIX)) {
      channel.connect(UnixDomainSocketAddress.of(socket));
      var user = channel.getOption(ExtendedSocketOptions.SO_PEERCRED).user().getName();
      if (!greets(channel)) {
        findings.bad(
            check,
            "%s of user %s does not answer this user".formatted(socket, user),
            "start the agent with --allow-user, or ask as its user");
        return false;
      }
      findings.good(check, "%s answers; it is user %s's".formatted(socket, user));
      return true;
    } catch (IOException e) {
      findings.bad(
          check,
          "nobody listens at %s: %s".formatted(socket, e.getMessage()),
          "an agent that was killed left it behind, or it is not open to this user; "
              + START
              + socket);
      return false;
    }
  }

  /** The first byte of each side: the newest dialect that it speaks. */
  private static boolean greets(SocketChannel channel) throws IOException {
    channel.write(ByteBuffer.wrap(new byte[] {2}));
    channel.configureBlocking(false);
    try (var selector = Selector.open()) {
      channel.register(selector, SelectionKey.OP_READ);
      return selector.select(ANSWER_MILLIS) > 0 && channel.read(ByteBuffer.allocate(1)) == 1;
    }
  }

  /**
   * What p11-kit's client module leaves out of the agent's mechanisms, seen through both modules.
   */
  private void hidden(Findings findings, boolean answers) {
    var check = "p11-kit";
    var client = distribution.orElseThrow();
    if (!answers || module.isEmpty()) {
      findings.warning(
          check,
          "%s: what it hides is not checked".formatted(client),
          "it takes an agent that answers, and pkcs11-grep11.so");
      return;
    }
    var all = mechanisms(module.get());
    var shown = mechanisms(client);
    if (all.isEmpty() || shown.isEmpty()) {
      findings.warning(
          check,
          "%s: what it hides is not checked: no answer by pkcs11-tool".formatted(client),
          "install pkcs11-tool; on Debian or Ubuntu: apt-get install opensc");
      return;
    }
    var left = new LinkedHashSet<>(all.get());
    left.removeAll(shown.get());
    if (left.isEmpty()) {
      findings.good(check, client + " shows all mechanisms");
    } else {
      findings.warning(
          check,
          "%s hides %d of %d mechanisms (docs/p11-kit-hidden.md; all of them: --output json)"
              .formatted(client, left.size(), all.get().size()),
          "load pkcs11-grep11.so where an application needs one of them",
          List.copyOf(left));
    }
  }

  /** The names that pkcs11-tool gives them; empty where it cannot be asked. */
  private Optional<Set<String>> mechanisms(Path through) {
    Process process;
    try {
      var builder =
          new ProcessBuilder("pkcs11-tool", "--module", through.toString(), "-M")
              .redirectError(ProcessBuilder.Redirect.DISCARD);
      builder.environment().put("P11_KIT_SERVER_ADDRESS", "unix:path=" + socket);
      builder.environment().put("GREP11_AGENT_SOCKET", socket.toString());
      process = builder.start();
    } catch (IOException e) {
      return Optional.empty();
    }
    try {
      process.getOutputStream().close();
      // Reading ends with the program, which an agent that hangs would keep for ever.
      CompletableFuture.delayedExecutor(TOOL_SECONDS, TimeUnit.SECONDS)
          .execute(process::destroyForcibly);
      var said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
      if (!process.waitFor(TOOL_SECONDS, TimeUnit.SECONDS) || process.exitValue() != 0) {
        return Optional.empty();
      }
      var names = new ArrayList<String>();
      for (var line : said.split("\n", -1)) {
        // "  ECDSA, keySize={256,521}, hw, sign, verify"
        if (line.startsWith("  ")) {
          names.add(line.strip().split(",", 2)[0]);
        }
      }
      return names.isEmpty() ? Optional.empty() : Optional.of(new LinkedHashSet<>(names));
    } catch (IOException e) {
      return Optional.empty();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return Optional.empty();
    } finally {
      process.destroy();
    }
  }
}
