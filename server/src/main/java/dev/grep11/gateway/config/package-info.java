/** Settings of a gateway, checked as a whole, and what is said when it cannot start. */
@NullMarked
package dev.grep11.gateway.config;

import org.jspecify.annotations.NullMarked;
