package dev.grep11.gateway;

import java.nio.file.Path;
import java.util.Map;

/** In the embedded database. */
class StoreCallFaultsTest extends StoreCallFaults {
  @Override
  Map<String, Object> store(Path demo) {
    return Map.of();
  }
}
