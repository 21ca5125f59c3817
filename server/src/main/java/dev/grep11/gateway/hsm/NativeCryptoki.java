package dev.grep11.gateway.hsm;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;

/**
 * {@link Cryptoki} over a shared library. A PKCS #11 function takes only CK_ULONGs and pointers, so
 * one downcall handle per number of arguments serves them all, and the function itself is an
 * address out of CK_FUNCTION_LIST. The library is never unloaded.
 *
 * <p>64-bit Linux: CK_ULONG and pointers are 8 bytes, structures are not packed.
 */
// This is the binding; nothing else in the gateway is restricted. The enum mirrors a C structure.
@SuppressWarnings({"restricted", "EnumOrdinal"})
public final class NativeCryptoki implements Cryptoki {

  /** CK_FUNCTION_LIST in the order of pkcs11f.h, v2.40; it starts behind CK_VERSION. */
  private enum Function {
    C_Initialize,
    C_Finalize,
    C_GetInfo,
    C_GetFunctionList,
    C_GetSlotList,
    C_GetSlotInfo,
    C_GetTokenInfo,
    C_GetMechanismList,
    C_GetMechanismInfo,
    C_InitToken,
    C_InitPIN,
    C_SetPIN,
    C_OpenSession,
    C_CloseSession,
    C_CloseAllSessions,
    C_GetSessionInfo,
    C_GetOperationState,
    C_SetOperationState,
    C_Login,
    C_Logout,
    C_CreateObject,
    C_CopyObject,
    C_DestroyObject,
    C_GetObjectSize,
    C_GetAttributeValue,
    C_SetAttributeValue,
    C_FindObjectsInit,
    C_FindObjects,
    C_FindObjectsFinal,
    C_EncryptInit,
    C_Encrypt,
    C_EncryptUpdate,
    C_EncryptFinal,
    C_DecryptInit,
    C_Decrypt,
    C_DecryptUpdate,
    C_DecryptFinal,
    C_DigestInit,
    C_Digest,
    C_DigestUpdate,
    C_DigestKey,
    C_DigestFinal,
    C_SignInit,
    C_Sign,
    C_SignUpdate,
    C_SignFinal,
    C_SignRecoverInit,
    C_SignRecover,
    C_VerifyInit,
    C_Verify,
    C_VerifyUpdate,
    C_VerifyFinal,
    C_VerifyRecoverInit,
    C_VerifyRecover,
    C_DigestEncryptUpdate,
    C_DecryptDigestUpdate,
    C_SignEncryptUpdate,
    C_DecryptVerifyUpdate,
    C_GenerateKey,
    C_GenerateKeyPair,
    C_WrapKey,
    C_UnwrapKey,
    C_DeriveKey,
    C_SeedRandom,
    C_GenerateRandom,
    C_GetFunctionStatus,
    C_CancelFunction,
    C_WaitForSlotEvent
  }

  private static final long FIRST_FUNCTION_OFFSET = 8;

  private static final MethodHandle CALL_1 = shape(1);
  private static final MethodHandle CALL_2 = shape(2);
  private static final MethodHandle CALL_3 = shape(3);
  private static final MethodHandle CALL_4 = shape(4);
  private static final MethodHandle CALL_5 = shape(5);
  private static final MethodHandle CALL_6 = shape(6);
  private static final MethodHandle CALL_8 = shape(8);

  private final MemorySegment[] functions;

  private NativeCryptoki(MemorySegment functionList) {
    functions = new MemorySegment[Function.values().length];
    for (int i = 0; i < functions.length; i++) {
      functions[i] = functionList.get(ADDRESS, FIRST_FUNCTION_OFFSET + 8L * i);
    }
  }

