package dev.grep11.client;

import com.google.protobuf.ByteString;
import java.util.Arrays;

/**
 * A public key: a SubjectPublicKeyInfo in clear, followed by the service's authentication of its
 * attributes. The bare SubjectPublicKeyInfo of somebody else is good for verifying; to encrypt or
 * wrap with it, {@linkplain Grep11Client#importPublicKey import} it first.
 */
public final class PublicKeyBlob extends KeyBlob {
  public PublicKeyBlob(byte[] bytes) {
    this(ByteString.copyFrom(bytes), ByteString.EMPTY);
  }

  PublicKeyBlob(ByteString bytes, ByteString checkSum) {
    super(bytes, checkSum);
  }

  /**
   * The DER SubjectPublicKeyInfo. Edwards and Montgomery keys have EP11's shape, {@code
   * id-ecPublicKey} with the curve as parameter, not that of RFC 8410.
   *
   * @throws IllegalArgumentException when the blob does not begin with one
   */
  public byte[] subjectPublicKeyInfo() {
    byte[] blob = bytes();
    return Arrays.copyOf(blob, Der.read(blob, 0).require(Der.SEQUENCE).totalLength());
  }

  /**
   * The key itself, without its algorithm: for EC the uncompressed point that {@link
   * Mechanisms#ecdh1Derive(byte[])} takes.
   */
  public byte[] subjectPublicKey() {
    byte[] info = Der.read(subjectPublicKeyInfo(), 0).content();
    int algorithmLength = Der.read(info, 0).require(Der.SEQUENCE).totalLength();
    byte[] bits = Der.read(info, algorithmLength).require(0x03).content();
    if (bits.length < 2 || bits[0] != 0) {
      throw Der.malformed();
    }
    return Arrays.copyOfRange(bits, 1, bits.length);
  }
}
