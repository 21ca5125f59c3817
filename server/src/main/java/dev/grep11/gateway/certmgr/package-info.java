/**
 * The certificate manager: who may register client CAs, and the signed commands by which they do
 * (security rules 6).
 *
 * <p>{@link dev.grep11.gateway.certmgr.Administration} executes a command in one transaction of the
 * store: identity, signature, generation, counter, rule, change and audit event stand or fall
 * together. Nothing here reaches a key of the HSM, and nothing knows how commands travel.
 */
@NullMarked
package dev.grep11.gateway.certmgr;

import org.jspecify.annotations.NullMarked;