  /**
   * Loads a PKCS #11 module and reads its function list; does not initialise it.
   *
   * @throws HsmOpenException if the file is not there, is no library or has no C_GetFunctionList
   */
  public static NativeCryptoki load(Path module) {
    if (!Files.isReadable(module)) {
      throw new HsmOpenException("PKCS #11 module " + module + " is not a readable file");
    }
    SymbolLookup library;
    try {
      library = SymbolLookup.libraryLookup(module, Arena.global());
    } catch (IllegalArgumentException e) {
      throw new HsmOpenException(
          "hsm.module: %s cannot be loaded as a library; name the vendor's PKCS #11 library for this platform (ldd %s tells what it lacks)"
              .formatted(module, module));
    }
    var getFunctionList =
        library
            .find("C_GetFunctionList")
            .orElseThrow(() ->
                new HsmOpenException(
                    "hsm.module: %s is no PKCS #11 module, it has no C_GetFunctionList; name the vendor's PKCS #11 library"
                        .formatted(module)));
    try (var arena = Arena.ofConfined()) {
      var pointer = arena.allocate(ADDRESS);
      long returnValue;
      try {
        returnValue = (long) CALL_1.invokeExact(getFunctionList, pointer.address());
      } catch (Throwable t) {
        throw unexpected("C_GetFunctionList", t);
      }
      if (returnValue != 0) {
        throw new HsmOpenException(module + " refused C_GetFunctionList");
      }
      var size = FIRST_FUNCTION_OFFSET + 8L * Function.values().length;
      return new NativeCryptoki(pointer.get(ADDRESS, 0).reinterpret(size));
    }
  }

  /** Sets variables of the process environment as a C library reads them by getenv. */
  static void setEnvironment(String name, String value) {
    var linker = Linker.nativeLinker();
    var setenv = linker.defaultLookup().findOrThrow("setenv");
    try (var arena = Arena.ofConfined()) {
      // int setenv(const char *, const char *, int); the int result comes back in a register whose
      // upper half is not defined, and a failure (no memory, bad name) shows up in C_Initialize.
      var _ =
          (long)
              CALL_3.invokeExact(
                  setenv,
                  arena.allocateFrom(name).address(),
                  arena.allocateFrom(value).address(),
                  1L);
    } catch (Throwable t) {
      throw unexpected("setenv", t);
    }
  }

  /**
   * Lowers the priority of the calling thread by setpriority(2), which on Linux concerns one thread
   * where it names none. Failure leaves the thread as it was.
   */
  static void yieldToOthers(int niceness) {
    if (niceness == 0) {
      return;
    }
    var setpriority = Linker.nativeLinker().defaultLookup().findOrThrow("setpriority");
    try {
      long process = 0;
      long self = 0;
      var _ = (long) CALL_3.invokeExact(setpriority, process, self, (long) niceness);
    } catch (Throwable t) {
      throw unexpected("setpriority", t);
    }
  }

  /**
   * Ends the process by _exit(2), without the exit handlers of C libraries. A call that outlives
   * the drain (minutes of prime search) still uses the locks that OpenSSL's handler frees, and the
   * process would end by SIGSEGV instead of its exit code. Runtime.halt runs these handlers too.
   */
  static void exit(int status) {
    var linker = Linker.nativeLinker();
    var exit =
        linker.downcallHandle(
            linker.defaultLookup().findOrThrow("_exit"), FunctionDescriptor.ofVoid(JAVA_INT));
    try {
      exit.invokeExact(status);
    } catch (Throwable t) {
      throw unexpected("_exit", t);
    }
  }

  private static MethodHandle shape(int arguments) {
    var longs = new MemoryLayout[arguments];
    Arrays.fill(longs, JAVA_LONG);
    return Linker.nativeLinker().downcallHandle(FunctionDescriptor.of(JAVA_LONG, longs));
  }

  private static AssertionError unexpected(String function, Throwable thrown) {
    return new AssertionError(function, thrown);
  }

  private MemorySegment address(Function function) {
    return functions[function.ordinal()];
  }

  @Override
  public long C_Initialize(long args) {
    return call(Function.C_Initialize, args);
  }

  @Override
  public long C_Finalize(long reserved) {
    return call(Function.C_Finalize, reserved);
  }

  @Override
  public long C_GetSlotList(long tokenPresent, long slots, long count) {
    return call(Function.C_GetSlotList, tokenPresent, slots, count);
  }

