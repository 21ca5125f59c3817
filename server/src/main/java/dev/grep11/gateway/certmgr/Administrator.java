package dev.grep11.gateway.certmgr;

import dev.grep11.gateway.store.Subject;
import java.util.Optional;
import java.util.UUID;

/**
 * Who calls: a subject whose token was verified and who holds the action in the instance. The
 * request has no say in any of it.
 *
 * @param name of the subject, where the token says one
 * @param request the rpc, for the audit log
 * @param address empty where it is not known
 * @param agent the program, by its own word
 */
public record Administrator(
    Subject subject,
    Optional<String> name,
    UUID instance,
    String correlationId,
    String request,
    Optional<String> address,
    Optional<String> agent) {}
