package dev.grep11.client.certmgr;

import java.time.Instant;
import java.util.List;

/**
 * A change that was made, and how far it has come.
 *
 * @param generation of the registry after it
 * @param locked whether a client certificate is needed now
 * @param own how many client CAs the caller manages now
 * @param others how many other administrators manage
 * @param confirmed gateways that act on it already
 * @param outstanding gateways that have not said so; they act on it or refuse everything by {@code
 *     binding}
 * @param binding when it holds everywhere at the latest
 * @param notes for the administrator to read
 * @param adoptedBy the administrator to whom client CAs were handed over; empty when none were
 */
public record Change(
    long generation,
    boolean locked,
    int own,
    int others,
    List<String> confirmed,
    List<String> outstanding,
    Instant binding,
    List<String> notes,
    String adoptedBy) {
  public Change {
    confirmed = List.copyOf(confirmed);
    outstanding = List.copyOf(outstanding);
    notes = List.copyOf(notes);
  }
}
