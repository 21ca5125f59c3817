package dev.grep11.gateway;

import java.nio.file.Path;
import java.util.Map;

/** On a database server. */
class KeystoreOnPostgresTest extends KeystoreBehaviour {
  @Override
  Map<String, Object> store(Path directory) throws Exception {
    return DemoOnPostgres.begin(directory);
  }
}
