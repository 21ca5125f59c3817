/**
 * The project's ruler: what a gateway does per second beside what its token does in process, and
 * p11-kit server on it ({@link dev.grep11.bench.Bench}), whether two hundred clients are served
 * without an error ({@link dev.grep11.bench.Load}), and what a flooding client costs an honest one
 * ({@link dev.grep11.bench.Flood}).
 *
 * <p>All three are processes of their own that drive a gateway in another process, over TLS, found
 * through the {@code GREP11_} variables of its env file. Lines of {@code key=value} go to stdout,
 * progress to stderr. On a machine that others use, only figures of one run are compared.
 */
@NullMarked
package dev.grep11.bench;

import org.jspecify.annotations.NullMarked;
