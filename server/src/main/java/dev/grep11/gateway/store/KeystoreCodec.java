package dev.grep11.gateway.store;

import static dev.grep11.gateway.store.Fields.blob;
import static dev.grep11.gateway.store.Fields.bytes;
import static dev.grep11.gateway.store.Fields.text;
import static dev.grep11.gateway.store.Fields.uuid;

import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;

/** Keystores and their keys as bytes: a format number, then the fields in order. */
final class KeystoreCodec {
  private static final int FORMAT = 1;

  private KeystoreCodec() {}

  static byte[] encode(KeystoreRecord keystore) {
    return bytes(out -> {
      out.writeByte(FORMAT);
      uuid(out, keystore.id());
      text(out, keystore.name());
      out.writeLong(keystore.created().toEpochMilli());
      blob(out, keystore.origin());
      out.writeLong(keystore.keys());
      blob(out, keystore.sum());
      out.writeBoolean(keystore.password().isPresent());
      if (keystore.password().isPresent()) {
        var password = keystore.password().get();
        out.writeInt(password.memoryKib());
        out.writeInt(password.passes());
        blob(out, password.salt());
        blob(out, password.sealedKey());
      }
    });
  }

  static KeystoreRecord keystore(UUID instance, long revision, byte[] encoded) {
    return decoded(
        "a keystore",
        encoded,
        in -> {
          UUID id = uuid(in);
          String name = text(in);
          Instant created = Instant.ofEpochMilli(in.readLong());
          byte[] origin = blob(in);
          long keys = in.readLong();
          byte[] sum = blob(in);
          Optional<PasswordEnvelope> password =
              in.readBoolean()
                  ? Optional.of(
                      new PasswordEnvelope(in.readInt(), in.readInt(), blob(in), blob(in)))
                  : Optional.empty();
          return new KeystoreRecord(
              instance, id, name, created, origin, password, keys, sum, revision);
        });
  }

  static byte[] encode(KeyRecord key) {
    return bytes(out -> {
      out.writeByte(FORMAT);
      uuid(out, key.id());
      uuid(out, key.transaction());
      out.writeInt(key.generations().size());
      for (String generation : key.generations()) {
        text(out, generation);
      }
      blob(out, key.content());
    });
  }

  static KeyRecord key(long version, byte[] encoded) {
    return decoded(
        "a key of a keystore",
        encoded,
        in -> {
          UUID id = uuid(in);
          UUID transaction = uuid(in);
          List<String> generations = new ArrayList<>();
          for (int left = in.readInt(); left > 0; left--) {
            generations.add(text(in));
          }
          return new KeyRecord(id, version, transaction, generations, blob(in));
        });
  }

  private interface Reading<T> {
    T from(DataInputStream in) throws IOException;
  }

  private static <T> T decoded(String what, byte[] encoded, Reading<T> reading) {
    try (var in = new DataInputStream(new ByteArrayInputStream(encoded))) {
      int format = in.readUnsignedByte();
      if (format != FORMAT) {
        throw new StoreException(what + " has format " + format + ", not " + FORMAT);
      }
      T record = reading.from(in);
      if (in.available() != 0) {
        throw new StoreException(what + " has bytes left over");
      }
      return record;
    } catch (IOException | IllegalArgumentException e) {
      throw new StoreException(what + " does not decode", e);
    }
  }
}
