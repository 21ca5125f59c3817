/**
 * Keystores: where PKCS #11 applications keep token objects. What is stored is sealed key blobs and
 * attributes that describe them; what a key may do stands in its blob and nowhere else.
 */
@NullMarked
package dev.grep11.gateway.keystore;

import org.jspecify.annotations.NullMarked;
