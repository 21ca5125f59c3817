package dev.grep11.gateway.command;

import dev.grep11.gateway.GatewayConfig;
import dev.grep11.gateway.Host;
import dev.grep11.gateway.StartException;
import dev.grep11.gateway.tls.ServerTls;
import dev.grep11.softhsm.SoftHsmToken;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

@Command(
    name = "doctor",
    mixinStandardHelpOptions = true,
    description =
        "Checks what a gateway needs on this machine, and a configuration if one is given.")
final class DoctorCommand implements Callable<Integer> {
  private static final int OLDEST_JDK = 25;

  @Mixin private OutputOption output = new OutputOption();

  @Option(names = "--config", paramLabel = "FILE")
  private @Nullable Path config;

  @Spec private @Nullable CommandSpec spec;

  private final List<Map<String, String>> findings = new ArrayList<>();
  private boolean good = true;

  /** Gives what was found, or throws why it is not good. */
  private interface Check {
    String look() throws IOException;
  }

  @Override
  public Integer call() {
    check("java", DoctorCommand::java);
    check(
        "tls",
        () -> {
          ServerTls.requireNoResumption();
          return "BoringSSL is there, sessions are not resumed";
        });
    if (config == null) {
      check("softhsm", () -> SoftHsmToken.findModule().toString());
    } else {
      var file = config;
      check("configuration", () -> GatewayConfig.read(file).mode() + ", no problem found");
      if (good) {
        var read = GatewayConfig.read(file);
        check("token and store", () -> tokenAndStore(read));
        check("crypto port", () -> free(read.listen().crypto()));
        check("token service port", () -> free(read.listen().tokenService()));
        check("health port", () -> free(read.listen().health()));
      }
    }
    output.list(Commands.out(spec), findings);
    return good ? 0 : 1;
  }

  private void check(String what, Check check) {
    var finding = new LinkedHashMap<String, String>();
    finding.put("check", what);
    try {
      var found = check.look();
      finding.put("result", "ok");
      finding.put("detail", found);
    } catch (IOException | RuntimeException e) {
      good = false;
      finding.put("result", "FAILED");
      finding.put("detail", String.valueOf(e.getMessage()));
    }
    findings.add(finding);
  }

  private static String java() {
    var version = Runtime.version();
    if (version.feature() < OLDEST_JDK) {
      throw new StartException("Java " + version + "; " + OLDEST_JDK + " or later is needed");
    }
    return "Java " + version;
  }

  private static String tokenAndStore(GatewayConfig config) {
    try (var host = Host.open(config)) {
      return host.store().instances().size() + " instance(s)";
    }
  }

  private static String free(InetSocketAddress address) throws IOException {
    try (var socket = new ServerSocket()) {
      socket.bind(address);
      return address.getHostString() + ":" + address.getPort() + " is free";
    } catch (IOException e) {
      throw new IOException(
          address.getHostString() + ":" + address.getPort() + " cannot be bound (in use?)", e);
    }
  }
}
