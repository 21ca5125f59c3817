package dev.grep11.gateway.command;

import dev.grep11.gateway.config.GatewayConfig;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Option;

/** Which gateway a command on the host belongs to. */
final class GatewayOption {
  @ArgGroup(multiplicity = "1")
  private Choice choice = new Choice();

  /** One of the two; also for commands that can do without. */
  static final class Choice {
    @Option(names = "--config", paramLabel = "FILE", description = "the gateway's configuration")
    private @Nullable Path config;

    @Option(names = "--data", paramLabel = "DIR", description = "the directory of a demo gateway")
    private @Nullable Path data;

    GatewayConfig read() {
      if (config != null) {
        return GatewayConfig.read(config);
      }
      if (data == null) {
        throw new IllegalStateException("picocli requires one of the two");
      }
      return DemoData.configuration(data);
    }

    Path file() {
      if (config != null) {
        return config;
      }
      if (data == null) {
        throw new IllegalStateException("picocli requires one of the two");
      }
      return DemoData.configurationFile(data);
    }
  }

  GatewayConfig read() {
    return choice.read();
  }

  /** The file that {@link #read} reads. */
  Path file() {
    return choice.file();
  }

  /** As it was given, for a command that is proposed. */
  String words() {
    return choice.config != null ? "--config " + choice.config : "--data " + choice.data;
  }
}
