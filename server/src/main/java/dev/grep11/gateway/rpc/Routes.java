package dev.grep11.gateway.rpc;

import com.google.protobuf.Message;
import dev.grep11.gateway.iam.Actions;
import dev.grep11.gateway.operation.CallMemory;
import dev.grep11.gateway.operation.Requester;
import dev.grep11.gateway.operation.Workload;
import dev.grep11.gateway.trace.Tracing;
import io.grpc.MethodDescriptor;
import io.grpc.ServerMethodDefinition;
import io.grpc.ServerServiceDefinition;
import io.grpc.ServiceDescriptor;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.function.BiFunction;
import java.util.function.Function;

/** The rpcs of a service, each bound by one expression. */
final class Routes {

  /** What every call passes through. */
  record Services(
      Admission admission,
      Dispatcher dispatcher,
      CallAudit audit,
      FailureAnswers failures,
      RefusalPace refusals,
      Tracing tracing,
      Duration longestCall) {
    /** Nobody waits longer than this for an answer, whatever the client says. */
    private static final Duration LONGEST_CALL = Duration.ofMinutes(10);

    /** Of calls that nobody follows. */
    Services(Admission admission, Dispatcher dispatcher, CallAudit audit, FailureAnswers failures) {
      this(admission, dispatcher, audit, failures, Tracing.OFF);
    }

    Services(
        Admission admission,
        Dispatcher dispatcher,
        CallAudit audit,
        FailureAnswers failures,
        Tracing tracing) {
      this(
          admission,
          dispatcher,
          audit,
          failures,
          new RefusalPace(System.nanoTime()),
          tracing,
          LONGEST_CALL);
    }

    /** Of the crypto service, without tracing. */
    Services(Admission admission, Dispatcher dispatcher, CallAudit audit) {
      this(admission, dispatcher, audit, Failures::of);
    }
  }

  private final ServiceDescriptor service;
  private final Services services;
  private final Function<String, Set<String>> actions;
  private final Map<String, ServerMethodDefinition<?, ?>> bindings = new LinkedHashMap<>();

  /** Routes that need the actions that are published for their rpcs. */
  Routes(ServiceDescriptor service, Services services) {
    this(service, services, Actions::ofRpc);
  }

  /**
   * @param actions what the caller of an rpc must hold, by its bare name
   */
  Routes(ServiceDescriptor service, Services services, Function<String, Set<String>> actions) {
    this.service = service;
    this.services = services;
    this.actions = actions;
  }

  <Q extends Message, P> Routes unary(
      MethodDescriptor<Q, P> method,
      Function<Q, Workload> workload,
      BiFunction<Requester, Q, P> work) {
    return bind(
        method,
        Parsed::marshaller,
        method.getResponseMarshaller(),
        (message, _) -> workload.apply(message),
        (context, message) -> work.apply(context.requester(), message));
  }

  /** Work on a payload. */
  @FunctionalInterface
  interface PayloadWork<Q, P> {
    P apply(Requester by, Q message, ByteBuffer payload);
  }

  /**
   * Binds an rpc that works on a payload, which may lie outside the heap and beside the message.
   *
   * @param payload number of its field in the request
   */
  <Q extends Message, P> Routes taking(
      MethodDescriptor<Q, P> method,
      int payload,
      BiFunction<Q, ByteBuffer, Workload> workload,
      PayloadWork<Q, P> work) {
    return bind(
        method,
        prototype -> Parsed.marshaller(prototype, payload),
        method.getResponseMarshaller(),
        workload,
        (context, message) -> work.apply(context.requester(), message, context.payload()));
  }

  /** Work on a payload whose result is as long, and may lie in the memory of the call. */
  @FunctionalInterface
  interface PayloadTransformation<Q> {
    ByteBuffer apply(Requester by, Q message, ByteBuffer payload, CallMemory memory);
  }

