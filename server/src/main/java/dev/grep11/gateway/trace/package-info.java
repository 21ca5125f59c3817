/** The way of single calls through the gateway, for a collector of OpenTelemetry. */
@NullMarked
package dev.grep11.gateway.trace;

import org.jspecify.annotations.NullMarked;
