package dev.grep11.gateway.rpc;

import com.google.protobuf.CodedInputStream;
import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.WireFormat;
import java.io.IOException;

/**
 * Counts the fields of an encoded message, nested ones included, before they become objects: a
 * field takes two bytes on the wire and a hundred in memory, so a message within the limit on bytes
 * could fill the heap and hold up its event loop for seconds.
 */
final class EncodedFields {
  /** Two full templates and three keys with all their attributes have about a thousand. */
  static final int MOST = 8192;

  private int left = MOST;

  private EncodedFields() {}

  /**
   * Whether there are no more fields than any call needs.
   *
   * @throws IOException when the bytes are no message
   */
  static boolean fit(byte[] message, Descriptor type) throws IOException {
    return new EncodedFields().fit(CodedInputStream.newInstance(message), type);
  }

  private boolean fit(CodedInputStream in, Descriptor type) throws IOException {
    for (int tag = in.readTag(); tag != 0; tag = in.readTag()) {
      // No schema of ours has groups, and what a group holds would be skipped uncounted.
      if (--left < 0 || WireFormat.getTagWireType(tag) == WireFormat.WIRETYPE_START_GROUP) {
        return false;
      }
      var field = type.findFieldByNumber(WireFormat.getTagFieldNumber(tag));
      if (field != null
          && field.getJavaType() == FieldDescriptor.JavaType.MESSAGE
          && WireFormat.getTagWireType(tag) == WireFormat.WIRETYPE_LENGTH_DELIMITED) {
        int outer = in.pushLimit(in.readRawVarint32());
        if (!fit(in, field.getMessageType())) {
          return false;
        }
        in.popLimit(outer);
      } else if (!in.skipField(tag)) {
        return false;
      }
    }
    return true;
  }
}
