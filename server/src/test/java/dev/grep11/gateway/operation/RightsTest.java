package dev.grep11.gateway.operation;

import static dev.grep11.gateway.operation.Client.assertRefused;
import static dev.grep11.gateway.operation.Client.flags;
import static dev.grep11.gateway.operation.Client.without;
import static dev.grep11.gateway.pkcs11.Cka.*;
import static dev.grep11.gateway.pkcs11.Ckr.*;
import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.softhsm.SoftHsmExtension;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** What a client tries in order to do more than its keys allow. */
class RightsTest {
  @RegisterExtension static final SoftHsmExtension HSM = new SoftHsmExtension();

  private static Core core;
  private static Client client;

  private static Client strict;

  @BeforeAll
  static void open() {
    core = Core.on(HSM.token());
    client = new Client(core.operations(Policy.COMPATIBLE, true), Core.A);
    strict = new Client(core.operations(Policy.STRICT, false), Core.A);
  }

  @AfterAll
  static void close() {
    core.close();
  }

  @Test
  void aRestrictableKeyStaysRestricted() {
    var key = client.aes(32, flags(CKA_IBM_RESTRICTABLE)).blob();
    assertRefused(
        CKR_ATTRIBUTE_READ_ONLY,
        () -> client.operations.setAttributes(client.by, key, without(CKA_IBM_RESTRICTABLE)));
  }

  // Under policy strict no key both wraps and decrypts; so none that wraps may come back by another
  // way as one that decrypts.

  @Test
  void underStrictAKeyThatWrapsIsNotExtractable() {
    assertRefused(
        CKR_TEMPLATE_INCONSISTENT, () -> strict.aes(32, flags(CKA_WRAP, CKA_EXTRACTABLE)));
    assertRefused(
        CKR_TEMPLATE_INCONSISTENT, () -> strict.aes(32, flags(CKA_UNWRAP, CKA_EXTRACTABLE)));
    assertRefused(
        CKR_TEMPLATE_INCONSISTENT,
        () ->
            strict.rsa(
                2048,
                flags(CKA_WRAP),
                flags(CKA_UNWRAP, CKA_EXTRACTABLE).toBuilder().put(CKA_DECRYPT, false).build()));
    assertRefused(
        CKR_TEMPLATE_INCONSISTENT,
        () ->
            strict.rsa(
                2048,
                flags(CKA_WRAP),
                flags(CKA_SIGN, CKA_EXTRACTABLE).toBuilder().put(CKA_DECRYPT, false).build()));
  }

  @Test
  void aPinBlobIsOfOneSubject() {
    var pin = "123456".getBytes(StandardCharsets.UTF_8);
    assertThat(client.operations.login(new Requester(Core.A, "alice"), pin))
        .isNotEqualTo(client.operations.login(new Requester(Core.A, "carol"), pin));
  }
}
