package dev.grep11.gateway.certmgr;

import dev.grep11.gateway.store.Subject;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/**
 * What a command did, and where it acts already.
 *
 * @param generation of the registry, after it
 * @param locked whether a client certificate is needed now
 * @param ownCertificates that the administrator holds
 * @param otherCertificates that the others hold
 * @param confirmed gateways that act on it, by name
 * @param outstanding gateways that have not said so; they act on it, or refuse everything, at
 *     {@code binding}
 * @param binding by when it holds everywhere
 * @param notes for the administrator to read
 * @param adoptedBy to whom certificates were handed over
 */
public record CommandResult(
    long generation,
    boolean locked,
    int ownCertificates,
    int otherCertificates,
    List<String> confirmed,
    List<String> outstanding,
    Instant binding,
    List<String> notes,
    Optional<Subject> adoptedBy) {
  public CommandResult {
    confirmed = List.copyOf(confirmed);
    outstanding = List.copyOf(outstanding);
    notes = List.copyOf(notes);
  }
}
