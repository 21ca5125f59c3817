package dev.grep11.jca;

import java.security.NoSuchAlgorithmException;
import java.security.Provider;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;

/** The table of what the provider offers: a row for each algorithm, and how its engine is made. */
final class Engines {
  /** By which JCA asks only providers that may know the key, wherever they stand in its list. */
  private static final String KEY_CLASSES = "SupportedKeyClasses";

  private static final List<String> MACS =
      List.of("HmacSHA1", "HmacSHA224", "HmacSHA256", "HmacSHA384", "HmacSHA512");

  /** One algorithm. */
  private static final class Engine extends Provider.Service {
    private final Supplier<Object> maker;

    Engine(
        Provider provider,
        String type,
        String algorithm,
        List<String> aliases,
        Map<String, String> attributes,
        Class<?> engine,
        Supplier<Object> maker) {
      super(provider, type, algorithm, engine.getName(), aliases, attributes);
      this.maker = maker;
    }

    @Override
    public Object newInstance(Object parameter) throws NoSuchAlgorithmException {
      if (parameter != null) {
        throw new NoSuchAlgorithmException(getAlgorithm() + " takes no parameter");
      }
      return maker.get();
    }
  }

  static List<Provider.Service> of(Grep11Provider provider) {
    var engines = new ArrayList<Provider.Service>();
    engines.add(
        engine(
            provider,
            "KeyStore",
            "GREP11",
            List.of(),
            GatewayKeyStore.class,
            () -> new GatewayKeyStore(provider)));
    for (var scheme : SignatureScheme.all()) {
      engines.add(
          new Engine(
              provider,
              "Signature",
              scheme.name(),
              scheme.aliases(),
              Map.of(KEY_CLASSES, scheme.keyClass().getName()),
              GatewaySignature.class,
              () -> new GatewaySignature(scheme)));
    }
    for (var transformation : Transformation.values()) {
      engines.add(
          new Engine(
              provider,
              "Cipher",
              transformation.algorithm(),
              transformation.aliases(),
              Map.of(KEY_CLASSES, transformation.keyClass().getName()),
              GatewayCipher.class,
              () -> new GatewayCipher(transformation)));
    }
    for (var mac : MACS) {
      engines.add(
          new Engine(
              provider,
              "Mac",
              mac,
              List.of(),
              Map.of(KEY_CLASSES, GatewaySecretKey.class.getName()),
              GatewayMac.class,
              () -> new GatewayMac(mac)));
    }
    engines.add(
        new Engine(
            provider,
            "KeyAgreement",
            "ECDH",
            List.of(),
            Map.of(KEY_CLASSES, GatewayPrivateKey.Ec.class.getName()),
            GatewayKeyAgreement.class,
            GatewayKeyAgreement::new));
    for (var algorithm : KeyPairMaking.Kind.values()) {
      engines.add(
          engine(
              provider,
              "KeyPairGenerator",
              algorithm.algorithm(),
              List.of(),
              KeyPairMaking.class,
              () -> new KeyPairMaking(provider, algorithm)));
    }
    engines.add(
        engine(
            provider,
            "KeyGenerator",
            "AES",
            List.of(),
            SecretKeyMaking.class,
            () -> new SecretKeyMaking(provider, "AES")));
    for (var mac : MACS) {
      engines.add(
          engine(
              provider,
              "KeyGenerator",
              mac,
              List.of(),
              SecretKeyMaking.class,
              () -> new SecretKeyMaking(provider, mac)));
    }
    return engines;
  }

  static Provider.Service random(Grep11Provider provider) {
    return engine(
        provider,
        "SecureRandom",
        "GREP11",
        List.of(),
        GatewayRandom.class,
        () -> new GatewayRandom(provider));
  }

  private static Engine engine(
      Provider provider,
      String type,
      String algorithm,
      List<String> aliases,
      Class<?> engine,
      Supplier<Object> maker) {
    return new Engine(provider, type, algorithm, aliases, Map.of(), engine, maker);
  }

  private Engines() {}
}
