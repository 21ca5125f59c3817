package dev.grep11.client;

import com.google.protobuf.ByteString;
import java.util.Arrays;
import java.util.stream.Stream;

/**
 * A public key: a SubjectPublicKeyInfo in clear, followed by the service's authentication of its
 * attributes. The bare SubjectPublicKeyInfo of somebody else is good for verifying; to encrypt or
 * wrap with it, {@linkplain Grep11Client#importPublicKey import} it first.
 */
public final class PublicKeyBlob extends KeyBlob {
  private static final int BIT_STRING = 0x03;

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
    byte[] bits = Der.read(info, algorithmLength).require(BIT_STRING).content();
    if (bits.length < 2 || bits[0] != 0) {
      throw Der.malformed();
    }
    return Arrays.copyOfRange(bits, 1, bits.length);
  }

  /**
   * As {@link #subjectPublicKeyInfo()}, but Edwards and Montgomery keys as RFC 8410 has them: what
   * X.509, OpenSSL and the JDK read.
   */
  public byte[] x509() {
    byte[] parameters = algorithmParameters();
    return isNamedByItsCurve(parameters)
        ? Der.encode(
            Der.SEQUENCE,
            Der.encode(Der.SEQUENCE, parameters),
            Der.encode(BIT_STRING, new byte[1], subjectPublicKey()))
        : subjectPublicKeyInfo();
  }

  /** The object identifier of the algorithm in {@link #x509()}, for instance 1.2.840.10045.2.1. */
  public String algorithm() {
    byte[] info = Der.read(x509(), 0).content();
    byte[] algorithm = Der.read(info, 0).require(Der.SEQUENCE).content();
    return Der.dotted(Der.read(algorithm, 0).require(Der.OBJECT_IDENTIFIER).content());
  }

  /** The DER of the algorithm's parameters: of EC keys the curve, as CKA_EC_PARAMS holds it. */
  public byte[] algorithmParameters() {
    byte[] info = Der.read(subjectPublicKeyInfo(), 0).content();
    byte[] algorithm = Der.read(info, 0).require(Der.SEQUENCE).content();
    int identifier = Der.read(algorithm, 0).require(Der.OBJECT_IDENTIFIER).totalLength();
    return Arrays.copyOfRange(algorithm, identifier, algorithm.length);
  }

  /**
   * The curve of an elliptic curve key as CKA_EC_PARAMS holds it, whichever of the two shapes an
   * Edwards or Montgomery key has.
   */
  public byte[] curveIdentifier() {
    byte[] parameters = algorithmParameters();
    if (parameters.length > 0) {
      return parameters;
    }
    byte[] info = Der.read(subjectPublicKeyInfo(), 0).content();
    return Der.read(info, 0).require(Der.SEQUENCE).content();
  }

  /** The key itself as CKA_EC_POINT holds it: in an OCTET STRING (PKCS #11 v2.40, 2.3.3). */
  public byte[] point() {
    return Der.encode(Der.OCTET_STRING, subjectPublicKey());
  }

  private static boolean isNamedByItsCurve(byte[] parameters) {
    return Stream.of(Curve.X25519, Curve.X448, Curve.ED25519, Curve.ED448)
        .anyMatch(curve -> Arrays.equals(curve.parameters(), parameters));
  }
}
