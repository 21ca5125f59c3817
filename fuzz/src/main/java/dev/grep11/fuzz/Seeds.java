package dev.grep11.fuzz;

import com.google.protobuf.ByteString;
import dev.grep11.agent.rpc.Call;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.NamedCurve;
import dev.grep11.proto.AESCTRParm;
import dev.grep11.proto.AESGCMParm;
import dev.grep11.proto.AttributeValue;
import dev.grep11.proto.ECDH1DeriveParm;
import dev.grep11.proto.EDDSAParm;
import dev.grep11.proto.Mechanism;
import dev.grep11.proto.RSAOAEPParm;
import dev.grep11.proto.RSAPSSParm;
import dev.grep11.proto.SetAttributeValueRequest;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.regex.Pattern;

/** Where a fuzzer begins: inputs of the right shape, the same in every run. */
final class Seeds {
  private static final ByteString BLOCK = ByteString.copyFrom(new byte[16]);

  /** Types of arguments, as the agent's protocol.txt writes them. */
  private static final Pattern ARGUMENT = Pattern.compile("[af]?[a-zA-Z]");

  static void write(Target target, Path directory) throws IOException {
    var seeds =
        switch (target) {
          case MECHANISMS -> mechanisms();
          case TEMPLATES -> templates();
          case KEY_BLOBS -> edits(7);
          case STATE_BLOBS -> edits(13);
          case PUBLIC_KEYS -> publicKeys();
          case PAYLOADS -> payloads();
          case AGENT_MESSAGES -> agentMessages();
        };
    for (int i = 0; i < seeds.size(); i++) {
      Files.write(directory.resolve("seed-%03d".formatted(i)), seeds.get(i));
    }
  }

  private static List<byte[]> mechanisms() {
    var seeds = new ArrayList<byte[]>();
    for (var mechanism :
        List.of(
            plain(Ckm.CKM_AES_CBC_PAD).setParameterB(BLOCK),
            plain(Ckm.CKM_AES_CBC).setParameterB(BLOCK),
            plain(Ckm.CKM_AES_ECB),
            plain(Ckm.CKM_AES_GCM)
                .setAESGCMParameter(
                    AESGCMParm.newBuilder().setIv(BLOCK.substring(4)).setAad(BLOCK).setTagBits(96)),
            plain(Ckm.CKM_AES_CTR)
                .setAESCTRParameter(
                    AESCTRParm.newBuilder().setCounterBits(64).setCounterBlock(BLOCK)),
            plain(Ckm.CKM_AES_KEY_WRAP_PAD),
            plain(Ckm.CKM_AES_CMAC),
            plain(Ckm.CKM_SHA256_HMAC),
            plain(Ckm.CKM_SHA256),
            plain(Ckm.CKM_RSA_PKCS),
            plain(Ckm.CKM_SHA256_RSA_PKCS),
            plain(Ckm.CKM_RSA_PKCS_OAEP)
                .setRSAOAEPParameter(
                    RSAOAEPParm.newBuilder()
                        .setHashMech(Ckm.CKM_SHA256)
                        .setMgf(RSAOAEPParm.Mask.CkgMgf1Sha256)
                        .setEncodingParmType(RSAOAEPParm.ParmType.CkzDataSpecifiied)
                        .setEncodingParm(BLOCK)),
            plain(Ckm.CKM_SHA256_RSA_PKCS_PSS)
                .setRSAPSSParameter(
                    RSAPSSParm.newBuilder()
                        .setHashMech(Ckm.CKM_SHA256)
                        .setMgf(RSAPSSParm.Mask.CkgMgf1Sha256)
                        .setSaltByteCount(32)),
            plain(Ckm.CKM_ECDSA),
            plain(Ckm.CKM_ECDSA_SHA256),
            plain(Ckm.CKM_EDDSA).setEDDSAParameter(EDDSAParm.newBuilder().setContext(BLOCK)),
            plain(Ckm.CKM_IBM_ED25519_SHA512),
            plain(Ckm.CKM_ECDH1_DERIVE)
                .setECDH1DeriveParameter(
                    ECDH1DeriveParm.newBuilder()
                        .setKdf(ECDH1DeriveParm.KeyDerivationFunction.CkdNull)
                        .setPublicData(ByteString.copyFrom(point()))))) {
      for (int call = 0; call < 14; call++) {
        seeds.add(after(call, mechanism.build().toByteArray()));
      }
    }
    return seeds;
  }

  private static Mechanism.Builder plain(long mechanism) {
    return Mechanism.newBuilder().setMechanism(mechanism);
  }

  private static List<byte[]> templates() {
    var seeds = new ArrayList<byte[]>();
    for (var attributes :
        List.of(
            request()
                .putAttributes(Cka.CKA_VALUE_LEN, number(32))
                .putAttributes(Cka.CKA_ENCRYPT, flag(true))
                .putAttributes(Cka.CKA_EXTRACTABLE, flag(false)),
            request()
                .putAttributes(Cka.CKA_CLASS, number(Cko.CKO_SECRET_KEY))
                .putAttributes(Cka.CKA_KEY_TYPE, number(Ckk.CKK_AES))
                .putAttributes(Cka.CKA_VALUE_LEN, bytes(new byte[] {0, 0, 0, 16})),
            request()
                .putAttributes(Cka.CKA_CLASS, number(Cko.CKO_PRIVATE_KEY))
                .putAttributes(Cka.CKA_KEY_TYPE, number(Ckk.CKK_EC))
                .putAttributes(Cka.CKA_SIGN, flag(true)),
            request()
                .putAttributes(Cka.CKA_TRUSTED, flag(true))
                .putAttributes(Cka.CKA_MODIFIABLE, flag(false))
                .putAttributes(Cka.CKA_WRAP_WITH_TRUSTED, bytes(new byte[] {1})),
            request()
                .putAttributes(Cka.CKA_EC_PARAMS, bytes(NamedCurve.P_256.parameters()))
                .putAttributes(Cka.CKA_PUBLIC_EXPONENT, number(65537))
                .putAttributes(Cka.CKA_MODULUS_BITS, number(1024)))) {
      for (int call = 0; call < 6; call++) {
        seeds.add(after(call, attributes.build().toByteArray()));
      }
    }
    return seeds;
  }

