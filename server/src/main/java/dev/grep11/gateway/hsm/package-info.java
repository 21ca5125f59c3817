/**
 * The token: binding to the PKCS #11 module, sessions, worker threads, and recovery by epoch. The
 * only place with {@code java.lang.foreign}; everything above sees {@code Session} methods in terms
 * of the {@code pkcs11} vocabulary, and secrets only as {@link
 * dev.grep11.gateway.hsm.SecretBuffer}.
 */
@NullMarked
package dev.grep11.gateway.hsm;

import org.jspecify.annotations.NullMarked;
