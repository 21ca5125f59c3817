package dev.grep11.agent;

import dev.grep11.agent.config.ClientConfig;
import dev.grep11.agent.config.ClientConfig.LogLevel;
import dev.grep11.agent.cryptoki.Cryptoki;
import dev.grep11.agent.log.Log;
import dev.grep11.agent.rpc.Call;
import dev.grep11.agent.rpc.MessageReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.NullMarked;

/**
 * Lets the fuzz target into what an agent makes of a message. The agent has no slots, so that a
 * call is read to its end and then refused.
 */
@NullMarked
public final class MessageDoor {
  private static final Cryptoki NO_SLOTS =
      new Cryptoki(
          new ClientConfig(Path.of("none"), Map.of(), LogLevel.PANIC, Optional.empty(), List.of()),
          silent());

  /** The answer's body, at its first byte. */
  public static ByteBuffer answer(Call call, int dialect, ByteBuffer arguments) {
    try (var application = NO_SLOTS.application("nobody")) {
      if (call != Call.C_Initialize) {
        application.initialize();
      }
      return new Dispatcher(application, silent())
          .answer(call, new MessageReader(arguments, dialect))
          .finish();
    }
  }

  private static Log silent() {
    var nowhere = new PrintStream(OutputStream.nullOutputStream(), false, StandardCharsets.UTF_8);
    return new Log(nowhere, LogLevel.PANIC);
  }

  private MessageDoor() {}
}
