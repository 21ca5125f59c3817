package dev.grep11.agent.store;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Collections;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * Attributes of a PKCS #11 object by their number. A flag is one byte, a number eight (big-endian),
 * everything else its bytes. Immutable; {@code with} answers a changed copy.
 */
public final class Attributes {
  private static final Attributes EMPTY = new Attributes(new TreeMap<>());
  private static final byte[] TRUE = {1};
  private static final byte[] FALSE = {0};

  private final Map<Long, byte[]> values;

  private Attributes(Map<Long, byte[]> values) {
    this.values = Collections.unmodifiableMap(values);
  }

  public static Attributes empty() {
    return EMPTY;
  }

  /** A copy of the map; the arrays are taken as they are. */
  public static Attributes of(Map<Long, byte[]> values) {
    return new Attributes(new TreeMap<>(values));
  }

  public Attributes with(long type, byte[] value) {
    var changed = new TreeMap<>(values);
    changed.put(type, value);
    return new Attributes(changed);
  }

  public Attributes with(long type, boolean flag) {
    return with(type, flag ? TRUE : FALSE);
  }

  public Attributes with(long type, long number) {
    return with(type, ByteBuffer.allocate(8).putLong(number).array());
  }

  /** These and {@code others}; where both have one, that of {@code others}. */
  public Attributes with(Attributes others) {
    var changed = new TreeMap<>(values);
    changed.putAll(others.values);
    return new Attributes(changed);
  }

  /** With the value only where the attribute is not there yet. */
  public Attributes orElse(long type, boolean flag) {
    return has(type) ? this : with(type, flag);
  }

  public Attributes without(long type) {
    var changed = new TreeMap<>(values);
    changed.remove(type);
    return new Attributes(changed);
  }

  public boolean has(long type) {
    return values.containsKey(type);
  }

  /** The value, not a copy: it is read only. */
  public Optional<byte[]> get(long type) {
    return Optional.ofNullable(values.get(type));
  }

  /** Whether the flag is there and set. */
  public boolean isTrue(long type) {
    byte[] value = values.get(type);
    return value != null && value.length == 1 && value[0] != 0;
  }

  /** A number, if it is there as one. */
  public OptionalLong number(long type) {
    byte[] value = values.get(type);
    return value == null || value.length != 8
        ? OptionalLong.empty()
        : OptionalLong.of(ByteBuffer.wrap(value).getLong());
  }

  public Set<Long> types() {
    return values.keySet();
  }

  /** Whether each attribute of the template is here with the same value (C_FindObjectsInit). */
  public boolean match(Attributes template) {
    return template.values.entrySet().stream()
        .allMatch(wanted -> Arrays.equals(wanted.getValue(), values.get(wanted.getKey())));
  }

  /** Unmodifiable, in the order of the numbers. */
  public Map<Long, byte[]> toMap() {
    return values;
  }

  @Override
  public boolean equals(@Nullable Object other) {
    return other instanceof Attributes attributes
        && values.size() == attributes.values.size()
        && match(attributes);
  }

  @Override
  public int hashCode() {
    return values.entrySet().stream()
        .mapToInt(entry -> entry.getKey().hashCode() ^ Arrays.hashCode(entry.getValue()))
        .sum();
  }

  /** The numbers only: a value may be a secret. */
  @Override
  public String toString() {
    return "Attributes" + values.keySet().stream().map(Long::toHexString).toList();
  }
}
