package dev.grep11.gateway.rpc;

import dev.grep11.gateway.operation.Workload;
import java.nio.ByteBuffer;
import java.util.Set;
import java.util.function.BiFunction;

/**
 * How one rpc is served.
 *
 * @param name bare name of the rpc
 * @param requestType for the message about bytes that are none
 * @param actions what the caller must hold
 * @param workload what a request and its payload are going to cost, or throws what is wrong with it
 * @param work does it, or throws; runs where the dispatcher puts it
 */
record Route<Q, P>(
    String name,
    String requestType,
    Set<String> actions,
    BiFunction<Q, ByteBuffer, Workload> workload,
    BiFunction<CallContext, Q, P> work) {}
