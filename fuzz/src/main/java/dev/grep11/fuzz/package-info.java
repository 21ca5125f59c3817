/**
 * Coverage-guided fuzzing of what reads bytes of a client: the gateway's inside on a real token,
 * driven by Jazzer and libFuzzer.
 *
 * <p>{@link dev.grep11.fuzz.Fuzz} starts a process for each {@link dev.grep11.fuzz.Target}. The
 * property is always the same, see {@link dev.grep11.fuzz.Property}: a refusal by a named return
 * value or a right answer, within bounded time and memory, and never a success for authenticated
 * bytes that were altered.
 */
@NullMarked
package dev.grep11.fuzz;

import org.jspecify.annotations.NullMarked;
