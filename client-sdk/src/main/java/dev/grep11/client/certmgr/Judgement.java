package dev.grep11.client.certmgr;

import java.time.Instant;

/**
 * Whether a client certificate would be accepted.
 *
 * @param locked whether a client certificate is needed
 * @param reason of a refusal, one of the words of {@code docs/client-certificates.md}; else empty
 * @param text the reason for people
 * @param certificateId of the CA that vouches, if it is the caller's own; else empty
 * @param until when the acceptance ends; meaningless for a refusal
 */
public record Judgement(
    boolean locked,
    boolean accepted,
    String reason,
    String text,
    String certificateId,
    Instant until) {}
