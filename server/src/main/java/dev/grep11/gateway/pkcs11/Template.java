package dev.grep11.gateway.pkcs11;

import dev.grep11.gateway.pkcs11.AttributeValue.Bool;
import dev.grep11.gateway.pkcs11.AttributeValue.Bytes;
import dev.grep11.gateway.pkcs11.AttributeValue.Ulong;
import java.nio.ByteBuffer;
import java.util.Collections;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * Attributes by number, in ascending order of the number, each at most once and of its canonical
 * kind. Immutable.
 */
public final class Template {
  private static final Template EMPTY = new Template(new TreeMap<>(Long::compareUnsigned));

  private final SortedMap<Long, AttributeValue> values;

  private Template(SortedMap<Long, AttributeValue> values) {
    this.values = values;
  }

  public static Template empty() {
    return EMPTY;
  }

  public static Builder builder() {
    return new Builder(new TreeMap<>(Long::compareUnsigned));
  }

  /** A builder that starts with these attributes. */
  public Builder toBuilder() {
    return new Builder(new TreeMap<>(values));
  }

  public Map<Long, AttributeValue> values() {
    return Collections.unmodifiableMap(values);
  }

  public int size() {
    return values.size();
  }

  public boolean has(long type) {
    return values.containsKey(type);
  }

  public Optional<AttributeValue> get(long type) {
    return Optional.ofNullable(values.get(type));
  }

  public Optional<Boolean> bool(long type) {
    return values.get(type) instanceof Bool bool ? Optional.of(bool.value()) : Optional.empty();
  }

  /** A flag, false where it is silent. */
  public boolean isTrue(long type) {
    return values.get(type) instanceof Bool(boolean value) && value;
  }

  public OptionalLong ulong(long type) {
    return values.get(type) instanceof Ulong(long value)
        ? OptionalLong.of(value)
        : OptionalLong.empty();
  }

  public Optional<byte[]> bytes(long type) {
    return values.get(type) instanceof Bytes(byte[] value) ? Optional.of(value) : Optional.empty();
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Template that && values.equals(that.values);
  }

  @Override
  public int hashCode() {
    return values.hashCode();
  }

  /** Names and not values: a template may carry what must not be logged. */
  @Override
  public String toString() {
    return values.keySet().stream().map(Cka::name).toList().toString();
  }

  /** Collects attributes; a later value replaces an earlier one. */
  public static final class Builder {
    private SortedMap<Long, AttributeValue> values;

    private Builder(SortedMap<Long, AttributeValue> values) {
      this.values = values;
    }

    public Builder put(long type, AttributeValue value) {
      if (value.kind() != AttributeKind.of(type)) {
        throw new Pkcs11Exception(
            Ckr.CKR_ATTRIBUTE_VALUE_INVALID, Cka.name(type) + " is not of its kind");
      }
      values.put(type, value);
      return this;
    }

    public Builder put(long type, boolean value) {
      return put(type, new Bool(value));
    }

    public Builder put(long type, long value) {
      return put(type, new Ulong(value));
    }

    public Builder put(long type, byte[] value) {
      return put(type, new Bytes(value));
    }

    public Builder putOffHeap(long type, ByteBuffer value) {
      return put(type, new AttributeValue.OffHeap(value));
    }

    public Builder put(long type, Template nested) {
      return put(type, new AttributeValue.Nested(nested));
    }

    public Builder remove(long type) {
      values.remove(type);
      return this;
    }

    public Template build() {
      var built = new Template(values);
      values = new TreeMap<>(values);
      return built;
    }
  }
}
