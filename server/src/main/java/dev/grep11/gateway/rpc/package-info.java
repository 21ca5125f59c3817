/**
 * The wire: which rpc does what, and how messages, tokens, instances and failures become the
 * vocabulary of the rest. A call is admitted on its headers before its body is read, runs where the
 * {@link dev.grep11.gateway.rpc.Dispatcher} puts it, and is answered and audited once, in {@link
 * dev.grep11.gateway.rpc.UnaryCall}. The only place with generated message types.
 */
@NullMarked
package dev.grep11.gateway.rpc;

import org.jspecify.annotations.NullMarked;
