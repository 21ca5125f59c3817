package dev.grep11.gateway.audit;

import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;

/** A process that writes an audit file until it is stopped, and says when it must wait. */
final class AuditWriterProcess {
  private AuditWriterProcess() {}

  public static void main(String[] arguments) throws Exception {
    var settings =
        new AuditSettings(
            Optional.of(Path.of(arguments[0])),
            false,
            1_024,
            AuditSettings.WhenFull.BLOCK,
            Duration.ofMillis(200));
    int events = Integer.parseInt(arguments[1]);
    try (var audit = AuditLog.open(settings)) {
      System.out.println("writing");
      for (int i = 0; i < events; ) {
        try {
          audit.record(event("c-" + i));
          i++;
        } catch (AuditUnavailableException _) {
          System.out.println("refused");
          Thread.sleep(50);
        }
      }
    }
    System.out.println("closed");
  }

  static AuditEvent event(String correlationId) {
    return new AuditEvent(
        AuditEvent.EP11_USE,
        Instant.now(),
        AuditEvent.Outcome.SUCCESS,
        AuditEvent.Reason.OK,
        new AuditEvent.Initiator(
            "iam-1",
            Optional.empty(),
            AuditEvent.Initiator.SERVICE_ID,
            "token",
            Optional.empty(),
            Optional.empty()),
        new AuditEvent.Target("crn:v1:x", Optional.empty(), "hs-crypto/key"),
        correlationId,
        new AuditEvent.RequestData("/grep11.Crypto/Sign", Optional.empty()));
  }
}
