package dev.grep11.gateway;

import java.nio.file.Path;
import java.util.Map;

/** On a database server. */
class KeystoreCallFaultsOnPostgresTest extends KeystoreCallFaults {
  @Override
  Map<String, Object> store(Path demo) throws Exception {
    return DemoOnPostgres.begin(demo);
  }
}
