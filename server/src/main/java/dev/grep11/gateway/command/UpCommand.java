package dev.grep11.gateway.command;

import dev.grep11.gateway.Gateway;
import dev.grep11.gateway.GatewayConfig;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

@Command(
    name = "up",
    mixinStandardHelpOptions = true,
    description = {
      "Runs a demo gateway on this machine's loopback address.",
      "Makes a SoftHSM token, a CA, an instance and an API key where DIR is empty; a second"
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
      description = "first of four ports, 0 for free ones; default: ${DEFAULT-VALUE}")
  private int portBase;

  @Spec private @Nullable CommandSpec spec;

  @Override
  public Integer call() throws InterruptedException {
    return Foreground.run(
        () -> Gateway.start(DemoData.open(data).settings(portBase)),
        gateway -> readyLine(DemoData.open(data), gateway),
        spec);
  }

  private String readyLine(DemoData demo, Gateway gateway) {
    var settings = demo.settings(portBase);
    return "ready grep11=%s certmgr=%s iam=%s ca=%s env=%s health=%s:%d"
        .formatted(
            DemoData.address(settings, gateway),
            DemoData.certificateManager(settings, gateway),
            DemoData.iamEndpoint(settings, gateway),
            demo.ca(),
            demo.writeEnvironment(settings, gateway),
            settings.clientHost(),
            gateway.healthPort());
  }
}
