/** A program that shows a running gateway to a newcomer, through the public SDK alone. */
@NullMarked
package dev.grep11.demo;

import org.jspecify.annotations.NullMarked;