  /**
   * As {@link #taking}, for an rpc that answers with a payload and nothing else.
   *
   * @param result number of its field in the response
   */
  <Q extends Message> Routes transforming(
      MethodDescriptor<Q, ?> method,
      int payload,
      int result,
      BiFunction<Q, ByteBuffer, Workload> workload,
      PayloadTransformation<Q> work) {
    return bind(
        method,
        prototype -> Parsed.marshaller(prototype, payload),
        LongResult.marshaller(result),
        workload,
        (context, message) ->
            work.apply(context.requester(), message, context.payload(), context.memory()));
  }

  /** As {@link #unary}, for work that wants to know more of the call. */
  <Q extends Message, P> Routes serving(
      MethodDescriptor<Q, P> method,
      Function<Q, Workload> workload,
      BiFunction<CallContext, Q, P> work) {
    return bind(
        method,
        Parsed::marshaller,
        method.getResponseMarshaller(),
        (message, _) -> workload.apply(message),
        work);
  }

  /** Binds an rpc that touches no key, and whose work wants to know more of the call. */
  <Q extends Message, P> Routes administrative(
      MethodDescriptor<Q, P> method, BiFunction<CallContext, Q, P> work) {
    return bind(
        method,
        Parsed::marshaller,
        method.getResponseMarshaller(),
        (_, _) -> Workload.INFORMATION,
        work);
  }

  /** As {@link #administrative}, for a request that counts only in its one encoding. */
  <Q extends Message, P> Routes administrativeExactly(
      MethodDescriptor<Q, P> method, BiFunction<CallContext, Q, P> work) {
    return bind(
        method,
        Parsed::exactMarshaller,
        method.getResponseMarshaller(),
        (_, _) -> Workload.INFORMATION,
        work);
  }

  private <Q extends Message, P> Routes bind(
      MethodDescriptor<Q, ?> method,
      Function<Q, MethodDescriptor.Marshaller<Parsed<Q>>> requestMarshaller,
      MethodDescriptor.Marshaller<P> responseMarshaller,
      BiFunction<Q, ByteBuffer, Workload> workload,
      BiFunction<CallContext, Q, P> work) {
    var name = method.getBareMethodName();
    if (name == null
        || !(method.getRequestMarshaller()
            instanceof MethodDescriptor.PrototypeMarshaller<Q> requests)
        || requests.getMessagePrototype() == null) {
      throw new IllegalArgumentException(method.getFullMethodName() + " is not generated");
    }
    Q prototype = requests.getMessagePrototype();
    var route =
        new Route<>(
            name, prototype.getDescriptorForType().getName(), actions.apply(name), workload, work);
    var parsed = method.toBuilder(requestMarshaller.apply(prototype), responseMarshaller).build();
    var earlier =
        bindings.put(
            name,
            ServerMethodDefinition.create(
                parsed, (call, headers) -> UnaryCall.start(call, headers, route, services)));
    if (earlier != null) {
      throw new IllegalStateException(name + " has two routes");
    }
    return this;
  }

  /** Bare names of the rpcs that have a route by now. */
  Set<String> bound() {
    return Set.copyOf(bindings.keySet());
  }

  /**
   * The service, complete.
   *
   * @throws IllegalStateException naming the rpcs that have no route
   */
  ServerServiceDefinition bind() {
    var missing =
        service.getMethods().stream()
            .map(MethodDescriptor::getBareMethodName)
            .filter(name -> !bindings.containsKey(name))
            .toList();
    if (!missing.isEmpty()) {
      throw new IllegalStateException(service.getName() + " has no route for " + missing);
    }
    // Which file defines it is what reflection tells.
    var descriptor =
        ServiceDescriptor.newBuilder(service.getName())
            .setSchemaDescriptor(service.getSchemaDescriptor());
    bindings.values().forEach(method -> descriptor.addMethod(method.getMethodDescriptor()));
    var definition = ServerServiceDefinition.builder(descriptor.build());
    bindings.values().forEach(definition::addMethod);
    return definition.build();
  }
}
