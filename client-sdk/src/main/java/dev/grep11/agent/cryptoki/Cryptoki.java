package dev.grep11.agent.cryptoki;

import dev.grep11.agent.config.ClientConfig;
import dev.grep11.agent.log.Log;
import java.util.Collections;
import java.util.Map;
import java.util.TreeMap;

/** The slots of a configuration, which all applications of the agent share. */
public final class Cryptoki implements AutoCloseable {
  private final Map<Long, Slot> slots = new TreeMap<>();

  public Cryptoki(ClientConfig config, Log log) {
    config.tokens().forEach((number, token) -> slots.put(number, new Slot(token, log)));
  }

  /**
   * A new application: nothing is initialized, nobody is logged in.
   *
   * @param who the user of this host whose process it is
   */
  public Application application(String who) {
    return new Application(Collections.unmodifiableMap(slots), who);
  }

  @Override
  public void close() {
    slots.values().forEach(Slot::close);
  }
}
