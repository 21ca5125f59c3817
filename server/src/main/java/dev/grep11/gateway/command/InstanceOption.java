package dev.grep11.gateway.command;

import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.token.StartException;
import java.util.Optional;
import java.util.UUID;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Which instance something is given in. */
final class InstanceOption {
  @Option(
      names = "--instance",
      paramLabel = "UUID",
      description = "the instance it counts in; default: the one that is configured")
  private @Nullable UUID instance;

  UUID chosen(GatewayConfig config) {
    return Optional.ofNullable(instance)
        .or(config::instance)
        .orElseThrow(() -> new StartException("name an --instance: there are several"));
  }
}
