package dev.grep11.gateway.key;

import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Template;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.UUID;

/**
 * A public key with attributes that the gateway vouches for: the DER SubjectPublicKeyInfo, which
 * clients parse, followed by one DER OCTET STRING that they skip.
 *
 * <pre>
 * SPKI | 04 82 length 2 | magic "G11P" 4 | format 1 | zero 3 | instance 16 | master-key id 16
 * | length 2, attributes | MAC 32
 * </pre>
 */
record MacedPublicKey(
    UUID instance, byte[] masterKeyId, byte[] spki, Template attributes, byte[] mac) {
  private static final byte[] MAGIC = "G11P".getBytes(StandardCharsets.US_ASCII);
  private static final byte[] CONTEXT =
      "grep11-gateway public key 1\0".getBytes(StandardCharsets.US_ASCII);
  private static final int FORMAT = 1;
  private static final int FIXED = 4 + 4 + 16 + SealedKey.ID_LENGTH + 2;

  /** Splits a blob whose SubjectPublicKeyInfo has this length and is followed by something. */
  static MacedPublicKey parse(byte[] blob, int spkiLength) {
    var in = ByteBuffer.wrap(blob).position(spkiLength);
    if (blob.length > SealedKey.MAX_LENGTH
        || in.remaining() < 4 + FIXED + SealedKey.MAC_LENGTH
        || in.get() != 0x04
        || in.get() != (byte) 0x82
        || Short.toUnsignedInt(in.getShort()) != in.remaining()) {
      throw malformed();
    }
    var magic = new byte[4];
    in.get(magic);
    if (!Arrays.equals(magic, MAGIC) || in.get() != FORMAT || in.get() != 0 || in.getShort() != 0) {
      throw malformed();
    }
    var instance = new UUID(in.getLong(), in.getLong());
    var masterKeyId = new byte[SealedKey.ID_LENGTH];
    in.get(masterKeyId);
    int length = Short.toUnsignedInt(in.getShort());
    if (in.remaining() != length + SealedKey.MAC_LENGTH) {
      throw malformed();
    }
    var attributes = AttributeEncoding.decode(in.slice(in.position(), length));
    var mac = new byte[SealedKey.MAC_LENGTH];
    in.position(in.position() + length).get(mac);
    return new MacedPublicKey(
        instance, masterKeyId, Arrays.copyOf(blob, spkiLength), attributes, mac);
  }

  /** Context, length of the SPKI, the SPKI, then the trailer up to the MAC. */
  byte[] macInput() {
    var trailer = trailer();
    return ByteBuffer.allocate(CONTEXT.length + 4 + spki.length + trailer.length)
        .put(CONTEXT)
        .putInt(spki.length)
        .put(spki)
        .put(trailer)
        .array();
  }

  byte[] encoded() {
    var trailer = trailer();
    int content = trailer.length + SealedKey.MAC_LENGTH;
    if (spki.length + 4 + content > SealedKey.MAX_LENGTH) {
      throw new Pkcs11Exception(
          Ckr.CKR_TEMPLATE_INCONSISTENT,
          "key and attributes exceed " + SealedKey.MAX_LENGTH + " bytes");
    }
    return ByteBuffer.allocate(spki.length + 4 + content)
        .put(spki)
        .put((byte) 0x04)
        .put((byte) 0x82)
        .putShort((short) content)
        .put(trailer)
        .put(mac)
        .array();
  }

  private byte[] trailer() {
    var encodedAttributes = AttributeEncoding.encode(attributes);
    return ByteBuffer.allocate(FIXED + encodedAttributes.length)
        .put(MAGIC)
        .put((byte) FORMAT)
        .put((byte) 0)
        .putShort((short) 0)
        .putLong(instance.getMostSignificantBits())
        .putLong(instance.getLeastSignificantBits())
        .put(masterKeyId)
        .putShort((short) encodedAttributes.length)
        .put(encodedAttributes)
        .array();
  }

  private static Pkcs11Exception malformed() {
    return new Pkcs11Exception(Ckr.CKR_IBM_BLOB_ERROR, "malformed public key trailer");
  }
}
