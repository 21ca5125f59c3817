package dev.grep11.gateway.rpc;

import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.proto.Mechanism;
import dev.grep11.proto.ReencryptSingleRequest;
import java.nio.ByteBuffer;
import org.junit.jupiter.api.Test;

class CryptoServiceTest {

  /** Its first key may be loaded while its second is not, and event loops unwrap nothing. */
  @Test
  void reencryptionIsNeverTakenForACheapCall() {
    var request =
        ReencryptSingleRequest.newBuilder()
            .setDecMech(Mechanism.newBuilder().setMechanism(Ckm.CKM_AES_CBC))
            .build();
    var workload = CryptoService.reencryption(request, ByteBuffer.allocate(16));
    assertThat(workload.function()).isEmpty();
    assertThat(workload.mechanism()).hasValue(Ckm.CKM_AES_CBC);
  }
}
