package dev.grep11.client;

import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;

/** A gateway over real TLS that fails when a test tells it to, and clients of it. */
abstract class AgainstFakeGateway {
  static final byte[] MESSAGE = {1, 2, 3};

  @TempDir Path directory;
  TestAuthority authority;
  FakeGateway gateway;

  @BeforeEach
  void startGateway() throws Exception {
    authority = new TestAuthority(directory, "gateway");
    gateway = new FakeGateway(authority.issue("server"), null);
  }

  @AfterEach
  void stopGateway() {
    gateway.close();
  }

  Grep11Client.Builder builder() {
    return Grep11Client.builder(gateway.address()).trustedCa(authority.ca()).token(() -> "t");
  }
}
