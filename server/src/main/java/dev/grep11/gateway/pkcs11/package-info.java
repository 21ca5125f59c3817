/**
 * The vocabulary of PKCS #11 in pure Java: numbers, mechanisms with their parameters, templates,
 * return values, and the catalog of what the gateway offers. Knows neither native memory nor the
 * wire.
 */
@NullMarked
package dev.grep11.gateway.pkcs11;

import org.jspecify.annotations.NullMarked;
