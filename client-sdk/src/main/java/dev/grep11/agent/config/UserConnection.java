package dev.grep11.agent.config;

import dev.grep11.agent.config.ClientConfig.Token;
import dev.grep11.agent.config.ClientConfig.User;
import dev.grep11.client.AsyncGrep11Client;
import dev.grep11.client.EventLoop;
import dev.grep11.client.Grep11Client;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The gateway as a user of the configuration reaches it: one connection, whose certificate files
 * are read again when they change. Used by any number of threads.
 */
public final class UserConnection implements AutoCloseable {
  private static final Duration DEADLINE = Duration.ofSeconds(30);

  private final Token token;
  private final User user;
  private final char[] apiKey;
  private final @Nullable EventLoop loop;
  private final CertificateFiles files;
  private final Consumer<String> warn;

  private volatile Grep11Client client;
  private volatile boolean closed;

  /**
   * Reads the files; nothing is sent before the first call.
   *
   * @param apiKey of the user, without meaning where his {@code iamauth} is off; copied, wipe yours
   * @param warn gets a line for people when changed files cannot be used
   * @throws IllegalArgumentException when the files cannot be used
   */
  public UserConnection(Token token, User user, char[] apiKey, Consumer<String> warn) {
    this(token, user, apiKey, null, warn);
  }

  /**
   * As {@link #UserConnection(Token, User, char[], Consumer)}.
   *
   * @param loop which reads what the gateway answers; null for one of the connection's own
   */
  public UserConnection(
      Token token, User user, char[] apiKey, @Nullable EventLoop loop, Consumer<String> warn) {
    var connection = token.connection();
    this.token = token;
    this.user = user;
    this.apiKey = apiKey.clone();
    this.loop = loop;
    this.warn = warn;
    this.files =
        new CertificateFiles(
            Stream.of(connection.trusted(), connection.certificate(), connection.privateKey())
                .flatMap(Optional::stream)
                .toList());
    this.client = connect();
  }

  private Grep11Client connect() {
    var connection = token.connection();
    var builder = Grep11Client.builder(token.address()).deadline(DEADLINE);
    if (loop != null) {
      builder.eventLoop(loop);
    }
    connection.trusted().ifPresent(builder::trustedCa);
    if (connection.certificate().isPresent() && connection.privateKey().isPresent()) {
      Path certificate = connection.certificate().get();
      builder.clientCertificate(certificate, connection.privateKey().get());
    }
    user.iam()
        .ifPresent(iam -> {
          builder.apiKey(apiKey, iam.endpoint());
          iam.instance().ifPresent(builder::instance);
        });
    return builder.build();
  }

  /** A call of the SDK, with its own failures. */
  public <T> T ask(Function<Grep11Client, T> call) {
    reloadIfChanged();
    return call.apply(client);
  }

  /** Whether a call can be begun without files being looked at first; touches none. */
  public boolean isAtHand() {
    return !files.isDue();
  }

  /**
   * A call of the SDK that nobody waits for; files that changed are left to the next that waits.
   */
  public <T> CompletableFuture<T> start(Function<AsyncGrep11Client, CompletableFuture<T>> call) {
    return call.apply(client.async(Runnable::run));
  }

  private void reloadIfChanged() {
    if (!files.changed()) {
      return;
    }
    synchronized (files) {
      if (closed || !files.takeChange()) {
        return;
      }
      var before = client;
      try {
        client = connect();
      } catch (IllegalArgumentException e) {
        // Half written, perhaps: the next change is looked at again.
        warn.accept("the changed certificate files are not used: " + e.getMessage());
        return;
      }
      // Its calls may still run: closing waits for them.
      var closing = new Thread(before::close, "grep11-old-connection");
      closing.setDaemon(true);
      closing.start();
    }
  }

  @Override
  public void close() {
    synchronized (files) {
      closed = true;
      client.close();
      Arrays.fill(apiKey, '\0');
    }
  }
}
