package dev.grep11.gateway.hsm;

import static dev.grep11.gateway.pkcs11.Cka.*;
import static dev.grep11.gateway.pkcs11.Ckm.*;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.softhsm.SoftHsmExtension;
import java.nio.ByteBuffer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

class OffHeapEncryptionTest {
  @RegisterExtension static final SoftHsmExtension SOFTHSM = new SoftHsmExtension();

  private static final Mechanism CBC = Mechanism.of(CKM_AES_CBC, new byte[16]);
  private static final Template AES =
      Template.builder()
          .put(CKA_TOKEN, false)
          .put(CKA_VALUE_LEN, 32)
          .put(CKA_ENCRYPT, true)
          .build();

  @Test
  void writesIntoTheCallersMemoryWhatItWouldReturn() {
    try (var hsm = Hsm.open(Tokens.settings(SOFTHSM.token()))) {
      var data = ByteBuffer.allocateDirect(64);
      var result = ByteBuffer.allocateDirect(100).position(20);

      hsm.withHolder(session -> {
        long key = session.generateKey(Mechanism.of(CKM_AES_KEY_GEN), AES);
        int length = session.encrypt(CBC, key, data, result);

        var written = new byte[length];
        result.get(20, written);
        assertThat(written).isEqualTo(session.encrypt(CBC, key, data));
        return key;
      });
      assertThat(result.position()).isEqualTo(20);
    }
  }

  @Test
  void refusesAResultWithoutRoomAndIsReadyForTheNextCall() {
    try (var hsm = Hsm.open(Tokens.settings(SOFTHSM.token()))) {
      var data = ByteBuffer.allocateDirect(64);
      var small = ByteBuffer.allocateDirect(63);

      hsm.withHolder(session -> {
        long key = session.generateKey(Mechanism.of(CKM_AES_KEY_GEN), AES);

        assertThatThrownBy(() -> session.encrypt(CBC, key, data, small))
            .isInstanceOfSatisfying(
                Pkcs11Exception.class,
                e -> assertThat(e.returnValue()).isEqualTo(Ckr.CKR_BUFFER_TOO_SMALL));
        assertThatThrownBy(() -> session.encrypt(CBC, key, data, ByteBuffer.allocate(64)))
            .isInstanceOf(IllegalArgumentException.class);
        assertThat(session.encrypt(CBC, key, data, ByteBuffer.allocateDirect(64))).isEqualTo(64);
        return key;
      });
    }
  }
}
