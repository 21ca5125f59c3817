package dev.grep11.gateway.rpc;

import java.security.cert.X509Certificate;
import java.util.List;
import java.util.Optional;
import java.util.UUID;

/** The second lock: whether a client certificate opens an instance. Never blocks. */
@FunctionalInterface
public interface ClientCertificates {

  /** No client CA is registered anywhere, so nobody is asked for a certificate. */
  ClientCertificates NONE_REGISTERED = (instance, chain) -> Optional.empty();

  /**
   * Why the chain of a connection (leaf first, empty when it showed none) does not open this
   * instance; empty when it does.
   */
  Optional<String> refusal(UUID instance, List<X509Certificate> chain);
}
