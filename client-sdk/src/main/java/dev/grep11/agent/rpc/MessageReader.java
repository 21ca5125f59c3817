package dev.grep11.agent.rpc;

import com.google.protobuf.ByteString;
import dev.grep11.agent.rpc.Protocol.AttributeForm;
import dev.grep11.proto.AESCTRParm;
import dev.grep11.proto.AESGCMParm;
import dev.grep11.proto.BTCDeriveParm;
import dev.grep11.proto.ECDH1DeriveParm;
import dev.grep11.proto.ECSGParm;
import dev.grep11.proto.EDDSAParm;
import dev.grep11.proto.Mechanism;
import dev.grep11.proto.RSAOAEPParm;
import dev.grep11.proto.RSAPSSParm;
import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The arguments of one call, read in their order. Every method throws {@link MalformedException}
 * when the message does not hold what it should; no length of it is believed before the bytes are
 * there.
 */
public final class MessageReader {
  private static final int ABSENT = 0xffffffff;
  private static final int CANCEL = 0xffffffff;
  private static final int DEEPEST = 8;

  /** In one template. PKCS #11 knows fewer than half as many. */
  static final int MOST_ATTRIBUTES = 256;

  private static final int IBM_ECDSA_OTHER = (int) 0x80010031L;

  private final ByteBuffer body;
  private final int dialect;

  /**
   * @param body big-endian, at the start of the message
   * @param dialect 0, 1 or 2: the version that the client offered
   */
  public MessageReader(ByteBuffer body, int dialect) {
    this.body = body;
    this.dialect = dialect;
  }

  /** The same message from the same place; reading one does not move the other. */
  public MessageReader copy() {
    return new MessageReader(body.duplicate(), dialect);
  }

  /** The number of the call; {@link #requireSignature} comes next. */
  public int callNumber() {
    return int32();
  }

  /** The types that the client says it sends; they must be the call's. */
  public void requireSignature(Call call) {
    var sent = new String(required(lengthPrefixed()), StandardCharsets.US_ASCII);
    if (!sent.equals(call.request())) {
      throw new MalformedException(
          "%s with arguments of types \"%s\", not \"%s\"".formatted(call, sent, call.request()));
    }
  }

  /** That nothing follows the last argument. */
  public void requireEnd() {
    if (body.hasRemaining()) {
      throw new MalformedException(body.remaining() + " bytes after the last argument");
    }
  }

  public long number() {
    try {
      return body.getLong();
    } catch (BufferUnderflowException e) {
      throw tooShort();
    }
  }

  /** The number that comes next, which stays there. */
  public long peekNumber() {
    if (body.remaining() < 8) {
      throw tooShort();
    }
    return body.getLong(body.position());
  }

  public int oneByte() {
    try {
      return body.get() & 0xff;
    } catch (BufferUnderflowException e) {
      throw tooShort();
    }
  }

  /** Bytes; without data but with a length, as a null pointer has, none. */
  public byte[] bytes() {
    if (oneByte() == 0) {
      if (int32() != 0) {
        throw new MalformedException("a length without bytes");
      }
      return new byte[0];
    }
    byte[] value = lengthPrefixed();
    return value == null ? new byte[0] : value;
  }

  /** A string that the message counts, padded or not. */
  public byte[] string() {
    return required(lengthPrefixed());
  }

  /** The size of the application's buffer. */
  public Room room() {
    return Room.of(Integer.toUnsignedLong(int32()));
  }

  /** A template, in which numbers have eight bytes whatever their length in the application. */
  public List<WireAttribute> attributes() {
    return attributes(0);
  }

  private List<WireAttribute> attributes(int depth) {
    if (depth > DEEPEST) {
      throw new MalformedException("templates nested more than " + DEEPEST + " deep");
    }
    int count = int32();
    // Each has at least its type and one byte.
    if (count < 0 || count > body.remaining() / 5) {
      throw tooShort();
    }
    requireFew(count);
    var attributes = new ArrayList<WireAttribute>(count);
    for (int i = 0; i < count; i++) {
      attributes.add(attribute(depth));
    }
    return attributes;
  }

  private static void requireFew(int count) {
    if (count > MOST_ATTRIBUTES) {
      throw new MalformedException(
          "a template of %d attributes; %d are the most".formatted(count, MOST_ATTRIBUTES));
    }
  }

  private WireAttribute attribute(int depth) {
    long type = Integer.toUnsignedLong(int32());
    if (oneByte() == 0) {
      return new WireAttribute(type, null);
    }
    long declared = Integer.toUnsignedLong(int32());
    AttributeForm form = Protocol.INSTANCE.attribute(type);
    return new WireAttribute(
        type,
        switch (form) {
          case FLAG -> declared == 1 ? new byte[] {(byte) oneByte()} : wrongLength(1);
          // Four bytes in an application of 32 bits.
          case NUMBER -> declared == 8 || declared == 4 ? taken(8) : wrongLength(8);
          case DATE, BYTES -> {
            byte[] value = lengthPrefixed();
            if (value != null && value.length != declared) {
              throw new MalformedException("an attribute of two lengths");
            }
            yield value == null ? new byte[0] : value;
          }
          case TEMPLATE -> {
            attributes(depth + 1);
            yield null;
          }
          case MECHANISMS -> {
            long bytes = 8 * Integer.toUnsignedLong(int32());
            if (bytes > body.remaining()) {
              throw tooShort();
            }
            body.position(body.position() + (int) bytes);
            yield null;
          }
        });
  }

