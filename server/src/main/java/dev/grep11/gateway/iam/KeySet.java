package dev.grep11.gateway.iam;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JWSVerifier;
import com.nimbusds.jose.crypto.ECDSAVerifier;
import com.nimbusds.jose.crypto.RSASSAVerifier;
import com.nimbusds.jose.jwk.Curve;
import com.nimbusds.jose.jwk.ECKey;
import com.nimbusds.jose.jwk.JWK;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jose.jwk.KeyUse;
import com.nimbusds.jose.jwk.RSAKey;
import dev.grep11.gateway.iam.IssuerSettings.Algorithm;
import java.text.ParseException;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/** The keys of a JWK set that can verify, each bound to the one algorithm it is for. */
final class KeySet {
  private static final int MIN_RSA_BITS = 2048;
  private static final int MAX_RSA_BITS = 8192;

  private final Map<String, Key> keys = new HashMap<>();

  private record Key(Algorithm algorithm, JWSVerifier verifier, String canonical) {}

  private KeySet() {}

  /**
   * Leaves out what it cannot use: other types, encryption keys, keys without a kid, RSA of other
   * sizes.
   */
  static KeySet parse(String json) throws ParseException {
    KeySet set = new KeySet();
    for (JWK jwk : JWKSet.parse(json).getKeys()) {
      if (jwk.getKeyID() == null
          || (jwk.getKeyUse() != null && !jwk.getKeyUse().equals(KeyUse.SIGNATURE))) {
        continue;
      }
      Optional<Key> key = key(jwk);
      if (key.isPresent() && set.keys.putIfAbsent(jwk.getKeyID(), key.get()) != null) {
        throw new ParseException("two keys with one kid", 0);
      }
    }
    if (set.keys.isEmpty()) {
      throw new ParseException("no key for RS256 or ES256", 0);
    }
    return set;
  }

  private static Optional<Key> key(JWK jwk) throws ParseException {
    try {
      if (jwk instanceof RSAKey rsa
          && forAlgorithm(jwk, Algorithm.RS256)
          && rsa.size() >= MIN_RSA_BITS
          && rsa.size() <= MAX_RSA_BITS) {
        return Optional.of(key(Algorithm.RS256, new RSASSAVerifier(rsa.toRSAPublicKey()), jwk));
      }
      if (jwk instanceof ECKey ec
          && forAlgorithm(jwk, Algorithm.ES256)
          && Curve.P_256.equals(ec.getCurve())) {
        return Optional.of(key(Algorithm.ES256, new ECDSAVerifier(ec.toECPublicKey()), jwk));
      }
      return Optional.empty();
    } catch (JOSEException e) {
      throw new ParseException("key " + jwk.getKeyID() + ": " + e.getMessage(), 0);
    }
  }

  private static Key key(Algorithm algorithm, JWSVerifier verifier, JWK jwk) {
    return new Key(algorithm, verifier, jwk.toPublicJWK().toJSONString());
  }

  private static boolean forAlgorithm(JWK jwk, Algorithm algorithm) {
    return jwk.getAlgorithm() == null || jwk.getAlgorithm().getName().equals(algorithm.name());
  }

  int size() {
    return keys.size();
  }

  boolean contains(String keyId) {
    return keys.containsKey(keyId);
  }

  /** The verifier of this key, if it is for this algorithm. */
  Optional<JWSVerifier> verifier(String keyId, Algorithm algorithm) {
    Key key = keys.get(keyId);
    return key != null && key.algorithm() == algorithm
        ? Optional.of(key.verifier())
        : Optional.empty();
  }

  /** Whether both sets verify the same tokens. */
  boolean sameAs(KeySet other) {
    return Arrays.equals(canonical(), other.canonical());
  }

  private String[] canonical() {
    return keys.values().stream().map(Key::canonical).sorted().toArray(String[]::new);
  }
}
