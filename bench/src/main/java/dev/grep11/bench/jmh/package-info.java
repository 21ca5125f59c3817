/**
 * Parts of a call, each by itself: time and heap of the codec, of finding a loaded key, of sealing
 * a state, and of a route around no work. {@link dev.grep11.bench.jmh.InTheSmall} runs them. What a
 * call costs is told by {@link dev.grep11.bench.Bench}, not by adding these up.
 */
@NullMarked
package dev.grep11.bench.jmh;

import org.jspecify.annotations.NullMarked;
