/** The agent's log. */
@NullMarked
package dev.grep11.agent.log;

import org.jspecify.annotations.NullMarked;
