package dev.grep11.gateway;

import org.junit.jupiter.api.Test;

class SmokeTest {
  @Test
  void runs() {}
}
