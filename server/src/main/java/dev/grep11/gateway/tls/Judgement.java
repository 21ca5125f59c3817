package dev.grep11.gateway.tls;

import dev.grep11.gateway.certmgr.ClientCas.Registered;
import dev.grep11.gateway.trust.Verdict;
import java.time.Instant;

/**
 * What was thought of a chain.
 *
 * @param by the registry that it was judged by; anchors are compared as objects, others may judge
 *     otherwise
 * @param at when; a clock that was set back makes it worth nothing
 * @param until when it no longer holds
 */
record Judgement(Registered by, Verdict verdict, Instant at, Instant until) {
  boolean holds(Registered registered, Instant now) {
    return by.equals(registered) && !now.isBefore(at) && now.isBefore(until);
  }
}
