package dev.grep11.gateway.rpc;

/** What the clients of a service are told of a failure. */
@FunctionalInterface
interface FailureAnswers {
  Failures.Failure of(Throwable thrown, String correlationId);
}
