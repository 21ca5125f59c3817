package dev.grep11.agent.cryptoki;

import dev.grep11.agent.store.Attributes;
import dev.grep11.client.Cka;
import java.math.BigInteger;
import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.HexFormat;

/**
 * The public half of a key as PKCS #11 attributes, from the SubjectPublicKeyInfo (RFC 5280, 4.1)
 * that a gateway's public key blob begins with.
 */
final class SubjectPublicKey {
  private static final int SEQUENCE = 0x30;
  private static final int INTEGER = 0x02;
  private static final int BIT_STRING = 0x03;
  private static final int OCTET_STRING = 0x04;
  private static final int OID = 0x06;

  private static final String RSA_ENCRYPTION = "2a864886f70d010101";
  private static final String EC_PUBLIC_KEY = "2a8648ce3d0201";
  private static final String DSA = "2a8648ce380401";
  private static final String DH = "2a864886f70d010301";

  /**
   * The attributes that follow from the key itself; of an algorithm that has none here,
   * CKA_PUBLIC_KEY_INFO alone.
   *
   * @param blob begins with the SubjectPublicKeyInfo
   */
  static Attributes attributes(byte[] blob) {
    try {
      var all = ByteBuffer.wrap(blob);
      var spki = value(all, SEQUENCE);
      byte[] info = Arrays.copyOf(blob, all.position());
      var attributes = Attributes.empty().with(Cka.CKA_PUBLIC_KEY_INFO, info);
      var algorithm = value(spki, SEQUENCE);
      var oid = HexFormat.of().formatHex(bytes(value(algorithm, OID)));
      byte[] parameters = bytes(algorithm);
      var bits = value(spki, BIT_STRING);
      // The number of unused bits, which is none.
      bits.get();
      byte[] key = bytes(bits);
      return attributes.with(
          switch (oid) {
            case RSA_ENCRYPTION -> rsa(key);
            case EC_PUBLIC_KEY ->
                Attributes.empty()
                    .with(Cka.CKA_EC_PARAMS, parameters)
                    .with(Cka.CKA_EC_POINT, encode(OCTET_STRING, key));
            case DSA -> discrete(parameters, key, true);
            case DH -> discrete(parameters, key, false);
            default -> Attributes.empty();
          });
    } catch (BufferUnderflowException | IllegalArgumentException e) {
      throw new IllegalArgumentException("no SubjectPublicKeyInfo", e);
    }
  }

  private static Attributes rsa(byte[] key) {
    var fields = value(ByteBuffer.wrap(key), SEQUENCE);
    byte[] modulus = unsigned(value(fields, INTEGER));
    return Attributes.empty()
        .with(Cka.CKA_MODULUS, modulus)
        .with(Cka.CKA_PUBLIC_EXPONENT, unsigned(value(fields, INTEGER)))
        .with(Cka.CKA_MODULUS_BITS, (long) new BigInteger(1, modulus).bitLength());
  }

  /** Whether the length after the tag is that of the rest. */
  private static boolean isWhole(byte[] element) {
    int length = element[1] & 0xff;
    return length < 0x80
        ? length == element.length - 2
        : length == 0x81 && (element[2] & 0xff) == element.length - 3;
  }

  private static Attributes discrete(byte[] parameters, byte[] key, boolean dsa) {
    var fields = value(ByteBuffer.wrap(parameters), SEQUENCE);
    var attributes = Attributes.empty().with(Cka.CKA_PRIME, unsigned(value(fields, INTEGER)));
    if (dsa) {
      attributes = attributes.with(Cka.CKA_SUBPRIME, unsigned(value(fields, INTEGER)));
    }
    return attributes
        .with(Cka.CKA_BASE, unsigned(value(fields, INTEGER)))
        .with(Cka.CKA_VALUE, unsigned(value(ByteBuffer.wrap(key), INTEGER)));
  }

