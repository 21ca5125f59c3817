package dev.grep11.gateway.tls;

import java.net.Socket;
import java.security.Principal;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.X509ExtendedKeyManager;
import org.jspecify.annotations.Nullable;

/**
 * The identity for JSSE, which asks for alias, chain and key one after the other: an alias names
 * one version of the identity, so that a switch in between mixes nothing. The version before stays
 * for handshakes that have begun.
 */
final class IdentityKeyManager extends X509ExtendedKeyManager {
  private final Map<String, ServerIdentity> versions = new ConcurrentHashMap<>();
  private final AtomicLong current = new AtomicLong();

  IdentityKeyManager(ServerIdentity first) {
    versions.put("0", first);
  }

  void switchTo(ServerIdentity next) {
    var version = current.get() + 1;
    versions.put(Long.toString(version), next);
    current.set(version);
    versions.remove(Long.toString(version - 2));
  }

  private @Nullable String alias(String keyType) {
    var alias = Long.toString(current.get());
    var identity = versions.get(alias);
    if (identity == null) {
      return null;
    }
    var algorithm = identity.key().getAlgorithm();
    return switch (keyType) {
      case "RSA", "RSASSA-PSS" -> algorithm.equals("RSA") ? alias : null;
      case "EC" -> algorithm.equals("EC") ? alias : null;
      case "EdDSA", "Ed25519" -> algorithm.startsWith("Ed") ? alias : null;
      default -> null;
    };
  }

  @Override
  public @Nullable String chooseEngineServerAlias(
      String keyType, Principal @Nullable [] issuers, @Nullable SSLEngine engine) {
    return alias(keyType);
  }

  @Override
  public @Nullable String chooseServerAlias(
      String keyType, Principal @Nullable [] issuers, @Nullable Socket socket) {
    return alias(keyType);
  }

  @Override
  public String @Nullable [] getServerAliases(String keyType, Principal @Nullable [] issuers) {
    var alias = alias(keyType);
    return alias == null ? null : new String[] {alias};
  }

  @Override
  public X509Certificate @Nullable [] getCertificateChain(String alias) {
    var identity = versions.get(alias);
    return identity == null ? null : identity.chain().toArray(X509Certificate[]::new);
  }

  @Override
  public @Nullable PrivateKey getPrivateKey(String alias) {
    var identity = versions.get(alias);
    return identity == null ? null : identity.key();
  }

  @Override
  public String @Nullable [] getClientAliases(String keyType, Principal @Nullable [] issuers) {
    return null;
  }

  @Override
  public @Nullable String chooseClientAlias(
      String[] keyType, Principal @Nullable [] issuers, @Nullable Socket socket) {
    return null;
  }
}
