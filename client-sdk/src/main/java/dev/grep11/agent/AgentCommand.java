package dev.grep11.agent;

import dev.grep11.agent.config.ClientConfig;
import dev.grep11.agent.config.ClientConfigFile;
import dev.grep11.agent.config.ConfigException;
import dev.grep11.agent.cryptoki.Cryptoki;
import dev.grep11.agent.log.Log;
import java.io.IOException;
import java.nio.channels.ServerSocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.UserPrincipal;
import java.nio.file.attribute.UserPrincipalNotFoundException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code grep11 agent}. */
@Command(
    name = "agent",
    mixinStandardHelpOptions = true,
    sortOptions = false,
    description = {
      "Serves PKCS #11 applications of this host, with their keys at a gateway.",
      "",
      "Applications load pkcs11-grep11.so, or p11-kit-client.so of the distribution, and find the"
          + " agent by its socket."
    },
    footer = {
      "",
      "Prints @|bold ready socket=PATH module=FILE|@ when applications can connect, and runs until it"
          + " is ended by SIGTERM or SIGINT.",
      "Exit codes: 0 ended, 1 refused or failed, 2 wrong use."
    })
public final class AgentCommand implements Callable<Integer> {
  private static final String SOCKET_VARIABLE = "GREP11_AGENT_SOCKET";

  @Option(
      names = "--config",
      paramLabel = "FILE",
      description =
          "grep11client.yaml; without it what EP11CLIENT_CFG names, /etc/ep11client or the working"
              + " directory has")
  private @Nullable Path config;

  @Option(
      names = "--socket",
      paramLabel = "PATH",
      description =
          "where to listen; without it GREP11_AGENT_SOCKET, else grep11/agent.sock in"
              + " XDG_RUNTIME_DIR, else /run/grep11/agent.sock")
  private @Nullable Path socket;

  @Option(
      names = "--allow-user",
      paramLabel = "NAME",
      description =
          "a user who may connect beside the agent's own; may be repeated. The socket is then open"
              + " to all, and the kernel tells who they are")
  private List<String> allowed = new ArrayList<>();

  /** sun_path of sockaddr_un, less the zero at its end (unix(7)). */
  private static final int LONGEST_SOCKET = 107;

  private final Map<String, String> environment;

  private AgentCommand(Map<String, String> environment) {
    this.environment = environment;
  }

  /** Ends the process with the command's exit code. */
  public static void main(String[] arguments) {
    System.exit(new CommandLine(new AgentCommand(System.getenv())).execute(arguments));
  }

  @Override
  public Integer call() throws InterruptedException {
    try (var agent = start()) {
      var ending = new Thread(agent::close, "agent-ending");
      Runtime.getRuntime().addShutdownHook(ending);
      System.out.println(
          "ready socket=%s module=%s"
              .formatted(
                  agent.socket().toAbsolutePath(), environment.getOrDefault("GREP11_MODULE", "-")));
      agent.join();
      return 0;
    } catch (ConfigException e) {
      var file = named().map(path -> path + ": ").orElse("");
      e.problems().forEach(problem -> say(file + problem));
      return 1;
    } catch (IOException e) {
      say(e.getMessage());
      return 1;
    }
  }

  /** The file that somebody named, for the messages about it. */
  private Optional<String> named() {
    if (config != null) {
      return Optional.of(config.toString());
    }
    return Optional.ofNullable(environment.get(ClientConfigFile.VARIABLE))
        .filter(file -> !file.isEmpty())
        .map(file -> "%s (of %s)".formatted(file, ClientConfigFile.VARIABLE));
  }

  private static Log log(ClientConfig read) throws IOException {
    if (read.logFile().isEmpty()) {
      return new Log(System.err, read.logLevel());
    }
    Path file = read.logFile().get();
    try {
      return Log.to(file, read.logLevel());
    } catch (IOException e) {
      throw new IOException(
          "logging.logpath: %s cannot be written (%s); make its directory, which the agent's user writes to"
              .formatted(file, e.getClass().getSimpleName()),
          e);
    }
  }

  private Agent start() throws IOException {
    Path file =
        config == null ? ClientConfigFile.find(environment, Path.of("").toAbsolutePath()) : config;
    var read = ClientConfigFile.read(file);
    var log = log(read);
    read.warnings().forEach(log::warning);
    var users = users();
    var cryptoki = new Cryptoki(read, log);
    if (System.inheritedChannel() instanceof ServerSocketChannel inherited) {
      return Agent.inherited(inherited, users, cryptoki, log);
    }
    Path path = (socket == null ? socket(environment) : socket).toAbsolutePath();
    if (path.toString().getBytes(StandardCharsets.UTF_8).length > LONGEST_SOCKET) {
      throw new IOException(
          "--socket %s: longer than the %d bytes that a Unix-domain socket may have"
              .formatted(path, LONGEST_SOCKET));
    }
    var agent = Agent.listen(path, users, cryptoki, log);
    if (!allowed.isEmpty()) {
      closedDirectory(path)
          .ifPresent(directory ->
              say(
                  ("the users of --allow-user do not get to %s: %s lets only its owner pass; choose"
                          + " another --socket, or chmod o+x")
                      .formatted(path, directory)));
    }
    return agent;
  }

  /** The first directory on the way to the socket that others may not pass. */
  private static Optional<Path> closedDirectory(Path path) throws IOException {
    Path way = Path.of("/");
    for (int i = 0; i < path.getNameCount() - 1; i++) {
      way = way.resolve(path.getName(i));
      if (!Files.getPosixFilePermissions(way).contains(PosixFilePermission.OTHERS_EXECUTE)) {
        return Optional.of(way);
      }
    }
    return Optional.empty();
  }

  private Set<UserPrincipal> users() throws IOException {
    var users = new HashSet<UserPrincipal>();
    users.add(Agent.self());
    var lookup = Path.of("/").getFileSystem().getUserPrincipalLookupService();
    for (String name : allowed) {
      try {
        users.add(lookup.lookupPrincipalByName(name));
      } catch (UserPrincipalNotFoundException e) {
        throw new IOException("--allow-user " + name + ": there is no such user", e);
      }
    }
    return users;
  }

  /** The same that the module looks for. */
  public static Path socket(Map<String, String> environment) {
    var named = environment.getOrDefault(SOCKET_VARIABLE, "");
    if (!named.isEmpty()) {
      return Path.of(named);
    }
    var runtime = environment.getOrDefault("XDG_RUNTIME_DIR", "");
    return runtime.isEmpty() || !Files.isDirectory(Path.of(runtime))
        ? Path.of("/run/grep11/agent.sock")
        : Path.of(runtime, "grep11", "agent.sock");
  }

  private static void say(@Nullable String problem) {
    System.err.println("grep11: " + problem);
  }
}
