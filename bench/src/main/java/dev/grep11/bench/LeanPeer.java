package dev.grep11.bench;

import com.google.protobuf.ByteString;
import dev.grep11.client.Curve;
import dev.grep11.client.Grep11Client;
import dev.grep11.client.KeyPair;
import dev.grep11.client.Mechanisms;
import dev.grep11.client.Templates;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.EncryptSingleRequest;
import dev.grep11.proto.EncryptSingleResponse;
import dev.grep11.proto.SignSingleRequest;
import dev.grep11.proto.SignSingleResponse;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.Signature;
import java.security.spec.X509EncodedKeySpec;
import java.time.Duration;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;

/** The gateway under test, driven by the lean load generator; one key per workload. */
final class LeanPeer implements AutoCloseable {
  private final Grep11Client client;
  private final LeanClient lean;
  private final Meter meter;
  private final Map<Workload, PreparedCall> calls = new EnumMap<>(Workload.class);

  /**
   * @param meter of the gateway's process
   */
  LeanPeer(Target target, String token, int connections, Meter meter) {
    this.meter = meter;
    client = target.connect();
    try {
      // Before the other client connects: consecutive connections go to different event loops.
      lean = new LeanClient(target, token, connections);
    } catch (RuntimeException e) {
      client.close();
      throw e;
    }
  }

  /**
   * @param inFlight calls under way at any time
   * @throws BenchException when a call fails or a sampled answer is wrong
   */
  Sample measure(Workload workload, int inFlight, Duration warmUp, Duration window) {
    return lean.measure(List.of(call(workload)), inFlight, warmUp, window, meter);
  }

  /** The workload's call, with a key of its own. */
  PreparedCall call(Workload workload) {
    return calls.computeIfAbsent(workload, this::prepare);
  }

  long answered() {
    return lean.answered();
  }

  long verified() {
    return lean.verified();
  }

  int connections() {
    return lean.connections();
  }

  private PreparedCall prepare(Workload workload) {
    return switch (workload) {
      case EC_SIGN ->
          sign(
              workload,
              client.generateKeyPair(Templates.ecPair(Curve.P256)),
              "EC",
              // PKCS #11 v2.40, 2.3.1: r and s beside each other.
              "NONEwithECDSAinP1363Format");
      case RSA_SIGN ->
          sign(workload, client.generateKeyPair(Templates.rsaPair(2048)), "RSA", "SHA256withRSA");
      case GCM_16K, GCM_1M, CBC_1M -> {
        var key = client.generateKey(Mechanisms.aesKeyGen(), Templates.aes(256));
        var request =
            EncryptSingleRequest.newBuilder()
                .setMech(workload.mechanism())
                .setKey(key.toMessage())
                .setPlain(ByteString.copyFrom(workload.input()))
                .build();
        yield PreparedCall.of(
            CryptoGrpc.getEncryptSingleMethod(),
            request,
            message -> {
              byte[] ciphered =
                  EncryptSingleResponse.parseFrom(message).getCiphered().toByteArray();
              return Arrays.equals(
                  client.decrypt(workload.mechanism(), key, ciphered), workload.input());
            });
      }
    };
  }

  private static PreparedCall sign(
      Workload workload, KeyPair pair, String keyType, String algorithm) {
    var request =
        SignSingleRequest.newBuilder()
            .setMech(workload.mechanism())
            .setPrivKey(pair.privateKey().toMessage())
            .setData(ByteString.copyFrom(workload.input()))
            .build();
    byte[] publicKey = pair.publicKey().subjectPublicKeyInfo();
    return PreparedCall.of(
        CryptoGrpc.getSignSingleMethod(),
        request,
        message ->
            genuine(
                publicKey,
                keyType,
                algorithm,
                workload.input(),
                SignSingleResponse.parseFrom(message).getSignature().toByteArray()));
  }

  private static boolean genuine(
      byte[] publicKey, String keyType, String algorithm, byte[] data, byte[] signature) {
    try {
      var verifier = Signature.getInstance(algorithm);
      verifier.initVerify(
          KeyFactory.getInstance(keyType).generatePublic(new X509EncodedKeySpec(publicKey)));
      verifier.update(data);
      return verifier.verify(signature);
    } catch (GeneralSecurityException e) {
      throw new BenchException("a signature cannot be judged: " + e.getMessage(), e);
    }
  }

  @Override
  public void close() {
    lean.close();
    client.close();
  }
}
