/** What the gateway counts and measures, and how it is read. */
@NullMarked
package dev.grep11.gateway.metrics;

import org.jspecify.annotations.NullMarked;
