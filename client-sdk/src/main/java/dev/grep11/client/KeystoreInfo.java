package dev.grep11.client;

import java.time.Instant;
import java.util.UUID;

/**
 * A keystore of the gateway.
 *
 * @param name 1 to 32 characters
 * @param keys how many objects it held when it was asked
 */
public record KeystoreInfo(
    UUID id, String name, boolean passwordProtected, long keys, Instant created) {}
