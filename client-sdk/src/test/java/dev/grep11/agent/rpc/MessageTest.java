package dev.grep11.agent.rpc;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import dev.grep11.client.Cka;
import dev.grep11.client.Ckm;
import java.nio.ByteBuffer;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class MessageTest {

  private static MessageReader reader(String hex, int dialect) {
    return new MessageReader(
        ByteBuffer.wrap(HexFormat.of().parseHex(hex.replace(" ", ""))), dialect);
  }

  @Test
  void readsEveryCallOfTheTableAndNoOther() {
    var table = Protocol.INSTANCE.calls();
    for (Call call : Call.values()) {
      assertThat(requireNonNull(table.get(call.name())).number()).isEqualTo(call.number());
      assertThat(Call.of(call.number())).contains(call);
    }
    assertThat(table).hasSize(Call.values().length + 1).containsKey("ERROR");
  }

  /** One mechanism of each form, as clients of each dialect send it. */
  @ParameterizedTest
  @CsvSource({
    // CKM_ECDSA has no parameter: an absent array before dialect 2, nothing since
    "0, 00001041 ffffffff",
    "1, 00001041 ffffffff",
    "2, 00001041",
  })
  void readsAMechanismWithoutParameter(int dialect, String hex) {
    var in = reader(hex, dialect);

    assertThat(requireNonNull(in.mechanism()).number()).isEqualTo(Ckm.CKM_ECDSA);
    in.requireEnd();
  }

  @ParameterizedTest
  @CsvSource({
    "0, 00001082 00000010 000102030405060708090a0b0c0d0e0f",
    "1, 00001082 00000010 000102030405060708090a0b0c0d0e0f",
    "2, 00001082 01 00000010 000102030405060708090a0b0c0d0e0f",
  })
  void readsAnIv(int dialect, String hex) {
    var in = reader(hex, dialect);

    assertThat(requireNonNull(in.mechanism()).message().getParameterB().toByteArray())
        .isEqualTo(HexFormat.of().parseHex("000102030405060708090a0b0c0d0e0f"));
    in.requireEnd();
  }

  @Test
  void readsParametersOfSeveralFields() {
    var pss =
        requireNonNull(
            reader("0000000d 01 0000000000000250 0000000000000002 0000000000000020", 2)
                .mechanism());
    assertThat(pss.message().getRSAPSSParameter().getHashMech()).isEqualTo(Ckm.CKM_SHA256);
    assertThat(pss.message().getRSAPSSParameter().getMgfValue()).isEqualTo(2);
    assertThat(pss.message().getRSAPSSParameter().getSaltByteCount()).isEqualTo(32);

    var gcm =
        requireNonNull(
            reader(
                    "00001087 0000000c 000102030405060708090a0b 0000000000000060 ffffffff"
                        + " 0000000000000080",
                    0)
                .mechanism());
    assertThat(gcm.message().getAESGCMParameter().getIv().size()).isEqualTo(12);
    assertThat(gcm.message().getAESGCMParameter().getAad()).isEqualTo(ByteString.EMPTY);
    assertThat(gcm.message().getAESGCMParameter().getTagBits()).isEqualTo(128);

    var ecdh =
        requireNonNull(
            reader("00001050 01 0000000000000001 ffffffff 00000002 0401", 2).mechanism());
    assertThat(ecdh.message().getECDH1DeriveParameter().getKdfValue()).isEqualTo(1);
    assertThat(ecdh.message().getECDH1DeriveParameter().getPublicData().size()).isEqualTo(2);
  }

  @Test
  void readsACancelledOperation() {
    assertThat(reader("ffffffff", 2).mechanism()).isNull();
  }

  @Test
  void readsWhatABufferOfNoBytesIsInNewerClients() {
    assertThat(reader("00000000", 2).room().asksLength()).isTrue();
    assertThat(reader("ffffffff", 2).room().asksLength()).isFalse();
    assertThat(reader("ffffffff", 2).room().bytes()).isZero();
    assertThat(reader("00000010", 2).room()).isEqualTo(new Room(16, true));
  }

  @Test
  void readsAndWritesAttributesByTheFormOfTheirType() {
    // CKA_TOKEN, CKA_CLASS, CKA_LABEL, one whose length its type does not have, a nested template
    var template =
        reader(
                "00000005"
                    + " 00000001 01 00000001 01"
                    + " 00000000 01 00000008 0000000000000003"
                    + " 00000003 01 00000002 00000002 6869"
                    + " 00000002 01 00000004 01"
                    + " 40000211 01 00000018 00000001 00000001 01 00000001 01",
                2)
            .attributes();

    assertThat(template)
        .extracting(WireAttribute::type)
        .containsExactly(1L, 0L, 3L, 2L, 0x40000211L);
    assertThat(template.get(0).value()).containsExactly(1);
    assertThat(template.get(1).value()).containsExactly(0, 0, 0, 0, 0, 0, 0, 3);
    assertThat(template.get(2).value()).containsExactly('h', 'i');
    assertThat(template.get(3).value()).isEmpty();
    assertThat(template.get(4).value()).isNull();

    var out = MessageWriter.answer(Call.C_GetAttributeValue);
    out.attribute(Cka.CKA_LABEL, new byte[] {'h', 'i'}, false)
        .attribute(Cka.CKA_LABEL, new byte[] {'h', 'i'}, true)
        .attribute(Cka.CKA_TOKEN, new byte[] {1}, false)
        .unavailable(Cka.CKA_VALUE);
    var bytes = out.finish();
    byte[] written = new byte[bytes.remaining()];
    bytes.get(written);
    assertThat(HexFormat.of().formatHex(written))
        .endsWith(
            "0000000301000000020000000268690000000301"
                + "00000002ffffffff00000001010000000101"
                + "0000001100");
  }

  @Test
  void readsRoomsOfANestedTemplateInBothWays() {
    var expected =
        List.of(
            new MessageReader.AttributeRoom(0x40000211L, 24),
            new MessageReader.AttributeRoom(3, 32));
    // Clients from p11-kit 0.25.4 on ...
    assertThat(
            reader("00000002 40000211 00000018 00000001 00000001 00000001 00000003 00000020", 1)
                .attributeRooms())
        .isEqualTo(expected);
    // ... and those before.
    assertThat(reader("00000002 40000211 00000018 00000003 00000020", 1).attributeRooms())
        .isEqualTo(expected);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        // more attributes than bytes
        "7fffffff 00000001 01",
        "ffffffff",
        // a value that is longer than the message, and one of two lengths
        "00000001 00000003 01 00000010 00000010 00",
        "00000001 00000003 01 00000001 00000002 0000",
        "00000001 00000003 01 00000001 80000000 00",
        // numbers without end
        "00000001 40000600 01 00000008 20000000 00",
        "00000001 40000600 01 00000008 ffffffff 00",
      })
  void refusesLengthsThatLie(String hex) {
    assertThatThrownBy(() -> reader(hex, 2).attributes()).isInstanceOf(MalformedException.class);
  }

  @Test
  void refusesTemplatesThatAreNestedTooDeep() {
    var deep = "00000001 40000211 01 00000018".repeat(9) + " 00000000";
    assertThatThrownBy(() -> reader(deep, 2).attributes())
        .isInstanceOf(MalformedException.class)
        .hasMessageContaining("nested");
  }

  @Test
  void neverFailsInAnotherWay() {
    var random = new Random(1);
    for (int i = 0; i < 20_000; i++) {
      byte[] bytes = new byte[random.nextInt(64)];
      random.nextBytes(bytes);
      // Small numbers lead further than large ones.
      for (int j = 0; j < bytes.length; j++) {
        bytes[j] = random.nextInt(3) == 0 ? bytes[j] : 0;
      }
      for (int dialect = 0; dialect <= 2; dialect++) {
        for (int what = 0; what < 5; what++) {
          var in = new MessageReader(ByteBuffer.wrap(bytes), dialect);
          try {
            switch (what) {
              case 0 -> in.attributes();
              case 1 -> in.attributeRooms();
              case 2 -> in.mechanism();
              case 3 -> in.bytes();
              default -> in.requireSignature(Call.C_Sign);
            }
          } catch (MalformedException expected) {
            // The only failure there is.
          }
        }
      }
    }
  }
}
