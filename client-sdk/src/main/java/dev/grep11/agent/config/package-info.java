/** {@code grep11client.yaml}: where it is found, what it says, and what is wrong with it. */
@NullMarked
package dev.grep11.agent.config;

import org.jspecify.annotations.NullMarked;
