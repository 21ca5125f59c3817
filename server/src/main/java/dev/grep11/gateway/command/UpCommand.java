package dev.grep11.gateway.command;

import dev.grep11.gateway.Gateway;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.token.StartException;
import java.net.InetAddress;
import java.nio.file.Path;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

@Command(
    name = "up",
    mixinStandardHelpOptions = true,
    footer = {"", "Example: grep11 up --data /tmp/g11 --port-base 9876", Commands.EXIT_CODES},
    description = {
      "Runs a demo gateway on this machine's loopback address.",
      "Makes a SoftHSM token, a CA, an instance, keystores and API keys where DIR is empty; a second"
          + " process on the same DIR with another port base is a replica."
    })
final class UpCommand implements Callable<Integer> {
  @Option(
      names = "--data",
      paramLabel = "DIR",
      defaultValue = ".grep11/demo",
      description = "directory of the demo gateway; default: ${DEFAULT-VALUE}")
  private Path data = Path.of("");

  @Option(
      names = "--port-base",
      paramLabel = "N",
      defaultValue = "" + GatewayConfig.DEFAULT_PORT_BASE,
      description = "first of four ports, to 65532, 0 for free ones; default: ${DEFAULT-VALUE}")
  private int portBase;

  // The last of the four must be a port.
  private static final int LAST_PORT_BASE = 65_532;

  @Spec private @Nullable CommandSpec spec;

  @Override
  public Integer call() throws InterruptedException {
    if (portBase < 0 || portBase > LAST_PORT_BASE) {
      throw new ParameterException(
          Objects.requireNonNull(spec).commandLine(),
          "--port-base %d is no port from 1 to %d, nor 0".formatted(portBase, LAST_PORT_BASE));
    }
    return Foreground.run(
        () -> {
          requireFreePorts();
          return Gateway.start(DemoData.open(data).settings(portBase));
        },
        gateway -> readyLine(DemoData.open(data), gateway),
        spec);
  }

  /** Before a demo is made for nothing. Whoever comes in between is told when it starts. */
  private void requireFreePorts() {
    var taken = new GatewayConfig.Listen(InetAddress.getLoopbackAddress(), portBase).taken();
    if (!taken.isEmpty()) {
      throw new StartException(
          "%s in use on this host, by another gateway perhaps; choose another --port-base (four ports from %d on are needed)"
              .formatted(
                  taken.size() == 1
                      ? "port " + taken.getFirst() + " is"
                      : "ports "
                          + taken.stream().map(String::valueOf).collect(Collectors.joining(", "))
                          + " are",
                  portBase));
    }
  }

  private String readyLine(DemoData demo, Gateway gateway) {
    var settings = demo.settings(portBase);
    return "ready grep11=%s certmgr=%s iam=%s ca=%s env=%s pkcs11=%s health=%s:%d"
        .formatted(
            DemoData.address(settings, gateway),
            DemoData.certificateManager(settings, gateway),
            DemoData.iamEndpoint(settings, gateway),
            demo.ca(),
            demo.writeEnvironment(settings, gateway),
            demo.writeClientConfiguration(settings, gateway).map(Path::toString).orElse("none"),
            settings.healthHost(),
            gateway.healthPort());
  }
}