  @Override
  public long C_GetTokenInfo(long slot, long info) {
    return call(Function.C_GetTokenInfo, slot, info);
  }

  @Override
  public long C_GetMechanismList(long slot, long mechanisms, long count) {
    return call(Function.C_GetMechanismList, slot, mechanisms, count);
  }

  @Override
  public long C_GetMechanismInfo(long slot, long mechanism, long info) {
    return call(Function.C_GetMechanismInfo, slot, mechanism, info);
  }

  @Override
  public long C_OpenSession(long slot, long flags, long application, long notify, long session) {
    return call(Function.C_OpenSession, slot, flags, application, notify, session);
  }

  @Override
  public long C_CloseSession(long session) {
    return call(Function.C_CloseSession, session);
  }

  @Override
  public long C_GetSessionInfo(long session, long info) {
    return call(Function.C_GetSessionInfo, session, info);
  }

  @Override
  public long C_Login(long session, long userType, long pin, long pinLength) {
    return call(Function.C_Login, session, userType, pin, pinLength);
  }

  @Override
  public long C_Logout(long session) {
    return call(Function.C_Logout, session);
  }

  @Override
  public long C_CreateObject(long session, long template, long count, long object) {
    return call(Function.C_CreateObject, session, template, count, object);
  }

  @Override
  public long C_DestroyObject(long session, long object) {
    return call(Function.C_DestroyObject, session, object);
  }

  @Override
  public long C_GetAttributeValue(long session, long object, long template, long count) {
    return call(Function.C_GetAttributeValue, session, object, template, count);
  }

  @Override
  public long C_SetAttributeValue(long session, long object, long template, long count) {
    return call(Function.C_SetAttributeValue, session, object, template, count);
  }

  @Override
  public long C_FindObjectsInit(long session, long template, long count) {
    return call(Function.C_FindObjectsInit, session, template, count);
  }

  @Override
  public long C_FindObjects(long session, long objects, long maxCount, long count) {
    return call(Function.C_FindObjects, session, objects, maxCount, count);
  }

  @Override
  public long C_FindObjectsFinal(long session) {
    return call(Function.C_FindObjectsFinal, session);
  }

  @Override
  public long C_EncryptInit(long session, long mechanism, long key) {
    return call(Function.C_EncryptInit, session, mechanism, key);
  }

  @Override
  public long C_Encrypt(
      long session, long data, long dataLength, long encrypted, long encryptedLength) {
    return call(Function.C_Encrypt, session, data, dataLength, encrypted, encryptedLength);
  }

  @Override
  public long C_EncryptFinal(long session, long encrypted, long encryptedLength) {
    return call(Function.C_EncryptFinal, session, encrypted, encryptedLength);
  }

  @Override
  public long C_DecryptInit(long session, long mechanism, long key) {
    return call(Function.C_DecryptInit, session, mechanism, key);
  }

  @Override
  public long C_Decrypt(
      long session, long encrypted, long encryptedLength, long data, long dataLength) {
    return call(Function.C_Decrypt, session, encrypted, encryptedLength, data, dataLength);
  }

  @Override
  public long C_DecryptUpdate(
      long session, long part, long partLength, long data, long dataLength) {
    return call(Function.C_DecryptUpdate, session, part, partLength, data, dataLength);
  }

  @Override
  public long C_DecryptFinal(long session, long data, long dataLength) {
    return call(Function.C_DecryptFinal, session, data, dataLength);
  }

  @Override
  public long C_DigestInit(long session, long mechanism) {
    return call(Function.C_DigestInit, session, mechanism);
  }

  @Override
  public long C_Digest(long session, long data, long dataLength, long digest, long digestLength) {
    return call(Function.C_Digest, session, data, dataLength, digest, digestLength);
  }

  @Override
  public long C_DigestFinal(long session, long digest, long digestLength) {
    return call(Function.C_DigestFinal, session, digest, digestLength);
  }

  @Override
  public long C_SignInit(long session, long mechanism, long key) {
    return call(Function.C_SignInit, session, mechanism, key);
  }

