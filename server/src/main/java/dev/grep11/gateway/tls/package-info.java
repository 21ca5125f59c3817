/**
 * TLS: who the server is, reloaded while it runs, and which connections are open with which client
 * chain. New handshakes always use the newest identity; sessions are never resumed, so that a
 * decision about a certificate is never skipped.
 */
@NullMarked
package dev.grep11.gateway.tls;

import org.jspecify.annotations.NullMarked;
