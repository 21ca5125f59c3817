/**
 * The PKCS #11 agent: one process of a host that serves PKCS #11 applications over a socket, with
 * the keys at a gateway.
 */
@NullMarked
package dev.grep11.agent;

import org.jspecify.annotations.NullMarked;
