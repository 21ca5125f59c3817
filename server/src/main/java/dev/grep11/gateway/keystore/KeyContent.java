package dev.grep11.gateway.keystore;

import dev.grep11.gateway.pkcs11.AttributeValue;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.gateway.store.Fields;
import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/** Attributes and blobs of a key as the store keeps them. */
record KeyContent(Template attributes, List<byte[]> blobs) {
  private static final int FLAG = 1;
  private static final int NUMBER = 2;
  private static final int BYTES = 3;

  byte[] encoded() {
    return Fields.bytes(out -> {
      out.writeInt(attributes.size());
      for (var attribute : attributes.values().entrySet()) {
        out.writeLong(attribute.getKey());
        out.writeByte(kind(attribute.getValue()));
        Fields.blob(out, bytes(attribute.getValue()));
      }
      out.writeInt(blobs.size());
      for (var blob : blobs) {
        Fields.blob(out, blob);
      }
    });
  }

  static KeyContent decode(byte[] encoded) {
    try (var in = new DataInputStream(new ByteArrayInputStream(encoded))) {
      var attributes = Template.builder();
      for (int left = in.readInt(); left > 0; left--) {
        long type = in.readLong();
        int kind = in.readUnsignedByte();
        byte[] value = Fields.blob(in);
        attributes.put(
            type,
            switch (kind) {
              case FLAG -> new AttributeValue.Bool(value[0] == 1);
              case NUMBER -> new AttributeValue.Ulong(ByteBuffer.wrap(value).getLong());
              case BYTES -> new AttributeValue.Bytes(value);
              default -> throw new IOException("attribute of kind " + kind);
            });
      }
      List<byte[]> blobs = new ArrayList<>();
      for (int left = in.readInt(); left > 0; left--) {
        blobs.add(Fields.blob(in));
      }
      return new KeyContent(attributes.build(), blobs);
    } catch (IOException | IllegalArgumentException e) {
      throw new Pkcs11Exception(
          Ckr.CKR_IBM_GREP11_DBINTERNAL, "the key was stored in a form that is not known here", e);
    }
  }

  /** The value of an attribute as bytes of its canonical form. */
  static byte[] bytes(AttributeValue value) {
    return switch (value) {
      case AttributeValue.Bool(boolean flag) -> new byte[] {(byte) (flag ? 1 : 0)};
      case AttributeValue.Ulong(long number) ->
          ByteBuffer.allocate(Long.BYTES).putLong(number).array();
      case AttributeValue.Bytes(byte[] bytes) -> bytes;
      case AttributeValue.OffHeap _, AttributeValue.Nested _ ->
          throw new IllegalArgumentException("of native templates only");
    };
  }

  private static int kind(AttributeValue value) {
    return switch (value) {
      case AttributeValue.Bool _ -> FLAG;
      case AttributeValue.Ulong _ -> NUMBER;
      case AttributeValue.Bytes _ -> BYTES;
      case AttributeValue.OffHeap _, AttributeValue.Nested _ ->
          throw new IllegalArgumentException("of native templates only");
    };
  }
}
