/** Work that waits for threads: bounds, deadlines and turns by caller. */
@NullMarked
package dev.grep11.gateway.queue;

import org.jspecify.annotations.NullMarked;
