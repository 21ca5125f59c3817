package dev.grep11.gateway.pkcs11;

import java.util.Arrays;

/** The value of an attribute, in the form that its {@link AttributeKind} names. */
public sealed interface AttributeValue {

  AttributeKind kind();

  record Bool(boolean value) implements AttributeValue {
    @Override
    public AttributeKind kind() {
      return AttributeKind.BOOL;
    }
  }

  record Ulong(long value) implements AttributeValue {
    private static final long LIKELY = 0xffff;

    /**
     * A number in a refusal. Clients may send numbers as bytes, which are read most significant
     * first; one that makes sense the other way round only was a CK_ULONG of the client's machine.
     */
    public static String describe(long value) {
      boolean unlikely = Long.compareUnsigned(value, LIKELY) > 0;
      for (long turned : new long[] {Long.reverseBytes(value), turned(value)}) {
        if (unlikely && Long.compareUnsigned(turned, LIKELY) <= 0) {
          return "%s (as little-endian bytes %d: AttributeB is read as big-endian)"
              .formatted(Long.toUnsignedString(value), turned);
        }
      }
      return Long.toUnsignedString(value);
    }

    /** Of a number of 4 bytes. */
    private static long turned(long value) {
      return value >>> Integer.SIZE != 0
          ? value
          : Integer.toUnsignedLong(Integer.reverseBytes((int) value));
    }

    @Override
    public AttributeKind kind() {
      return AttributeKind.ULONG;
    }
  }

  record Bytes(byte[] value) implements AttributeValue {
    @Override
    public AttributeKind kind() {
      return AttributeKind.BYTES;
    }

    @Override
    public boolean equals(Object other) {
      return other instanceof Bytes that && Arrays.equals(value, that.value);
    }

    @Override
    public int hashCode() {
      return Arrays.hashCode(value);
    }

    @Override
    public String toString() {
      return "Bytes[" + value.length + "]";
    }
  }

  /**
   * A value that lies in native memory and never enters the Java heap (components of a private key
   * on their way into the token). Only native templates carry it.
   */
  record OffHeap(java.nio.ByteBuffer value) implements AttributeValue {
    public OffHeap {
      if (!value.isDirect()) {
        throw new IllegalArgumentException("not off-heap");
      }
    }

    @Override
    public AttributeKind kind() {
      return AttributeKind.BYTES;
    }

    @Override
    public String toString() {
      return "OffHeap[" + value.remaining() + "]";
    }
  }

  /** Attributes inside an attribute (CKA_UNWRAP_TEMPLATE). Only native templates carry it. */
  record Nested(Template value) implements AttributeValue {
    @Override
    public AttributeKind kind() {
      return AttributeKind.BYTES;
    }
  }
}
