package dev.grep11.agent.cryptoki;

import static dev.grep11.client.Ckr.CKR_PIN_INCORRECT;
import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

class RefusedLoginsTest {
  private final List<String> told = new ArrayList<>();
  private final AtomicLong clock = new AtomicLong();
  private final RefusedLogins refused = new RefusedLogins(told::add, clock::get);

  private void refuse(String who) {
    refused.refused(who, Slot.Role.NORMAL, new Refusal(CKR_PIN_INCORRECT, "not the password"));
  }

  @Test
  void tellsOfARefusedLoginWhoItWasAndWhy() {
    refuse("orders");
    assertThat(told)
        .containsExactly(
            "a login of user orders as NORMAL was refused: CKR_PIN_INCORRECT: not the password");
  }

  @Test
  void aFloodOfThemIsThreeLinesAMinuteForEachUser() {
    for (int i = 0; i < 1_000; i++) {
      refuse("orders");
    }
    assertThat(told).hasSize(3).last().asString().endsWith("more within a minute are only counted");

    refuse("other");
    assertThat(told).hasSize(4);

    clock.addAndGet(Duration.ofSeconds(61).toNanos());
    refuse("orders");
    assertThat(told)
        .hasSize(6)
        .contains("997 more logins of user orders were refused")
        .last()
        .asString()
        .contains("CKR_PIN_INCORRECT");
  }
}
