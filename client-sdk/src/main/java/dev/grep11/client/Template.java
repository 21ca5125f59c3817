package dev.grep11.client;

import com.google.protobuf.ByteString;
import dev.grep11.proto.AttributeValue;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Set;
import java.util.TreeMap;

/**
 * Attributes by their {@link Cka} number, each in its canonical form: what a key shall be when it
 * is made, and what it is when it is asked.
 *
 * <p>Immutable; {@code with} answers a changed copy. A value in the wrong form (a number for
 * CKA_SIGN) is an {@link IllegalArgumentException} here instead of a refusal by the gateway.
 */
public final class Template {
  private static final Template EMPTY = new Template(new TreeMap<>());

  private final Map<Long, AttributeValue> values;

  private Template(Map<Long, AttributeValue> values) {
    this.values = Collections.unmodifiableMap(values);
  }

  public static Template empty() {
    return EMPTY;
  }

  static Template of(Map<Long, AttributeValue> values) {
    return new Template(new TreeMap<>(values));
  }

  public Template with(long attribute, boolean flag) {
    return with(attribute, Cka.Arm.FLAG, AttributeValue.newBuilder().setAttributeTF(flag));
  }

  /** A number; for CKA_PUBLIC_EXPONENT the big integer it stands for. */
  public Template with(long attribute, long number) {
    if (number < 0) {
      throw new IllegalArgumentException("attribute " + name(attribute) + " is negative");
    }
    if (attribute == Cka.CKA_PUBLIC_EXPONENT) {
      return with(attribute, unsigned(BigInteger.valueOf(number)));
    }
    return with(attribute, Cka.Arm.NUMBER, AttributeValue.newBuilder().setAttributeI(number));
  }

  public Template with(long attribute, byte[] bytes) {
    return with(
        attribute,
        Cka.Arm.BYTES,
        AttributeValue.newBuilder().setAttributeB(ByteString.copyFrom(bytes)));
  }

  /** Text in UTF-8, for instance CKA_LABEL. */
  public Template with(long attribute, String text) {
    return with(attribute, text.getBytes(StandardCharsets.UTF_8));
  }

  /** These attributes and {@code others}; where both name one, that of {@code others} stays. */
  public Template with(Template others) {
    var merged = new TreeMap<>(values);
    merged.putAll(others.values);
    return new Template(merged);
  }

  public boolean has(long attribute) {
    return values.containsKey(attribute);
  }

  /** A boolean attribute; {@link NoSuchElementException} when it is not here as one. */
  public boolean flag(long attribute) {
    return value(attribute, AttributeValue.OneAttrCase.ATTRIBUTETF).getAttributeTF();
  }

  /** A numeric attribute; {@link NoSuchElementException} when it is not here as one. */
  public long number(long attribute) {
    return value(attribute, AttributeValue.OneAttrCase.ATTRIBUTEI).getAttributeI();
  }

  /** A byte string, as a copy; {@link NoSuchElementException} when it is not here as one. */
  public byte[] bytes(long attribute) {
    return value(attribute, AttributeValue.OneAttrCase.ATTRIBUTEB).getAttributeB().toByteArray();
  }

  public Set<Long> attributes() {
    return values.keySet();
  }

  /** The form of the wire, for requests built for {@link Grep11Client#stub()}. Unmodifiable. */
  public Map<Long, AttributeValue> toMap() {
    return values;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Template template && values.equals(template.values);
  }

  @Override
  public int hashCode() {
    return values.hashCode();
  }

  /** The numbers only: a value may be a secret. */
  @Override
  public String toString() {
    return "Template" + values.keySet().stream().map(Template::name).toList();
  }

  private Template with(long attribute, Cka.Arm arm, AttributeValue.Builder value) {
    Cka.Arm canonical = Cka.armOf(attribute);
    if (canonical != arm && canonical != Cka.Arm.ANY) {
      throw new IllegalArgumentException(
          "attribute %s is a %s, not a %s".formatted(name(attribute), text(canonical), text(arm)));
    }
    var changed = new TreeMap<>(values);
    changed.put(attribute, value.build());
    return new Template(changed);
  }

  private AttributeValue value(long attribute, AttributeValue.OneAttrCase arm) {
    AttributeValue value = values.get(attribute);
    if (value == null || value.getOneAttrCase() != arm) {
      throw new NoSuchElementException("attribute " + name(attribute));
    }
    return value;
  }

  private static String name(long attribute) {
    return "0x" + Long.toHexString(attribute);
  }

  private static String text(Cka.Arm arm) {
    return switch (arm) {
      case FLAG -> "flag";
      case NUMBER -> "number";
      case BYTES -> "byte string";
      case ANY -> "value";
    };
  }

  /** Big-endian without sign byte (PKCS #11 v2.40, "Big integer"). */
  private static byte[] unsigned(BigInteger value) {
    byte[] signed = value.toByteArray();
    return signed[0] == 0 && signed.length > 1
        ? java.util.Arrays.copyOfRange(signed, 1, signed.length)
        : signed;
  }
}
