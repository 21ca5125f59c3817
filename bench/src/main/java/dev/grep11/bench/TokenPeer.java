package dev.grep11.bench;

import static dev.grep11.gateway.pkcs11.Cka.*;
import static dev.grep11.gateway.pkcs11.Ckm.*;

import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.HsmSettings;
import dev.grep11.gateway.hsm.PinSource;
import dev.grep11.gateway.hsm.Session;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismParameters;
import dev.grep11.gateway.pkcs11.MechanismParameters.AesGcm;
import dev.grep11.gateway.pkcs11.NamedCurve;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.softhsm.SoftHsmToken;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Function;

/**
 * The token of the run through a PKCS #11 module, with a session per thread. Through its own module
 * it is the ceiling, with nothing in between; through a client module it is what stands behind that
 * one. The gateway idles meanwhile, and this idles while the gateway is measured.
 */
final class TokenPeer implements AutoCloseable {
  /** CKA_PRIVATE of the keys, which decides whether SoftHSM decrypts them on every use. */
  enum Visibility {
    PUBLIC,
    PRIVATE
  }

  private static final int IV_LENGTH = 12;
  private static final int TAG_BITS = 128;
  private static final byte[] F4 = {1, 0, 1};

  private record Key(Workload workload, Visibility visibility) {}

  private final Hsm hsm;
  private final Meter meter;
  private final Function<Session, byte[]> ivs;
  private final Map<Key, Long> handles = new HashMap<>();

  /**
   * @throws dev.grep11.gateway.hsm.HsmOpenException when the token cannot be opened
   */
  private TokenPeer(HsmSettings settings, Meter meter, Function<Session, byte[]> ivs) {
    this.ivs = ivs;
    hsm = Hsm.open(settings);
    this.meter = meter;
  }

  static TokenPeer inProcess(SoftHsmToken token) {
    return new TokenPeer(
        HsmSettings.of(
            token.module(), token.label(), PinSource.file(token.pinFile()), token.environment()),
        Meter.OF_THIS_PROCESS,
        session -> session.random(IV_LENGTH));
  }

  /** A client draws its IVs itself, and saves the way to the token. */
  static TokenPeer through(P11KitServer server, SoftHsmToken token) {
    return new TokenPeer(
        server.settings(token),
        new Meter(server.pid()),
        _ -> {
          var iv = new byte[IV_LENGTH];
          ThreadLocalRandom.current().nextBytes(iv);
          return iv;
        });
  }

  /** Whether the module carries the operation at all. */
  boolean offers(Workload workload) {
    return hsm.mechanisms().containsKey(mechanism(workload));
  }

  private static long mechanism(Workload workload) {
    return switch (workload) {
      case EC_SIGN -> CKM_ECDSA;
      case RSA_SIGN -> CKM_SHA256_RSA_PKCS;
      case GCM_16K, GCM_1M -> CKM_AES_GCM;
      case CBC_1M -> CKM_AES_CBC;
    };
  }

  /** What the gateway does with a token of this kind unless it is configured otherwise. */
  Visibility usual() {
    return hsm.publicSessionObjects() ? Visibility.PUBLIC : Visibility.PRIVATE;
  }

  /**
   * @throws BenchException when an operation fails
   */
  Sample measure(
      Workload workload, Visibility visibility, int threads, Duration warmUp, Duration window) {
    long key =
        handles.computeIfAbsent(
            new Key(workload, visibility),
            wanted -> hsm.withHolder(session -> make(session, wanted)));
    var loop = new ClosedLoop(threads);
    for (int i = 0; i < threads; i++) {
      Thread.ofPlatform().daemon().name("in-process-" + i).start(() -> repeat(loop, workload, key));
    }
    return loop.sample(warmUp, window, meter);
  }

  private void repeat(ClosedLoop loop, Workload workload, long key) {
    try {
      hsm.adoptCurrentThread();
      try {
        // Outside the heap: what a C program has. Results of 1 MiB on the heap cost twice the
        // encryption, which would flatter whatever is compared with this.
        var input = ByteBuffer.allocateDirect(workload.bytes()).put(workload.input()).flip();
        var output = ByteBuffer.allocateDirect(workload.bytes() + TAG_BITS / 8);
        var session = hsm.session();
        while (loop.running()) {
          long began = System.nanoTime();
          operate(session, workload, key, input, output);
          loop.done(System.nanoTime() - began);
        }
      } finally {
        hsm.releaseCurrentThread();
      }
      loop.left();
    } catch (RuntimeException e) {
      loop.failed(e);
    }
  }

  private void operate(
      Session session, Workload workload, long key, ByteBuffer input, ByteBuffer output) {
    switch (workload) {
      case EC_SIGN -> {
        var _ = session.sign(Mechanism.of(CKM_ECDSA), key, input);
      }
      case RSA_SIGN -> {
        var _ = session.sign(Mechanism.of(CKM_SHA256_RSA_PKCS), key, input);
      }
      case GCM_16K, GCM_1M -> {
        var gcm = new AesGcm(ivs.apply(session), new byte[0], TAG_BITS);
        var _ = session.encrypt(new Mechanism(CKM_AES_GCM, gcm), key, input, output);
      }
      case CBC_1M -> {
        var iv = new MechanismParameters.Bytes(Workload.IV);
        var _ = session.encrypt(new Mechanism(CKM_AES_CBC, iv), key, input, output);
      }
    }
  }

  private static long make(Session session, Key key) {
    var kept =
        Template.builder()
            .put(CKA_TOKEN, false)
            .put(CKA_PRIVATE, key.visibility() == Visibility.PRIVATE)
            .put(CKA_SENSITIVE, true)
            .put(CKA_EXTRACTABLE, false);
    var open = Template.builder().put(CKA_TOKEN, false).put(CKA_VERIFY, true);
    return switch (key.workload()) {
      case EC_SIGN ->
          session
              .generateKeyPair(
                  Mechanism.of(CKM_EC_KEY_PAIR_GEN),
                  open.put(CKA_EC_PARAMS, NamedCurve.P_256.parameters()).build(),
                  kept.put(CKA_SIGN, true).build())
              .privateKey();
      case RSA_SIGN ->
          session
              .generateKeyPair(
                  Mechanism.of(CKM_RSA_PKCS_KEY_PAIR_GEN),
                  open.put(CKA_MODULUS_BITS, 2048).put(CKA_PUBLIC_EXPONENT, F4).build(),
                  kept.put(CKA_SIGN, true).build())
              .privateKey();
      case GCM_16K, GCM_1M, CBC_1M ->
          session.generateKey(
              Mechanism.of(CKM_AES_KEY_GEN),
              kept.put(CKA_VALUE_LEN, 32).put(CKA_ENCRYPT, true).build());
    };
  }

  @Override
  public void close() {
    hsm.close();
  }
}
