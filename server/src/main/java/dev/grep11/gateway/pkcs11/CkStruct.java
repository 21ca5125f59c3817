package dev.grep11.gateway.pkcs11;

import java.nio.ByteBuffer;

/**
 * Receives the fields of a C structure in the order of its declaration. The {@code hsm} package
 * implements it over native memory; members are laid out by the platform's C rules.
 */
public interface CkStruct {
  /** A CK_ULONG, or any enumeration that PKCS #11 declares as one. */
  CkStruct ulong(long value);

  /** A CK_BBOOL. */
  CkStruct bool(boolean value);

  /** A pointer to a copy of the bytes; a null pointer when there are none. */
  CkStruct pointer(byte[] bytes);

  /** The bytes themselves, in place. */
  CkStruct inline(byte[] bytes);

  /** CK_ULONG length, then pointer. */
  default CkStruct lengthAndPointer(byte[] bytes) {
    return ulong(bytes.length).pointer(bytes);
  }

  /** Pointer, then CK_ULONG length. */
  default CkStruct pointerAndLength(byte[] bytes) {
    return pointer(bytes).ulong(bytes.length);
  }

  /** A value that must not enter the Java heap, copied from native memory to native memory. */
  CkStruct pointer(ByteBuffer offHeap);
}
