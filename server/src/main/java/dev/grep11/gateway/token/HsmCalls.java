package dev.grep11.gateway.token;

import dev.grep11.gateway.hsm.Epoch;
import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.Lane;
import dev.grep11.gateway.hsm.Session;
import java.time.Duration;
import java.util.concurrent.CompletionException;
import java.util.function.Function;

/** The gateway's own calls to the token, from threads that own no session and may wait. */
public final class HsmCalls {
  private static final Duration PATIENCE = Duration.ofSeconds(30);

  private final Hsm hsm;

  public HsmCalls(Hsm hsm) {
    this.hsm = hsm;
  }

  /** Which opening of the token it is: what was found in an earlier one may be gone. */
  public Epoch epoch() {
    return hsm.epoch();
  }

  public <T> T call(Function<Session, T> work) {
    try {
      return hsm.submit(
              Lane.USE,
              "gateway",
              System.nanoTime() + PATIENCE.toNanos(),
              () -> work.apply(hsm.session()))
          .join();
    } catch (CompletionException e) {
      // The caller wants the refusal of the token, not the fact that another thread asked it.
      throw e.getCause() instanceof RuntimeException refusal ? refusal : e;
    }
  }
}
