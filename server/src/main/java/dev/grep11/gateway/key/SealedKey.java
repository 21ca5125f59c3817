package dev.grep11.gateway.key;

import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Template;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.UUID;

/**
 * A private or secret key as the client holds it, format 1 of docs/key-blob.md.
 *
 * <pre>
 * magic "G11K" 4 | format 1 | kind 1 | sealing 1 | zero 1 | instance 16 | master-key id 16 | salt 16
 * | length 2, attributes | length 2, sealed key | MAC 32
 * </pre>
 *
 * Parsing proves the form only. Nothing here may be believed before {@link KeySealer} has checked
 * the MAC.
 */
record SealedKey(
    UUID instance,
    byte[] masterKeyId,
    Sealing sealing,
    byte[] salt,
    Template attributes,
    byte[] sealed,
    byte[] mac) {

  /** The largest blob that EP11 knows (MAX_BLOBSIZE). */
  static final int MAX_LENGTH = 9216;

  static final int MAC_LENGTH = 32;
  static final int ID_LENGTH = 16;
  private static final byte[] MAGIC = "G11K".getBytes(StandardCharsets.US_ASCII);
  private static final byte[] CONTEXT =
      "grep11-gateway key blob 1\0".getBytes(StandardCharsets.US_ASCII);
  private static final int FORMAT = 1;
  private static final int FIXED = 4 + 4 + 16 + ID_LENGTH + 16 + 2;

  SealedKey {
    long objectClass = attributes.ulong(Cka.CKA_CLASS).orElse(-1);
    if (objectClass != Cko.CKO_SECRET_KEY && objectClass != Cko.CKO_PRIVATE_KEY) {
      throw new Pkcs11Exception(Ckr.CKR_IBM_BLOB_ERROR, "key blob of another class");
    }
  }

  /** Whether bytes claim to be such a blob; a public key never does. */
  static boolean looksLike(byte[] blob) {
    return blob.length >= MAGIC.length && Arrays.equals(blob, 0, 4, MAGIC, 0, 4);
  }

  /** Refuses, unread, what is longer than any blob of either kind and any bare public key. */
  static void requireLength(byte[] blob) {
    if (blob.length > MAX_LENGTH) {
      throw malformed();
    }
  }

  static SealedKey parse(byte[] blob) {
    if (!looksLike(blob)) {
      throw new Pkcs11Exception(Ckr.CKR_IBM_BLOB_ERROR, "not a key blob");
    }
    if (blob.length < FIXED + 2 + MAC_LENGTH || blob.length > MAX_LENGTH) {
      throw malformed();
    }
    var in = ByteBuffer.wrap(blob).position(MAGIC.length);
    int format = in.get();
    int kind = in.get();
    int sealing = in.get();
    if (format != FORMAT || in.get() != 0) {
      throw malformed();
    }
    var instance = new UUID(in.getLong(), in.getLong());
    var masterKeyId = take(in, ID_LENGTH);
    var salt = take(in, 16);
    var attributes = AttributeEncoding.decode(ByteBuffer.wrap(takeCounted(in)));
    var sealed = takeCounted(in);
    if (in.remaining() != MAC_LENGTH) {
      throw malformed();
    }
    var parsed =
        new SealedKey(
            instance,
            masterKeyId,
            sealingOf(sealing),
            salt,
            attributes,
            sealed,
            take(in, MAC_LENGTH));
    if (kind != parsed.kind()) {
      throw malformed();
    }
    return parsed;
  }

  /** What the MAC is computed over: a context that no other MAC uses, then every byte before it. */
  byte[] macInput() {
    var body = body();
    var input = Arrays.copyOf(CONTEXT, CONTEXT.length + body.length);
    System.arraycopy(body, 0, input, CONTEXT.length, body.length);
    return input;
  }

  byte[] encoded() {
    var body = body();
    if (body.length + MAC_LENGTH > MAX_LENGTH) {
      throw new Pkcs11Exception(
          Ckr.CKR_TEMPLATE_INCONSISTENT, "key and attributes exceed " + MAX_LENGTH + " bytes");
    }
    var blob = Arrays.copyOf(body, body.length + MAC_LENGTH);
    System.arraycopy(mac, 0, blob, body.length, MAC_LENGTH);
    return blob;
  }

  private byte[] body() {
    var encodedAttributes = AttributeEncoding.encode(attributes);
    if (encodedAttributes.length > MAX_LENGTH) {
      throw new Pkcs11Exception(Ckr.CKR_TEMPLATE_INCONSISTENT, "attributes too long");
    }
    return ByteBuffer.allocate(FIXED + encodedAttributes.length + 2 + sealed.length)
        .put(MAGIC)
        .put((byte) FORMAT)
        .put((byte) kind())
        .put((byte) sealing.number())
        .put((byte) 0)
        .putLong(instance.getMostSignificantBits())
        .putLong(instance.getLeastSignificantBits())
        .put(masterKeyId)
        .put(salt)
        .putShort((short) encodedAttributes.length)
        .put(encodedAttributes)
        .putShort((short) sealed.length)
        .put(sealed)
        .array();
  }

  private int kind() {
    return attributes.ulong(Cka.CKA_CLASS).orElseThrow() == Cko.CKO_SECRET_KEY ? 1 : 2;
  }

  @Override
  public String toString() {
    return "SealedKey[" + instance + "]";
  }

  private static Sealing sealingOf(int number) {
    for (var sealing : Sealing.values()) {
      if (sealing.number() == number) {
        return sealing;
      }
    }
    throw malformed();
  }

  private static byte[] takeCounted(ByteBuffer in) {
    if (in.remaining() < 2) {
      throw malformed();
    }
    return take(in, Short.toUnsignedInt(in.getShort()));
  }

  private static byte[] take(ByteBuffer in, int length) {
    if (in.remaining() < length) {
      throw malformed();
    }
    var bytes = new byte[length];
    in.get(bytes);
    return bytes;
  }

  private static Pkcs11Exception malformed() {
    return new Pkcs11Exception(
        Ckr.CKR_IBM_BLOB_ERROR, "not a key blob as this service gave it: altered, cut or longer");
  }
}
