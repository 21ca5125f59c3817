/**
 * Keys as clients hold them: sealed key blobs, public keys with a MAC, and the cache of working
 * copies inside the token. The formats are written down in docs/key-blob.md.
 */
@NullMarked
package dev.grep11.gateway.key;

import org.jspecify.annotations.NullMarked;
