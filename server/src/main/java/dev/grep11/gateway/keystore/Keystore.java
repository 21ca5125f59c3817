package dev.grep11.gateway.keystore;

import java.time.Instant;
import java.util.UUID;

/** A keystore as its users see it. */
public record Keystore(
    UUID id, String name, boolean passwordProtected, long keys, Instant created) {}
