package dev.grep11.gateway.iam;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.grep11.gateway.store.Entitlement;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class ActionsTest {
  private static final Roles ROLES = Roles.standard();
  private static final Set<String> ORDINARY = Set.of("Reader", "ReaderPlus", "Writer", "Manager");
  private static final Set<String> FROM_WRITER = Set.of("Writer", "Manager");

  /** The rows of table 1.1, with the completions for DeriveKey, Login and Logout. */
  private static final Map<String, Set<String>> TABLE = table();

  private static Map<String, Set<String>> table() {
    Map<String, Set<String>> table = new LinkedHashMap<>();
    for (String rpc : List.of("GenerateKey", "GenerateKeyPair", "DeriveKey")) {
      table.put(rpc, FROM_WRITER);
    }
    for (String rpc :
        List.of(
            "GetMechanismList",
            "GetMechanismInfo",
            "GenerateRandom",
            "GetAttributeValue",
            "SetAttributeValue",
            "WrapKey",
            "UnwrapKey",
            "RewrapKeyBlob",
            "ReencryptSingle",
            "DigestKey",
            "Login",
            "Logout")) {
      table.put(rpc, ORDINARY);
    }
    for (String function : List.of("Encrypt", "Decrypt", "Sign", "Verify", "Digest")) {
      for (String phase : List.of("Init", "", "Update", "Final", "Single")) {
        table.put(function + phase, ORDINARY);
      }
    }
    return table;
  }

  static Stream<Arguments> everyRpcAndRole() {
    return TABLE.entrySet().stream()
        .flatMap(row ->
            ROLES.names().stream().map(role -> Arguments.of(row.getKey(), role, row.getValue())));
  }

  @ParameterizedTest(name = "{0} as {1}")
  @MethodSource("everyRpcAndRole")
  void givesARoleTheRpcsOfTheTable(String rpc, String role, Set<String> allowed) {
    boolean expected = allowed.contains(role) || role.equals("Crypto operator");
    assertThat(ROLES.actions(role).containsAll(Actions.ofRpc(rpc))).isEqualTo(expected);
  }

  @Test
  void coversEveryRpcOfTheContract() throws IOException {
    String contract =
        Files.readString(
            Path.of("..", "proto", "src", "main", "protobuf", "grep11", "crypto.proto"));
    Set<String> rpcs = new TreeSet<>();
    Pattern.compile("(?m)^ *rpc (\\w+)\\(")
        .matcher(contract)
        .results()
        .forEach(rpc -> rpcs.add(rpc.group(1)));
    assertThat(rpcs).hasSize(40).isEqualTo(new TreeSet<>(TABLE.keySet()));
  }

  @Test
  void needsEp11UseForEveryRpcBesidesItsAction() {
    assertThat(Actions.ofRpc("EncryptUpdate"))
        .containsExactlyInAnyOrder("hs-crypto.crypto.encrypt", "hs-crypto.ep11.use");
    assertThat(Actions.ofRpc("DigestKey"))
        .containsExactlyInAnyOrder("hs-crypto.crypto.digestkey", "hs-crypto.ep11.use");
    assertThat(Actions.ofRpc("ReencryptSingle"))
        .containsExactlyInAnyOrder(
            "hs-crypto.crypto.encrypt", "hs-crypto.crypto.decrypt", "hs-crypto.ep11.use");
    assertThat(TABLE.keySet())
        .allSatisfy(rpc -> assertThat(Actions.ofRpc(rpc)).contains("hs-crypto.ep11.use"));
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "Init", "Encrypted", "Export", "signsingle ", "Keystore"})
  void refusesToServeAnRpcWithoutAnAction(String rpc) {
    assertThatThrownBy(() -> Actions.ofRpc(rpc)).isInstanceOf(IllegalArgumentException.class);
  }

  @Test
  void givesTheCustomRolesAsManyActionsAsPublished() {
    assertThat(ROLES.actions("Crypto operator")).hasSize(19);
    assertThat(ROLES.actions("Key operator")).hasSize(6);
    assertThat(ROLES.actions("Keystore operator")).hasSize(4);
    assertThat(ROLES.actions("Certificate Manager")).hasSize(8);
    assertThat(ROLES.actions("Reader")).isEqualTo(ROLES.actions("ReaderPlus"));
  }

  @Test
  void keepsCertificateManagementOutOfEveryOtherRole() {
    for (String role : ROLES.names()) {
      boolean manages =
          !Collections.disjoint(ROLES.actions(role), ROLES.actions("Certificate Manager"));
      assertThat(manages).as(role).isEqualTo(role.equals("Certificate Manager"));
    }
  }

  @Test
  void knowsRolesInTheSpellingsThatPeopleType() {
    for (String name :
        List.of("Certificate Manager", "certificate-manager", "CertificateManager")) {
      assertThat(ROLES.named(name)).isEqualTo("Certificate Manager");
    }
    assertThatThrownBy(() -> ROLES.named("root")).hasMessageContaining("ReaderPlus");
  }

  @Test
  void givesNothingForWhatItDoesNotKnow() {
    assertThat(ROLES.actions(new Entitlement.Role("root"))).isEmpty();
    assertThat(ROLES.actions(new Entitlement.Actions(Set.of("*", "hs-crypto.crypto.sign"))))
        .containsExactly("hs-crypto.crypto.sign");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "Reader: [hs-crypto.crypto.everything]",
        "Reader: [Writer]\nWriter: [hs-crypto.crypto.sign]",
        "Reader: [hs-crypto.crypto.sign]\nReader: [hs-crypto.crypto.verify]",
        "Both: [hs-crypto.mtlscert-cert.set, hs-crypto.ep11.use]",
      })
  void refusesAnOperatorsFileThatCannotBeMeant(String yaml, @TempDir Path directory)
      throws IOException {
    Path file = Files.writeString(directory.resolve("roles.yaml"), yaml);
    assertThatThrownBy(() -> Roles.load(file))
        .isInstanceOfAny(IOException.class, IllegalArgumentException.class);
  }
}
