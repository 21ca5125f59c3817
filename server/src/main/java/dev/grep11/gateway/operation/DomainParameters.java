package dev.grep11.gateway.operation;

import dev.grep11.gateway.key.PublicKeyInfo;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import java.io.IOException;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.List;
import org.bouncycastle.asn1.ASN1Encodable;
import org.bouncycastle.asn1.ASN1EncodableVector;
import org.bouncycastle.asn1.ASN1Encoding;
import org.bouncycastle.asn1.ASN1Integer;
import org.bouncycastle.asn1.ASN1Primitive;
import org.bouncycastle.asn1.ASN1Sequence;
import org.bouncycastle.asn1.DERSequence;
import org.jspecify.annotations.Nullable;

/**
 * CKA_IBM_STRUCT_PARAMS: SEQUENCE {P, Q, G} of DSA, SEQUENCE {P, G} of DH; on input also inside an
 * AlgorithmIdentifier or a SubjectPublicKeyInfo. Semantics section 13.
 *
 * @param q null for DH
 */
record DomainParameters(BigInteger p, @Nullable BigInteger q, BigInteger g) {
  // Fermat to a few bases and Miller-Rabin beside: parameters are a client's, and 3072 bits are
  // slow.
  private static final int CERTAINTY = 40;

  static DomainParameters parse(byte[] der, boolean dsa, long minBits, long maxBits) {
    var integers = new ArrayList<BigInteger>();
    try {
      collect(ASN1Primitive.fromByteArray(der), integers, 0);
    } catch (IOException | IllegalArgumentException | IllegalStateException e) {
      throw invalid("no DER structure");
    }
    if (integers.size() != (dsa ? 3 : 2)) {
      throw invalid(dsa ? "expected P, Q and G" : "expected P and G");
    }
    var p = integers.getFirst();
    var g = integers.getLast();
    var q = dsa ? integers.get(1) : null;
    if (p.signum() < 0 || p.bitLength() < minBits || p.bitLength() > maxBits) {
      throw invalid("size of the prime");
    }
    if (g.compareTo(BigInteger.ONE) <= 0 || g.compareTo(p.subtract(BigInteger.ONE)) >= 0) {
      throw invalid("generator out of range");
    }
    if (!p.isProbablePrime(CERTAINTY)) {
      throw invalid("P is not prime");
    }
    if (q != null
        && (q.bitLength() < 160
            || q.bitLength() > 256
            || p.subtract(BigInteger.ONE).mod(q).signum() != 0
            || !q.isProbablePrime(CERTAINTY)
            || !g.modPow(q, p).equals(BigInteger.ONE))) {
      throw invalid("Q is not a prime divisor of P - 1 that G generates");
    }
    return new DomainParameters(p, q, g);
  }

  /** Parameters from under our own MAC, which were checked when they came in. */
  static DomainParameters parseTrusted(byte[] der) {
    var integers = new ArrayList<BigInteger>();
    try {
      collect(ASN1Primitive.fromByteArray(der), integers, 0);
    } catch (IOException e) {
      throw invalid("no DER structure");
    }
    return new DomainParameters(
        integers.getFirst(), integers.size() == 3 ? integers.get(1) : null, integers.getLast());
  }

  byte[] encoded() {
    var members = new ASN1EncodableVector();
    members.add(new ASN1Integer(p));
    if (q != null) {
      members.add(new ASN1Integer(q));
    }
    members.add(new ASN1Integer(g));
    try {
      return new DERSequence(members).getEncoded(ASN1Encoding.DER);
    } catch (IOException e) {
      throw new IllegalStateException("writing to memory", e);
    }
  }

  static byte[] unsigned(BigInteger value) {
    return PublicKeyInfo.unsigned(value);
  }

  /** The integers of the innermost sequence that begins with one. */
  private static void collect(ASN1Encodable value, List<BigInteger> integers, int depth) {
    if (!(value instanceof ASN1Sequence sequence) || depth > 3 || sequence.size() == 0) {
      return;
    }
    if (sequence.getObjectAt(0) instanceof ASN1Integer) {
      for (var member : sequence) {
        integers.add(ASN1Integer.getInstance(member).getValue());
      }
      return;
    }
    for (var member : sequence) {
      if (integers.isEmpty()) {
        collect(member, integers, depth + 1);
      }
    }
  }

  private static Pkcs11Exception invalid(String what) {
    return new Pkcs11Exception(Ckr.CKR_DOMAIN_PARAMS_INVALID, what);
  }
}
