/**
 * Audit events: who did or tried what, on what, with which outcome. Events are values without any
 * secret; {@link dev.grep11.gateway.audit.AuditLog} writes them as JSON lines off the calling
 * thread and refuses calls when they can no longer be recorded.
 */
@NullMarked
package dev.grep11.gateway.audit;

import org.jspecify.annotations.NullMarked;
