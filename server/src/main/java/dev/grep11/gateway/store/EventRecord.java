package dev.grep11.gateway.store;

import java.time.Instant;
import java.util.UUID;

/**
 * An audit event of an administrative change, written in the transaction of the change and removed
 * once it is in an audit file. Who was killed in between leaves it to the next gateway.
 *
 * @param event the event as the audit log writes it, in its own encoding
 * @param writer the gateway that made the change, the same after a restart
 * @param written when
 */
public record EventRecord(UUID id, String event, UUID writer, Instant written) implements Stored {}
