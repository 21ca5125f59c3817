/**
 * What the gateway itself keeps on the token: the store's keys, signing keys, the anchor of the
 * store, sealing keys.
 */
@NullMarked
package dev.grep11.gateway.token;

import org.jspecify.annotations.NullMarked;
