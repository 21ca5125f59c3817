package dev.grep11.gateway.hsm;

import static dev.grep11.gateway.pkcs11.Cka.*;
import static dev.grep11.gateway.pkcs11.Ckm.*;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.grep11.softhsm.SoftHsmExtension;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

class HsmTest {
  @RegisterExtension static final SoftHsmExtension SOFTHSM = new SoftHsmExtension();

  private static Hsm hsm;

  @BeforeAll
  static void open() {
    hsm = Hsm.open(Tokens.settings(SOFTHSM.token()));
  }

  @AfterAll
  static void close() {
    hsm.close();
  }

  @Test
  void knowsItsToken() {
    assertThat(hsm.tokenInfo().label()).isEqualTo(SOFTHSM.token().label());
    assertThat(hsm.tokenInfo().manufacturer()).isEqualTo("SoftHSM project");
    assertThat(hsm.tokenInfo().serial()).hasSize(16);
    assertThat(hsm.mechanisms()).containsKeys(CKM_AES_KEY_WRAP_PAD, CKM_ECDSA, CKM_EDDSA);
    assertThat(hsm.publicSessionObjects()).isTrue();
  }

  @Test
  void namesTheTokensThatExistWhenTheLabelIsWrong() {
    var settings =
        HsmSettings.of(
            SOFTHSM.token().module(),
            "another",
            PinSource.file(SOFTHSM.token().pinFile()),
            SOFTHSM.token().environment());

    assertThatThrownBy(() -> Hsm.open(settings).close())
        .isInstanceOf(HsmOpenException.class)
        .hasMessageContaining("\"another\"")
        .hasMessageContaining(SOFTHSM.token().label());
  }
}
