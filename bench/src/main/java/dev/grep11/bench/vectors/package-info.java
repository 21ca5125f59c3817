/**
 * Project Wycheproof's vectors through a running gateway, by the calls a client makes: keys go in
 * by UnwrapKey, public keys bare and by IBM_TRANSPORTKEY, signatures as {@code r ‖ s}.
 *
 * <p>A {@link dev.grep11.bench.vectors.VectorFile} is read as it is; a {@link
 * dev.grep11.bench.vectors.Scheme} knows the calls of one schema; a {@link
 * dev.grep11.bench.vectors.Deviation} is a rule, with its reason, by which the gateway's answer may
 * differ from the file's; {@link dev.grep11.bench.vectors.Tally} counts every case.
 */
@NullMarked
package dev.grep11.bench.vectors;

import org.jspecify.annotations.NullMarked;