  @Override
  public long C_Sign(
      long session, long data, long dataLength, long signature, long signatureLength) {
    return call(Function.C_Sign, session, data, dataLength, signature, signatureLength);
  }

  @Override
  public long C_SignFinal(long session, long signature, long signatureLength) {
    return call(Function.C_SignFinal, session, signature, signatureLength);
  }

  @Override
  public long C_VerifyInit(long session, long mechanism, long key) {
    return call(Function.C_VerifyInit, session, mechanism, key);
  }

  @Override
  public long C_Verify(
      long session, long data, long dataLength, long signature, long signatureLength) {
    return call(Function.C_Verify, session, data, dataLength, signature, signatureLength);
  }

  @Override
  public long C_VerifyFinal(long session, long signature, long signatureLength) {
    return call(Function.C_VerifyFinal, session, signature, signatureLength);
  }

  @Override
  public long C_GenerateKey(long session, long mechanism, long template, long count, long key) {
    return call(Function.C_GenerateKey, session, mechanism, template, count, key);
  }

  @Override
  public long C_GenerateKeyPair(
      long session,
      long mechanism,
      long publicTemplate,
      long publicCount,
      long privateTemplate,
      long privateCount,
      long publicKey,
      long privateKey) {
    return call(
        Function.C_GenerateKeyPair,
        session,
        mechanism,
        publicTemplate,
        publicCount,
        privateTemplate,
        privateCount,
        publicKey,
        privateKey);
  }

  @Override
  public long C_WrapKey(
      long session, long mechanism, long wrappingKey, long key, long wrapped, long wrappedLength) {
    return call(Function.C_WrapKey, session, mechanism, wrappingKey, key, wrapped, wrappedLength);
  }

  @Override
  public long C_UnwrapKey(
      long session,
      long mechanism,
      long unwrappingKey,
      long wrapped,
      long wrappedLength,
      long template,
      long count,
      long key) {
    return call(
        Function.C_UnwrapKey,
        session,
        mechanism,
        unwrappingKey,
        wrapped,
        wrappedLength,
        template,
        count,
        key);
  }

  @Override
  public long C_DeriveKey(
      long session, long mechanism, long baseKey, long template, long count, long key) {
    return call(Function.C_DeriveKey, session, mechanism, baseKey, template, count, key);
  }

  @Override
  public long C_GenerateRandom(long session, long random, long length) {
    return call(Function.C_GenerateRandom, session, random, length);
  }

  private long call(Function function, long a) {
    try {
      return (long) CALL_1.invokeExact(address(function), a);
    } catch (Throwable t) {
      throw unexpected(function.name(), t);
    }
  }

  private long call(Function function, long a, long b) {
    try {
      return (long) CALL_2.invokeExact(address(function), a, b);
    } catch (Throwable t) {
      throw unexpected(function.name(), t);
    }
  }

  private long call(Function function, long a, long b, long c) {
    try {
      return (long) CALL_3.invokeExact(address(function), a, b, c);
    } catch (Throwable t) {
      throw unexpected(function.name(), t);
    }
  }

  private long call(Function function, long a, long b, long c, long d) {
    try {
      return (long) CALL_4.invokeExact(address(function), a, b, c, d);
    } catch (Throwable t) {
      throw unexpected(function.name(), t);
    }
  }

  private long call(Function function, long a, long b, long c, long d, long e) {
    try {
      return (long) CALL_5.invokeExact(address(function), a, b, c, d, e);
    } catch (Throwable t) {
      throw unexpected(function.name(), t);
    }
  }

  private long call(Function function, long a, long b, long c, long d, long e, long f) {
    try {
      return (long) CALL_6.invokeExact(address(function), a, b, c, d, e, f);
    } catch (Throwable t) {
      throw unexpected(function.name(), t);
    }
  }

  private long call(
      Function function, long a, long b, long c, long d, long e, long f, long g, long h) {
    try {
      return (long) CALL_8.invokeExact(address(function), a, b, c, d, e, f, g, h);
    } catch (Throwable t) {
      throw unexpected(function.name(), t);
    }
  }
}
