package dev.grep11.gateway;

import java.nio.file.Path;
import java.util.Map;

/** In the embedded database. */
class KeystoreOnSqliteTest extends KeystoreBehaviour {
  @Override
  Map<String, Object> store(Path directory) {
    return Map.of();
  }
}
