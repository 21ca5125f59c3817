package dev.grep11.client;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;

/** When a token is renewed and what happens when that fails. The clock and the answers are ours. */
class ApiKeyCredentialsTest {
  private Instant now = Instant.EPOCH;
  private final List<CompletableFuture<TokenEndpoint.Token>> requests = new ArrayList<>();
  private final ApiKeyCredentials credentials =
      new ApiKeyCredentials(
          () -> {
            var request = new CompletableFuture<TokenEndpoint.Token>();
            requests.add(request);
            return request;
          },
          () -> now);

  @Test
  void asksOnceForAllCallsThatWaitForTheFirstToken() {
    var first = credentials.token();
    var second = credentials.token();
    assertThat(requests).hasSize(1);
    assertThat(first).isNotDone();

    answer(0, "a", 3600);
    assertThat(first).isCompletedWithValue("a");
    assertThat(second).isCompletedWithValue("a");
    assertThat(credentials.token()).isCompletedWithValue("a");
    assertThat(requests).hasSize(1);
  }

  @Test
  void renewsALongTokenAtFourFifthsOfItsLife() {
    hold("a", 3600);
    now = Instant.EPOCH.plusSeconds(2879);
    assertThat(credentials.token()).isCompletedWithValue("a");
    assertThat(requests).hasSize(1);
    now = Instant.EPOCH.plusSeconds(2880);
    assertThat(credentials.token()).isCompletedWithValue("a");
    assertThat(requests).hasSize(2);
  }

  @Test
  void renewsAShortTokenAMinuteBeforeItsEnd() {
    hold("a", 100);
    now = Instant.EPOCH.plusSeconds(39);
    assertThat(credentials.token()).isCompletedWithValue("a");
    assertThat(requests).hasSize(1);
    now = Instant.EPOCH.plusSeconds(40);
    assertThat(credentials.token()).isCompletedWithValue("a");
    assertThat(requests).hasSize(2);
  }

  @Test
  void usesTheOldTokenWhileOneRenewalRuns() {
    hold("a", 3600);
    now = Instant.EPOCH.plusSeconds(3000);
    for (int i = 0; i < 5; i++) {
      assertThat(credentials.token()).isCompletedWithValue("a");
    }
    assertThat(requests).hasSize(2);
    answer(1, "b", 3600);
    assertThat(credentials.token()).isCompletedWithValue("b");
  }

  @Test
  void keepsTheOldTokenWhenARenewalFailsAndTriesAgainAfterAPause() {
    hold("a", 3600);
    now = Instant.EPOCH.plusSeconds(3000);
    assertThat(credentials.token()).isCompletedWithValue("a");
    requests.get(1).completeExceptionally(new IllegalStateException("down"));

    assertThat(credentials.token()).isCompletedWithValue("a");
    assertThat(requests).as("no storm of requests").hasSize(2);
    now = now.plusSeconds(1);
    assertThat(credentials.token()).isCompletedWithValue("a");
    assertThat(requests).hasSize(3);
  }

  @Test
  void failsWithTheReasonOnceTheOldTokenHasExpired() {
    hold("a", 3600);
    now = Instant.EPOCH.plusSeconds(3600);
    var call = credentials.token();
    assertThat(call).isNotDone();
    requests.get(1).completeExceptionally(new IllegalStateException("down"));
    assertThat(call)
        .failsWithin(Duration.ZERO)
        .withThrowableOfType(java.util.concurrent.ExecutionException.class)
        .withMessageContaining("down");

    var next = credentials.token();
    answer(2, "b", 3600);
    assertThat(next).isCompletedWithValue("b");
  }

  @Test
  void fetchesAnotherWhenTheGatewayDoesNotTakeAnOldTokenButNotForAFreshOne() {
    hold("a", 3600);
    now = Instant.EPOCH.plusSeconds(29);
    credentials.rejected();
    assertThat(credentials.token()).isCompletedWithValue("a");

    now = Instant.EPOCH.plusSeconds(30);
    credentials.rejected();
    assertThat(credentials.token()).isNotDone();
    assertThat(requests).hasSize(2);
  }

  private void hold(String token, int seconds) {
    var call = credentials.token();
    answer(0, token, seconds);
    assertThat(call).isCompletedWithValue(token);
  }

  private void answer(int request, String token, int seconds) {
    requests.get(request).complete(new TokenEndpoint.Token(token, Duration.ofSeconds(seconds)));
  }
}
