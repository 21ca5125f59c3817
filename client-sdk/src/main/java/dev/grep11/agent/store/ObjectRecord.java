package dev.grep11.agent.store;

import dev.grep11.agent.store.StoreException.Reason;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.TreeMap;
import java.util.UUID;

/** The bytes of a token object in a record, before they are sealed. */
final class ObjectRecord {
  /** Bytes of a sealed record. */
  static final int LARGEST = 1 << 20;

  private static final int FORMAT = 1;

  /**
   * @throws StoreException when there are more bytes than a record holds
   */
  static byte[] encode(StoredObject object) {
    var bytes = new ByteArrayOutputStream();
    var out = new DataOutputStream(bytes);
    try {
      out.writeByte(FORMAT);
      out.writeLong(object.version());
      out.writeInt(object.attributes().toMap().size());
      for (var attribute : object.attributes().toMap().entrySet()) {
        out.writeLong(attribute.getKey());
        out.writeInt(attribute.getValue().length);
        out.write(attribute.getValue());
      }
      out.writeInt(object.blobs().size());
      for (byte[] blob : object.blobs()) {
        out.writeInt(blob.length);
        out.write(blob);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    if (bytes.size() > LARGEST - 64) {
      throw new StoreException(
          Reason.BROKEN, "an object of " + bytes.size() + " bytes; 1 MiB is the most");
    }
    return bytes.toByteArray();
  }

  /** What {@link #encode} made; its seal has told that nobody changed it since. */
  static StoredObject decode(UUID id, byte[] plain) throws IOException {
    var in = new DataInputStream(new ByteArrayInputStream(plain));
    if (in.readByte() != FORMAT) {
      throw new IOException("a record of another version's format");
    }
    long version = in.readLong();
    var attributes = new TreeMap<Long, byte[]>();
    for (int count = in.readInt(); count > 0; count--) {
      attributes.put(in.readLong(), in.readNBytes(in.readInt()));
    }
    var blobs = new ArrayList<byte[]>();
    for (int count = in.readInt(); count > 0; count--) {
      blobs.add(in.readNBytes(in.readInt()));
    }
    return new StoredObject(id, version, Attributes.of(attributes), blobs);
  }

  private ObjectRecord() {}
}
