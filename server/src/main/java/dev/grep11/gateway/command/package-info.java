/**
 * What people type: the commands of the program, how they print, and the directory of a demo. Each
 * reads its options and calls what is below; a process that serves is held here until it is told to
 * end.
 */
@NullMarked
package dev.grep11.gateway.command;

import org.jspecify.annotations.NullMarked;