  private static SetAttributeValueRequest.Builder request() {
    return SetAttributeValueRequest.newBuilder();
  }

  private static AttributeValue flag(boolean value) {
    return AttributeValue.newBuilder().setAttributeTF(value).build();
  }

  private static AttributeValue number(long value) {
    return AttributeValue.newBuilder().setAttributeI(value).build();
  }

  private static AttributeValue bytes(byte[] value) {
    return AttributeValue.newBuilder().setAttributeB(ByteString.copyFrom(value)).build();
  }

  /** For each choice nothing, one edit of each operation, and the beginning of each format. */
  private static List<byte[]> edits(int choices) {
    var seeds = new ArrayList<byte[]>();
    for (int choice = 0; choice < choices; choice++) {
      seeds.add(after(choice, new byte[0]));
      for (int operation = 0; operation < 7; operation++) {
        seeds.add(after(choice, new byte[] {(byte) operation, 0, 58, 8, 1, 2, 3, 4}));
      }
      seeds.add(after(choice, HexFormat.of().parseHex("4731314b01010100")));
      seeds.add(after(choice, HexFormat.of().parseHex("4731315301010000")));
    }
    return seeds;
  }

  private static List<byte[]> publicKeys() {
    var seeds = new ArrayList<byte[]>();
    var group = "02818100" + "ff".repeat(128);
    for (var spki :
        List.of(
            "3059301306072a8648ce3d020106082a8648ce3d030107034200" + hex(point()),
            "302a300506032b6570032100" + "11".repeat(32),
            "3043300506032b6571033a00" + "11".repeat(57),
            "302a300506032b656e032100" + "11".repeat(32),
            "30819f300d06092a864886f70d010101050003818d0030818902818100"
                + "c1".repeat(128)
                + "0203010001",
            // DSA and PKCS #3, with numbers that are no group; the fuzzer has the rest to find.
            "3082014830819c06072a8648ce3804013082008f" + group + "020103020102",
            "3082014830819c06092a864886f70d0103013082008c" + group + "020102")) {
      for (int mechanism = 0; mechanism < 5; mechanism++) {
        seeds.add(after(mechanism, HexFormat.of().parseHex(spki)));
      }
    }
    return seeds;
  }

  /** Each way to write a field between a key and a long payload, in three sizes of pieces. */
  private static List<byte[]> payloads() {
    var seeds = new ArrayList<byte[]>();
    for (int kind = 0; kind < 3; kind++) {
      for (int transport = 0; transport < 3; transport++) {
        for (var pieces : List.of("8f8f8f8f", "07000011", "ff008000")) {
          for (int way = 0; way < 9; way++) {
            seeds.add(
                HexFormat.of()
                    .parseHex(
                        "%02x%02x%s".formatted(kind, transport, pieces)
                            + "01025801%02x100001001404".formatted(way)));
          }
        }
      }
    }
    return seeds;
  }

  /** Each call with arguments of its types, in each dialect. */
  private static List<byte[]> agentMessages() {
    var seeds = new ArrayList<byte[]>();
    for (var call : Call.values()) {
      for (int dialect = 0; dialect < 3; dialect++) {
        var message = new StringBuilder("%02x%02x".formatted(call.number(), dialect));
        for (var type : ARGUMENT.matcher(call.request()).results().toList()) {
          message.append(
              switch (type.group()) {
                case "u" -> "0000000000000001";
                case "y" -> "01";
                case "z", "s" -> "000000056c6162656c";
                // CKM_AES_CBC with its IV
                case "M" ->
                    (dialect < 2 ? "00001082" : "0000108201") + "00000010" + "00".repeat(16);
                case "ay" -> "01000000026869";
                // CKA_TOKEN, CKA_LABEL, CKA_CLASS, and CKA_WRAP_TEMPLATE with one of them
                case "aA" ->
                    "00000004"
                        + "00000001010000000101"
                        + "000000030100000002000000026869"
                        + "0000000001000000080000000000000003"
                        + "4000021101000000180000000100000001010000000101";
                case "fy", "fu" -> "00000100";
                case "fA" -> "00000002" + "0000000300000040" + "4000021100000018" + "00000000";
                default -> throw new IllegalStateException("arguments of type " + type.group());
              });
        }
        seeds.add(HexFormat.of().parseHex(message));
      }
    }
    return seeds;
  }

  /** The generator of P-256 (SEC 2, 2.4.2), uncompressed. */
  private static byte[] point() {
    return HexFormat.of()
        .parseHex(
            "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
                + "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5");
  }

  private static String hex(byte[] bytes) {
    return HexFormat.of().formatHex(bytes);
  }

  private static byte[] after(int choice, byte[] bytes) {
    return ByteBuffer.allocate(1 + bytes.length).put((byte) choice).put(bytes).array();
  }

  private Seeds() {}
}
