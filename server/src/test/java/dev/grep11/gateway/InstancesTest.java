package dev.grep11.gateway;

import static dev.grep11.gateway.BothDialectsTest.assertCode;
import static dev.grep11.gateway.RunningGateway.MANAGER;
import static dev.grep11.gateway.RunningGateway.aesKey;
import static dev.grep11.gateway.RunningGateway.encrypt;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import dev.grep11.gateway.command.DemoData;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.proto.CryptoGrpc.CryptoBlockingStub;
import dev.grep11.proto.DigestInitRequest;
import dev.grep11.proto.DigestUpdateRequest;
import dev.grep11.proto.GetAttributeValueRequest;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.UUID;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/** One port for two instances, which a header tells apart. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class InstancesTest {
  private static final UUID OTHER = UUID.fromString("2b2ce7a5-7a20-4a10-9cb2-3f6bd2b4f9a1");
  private static final ByteString PLAIN = ByteString.copyFromUtf8("of one instance only");

  private RunningGateway running;
  private CryptoBlockingStub atOne;
  private CryptoBlockingStub atOther;

  @BeforeAll
  void start(@TempDir Path parent) throws Exception {
    var directory = parent.resolve("demo");
    var demo = DemoData.open(directory);
    try (var host = Host.open(GatewayConfig.read(demo.config()))) {
      host.createInstance(OTHER, "other", "demo", "local");
    }
    var settings = new HashMap<String, Object>();
    settings.put("/instance", null);
    settings.put("/multiInstance", true);
    running = RunningGateway.start(directory, settings);
    running.grant(MANAGER, "Manager", OTHER);
    atOne = at(running.instance);
    atOther = at(OTHER);
    org.awaitility.Awaitility.await().ignoreExceptions().until(() -> aesKey(atOther).size() > 0);
  }

  @AfterAll
  void stop() {
    running.close();
  }

  private CryptoBlockingStub at(UUID instance) throws Exception {
    return running.client(
        "authorization",
        "Bearer " + running.token(MANAGER),
        "bluemix-instance",
        instance.toString());
  }

  @Test
  void aBlobIsNoGoodInAnotherInstanceWithAColdCacheAndWithAWarmOne() {
    var key = aesKey(atOne);

    assertNoGoodAtOther(key);
    var ciphered = encrypt(atOne, key, PLAIN);
    assertNoGoodAtOther(key);

    assertThat(encrypt(atOne, key, PLAIN)).isEqualTo(ciphered);
  }

  private void assertNoGoodAtOther(ByteString key) {
    assertCode(Ckr.CKR_IBM_WKID_MISMATCH, () -> encrypt(atOther, key, PLAIN));
    assertCode(
        Ckr.CKR_IBM_WKID_MISMATCH,
        () ->
            atOther.getAttributeValue(
                GetAttributeValueRequest.newBuilder()
                    .setObject(key)
                    .putAttributes(0, RunningGateway.number(0))
                    .build()));
  }

  @Test
  void aStateIsNoGoodInAnotherInstance() {
    var state =
        atOne
            .digestInit(
                DigestInitRequest.newBuilder()
                    .setMech(RunningGateway.mechanism(Ckm.CKM_SHA256))
                    .build())
            .getState();
    var update = DigestUpdateRequest.newBuilder().setState(state).setData(PLAIN).build();

    assertCode(Ckr.CKR_IBM_BLOB_ERROR, () -> atOther.digestUpdate(update));

    assertThat(atOne.digestUpdate(update).getState().isEmpty()).isFalse();
  }

  @Test
  void aCallThatNamesNoInstanceIsRefused() throws Exception {
    var nowhere = running.client();

    assertThatThrownBy(() -> aesKey(nowhere))
        .isInstanceOfSatisfying(
            StatusRuntimeException.class,
            refusal ->
                assertThat(refusal.getStatus().getCode()).isEqualTo(Status.Code.PERMISSION_DENIED));
  }

  @Test
  void theHostNameSelectsAndMustAgreeWithTheHeader() throws Exception {
    var byName = at(running.instance).withInterceptors();
    var channel = running.channel("%s.ep11.local.test".formatted(running.instance));
    var named =
        dev.grep11.proto.CryptoGrpc.newBlockingStub(channel)
            .withInterceptors(
                RunningGateway.headers("authorization", "Bearer " + running.token(MANAGER)));
    var key = aesKey(byName);

    assertThat(encrypt(named, key, PLAIN)).isEqualTo(encrypt(byName, key, PLAIN));
    assertThatThrownBy(() ->
            aesKey(
                named.withInterceptors(
                    RunningGateway.headers("bluemix-instance", OTHER.toString()))))
        .hasMessageContaining("PERMISSION_DENIED");
  }
}
