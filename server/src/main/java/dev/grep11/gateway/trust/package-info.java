/**
 * Which client certificates a set of registered CAs vouches for: path building and validation, and
 * what may be registered at all. Values only, which read no store, socket or clock; only {@code
 * RevocationFiles}, {@code PublicRoots} and {@code TrustedCas}, whom the gateway trusts where it is
 * the client, read files.
 *
 * <p>It is our own because Java ignores on a trust anchor what an administrator means by
 * registering it: its name constraints, path length, extended key usage and validity (security
 * rules 5.3).
 */
@NullMarked
package dev.grep11.gateway.trust;

import org.jspecify.annotations.NullMarked;
