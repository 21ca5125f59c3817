package dev.grep11.gateway.key;

import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Template;
import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * What CKM_IBM_ATTRIBUTEBOUND_WRAP makes: a key that travels with its attributes, format 1 of
 * docs/key-blob.md.
 *
 * <pre>
 * magic "G11B" 4 | format 1 | wrapping key 1 | zero 2 | length 2, attributes
 * | length 2, data key under the wrapping key | length 2, key under the data key | MAC 32
 * </pre>
 *
 * Parsing proves the form only. Nothing here may be believed before the MAC was checked.
 *
 * @param attributes what the key may do where it comes out
 * @param dataKey a fresh AES-256 key, wrapped
 * @param key the key's bytes or its PKCS #8, by AES-256-GCM under the data key
 * @param mac HMAC-SHA256 under a key derived from the MAC key that both sides have
 */
public record AttributeBoundKey(
    WrappingKey wrappingKey, Template attributes, byte[] dataKey, byte[] key, byte[] mac) {

  /** The kind of key under which the data key lies. */
  public enum WrappingKey {
    /** RSA-OAEP with SHA-1, MGF1-SHA-1 and no label, which every token has. */
    RSA(1),
    /** AES key wrap with padding, RFC 5649. */
    AES(2);

    private final int number;

    WrappingKey(int number) {
      this.number = number;
    }
  }

  /** An RSA-4096 key with its attributes has about 5,000 bytes. */
  private static final int MAX_LENGTH = 16_384;

  private static final int MAC_LENGTH = 32;
  private static final byte[] MAGIC = "G11B".getBytes(StandardCharsets.US_ASCII);
  private static final byte[] CONTEXT =
      "grep11-gateway attribute-bound key 1\0".getBytes(StandardCharsets.US_ASCII);
  private static final int FORMAT = 1;

  /** The same without a MAC yet. */
  public AttributeBoundKey(
      WrappingKey wrappingKey, Template attributes, byte[] dataKey, byte[] key) {
    this(wrappingKey, attributes, dataKey, key, new byte[MAC_LENGTH]);
  }

  public AttributeBoundKey withMac(byte[] made) {
    return new AttributeBoundKey(wrappingKey, attributes, dataKey, key, made);
  }

  /**
   * Reads the form.
   *
   * @throws Pkcs11Exception CKR_WRAPPED_KEY_INVALID for anything that this format is not
   */
  public static AttributeBoundKey parse(byte[] wrapped) {
    if (wrapped.length > MAX_LENGTH) {
      throw malformed();
    }
    var in = ByteBuffer.wrap(wrapped);
    try {
      if (!Arrays.equals(take(in, MAGIC.length), MAGIC) || in.get() != FORMAT) {
        throw malformed();
      }
      var wrappingKey = wrappingKey(in.get());
      if (in.getShort() != 0) {
        throw malformed();
      }
      var attributes = attributes(takeCounted(in));
      var dataKey = takeCounted(in);
      var key = takeCounted(in);
      var mac = take(in, MAC_LENGTH);
      if (in.hasRemaining()) {
        throw malformed();
      }
      return new AttributeBoundKey(wrappingKey, attributes, dataKey, key, mac);
    } catch (BufferUnderflowException e) {
      throw malformed();
    }
  }

  /** What the MAC is computed over: a context that no other MAC uses, then every byte before it. */
  public byte[] macInput() {
    var body = body();
    return ByteBuffer.allocate(CONTEXT.length + body.length).put(CONTEXT).put(body).array();
  }

  public byte[] encoded() {
    var body = body();
    return ByteBuffer.allocate(body.length + mac.length).put(body).put(mac).array();
  }

  @Override
  public String toString() {
    return "AttributeBoundKey[" + wrappingKey + "]";
  }

  private byte[] body() {
    var encodedAttributes = AttributeEncoding.encode(attributes);
    int length =
        MAGIC.length + 4 + 2 + encodedAttributes.length + 2 + dataKey.length + 2 + key.length;
    if (length + MAC_LENGTH > MAX_LENGTH) {
      throw new Pkcs11Exception(
          Ckr.CKR_KEY_NOT_WRAPPABLE, "key and attributes exceed " + MAX_LENGTH + " bytes");
    }
    return ByteBuffer.allocate(length)
        .put(MAGIC)
        .put((byte) FORMAT)
        .put((byte) wrappingKey.number)
        .putShort((short) 0)
        .putShort((short) encodedAttributes.length)
        .put(encodedAttributes)
        .putShort((short) dataKey.length)
        .put(dataKey)
        .putShort((short) key.length)
        .put(key)
        .array();
  }

  private static WrappingKey wrappingKey(int number) {
    for (var kind : WrappingKey.values()) {
      if (kind.number == number) {
        return kind;
      }
    }
    throw malformed();
  }

  private static Template attributes(byte[] encoded) {
    try {
      return AttributeEncoding.decode(ByteBuffer.wrap(encoded));
    } catch (Pkcs11Exception e) {
      // The same form as in a blob, but no blob that the client could have meant.
      throw malformed();
    }
  }

  private static byte[] takeCounted(ByteBuffer in) {
    return take(in, Short.toUnsignedInt(in.getShort()));
  }

  private static byte[] take(ByteBuffer in, int length) {
    if (length > in.remaining()) {
      throw malformed();
    }
    var bytes = new byte[length];
    in.get(bytes);
    return bytes;
  }

  private static Pkcs11Exception malformed() {
    return new Pkcs11Exception(Ckr.CKR_WRAPPED_KEY_INVALID, "malformed attribute-bound key");
  }
}
