/**
 * Client of a GREP11 gateway: keys made and used in an HSM, held by the application as sealed
 * blobs.
 *
 * <p>{@link dev.grep11.client.Grep11Client} is the way in. {@link dev.grep11.client.Mechanisms} and
 * {@link dev.grep11.client.Templates} name what a call does and what a key may do; a refusal
 * arrives as {@link dev.grep11.client.Grep11Exception}. Whatever has no method here is reached
 * through {@link dev.grep11.client.Grep11Client#stub()}, with the same connection, token and
 * deadline.
 */
@NullMarked
package dev.grep11.client;

import org.jspecify.annotations.NullMarked;
