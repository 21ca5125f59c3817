package dev.grep11.gateway.rpc;

import dev.grep11.gateway.iam.TokenRejectedException;
import dev.grep11.gateway.store.Subject;
import io.grpc.Status;
import java.net.SocketAddress;
import java.time.Duration;
import java.util.Optional;
import java.util.UUID;

/**
 * One attempted call, as the audit trail and the metrics want to know it.
 *
 * @param rpc bare name, for example {@code SignSingle}
 * @param subject where the token was good
 * @param name of the subject, where the token says one
 * @param instance where it was selected
 * @param mechanism number of the mechanism, where the call has one and was understood
 * @param keyFingerprint of the blob of the key that acts, where there is one
 * @param target what the call is about besides the instance, where there is such
 * @param returnValue CK_RV; 0 is success
 * @param reason why it failed: what the client was told, and where it helps more; empty on success
 * @param tokenRefusal what was wrong with the token, which the client is not told
 * @param traceId of a call that is followed
 */
public record CallRecord(
    String correlationId,
    String rpc,
    Optional<Subject> subject,
    Optional<String> name,
    Optional<UUID> instance,
    Optional<Long> mechanism,
    Optional<String> keyFingerprint,
    Optional<String> target,
    long returnValue,
    Status.Code status,
    String reason,
    Optional<TokenRejectedException.Reason> tokenRefusal,
    Optional<SocketAddress> remote,
    Optional<String> userAgent,
    Optional<String> traceId,
    Duration duration) {

  CallRecord withReason(String text) {
    return new CallRecord(
        correlationId,
        rpc,
        subject,
        name,
        instance,
        mechanism,
        keyFingerprint,
        target,
        returnValue,
        status,
        text,
        tokenRefusal,
        remote,
        userAgent,
        traceId,
        duration);
  }

  public boolean succeeded() {
    return status == Status.Code.OK;
  }
}
