package dev.grep11.proto;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Descriptors.EnumDescriptor;
import com.google.protobuf.Descriptors.EnumValueDescriptor;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.DynamicMessage;
import com.google.protobuf.Message;
import io.grpc.MethodDescriptor;
import java.util.List;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Every number, type and name of the schema against {@link Contract}. */
class ContractTest {
  private static final byte[] BLOB = {(byte) 0xff, 0, 0x80 - 256, 0x7f};

  // Above 2^63, so that a field narrower than 64 bits cannot pass.
  private static final long BIG = 0xfedcba9876543210L;

  static Stream<Contract.Field> fields() {
    return Contract.fields().stream();
  }

  static Stream<String> rpcs() {
    return Contract.RPCS.stream();
  }

  static Stream<String> enumerations() {
    return Contract.constants().stream().map(Contract.Constant::enumeration).distinct();
  }

  @ParameterizedTest
  @MethodSource("fields")
  void decodesRawBytesBuiltFromTheNumbersAndWritesThemBack(Contract.Field field) throws Exception {
    var sample = sample(field);
    Message decoded = prototype(field.message()).getParserForType().parseFrom(sample.bytes);

    FieldDescriptor descriptor = decoded.getDescriptorForType().findFieldByName(field.name());
    assertThat(descriptor).as("a field of this name").isNotNull();
    assertThat(decoded.getUnknownFields().asMap()).isEmpty();
    assertThat(decoded.getAllFields()).containsOnlyKeys(descriptor);
    assertThat(shape(descriptor)).isEqualTo(sample.shape);
    sample.check(decoded.getField(descriptor), descriptor);

    Message rebuilt =
        decoded.newBuilderForType().setField(descriptor, decoded.getField(descriptor)).build();
    assertThat(rebuilt.toByteArray()).isEqualTo(sample.bytes);
  }

  @ParameterizedTest
  @MethodSource("fields")
  void placesAFieldInItsOneofOrInNone(Contract.Field field) {
    var descriptor = prototype(field.message()).getDescriptorForType();
    var oneof = descriptor.findFieldByName(field.name()).getContainingOneof();
    assertThat(oneof == null ? null : oneof.getName()).isEqualTo(field.oneof());
  }

  @Test
  void declaresExactlyTheMessagesAndFieldsOfTheContract() {
    var expected = new TreeMap<String, Set<Integer>>();
    Contract.messages().forEach(message -> expected.put(message, new TreeSet<>()));
    Contract.fields().forEach(field -> expected.get(field.message()).add(field.number()));

    var actual = new TreeMap<String, Set<Integer>>();
    Stream.concat(
            CryptoProto.getDescriptor().getMessageTypes().stream(),
            ErrorsProto.getDescriptor().getMessageTypes().stream())
        .forEach(type -> {
          assertThat(type.getFullName()).isEqualTo("grep11." + type.getName());
          actual.put(
              type.getName(),
              type.getFields().stream()
                  .map(FieldDescriptor::getNumber)
                  .collect(Collectors.toCollection(TreeSet::new)));
        });

    assertThat(actual).isEqualTo(expected);
  }

  @ParameterizedTest
  @MethodSource("enumerations")
  void givesEnumValuesTheirNumbers(String enumeration) {
    var expected =
        Contract.constants().stream()
            .filter(constant -> constant.enumeration().equals(enumeration))
            .collect(Collectors.toMap(Contract.Constant::name, Contract.Constant::number));

    String[] path = enumeration.split("\\.");
    EnumDescriptor type =
        CryptoProto.getDescriptor().findMessageTypeByName(path[0]).findEnumTypeByName(path[1]);
    assertThat(type).isNotNull();
    assertThat(
            type.getValues().stream()
                .collect(
                    Collectors.toMap(EnumValueDescriptor::getName, EnumValueDescriptor::getNumber)))
        .isEqualTo(expected);
  }

  @Test
  void declaresNoEnumBesideThoseOfTheContract() {
    assertThat(CryptoProto.getDescriptor().getEnumTypes()).isEmpty();
    assertThat(
            CryptoProto.getDescriptor().getMessageTypes().stream()
                .flatMap(type -> type.getEnumTypes().stream())
                .map(type -> type.getContainingType().getName() + "." + type.getName()))
        .containsExactlyInAnyOrderElementsOf(enumerations().toList());
  }

  @ParameterizedTest
  @MethodSource("rpcs")
  void servesTheRpcUnderItsFullNameAsAUnaryCall(String rpc) {
    MethodDescriptor<?, ?> method =
        CryptoGrpc.getServiceDescriptor().getMethods().stream()
            .filter(candidate -> candidate.getFullMethodName().equals("grep11.Crypto/" + rpc))
            .findFirst()
            .orElseThrow();
    assertThat(method.getType()).isEqualTo(MethodDescriptor.MethodType.UNARY);

    var declared = CryptoProto.getDescriptor().findServiceByName("Crypto").findMethodByName(rpc);
    assertThat(declared.getInputType().getFullName()).isEqualTo("grep11." + rpc + "Request");
    assertThat(declared.getOutputType().getFullName()).isEqualTo("grep11." + rpc + "Response");
  }

  @Test
  void servesFortyRpcsAndNoOther() {
    assertThat(Contract.RPCS).hasSize(40).doesNotHaveDuplicates();
    assertThat(CryptoGrpc.SERVICE_NAME).isEqualTo("grep11.Crypto");
    assertThat(CryptoGrpc.getServiceDescriptor().getMethods()).hasSize(40);
  }

