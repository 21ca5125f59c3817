/**
 * The protocol of the agent's socket: frames, messages and their values. It is p11-kit's RPC, so
 * that the distribution's {@code p11-kit-client.so} is one of its clients.
 */
@NullMarked
package dev.grep11.agent.rpc;

import org.jspecify.annotations.NullMarked;
