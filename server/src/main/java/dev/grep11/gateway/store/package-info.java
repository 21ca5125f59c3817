/**
 * Durable records: instances and their sealing-key generations, grants, API keys, the registry of
 * client CAs, running gateways, and the use of sealing keys.
 *
 * <p>Whoever can write the database must not be able to grant anything unnoticed (security rules 1
 * and 6.7). Every row is AES-256-GCM under a data key that the HSM seals, its place in the database
 * is associated data, and a sealed head record covers the whole set of rows: a changed, added,
 * removed or returned row makes every read throw. What this cannot see by itself is a complete
 * older database put back while no process runs; {@link
 * dev.grep11.gateway.store.Store#generation()} is what an anchor outside of the database compares.
 */
@NullMarked
package dev.grep11.gateway.store;

import org.jspecify.annotations.NullMarked;
