package dev.grep11.client.certmgr;

import java.util.List;

/**
 * The caller's client CAs and the state of the lock.
 *
 * @param own those that the caller manages
 * @param others how many other administrators manage
 * @param locked whether a client certificate is needed
 * @param generation of the registry
 */
public record RegisteredCertificates(
    List<RegisteredCertificate> own, int others, boolean locked, long generation) {
  public RegisteredCertificates {
    own = List.copyOf(own);
  }
}
