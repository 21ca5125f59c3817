package dev.grep11.gateway.hsm;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.grep11.gateway.pkcs11.AttributeValue;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismParameters;
import dev.grep11.gateway.pkcs11.Template;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * Native memory of one call: arguments are placed one behind the other, and all of it is wiped when
 * the call is over. Reused by every call of a session, so that nothing is allocated per call; not
 * thread-safe.
 */
final class Scratch {
  static final long ALIGNMENT = 16;
  private static final long SIZE = 64 << 10;

  /** sizeof(CK_ATTRIBUTE), sizeof(CK_MECHANISM): a CK_ULONG, a pointer, a CK_ULONG. */
  private static final long TRIPLE = 24;

  private record Borrowed(MemorySegment buffer, long used) {}

  // Left to the collector: a session that was orphaned in a hung call may still be written to.
  private final MemorySegment memory = Arena.ofAuto().allocate(SIZE, ALIGNMENT);
  private final List<Borrowed> borrowed = new ArrayList<>();

  /** Keeps memory that the call reads in place from being collected. */
  private final List<ByteBuffer> lent = new ArrayList<>();

  private final NativeStruct struct = new NativeStruct(this);
  private long used;

  /** Zeroed memory until {@link #wipe}. */
  MemorySegment allocate(long size) {
    long start = (used + ALIGNMENT - 1) & -ALIGNMENT;
    // At least one byte: some modules refuse a null pointer even for an empty value.
    long length = Math.max(1, size);
    if (start + length <= SIZE) {
      used = start + length;
      return memory.asSlice(start, length);
    }
    var buffer = NativeBuffers.borrow(length);
    borrowed.add(new Borrowed(buffer, length));
    return buffer.asSlice(0, length);
  }

  void wipe() {
    memory.asSlice(0, used).fill((byte) 0);
    used = 0;
    lent.clear();
    if (!borrowed.isEmpty()) {
      borrowed.forEach(b -> NativeBuffers.giveBack(b.buffer(), b.used()));
      borrowed.clear();
    }
  }

  MemorySegment ulong(long value) {
    var segment = allocate(Long.BYTES);
    segment.set(JAVA_LONG, 0, value);
    return segment;
  }

  MemorySegment copy(byte[] bytes) {
    var segment = allocate(bytes.length);
    MemorySegment.copy(bytes, 0, segment, JAVA_BYTE, 0, bytes.length);
    return segment;
  }

  /** The address of the remaining bytes; those of a direct buffer lie where they are. */
  long address(ByteBuffer data) {
    var source = MemorySegment.ofBuffer(data);
    if (data.isDirect() && data.hasRemaining()) {
      lent.add(data);
      return source.address();
    }
    return copy(source).address();
  }

  MemorySegment copy(MemorySegment source) {
    return allocate(source.byteSize()).copyFrom(source);
  }

  /** CK_MECHANISM with its parameter. */
  long mechanism(Mechanism mechanism) {
    var segment = allocate(TRIPLE);
    segment.set(JAVA_LONG, 0, mechanism.type());
    switch (mechanism.parameters()) {
      case MechanismParameters.None _ -> {}
      case MechanismParameters.Bytes(byte[] value) ->
          setPointer(segment, copy(value), value.length);
      case MechanismParameters structure -> {
        struct.start();
        structure.writeTo(struct);
        setPointer(segment, struct.segment(), struct.size());
      }
    }
    return segment.address();
  }

  /** An array of CK_ATTRIBUTE; as many as the template has. */
  MemorySegment template(Template template) {
    var array = allocate(TRIPLE * template.size());
    long offset = 0;
    for (var entry : template.values().entrySet()) {
      var attribute = array.asSlice(offset, TRIPLE);
      attribute.set(JAVA_LONG, 0, entry.getKey());
      switch (entry.getValue()) {
        case AttributeValue.Bool(boolean value) -> {
          var cell = allocate(1);
          cell.set(JAVA_BYTE, 0, (byte) (value ? 1 : 0));
          setPointer(attribute, cell, 1);
        }
        case AttributeValue.Ulong(long value) -> setPointer(attribute, ulong(value), Long.BYTES);
        case AttributeValue.Bytes(byte[] value) -> setPointer(attribute, copy(value), value.length);
        case AttributeValue.OffHeap(ByteBuffer value) ->
            setPointer(attribute, copy(MemorySegment.ofBuffer(value)), value.remaining());
        // CK_ATTRIBUTE_PTR and the array's size in bytes, PKCS #11 v2.40 section 4.9.
        case AttributeValue.Nested(Template value) ->
            setPointer(attribute, template(value), TRIPLE * value.size());
      }
      offset += TRIPLE;
    }
    return array;
  }

  private static void setPointer(MemorySegment triple, MemorySegment value, long length) {
    triple.set(JAVA_LONG, 8, value.address());
    triple.set(JAVA_LONG, 16, length);
  }

  static long attributeLength(MemorySegment array, int index) {
    return array.get(JAVA_LONG, TRIPLE * index + 16);
  }

  /** Points the attribute of that index at memory for a value. */
  MemorySegment attributeBuffer(MemorySegment array, int index, long size) {
    var value = allocate(size);
    setPointer(array.asSlice(TRIPLE * index, TRIPLE), value, size);
    return value;
  }

  /** An array of CK_ATTRIBUTE without values. */
  MemorySegment attributes(long... types) {
    var array = allocate(TRIPLE * types.length);
    for (int i = 0; i < types.length; i++) {
      array.set(JAVA_LONG, TRIPLE * i, types[i]);
    }
    return array;
  }

  static void setAttribute(MemorySegment array, int index, MemorySegment value, long length) {
    setPointer(array.asSlice(TRIPLE * index, TRIPLE), value, length);
  }
}
