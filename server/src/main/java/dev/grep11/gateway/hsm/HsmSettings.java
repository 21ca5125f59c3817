package dev.grep11.gateway.hsm;

import java.nio.file.Path;
import java.util.EnumMap;
import java.util.Map;

/**
 * Which token, and how hard to drive it.
 *
 * @param module the PKCS #11 library
 * @param tokenLabel CKA label of the token, unique among the module's slots
 * @param pin where the user PIN comes from; asked at start and at every recovery
 * @param environment variables the module reads by getenv, set before C_Initialize
 * @param lanes threads and bounds; a lane that is absent gets its standard ones
 */
public record HsmSettings(
    Path module,
    String tokenLabel,
    PinSource pin,
    Map<String, String> environment,
    Map<Lane, LaneSettings> lanes) {

  public HsmSettings {
    if (tokenLabel.isBlank()) {
      throw new IllegalArgumentException("the token label is empty");
    }
    environment = Map.copyOf(environment);
    var all = new EnumMap<Lane, LaneSettings>(Lane.class);
    for (var lane : Lane.values()) {
      all.put(lane, LaneSettings.standard(lane));
    }
    all.putAll(lanes);
    lanes = Map.copyOf(all);
  }

  /** Standard lanes. */
  public static HsmSettings of(
      Path module, String tokenLabel, PinSource pin, Map<String, String> environment) {
    return new HsmSettings(module, tokenLabel, pin, environment, Map.of());
  }

  public HsmSettings withLane(Lane lane, LaneSettings settings) {
    var changed = new EnumMap<Lane, LaneSettings>(lanes);
    changed.put(lane, settings);
    return new HsmSettings(module, tokenLabel, pin, environment, changed);
  }

  /** As many threads in {@link Lane#USE}. */
  public HsmSettings withWorkers(int workers) {
    var use = lane(Lane.USE);
    return withLane(Lane.USE, new LaneSettings(workers, use.perCaller(), use.queued()));
  }

  public LaneSettings lane(Lane lane) {
    return lanes.getOrDefault(lane, LaneSettings.standard(lane));
  }
}