  /** A value whose length its type does not have: nobody can use it, and somebody must say so. */
  private byte[] wrongLength(int encoded) {
    taken(encoded);
    return new byte[0];
  }

  /**
   * Attributes that are asked for, each with the room that the application has. Clients from
   * p11-kit 0.25.4 on send a nested template's own attributes too, others do not, and nothing says
   * which: only one reading ends where the message does.
   */
  public List<AttributeRoom> attributeRooms() {
    int start = body.position();
    try {
      var rooms = attributeRooms(0, true);
      if (!body.hasRemaining()) {
        return rooms;
      }
    } catch (MalformedException notNested) {
      // The other reading decides.
    }
    body.position(start);
    return attributeRooms(0, false);
  }

  private List<AttributeRoom> attributeRooms(int depth, boolean nested) {
    if (depth > DEEPEST) {
      throw new MalformedException("templates nested more than " + DEEPEST + " deep");
    }
    int count = int32();
    if (count < 0 || count > body.remaining() / 8) {
      throw tooShort();
    }
    requireFew(count);
    var rooms = new ArrayList<AttributeRoom>(count);
    for (int i = 0; i < count; i++) {
      long type = Integer.toUnsignedLong(int32());
      long room = Integer.toUnsignedLong(int32());
      rooms.add(new AttributeRoom(type, room));
      if (nested && room > 0 && Protocol.INSTANCE.attribute(type) == AttributeForm.TEMPLATE) {
        attributeRooms(depth + 1, true);
      }
    }
    return rooms;
  }

  /** An attribute that is asked for. */
  public record AttributeRoom(long type, long bytes) {}

  /** A mechanism, or null where the application cancels the operation (PKCS #11 v3.0, 5.1.6). */
  public @Nullable RequestedMechanism mechanism() {
    int number = int32();
    if (number == CANCEL) {
      return null;
    }
    var message = Mechanism.newBuilder().setMechanism(Integer.toUnsignedLong(number));
    var form = Protocol.INSTANCE.parameter(Integer.toUnsignedLong(number));
    long macKey = 0;
    if (form == Protocol.ParameterForm.NONE) {
      // Before dialect 2 an array without bytes stands for the parameter that there is not.
      if (dialect < 2) {
        lengthPrefixed();
      }
      return new RequestedMechanism(message.build(), macKey);
    }
    if (dialect >= 2 && oneByte() == 0) {
      return new RequestedMechanism(message.build(), macKey);
    }
    switch (form) {
      case NONE -> throw new AssertionError();
      case PSS ->
          message.setRSAPSSParameter(
              RSAPSSParm.newBuilder()
                  .setHashMech(number())
                  .setMgfValue(small())
                  .setSaltByteCount(number()));
      case OAEP ->
          message.setRSAOAEPParameter(
              RSAOAEPParm.newBuilder()
                  .setHashMech(number())
                  .setMgfValue(small())
                  .setEncodingParmTypeValue(small())
                  .setEncodingParm(optional()));
      case ECDH ->
          message.setECDH1DeriveParameter(
              ECDH1DeriveParm.newBuilder()
                  .setKdfValue(small())
                  .setSharedData(optional())
                  .setPublicData(optional()));
      case EDDSA ->
          message.setEDDSAParameter(
              EDDSAParm.newBuilder().setPreHash(oneByte() != 0).setContext(optional()));
      case CTR ->
          message.setAESCTRParameter(
              AESCTRParm.newBuilder().setCounterBits(small()).setCounterBlock(optional()));
      case GCM -> {
        var gcm = AESGCMParm.newBuilder().setIv(optional());
        // The length of the IV in bits, which its bytes tell too.
        number();
        message.setAESGCMParameter(gcm.setAad(optional()).setTagBits(small()));
      }
      case NUMBER -> {
        if (number == IBM_ECDSA_OTHER) {
          message.setECSGParameter(ECSGParm.newBuilder().setTypeValue(small()));
        } else {
          macKey = number();
        }
      }
      case BTC ->
          message.setBTCDeriveParameter(
              BTCDeriveParm.newBuilder()
                  .setTypeValue(small())
                  .setChildKeyIndex(number())
                  .setChainCode(optional())
                  .setVersion(number()));
      case BYTES -> {
        var bytes = optional();
        if (!bytes.isEmpty()) {
          message.setParameterB(bytes);
        }
      }
    }
    return new RequestedMechanism(message.build(), macKey);
  }

  /** A number that fits a field of 32 bits; the largest such one for any that does not. */
  private int small() {
    long value = number();
    return value < 0 || value > Integer.MAX_VALUE ? Integer.MAX_VALUE : (int) value;
  }

  private ByteString optional() {
    byte[] value = lengthPrefixed();
    return value == null ? ByteString.EMPTY : ByteString.copyFrom(value);
  }

  private int int32() {
    try {
      return body.getInt();
    } catch (BufferUnderflowException e) {
      throw tooShort();
    }
  }

  private byte @Nullable [] lengthPrefixed() {
    int length = int32();
    return length == ABSENT ? null : taken(length);
  }

  private byte[] taken(int length) {
    if (length < 0 || length > body.remaining()) {
      throw tooShort();
    }
    byte[] value = new byte[length];
    body.get(value);
    return value;
  }

  private static byte[] required(byte @Nullable [] value) {
    if (value == null) {
      throw new MalformedException("a string without bytes");
    }
    return value;
  }

  private static MalformedException tooShort() {
    return new MalformedException("the message is shorter than it says");
  }
}