  /** SubjectPublicKeyInfo of the attributes of a public key (C_CreateObject). */
  static byte[] encoded(Attributes key) {
    if (key.has(Cka.CKA_MODULUS)) {
      return spki(
          RSA_ENCRYPTION,
          new byte[] {5, 0},
          encode(
              SEQUENCE,
              integer(required(key, Cka.CKA_MODULUS)),
              integer(required(key, Cka.CKA_PUBLIC_EXPONENT))));
    }
    if (key.has(Cka.CKA_EC_POINT)) {
      byte[] point = required(key, Cka.CKA_EC_POINT);
      // DER by the standard; some applications pass the point itself.
      boolean der = point.length > 2 && point[0] == OCTET_STRING && isWhole(point);
      return spki(
          EC_PUBLIC_KEY,
          required(key, Cka.CKA_EC_PARAMS),
          der ? bytes(value(ByteBuffer.wrap(point), OCTET_STRING)) : point);
    }
    byte[] value = integer(required(key, Cka.CKA_VALUE));
    return key.has(Cka.CKA_SUBPRIME)
        ? spki(DSA, structure(key), value)
        : spki(DH, structure(key), value);
  }

  /** Domain parameters in the form of CKA_IBM_STRUCT_PARAMS: SEQUENCE of P, Q for DSA, and G. */
  static byte[] structure(Attributes parameters) {
    return parameters.has(Cka.CKA_SUBPRIME)
        ? encode(
            SEQUENCE,
            integer(required(parameters, Cka.CKA_PRIME)),
            integer(required(parameters, Cka.CKA_SUBPRIME)),
            integer(required(parameters, Cka.CKA_BASE)))
        : encode(
            SEQUENCE,
            integer(required(parameters, Cka.CKA_PRIME)),
            integer(required(parameters, Cka.CKA_BASE)));
  }

  private static byte[] required(Attributes attributes, long type) {
    return attributes
        .get(type)
        .orElseThrow(() ->
            new Refusal(
                dev.grep11.client.Ckr.CKR_TEMPLATE_INCOMPLETE,
                "attribute 0x" + Long.toHexString(type) + " is missing"));
  }

  private static byte[] spki(String oid, byte[] parameters, byte[] key) {
    return encode(
        SEQUENCE,
        encode(SEQUENCE, encode(OID, HexFormat.of().parseHex(oid)), parameters),
        encode(BIT_STRING, new byte[1], key));
  }

  // ---- DER

  static byte[] encode(int tag, byte[]... parts) {
    int length = Arrays.stream(parts).mapToInt(part -> part.length).sum();
    var out = ByteBuffer.allocate(length + 6).put((byte) tag);
    if (length < 0x80) {
      out.put((byte) length);
    } else if (length < 0x100) {
      out.put((byte) 0x81).put((byte) length);
    } else if (length < 0x10000) {
      out.put((byte) 0x82).putShort((short) length);
    } else {
      out.put((byte) 0x84).putInt(length);
    }
    for (byte[] part : parts) {
      out.put(part);
    }
    return Arrays.copyOf(out.array(), out.position());
  }

  static byte[] integer(byte[] magnitude) {
    return encode(INTEGER, new BigInteger(1, magnitude).toByteArray());
  }

  private static ByteBuffer value(ByteBuffer in, int tag) {
    if ((in.get() & 0xff) != tag) {
      throw new IllegalArgumentException("another element than 0x" + Integer.toHexString(tag));
    }
    int length = in.get() & 0xff;
    if (length >= 0x80) {
      int octets = length & 0x7f;
      if (octets == 0 || octets > 3) {
        throw new IllegalArgumentException("a length of " + octets + " octets");
      }
      length = 0;
      for (int i = 0; i < octets; i++) {
        length = length << 8 | (in.get() & 0xff);
      }
    }
    if (length > in.remaining()) {
      throw new BufferUnderflowException();
    }
    var value = in.slice(in.position(), length);
    in.position(in.position() + length);
    return value;
  }

  private static byte[] bytes(ByteBuffer in) {
    byte[] bytes = new byte[in.remaining()];
    in.get(bytes);
    return bytes;
  }

  private static byte[] unsigned(ByteBuffer integer) {
    byte[] bytes = bytes(integer);
    return bytes.length > 1 && bytes[0] == 0 ? Arrays.copyOfRange(bytes, 1, bytes.length) : bytes;
  }

  private SubjectPublicKey() {}
}
