package dev.grep11.gateway.operation;

import static dev.grep11.gateway.operation.Client.assertRefused;
import static dev.grep11.gateway.operation.Client.flags;
import static dev.grep11.gateway.pkcs11.Cka.*;
import static dev.grep11.gateway.pkcs11.Ckm.*;
import static dev.grep11.gateway.pkcs11.Ckr.*;
import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.gateway.hsm.Lane;
import dev.grep11.gateway.key.BlobDigest;
import dev.grep11.gateway.pkcs11.CryptoFunction;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.softhsm.SoftHsmExtension;
import java.nio.charset.StandardCharsets;
import java.util.Optional;
import java.util.OptionalLong;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** What a client may not make an event loop do. */
class CostTest {
  @RegisterExtension static final SoftHsmExtension HSM = new SoftHsmExtension();

  private static Core core;
  private static Client client;

  @BeforeAll
  static void open() {
    core = Core.on(HSM.token());
    client = new Client(core.operations(Policy.COMPATIBLE, true), Core.A);
  }

  @AfterAll
  static void close() {
    core.close();
  }

  @Test
  void anHmacThatTheTokenDoesNotMakeNeverRunsOnAnEventLoop() {
    var shortKey = client.generic(16, flags(CKA_SIGN)).blob();
    var longKey = client.generic(32, flags(CKA_SIGN)).blob();
    var message = "message".getBytes(StandardCharsets.UTF_8);
    for (var key : new byte[][] {shortKey, longKey}) {
      for (long mechanism : new long[] {CKM_SHA256_HMAC, CKM_IBM_SHA3_256_HMAC}) {
        client.sign(Mechanism.of(mechanism), key, message);
      }
    }
    assertThat(lane(CKM_SHA256_HMAC, longKey)).isEmpty();
    assertThat(lane(CKM_SHA256_HMAC, shortKey)).contains(Lane.LOAD);
    assertThat(lane(CKM_IBM_SHA3_256_HMAC, longKey)).contains(Lane.LOAD);
  }

  @Test
  void whatOnlyTakesDataOfAHashLoadsNoKeyAndLeavesTheEventLoopWhenItIsLong() {
    var rsa = client.rsa(1024, flags(CKA_VERIFY), flags(CKA_SIGN)).privateKey().blob();
    assertThat(absorbing(CKM_SHA256_RSA_PKCS, rsa, 8 << 10)).isEmpty();
    assertThat(absorbing(CKM_SHA256_RSA_PKCS, rsa, (8 << 10) + 1)).contains(Lane.USE);
    assertThat(absorbing(CKM_SHA256_HMAC, rsa, 1)).isEmpty();
  }

  private static Optional<Lane> absorbing(long mechanism, byte[] key, int length) {
    return client.operations.lane(
        Core.A,
        new Workload(
            Optional.of(CryptoFunction.SIGN),
            OptionalLong.of(mechanism),
            BlobDigest.of(key),
            length,
            true));
  }

  private static Optional<Lane> lane(long mechanism, byte[] key) {
    return client.operations.lane(
        Core.A,
        new Workload(
            Optional.of(CryptoFunction.SIGN),
            OptionalLong.of(mechanism),
            BlobDigest.of(key),
            7,
            false));
  }

  @Test
  void aBlobLongerThanAnyIsRefusedUnread() {
    var huge = new byte[9217];
    huge[0] = 0x30;
    assertRefused(
        CKR_IBM_BLOB_ERROR,
        () -> client.verify(Mechanism.of(CKM_ECDSA), huge, new byte[32], new byte[64]));
    assertThat(lane(CKM_SHA256_HMAC, huge)).contains(Lane.LOAD);
  }
}
