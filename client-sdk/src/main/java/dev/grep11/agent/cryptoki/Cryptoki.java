package dev.grep11.agent.cryptoki;

import dev.grep11.agent.config.ClientConfig;
import dev.grep11.agent.log.Log;
import dev.grep11.client.EventLoop;
import java.time.Duration;
import java.util.Collections;
import java.util.Map;
import java.util.TreeMap;

/** The slots of a configuration, which all applications of the agent share. */
public final class Cryptoki implements AutoCloseable {
  /** As often as a gateway looks after its own keystores. */
  private static final Duration LOOKS = Duration.ofMinutes(1);

  private final EventLoop loop;
  private final Map<Long, Slot> slots = new TreeMap<>();

  public Cryptoki(ClientConfig config, Log log) {
    this(config, log, LOOKS);
  }

  /**
   * @param looks how often it is looked whether keys that only the agent keeps are under the newest
   *     master key
   */
  public Cryptoki(ClientConfig config, Log log, Duration looks) {
    loop =
        new EventLoop(
            "agent-loop", fault -> log.error("a fault of the agent, on its loop: " + fault));
    config.tokens().forEach((number, token) -> slots.put(number, new Slot(token, loop, log)));
    slots.values().forEach(slot -> slot.followMasterKeys(looks));
  }

  /**
   * A new application: nothing is initialized, nobody is logged in.
   *
   * @param who the user of this host whose process it is
   */
  public Application application(String who) {
    return new Application(Collections.unmodifiableMap(slots), who);
  }

  /** The thread that reads what gateways answer; applications' connections share it. */
  public EventLoop loop() {
    return loop;
  }

  @Override
  public void close() {
    slots.values().forEach(Slot::close);
    loop.close();
  }
}
