package dev.grep11.gateway.operation;

import java.util.UUID;

/** Who asks, already authorised, and for which instance: quotas are counted by subject. */
public record Requester(UUID instance, String subject) {}
