package dev.grep11.gateway;

import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Tag;

/** On a database server. */
@Tag("load")
class StoreCallFaultsOnPostgresTest extends StoreCallFaults {
  @Override
  Map<String, Object> store(Path demo) throws Exception {
    return DemoOnPostgres.begin(demo);
  }
}
