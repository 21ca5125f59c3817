/**
 * The JCA provider {@code Grep11}: keys behind a GREP11 gateway for programs that know only {@code
 * java.security} and {@code javax.crypto}.
 *
 * <p>{@link dev.grep11.jca.Grep11Provider} is the way in. What it makes and finds are opaque keys:
 * they name a sealed key and the user who reaches it, have no encoding and are not serialized.
 *
 * <p><b>Threads.</b> The provider, its keys and its KeyStore are safe for use by several threads.
 * Signature, Cipher, Mac, KeyAgreement and the generators are each for one thread at a time, as JCA
 * has it.
 */
@NullMarked
package dev.grep11.jca;

import org.jspecify.annotations.NullMarked;
