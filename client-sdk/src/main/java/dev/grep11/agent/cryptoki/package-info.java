/**
 * What a PKCS #11 module does behind its functions: slots, sessions, objects and operations, with
 * the keys at a gateway.
 */
@NullMarked
package dev.grep11.agent.cryptoki;

import org.jspecify.annotations.NullMarked;
