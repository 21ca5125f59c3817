package dev.grep11.gateway.command;

import dev.grep11.gateway.Gateway;
import dev.grep11.gateway.config.GatewayConfig;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

@Command(
    name = "serve",
    mixinStandardHelpOptions = true,
    footer = {"", "Example: grep11 serve --config gateway.yaml", Commands.EXIT_CODES},
    description = "Runs the gateway that a configuration file describes.")
final class ServeCommand implements Callable<Integer> {
  @Option(
      names = "--config",
      required = true,
      paramLabel = "FILE",
      description = "the gateway's configuration; docs/gateway.yaml is one with comments")
  private Path config = Path.of("");

  @Spec private @Nullable CommandSpec spec;

  @Override
  public Integer call() throws InterruptedException {
    var settings = GatewayConfig.read(config);
    return Foreground.run(
        () -> Gateway.start(settings),
        gateway ->
            "ready grep11=%s certmgr=%s:%d iam=%s health=%s:%d"
                    .formatted(
                        DemoData.address(settings, gateway),
                        settings.clientHost(),
                        gateway.certificateManagerPort(),
                        DemoData.iamEndpoint(settings, gateway),
                        settings.healthHost(),
                        gateway.healthPort())
                + privateAddresses(settings, gateway),
        spec);
  }

  private static String privateAddresses(GatewayConfig settings, Gateway gateway) {
    return settings
        .privateListen()
        .map(listen ->
            " grep11-private=%1$s:%2$d certmgr-private=%1$s:%3$d"
                .formatted(
                    listen.address().isAnyLocalAddress()
                        ? "localhost"
                        : listen.address().getHostAddress(),
                    gateway.privateCryptoPort().orElseThrow(),
                    gateway.privateCertificateManagerPort().orElseThrow()))
        .orElse("");
  }
}
