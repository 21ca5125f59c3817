@NullMarked
package dev.grep11.gateway.command;

import org.jspecify.annotations.NullMarked;