  private static Message prototype(String message) {
    Descriptor type =
        Stream.of(CryptoProto.getDescriptor(), ErrorsProto.getDescriptor())
            .map(file -> file.findMessageTypeByName(message))
            .filter(found -> found != null)
            .findFirst()
            .orElseThrow(() -> new AssertionError("no message " + message));
    return DynamicMessage.getDefaultInstance(type);
  }

  private static String shape(FieldDescriptor field) {
    String type = field.getType().name().toLowerCase(java.util.Locale.ROOT);
    if (field.isMapField()) {
      var entry = field.getMessageType();
      return "map<%s, %s>"
          .formatted(shape(entry.findFieldByNumber(1)), shape(entry.findFieldByNumber(2)));
    }
    if (field.getType() == FieldDescriptor.Type.MESSAGE) {
      type = field.getMessageType().getName();
    }
    return (field.isRepeated() ? "repeated " : "") + type;
  }

  private interface Check {
    void accept(Object value, FieldDescriptor field);
  }

  private record Sample(String shape, byte[] bytes, Check check) {
    void check(Object value, FieldDescriptor field) {
      check.accept(value, field);
    }
  }

  /** Raw bytes of one field of the contract, the shape it must have and the value it must show. */
  private static Sample sample(Contract.Field field) {
    int number = field.number();
    Wire out = Wire.message();
    return switch (field.type()) {
      case "uint64" -> new Sample("uint64", out.varint(number, BIG).toBytes(), equalTo(BIG));
      case "int64" -> new Sample("int64", out.varint(number, -2).toBytes(), equalTo(-2L));
      case "uint32" ->
          new Sample("uint32", out.varint(number, 0xfffffffeL).toBytes(), equalTo(0xfffffffe));
      case "bool" -> new Sample("bool", out.varint(number, 1).toBytes(), equalTo(true));
      case "enum" ->
          // Number 1 is named in every enum but ECSGType, where 3 is the first.
          new Sample(
              "enum",
              out.varint(number, field.message().equals("ECSGParm") ? 3 : 1).toBytes(),
              (value, descriptor) ->
                  assertThat(((EnumValueDescriptor) value).getNumber())
                      .isEqualTo(field.message().equals("ECSGParm") ? 3 : 1));
      case "string" -> new Sample("string", out.bytes(number, "text").toBytes(), equalTo("text"));
      case "bytes" ->
          new Sample(
              "bytes", out.bytes(number, BLOB).toBytes(), equalTo(ByteString.copyFrom(BLOB)));
      case "repeated" ->
          new Sample(
              "repeated bytes",
              out.bytes(number, BLOB).bytes(number, "second").toBytes(),
              equalTo(List.of(ByteString.copyFrom(BLOB), ByteString.copyFromUtf8("second"))));
      case "packed" ->
          new Sample(
              "repeated uint64",
              out.packed(number, 1, 0x1085, BIG).toBytes(),
              equalTo(List.of(1L, 0x1085L, BIG)));
      case "map<bytes>" ->
          new Sample(
              "map<uint64, bytes>",
              out.entry(number, BIG, BLOB).toBytes(),
              onlyEntry(ByteString.copyFrom(BLOB)));
      case "map<AttributeValue>" ->
          new Sample(
              "map<uint64, AttributeValue>",
              out.entry(number, BIG, Wire.message().varint(2, 1)).toBytes(),
              onlyEntry("AttributeTF: true\n"));
      default -> {
        byte[] nested = nested(field.type());
        yield new Sample(
            field.type(),
            out.bytes(number, nested).toBytes(),
            (value, descriptor) -> {
              assertThat(((Message) value).getUnknownFields().asMap()).isEmpty();
              assertThat(((Message) value).toByteArray()).isEqualTo(nested);
              assertThat(((Message) value).getAllFields()).hasSize(1);
            });
      }
    };
  }

  private static byte[] nested(String type) {
    return switch (type) {
      case "KeyBlob" -> Wire.message().bytes(5, BLOB).toBytes();
      case "AESGCMParm", "ECDH1DeriveParm", "EDDSAParm" -> Wire.message().bytes(2, BLOB).toBytes();
      case "BTCDeriveParm", "KyberKEMParm", "ECAGGParm" -> Wire.message().varint(2, 1).toBytes();
      case "ECSGParm" -> Wire.message().varint(1, 6).toBytes();
      case "Mechanism", "MechanismInfo", "RSAOAEPParm", "RSAPSSParm" ->
          Wire.message().varint(1, 0x250).toBytes();
      case "AESCTRParm" -> Wire.message().varint(1, 64).toBytes();
      default -> throw new IllegalStateException("no sample for " + type);
    };
  }

  private static Check equalTo(Object expected) {
    return (value, descriptor) -> assertThat(value).isEqualTo(expected);
  }

  private static Check onlyEntry(Object expected) {
    return (value, descriptor) -> {
      var entries = (List<?>) value;
      assertThat(entries).hasSize(1);
      var entry = (Message) entries.get(0);
      var type = descriptor.getMessageType();
      Object actual = entry.getField(type.findFieldByNumber(2));
      assertThat(entry.getField(type.findFieldByNumber(1))).isEqualTo(BIG);
      assertThat(actual instanceof Message message ? message.toString() : actual)
          .isEqualTo(expected);
    };
  }
}
