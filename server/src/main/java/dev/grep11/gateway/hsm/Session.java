package dev.grep11.gateway.hsm;

import static dev.grep11.gateway.pkcs11.Ckr.*;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.grep11.gateway.pkcs11.AttributeKind;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.HsmUnavailableException;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.OverloadedException;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Template;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.function.LongConsumer;
import java.util.function.LongFunction;
import java.util.function.LongSupplier;

/**
 * A session with the token, in terms of mechanisms, templates and bytes. One thread at a time uses
 * it; handles it gives are valid until its {@link #epoch} ends.
 *
 * <p>Every method throws {@link Pkcs11Exception} with the token's return value, {@link
 * HsmUnavailableException} when the token was lost, and {@link OverloadedException} when the token
 * has no room. After an error the session is ready for the next call.
 */
public final class Session {
  /** RSA-16384 signs 2048 bytes; whatever is longer is asked for again. */
  private static final int RESULT_GUESS = 4096;

  private static final int ATTRIBUTE_GUESS = 512;
  private static final long UNAVAILABLE_INFORMATION = -1;
  private static final VarHandle BUSY;

  static {
    try {
      BUSY = MethodHandles.lookup().findVarHandle(Session.class, "busy", boolean.class);
    } catch (ReflectiveOperationException e) {
      throw new LinkageError("busy", e);
    }
  }

  /** What a session needs from the token it belongs to. */
  interface Token {
    /** A new native session. */
    long openSession();

    /** Whether the token still answers, asked in that session. */
    boolean answers(long session);
  }

  private interface Init {
    long call(long session, long mechanism, long key);
  }

  private interface Single {
    long call(long session, long data, long dataLength, long result, long resultLength);
  }

  private interface Final {
    long call(long session, long result, long resultLength);
  }

  private record Operation(String function, Init init, Single single, Final finish) {}

  private final Cryptoki cryptoki;
  private final Epoch epoch;
  private final Token token;
  private final LongConsumer failures;
  private final boolean holdsObjects;
  private final Scratch scratch = new Scratch();
  private final Call call = new Call();
  private final Operation signing;
  private final Operation encryption;
  private final Operation decryption;
  private final Operation digesting;
  private volatile long handle;
  private volatile boolean busy;
  private volatile boolean orphan;

  /**
   * Over a native session.
   *
   * @param failures told of every return value of the token other than CKR_OK
   * @param handle 0 for one that waits for the next epoch
   */
  Session(
      Cryptoki cryptoki,
      Epoch epoch,
      Token token,
      LongConsumer failures,
      long handle,
      boolean holdsObjects) {
    this.cryptoki = cryptoki;
    this.epoch = epoch;
    this.token = token;
    this.failures = failures;
    this.holdsObjects = holdsObjects;
    this.handle = handle;
    signing =
        new Operation("C_Sign", cryptoki::C_SignInit, cryptoki::C_Sign, cryptoki::C_SignFinal);
    encryption =
        new Operation(
            "C_Encrypt", cryptoki::C_EncryptInit, cryptoki::C_Encrypt, cryptoki::C_EncryptFinal);
    decryption =
        new Operation(
            "C_Decrypt", cryptoki::C_DecryptInit, cryptoki::C_Decrypt, cryptoki::C_DecryptFinal);
    digesting =
        new Operation(
            "C_Digest",
            (session, mechanism, key) -> cryptoki.C_DigestInit(session, mechanism),
            cryptoki::C_Digest,
            cryptoki::C_DigestFinal);
  }

  public Epoch epoch() {
    return epoch;
  }

  /** Random bytes of the token. */
  public byte[] random(int n) {
    try (var _ = call.begin()) {
      var bytes = scratch.allocate(n);
      check("C_GenerateRandom", cryptoki.C_GenerateRandom(handle, bytes.address(), n));
      return toArray(bytes, n);
    }
  }

  public long generateKey(Mechanism mechanism, Template template) {
    try (var _ = call.begin()) {
      var key = scratch.ulong(0);
      check(
          "C_GenerateKey",
          cryptoki.C_GenerateKey(
              handle,
              scratch.mechanism(mechanism),
              scratch.template(template).address(),
              template.size(),
              key.address()));
      return key.get(JAVA_LONG, 0);
    }
  }

  public KeyPairHandles generateKeyPair(
      Mechanism mechanism, Template publicTemplate, Template privateTemplate) {
    try (var _ = call.begin()) {
      var publicKey = scratch.ulong(0);
      var privateKey = scratch.ulong(0);
      check(
          "C_GenerateKeyPair",
          cryptoki.C_GenerateKeyPair(
              handle,
              scratch.mechanism(mechanism),
              scratch.template(publicTemplate).address(),
              publicTemplate.size(),
              scratch.template(privateTemplate).address(),
              privateTemplate.size(),
              publicKey.address(),
              privateKey.address()));
      return new KeyPairHandles(publicKey.get(JAVA_LONG, 0), privateKey.get(JAVA_LONG, 0));
    }
  }

  public byte[] wrapKey(Mechanism mechanism, long wrappingKey, long key) {
    try (var _ = call.begin()) {
      long parameters = scratch.mechanism(mechanism);
      return result(
          "C_WrapKey",
          RESULT_GUESS,
          (wrapped, length) ->
              cryptoki.C_WrapKey(handle, parameters, wrappingKey, key, wrapped, length));
    }
  }

  /** A tampered or foreign wrapped key is CKR_WRAPPED_KEY_INVALID. */
  public long unwrapKey(
      Mechanism mechanism, long unwrappingKey, byte[] wrapped, Template template) {
    try (var _ = call.begin()) {
      var key = scratch.ulong(0);
      long returnValue =
          cryptoki.C_UnwrapKey(
              handle,
              scratch.mechanism(mechanism),
              unwrappingKey,
              scratch.copy(wrapped).address(),
              wrapped.length,
              scratch.template(template).address(),
              template.size(),
              key.address());
      check("C_UnwrapKey", returnValue, CKR_WRAPPED_KEY_INVALID);
      return key.get(JAVA_LONG, 0);
    }
  }

  public long deriveKey(Mechanism mechanism, long baseKey, Template template) {
    try (var _ = call.begin()) {
      var key = scratch.ulong(0);
      check(
          "C_DeriveKey",
          cryptoki.C_DeriveKey(
              handle,
              scratch.mechanism(mechanism),
              baseKey,
              scratch.template(template).address(),
              template.size(),
              key.address()));
      return key.get(JAVA_LONG, 0);
    }
  }

  public long createObject(Template template) {
    try (var _ = call.begin()) {
      var object = scratch.ulong(0);
      check(
          "C_CreateObject",
          cryptoki.C_CreateObject(
              handle, scratch.template(template).address(), template.size(), object.address()));
      return object.get(JAVA_LONG, 0);
    }
  }

  public void destroyObject(long object) {
    try (var _ = call.begin()) {
      check("C_DestroyObject", insisting(() -> cryptoki.C_DestroyObject(handle, object)));
    }
  }

  /** Handles of all objects that carry these attributes, token and session objects alike. */
  public List<Long> findObjects(Template template) {
    try (var _ = call.begin()) {
      var attributes = scratch.template(template).address();
      begin(
          "C_FindObjectsInit",
          () -> cryptoki.C_FindObjectsInit(handle, attributes, template.size()));
      var found = new ArrayList<Long>();
      int most = 256;
      var objects = scratch.allocate(8L * most);
      var count = scratch.ulong(0);
      long returnValue;
      long given;
      do {
        count.set(JAVA_LONG, 0, 0);
        returnValue = cryptoki.C_FindObjects(handle, objects.address(), most, count.address());
        given = returnValue == CKR_OK ? count.get(JAVA_LONG, 0) : 0;
        if (given < 0 || given > most) {
          returnValue = CKR_DEVICE_ERROR;
          given = 0;
        }
        for (long i = 0; i < given; i++) {
          found.add(objects.get(JAVA_LONG, 8 * i));
        }
      } while (given > 0);
      long end = insisting(() -> cryptoki.C_FindObjectsFinal(handle));
      check("C_FindObjects", returnValue);
      check("C_FindObjectsFinal", end);
      return found;
    }
  }

  /**
   * The values of these attributes, in their canonical kinds; all of them or the token's refusal.
   *
   * @throws Pkcs11Exception CKR_ATTRIBUTE_SENSITIVE or CKR_ATTRIBUTE_TYPE_INVALID if the token
   *     gives one of them not
   */
  public Template attributes(long object, long... types) {
    try (var _ = call.begin()) {
      var array = scratch.attributes(types);
      var values = new MemorySegment[types.length];
      for (int i = 0; i < types.length; i++) {
        if (types[i] == Cka.CKA_WRAP_TEMPLATE || types[i] == Cka.CKA_UNWRAP_TEMPLATE) {
          // Their value is an array of pointers, which nobody needs to read back.
          throw new Pkcs11Exception(CKR_ATTRIBUTE_TYPE_INVALID, Cka.name(types[i]));
        }
        values[i] =
            scratch.attributeBuffer(
                array,
                i,
                AttributeKind.of(types[i]) == AttributeKind.BYTES ? ATTRIBUTE_GUESS : Long.BYTES);
      }
      long returnValue =
          cryptoki.C_GetAttributeValue(handle, object, array.address(), types.length);
      if (returnValue == CKR_BUFFER_TOO_SMALL) {
        // PKCS #11 v2.40, C_GetAttributeValue: a null pointer asks for the length.
        for (int i = 0; i < types.length; i++) {
          Scratch.setAttribute(array, i, MemorySegment.NULL, 0);
        }
        checkAttributes(
            array,
            types,
            cryptoki.C_GetAttributeValue(handle, object, array.address(), types.length));
        for (int i = 0; i < types.length; i++) {
          values[i] = scratch.attributeBuffer(array, i, Scratch.attributeLength(array, i));
        }
        returnValue = cryptoki.C_GetAttributeValue(handle, object, array.address(), types.length);
      }
      checkAttributes(array, types, returnValue);
      var template = Template.builder();
      for (int i = 0; i < types.length; i++) {
        putAttribute(
            template,
            types[i],
            values[i],
            within("C_GetAttributeValue", Scratch.attributeLength(array, i), values[i].byteSize()));
      }
      return template.build();
    }
  }

  private static void putAttribute(
      Template.Builder template, long type, MemorySegment value, long length) {
    switch (AttributeKind.of(type)) {
      case BOOL -> {
        checkLength(type, length, 1);
        template.put(type, value.get(JAVA_BYTE, 0) != 0);
      }
      case ULONG -> {
        checkLength(type, length, Long.BYTES);
        template.put(type, value.get(JAVA_LONG, 0));
      }
      case BYTES -> template.put(type, toArray(value, length));
    }
  }

  private static void checkLength(long type, long length, long expected) {
    if (length != expected) {
      throw new Pkcs11Exception(
          CKR_ATTRIBUTE_VALUE_INVALID, Cka.name(type) + " has " + length + " bytes in the token");
    }
  }

  private void checkAttributes(MemorySegment array, long[] types, long returnValue) {
    if (returnValue == CKR_ATTRIBUTE_SENSITIVE || returnValue == CKR_ATTRIBUTE_TYPE_INVALID) {
      var refused = new ArrayList<String>();
      for (int i = 0; i < types.length; i++) {
        if (Scratch.attributeLength(array, i) == UNAVAILABLE_INFORMATION) {
          refused.add(Cka.name(types[i]));
        }
      }
      throw new Pkcs11Exception(returnValue, String.join(", ", refused));
    }
    check("C_GetAttributeValue", returnValue);
  }

  public void setAttributes(long object, Template template) {
    try (var _ = call.begin()) {
      check(
          "C_SetAttributeValue",
          cryptoki.C_SetAttributeValue(
              handle, object, scratch.template(template).address(), template.size()));
    }
  }

  public byte[] digest(Mechanism mechanism, ByteBuffer data) {
    return operate(digesting, mechanism, 0, data, RESULT_GUESS);
  }

  public byte[] sign(Mechanism mechanism, long key, ByteBuffer data) {
    return operate(signing, mechanism, key, data, RESULT_GUESS);
  }

  /**
   * Returns if it is the signature.
   *
   * @throws Pkcs11Exception CKR_SIGNATURE_INVALID or CKR_SIGNATURE_LEN_RANGE if it is not the
   *     signature
   */
  public void verify(Mechanism mechanism, long key, ByteBuffer data, byte[] signature) {
    try (var _ = call.begin()) {
      long parameters = scratch.mechanism(mechanism);
      begin("C_VerifyInit", () -> cryptoki.C_VerifyInit(handle, parameters, key));
      var copy = scratch.copy(signature);
      long returnValue =
          cryptoki.C_Verify(
              handle, scratch.address(data), data.remaining(), copy.address(), signature.length);
      if (returnValue != CKR_OK) {
        // Answers 0x91 where the token has ended the operation itself.
        var _ = insisting(() -> cryptoki.C_VerifyFinal(handle, copy.address(), signature.length));
      }
      check("C_Verify", returnValue);
    }
  }

  public byte[] encrypt(Mechanism mechanism, long key, ByteBuffer data) {
    return operate(encryption, mechanism, key, data, data.remaining() + RESULT_GUESS);
  }

  /**
   * The same from memory to memory, without a copy on the heap.
   *
   * @param result direct, with room for the result from its position on, which stays
   * @return length of the result in bytes
   * @throws Pkcs11Exception CKR_BUFFER_TOO_SMALL also if the result has too little room
   */
  public int encrypt(Mechanism mechanism, long key, ByteBuffer data, ByteBuffer result) {
    return operate(encryption, mechanism, key, data, result);
  }

  /** What an authenticated mechanism does not accept is CKR_ENCRYPTED_DATA_INVALID. */
  public byte[] decrypt(Mechanism mechanism, long key, ByteBuffer data) {
    return operate(decryption, mechanism, key, data, data.remaining() + RESULT_GUESS);
  }

  /**
   * The same from memory to memory, as {@link #encrypt(Mechanism, long, ByteBuffer, ByteBuffer)}.
   */
  public int decrypt(Mechanism mechanism, long key, ByteBuffer data, ByteBuffer result) {
    return operate(decryption, mechanism, key, data, result);
  }

  /** {@link #decrypt} into memory outside the Java heap. */
  public SecretBuffer decryptSecret(Mechanism mechanism, long key, ByteBuffer data) {
    try (var _ = call.begin()) {
      start(decryption, mechanism, key);
      long address = scratch.address(data);
      var secret =
          secret(
              decryption,
              data.remaining() + RESULT_GUESS,
              meaning(mechanism),
              (result, length) ->
                  cryptoki.C_Decrypt(handle, address, data.remaining(), result, length));
      return secret;
    }
  }

  public byte[] encryptSecret(Mechanism mechanism, long key, SecretBuffer secret) {
    return encrypt(mechanism, key, secret.readOnly());
  }

  /** The value of an attribute (CKA_VALUE) outside the Java heap. */
  public SecretBuffer secretAttribute(long object, long type) {
    try (var _ = call.begin()) {
      var array = scratch.attributes(type);
      checkAttributes(
          array,
          new long[] {type},
          cryptoki.C_GetAttributeValue(handle, object, array.address(), 1));
      var secret = SecretBuffer.allocate(Math.toIntExact(Scratch.attributeLength(array, 0)));
      try {
        Scratch.setAttribute(array, 0, secret.segment(), secret.size());
        check(
            "C_GetAttributeValue",
            cryptoki.C_GetAttributeValue(handle, object, array.address(), 1));
        return secret.truncate(
            (int) within("C_GetAttributeValue", Scratch.attributeLength(array, 0), secret.size()));
      } catch (Throwable t) {
        secret.close();
        throw t;
      }
    }
  }

  /**
   * Opens what AES key wrap with padding (RFC 5649) closed, with an AES key that may DECRYPT: block
   * by block in the token, assembled outside the Java heap.
   *
   * @throws Pkcs11Exception CKR_WRAPPED_KEY_LEN_RANGE for an impossible length,
   *     CKR_WRAPPED_KEY_INVALID if the integrity check fails
   */
  public SecretBuffer openKeyWrapPad(long aesKey, byte[] wrapped) {
    if (wrapped.length < 16 || wrapped.length % 8 != 0) {
      throw new Pkcs11Exception(CKR_WRAPPED_KEY_LEN_RANGE, "wrapped key");
    }
    try (var _ = call.begin()) {
      start(decryption, Mechanism.of(Ckm.CKM_AES_ECB), aesKey);
      var secret = SecretBuffer.allocate(wrapped.length - 8);
      try {
        var aes = new AesBlocks();
        long check = KeyWrapPad.open(aes, wrapped, secret.segment());
        aes.finish();
        int length = KeyWrapPad.checkedLength(check, secret.segment());
        if (length < 0) {
          throw new Pkcs11Exception(CKR_WRAPPED_KEY_INVALID, "integrity check of the key wrap");
        }
        return secret.truncate(length);
      } catch (Throwable t) {
        secret.close();
        throw t;
      }
    }
  }

  /** Single AES blocks of a running C_DecryptUpdate. */
  private final class AesBlocks implements KeyWrapPad.BlockDecryption {
    private final MemorySegment in = scratch.allocate(16);
    private final MemorySegment out = scratch.allocate(32);
    private final MemorySegment length = scratch.ulong(0);

    @Override
    public MemorySegment input() {
      return in;
    }

    @Override
    public MemorySegment decrypt() {
      length.set(JAVA_LONG, 0, 32);
      long returnValue =
          cryptoki.C_DecryptUpdate(handle, in.address(), 16, out.address(), length.address());
      if (returnValue != CKR_OK) {
        drain(decryption);
        check("C_DecryptUpdate", returnValue);
      }
      if (length.get(JAVA_LONG, 0) != 16) {
        drain(decryption);
        throw new Pkcs11Exception(CKR_FUNCTION_FAILED, "C_DecryptUpdate holds an AES block back");
      }
      return out;
    }

    void finish() {
      length.set(JAVA_LONG, 0, 32);
      long returnValue = cryptoki.C_DecryptFinal(handle, out.address(), length.address());
      if (returnValue != CKR_OK) {
        drain(decryption);
        check("C_DecryptFinal", returnValue);
      }
    }
  }

  private byte[] operate(
      Operation operation, Mechanism mechanism, long key, ByteBuffer data, int guess) {
    try (var _ = call.begin()) {
      start(operation, mechanism, key);
      long address = scratch.address(data);
      int dataLength = data.remaining();
      var result = scratch.allocate(guess);
      var length = scratch.ulong(guess);
      long returnValue =
          operation.single.call(handle, address, dataLength, result.address(), length.address());
      if (returnValue == CKR_BUFFER_TOO_SMALL) {
        // The operation stays active and tells the length, PKCS #11 v2.40 section 5.2.
        result = scratch.allocate(length.get(JAVA_LONG, 0));
        returnValue =
            operation.single.call(handle, address, dataLength, result.address(), length.address());
      }
      if (returnValue != CKR_OK) {
        drain(operation);
        check(operation.function, returnValue, meaning(mechanism));
      }
      return toArray(operation.function, result, length.get(JAVA_LONG, 0));
    }
  }

  private int operate(
      Operation operation, Mechanism mechanism, long key, ByteBuffer data, ByteBuffer result) {
    if (!result.isDirect() || !result.hasRemaining()) {
      throw new IllegalArgumentException("the result needs room outside the heap");
    }
    try (var _ = call.begin()) {
      start(operation, mechanism, key);
      long address = scratch.address(data);
      var length = scratch.ulong(result.remaining());
      long returnValue =
          operation.single.call(
              handle, address, data.remaining(), scratch.address(result), length.address());
      if (returnValue != CKR_OK) {
        drain(operation);
        check(operation.function, returnValue, meaning(mechanism));
      }
      return (int) within(operation.function, length.get(JAVA_LONG, 0), result.remaining());
    }
  }

  private interface Output {
    long call(long result, long length);
  }

  private byte[] result(String function, int guess, Output output) {
    var result = scratch.allocate(guess);
    var length = scratch.ulong(guess);
    long returnValue = output.call(result.address(), length.address());
    if (returnValue == CKR_BUFFER_TOO_SMALL) {
      length.set(JAVA_LONG, 0, 0);
      check(function, output.call(0, length.address()));
      result = scratch.allocate(length.get(JAVA_LONG, 0));
      returnValue = output.call(result.address(), length.address());
    }
    check(function, returnValue);
    return toArray(function, result, length.get(JAVA_LONG, 0));
  }

  private SecretBuffer secret(Operation operation, int guess, long meaning, Output output) {
    var secret = SecretBuffer.allocate(guess);
    try {
      var length = scratch.ulong(guess);
      long returnValue = output.call(secret.segment().address(), length.address());
      if (returnValue == CKR_BUFFER_TOO_SMALL) {
        secret.close();
        secret = SecretBuffer.allocate(Math.toIntExact(length.get(JAVA_LONG, 0)));
        returnValue = output.call(secret.segment().address(), length.address());
      }
      if (returnValue != CKR_OK) {
        drain(operation);
        check(operation.function, returnValue, meaning);
      }
      return secret.truncate(
          (int) within(operation.function, length.get(JAVA_LONG, 0), secret.size()));
    } catch (Throwable t) {
      secret.close();
      throw t;
    }
  }

  private void start(Operation operation, Mechanism mechanism, long key) {
    long parameters = scratch.mechanism(mechanism);
    long returnValue = operation.init.call(handle, parameters, key);
    if (returnValue == CKR_OPERATION_ACTIVE) {
      reopen();
      returnValue = operation.init.call(handle, parameters, key);
    }
    checkBegun(operation.function + "Init", returnValue);
  }

  private void begin(String function, LongSupplier init) {
    long returnValue = init.getAsLong();
    if (returnValue == CKR_OPERATION_ACTIVE) {
      reopen();
      returnValue = init.getAsLong();
    }
    checkBegun(function, returnValue);
  }

  /** Ends an operation that an error may have left half open; 0x91 where it has not. */
  private void drain(Operation operation) {
    var rest = scratch.allocate(RESULT_GUESS);
    var length = scratch.ulong(RESULT_GUESS);
    var _ = insisting(() -> operation.finish.call(handle, rest.address(), length.address()));
  }

  /**
   * The return value of a call that ends something. One that fails is made once more: a session or
   * an object that it leaves behind stays as long as the server, and an operation would refuse the
   * next call, whoever makes that.
   */
  private static long insisting(LongSupplier end) {
    long returnValue = end.getAsLong();
    return returnValue == CKR_OK || returnValue == CKR_OPERATION_NOT_INITIALIZED
        ? returnValue
        : end.getAsLong();
  }

  /** The last resort against an operation that no Final ends. */
  private void reopen() {
    if (holdsObjects) {
      // Closing it would destroy every working copy: then all handles are stale, which is an end.
      epoch.end("the holder session is stuck in an operation");
      throw unavailable();
    }
    long stuck = handle;
    try {
      handle = token.openSession();
    } catch (HsmOpenException e) {
      epoch.end(e.getMessage() + ", while replacing a session stuck in an operation");
      throw unavailable();
    }
    var _ = insisting(() -> cryptoki.C_CloseSession(stuck));
  }

  private void check(String function, long returnValue) {
    check(function, returnValue, failed -> new Pkcs11Exception(failed, function));
  }

  /**
   * The same.
   *
   * @param generalError what CKR_GENERAL_ERROR means in this place as long as the token is alive
   */
  private void check(String function, long returnValue, long generalError) {
    check(
        function,
        returnValue,
        failed ->
            new Pkcs11Exception(failed == CKR_GENERAL_ERROR ? generalError : failed, function));
  }

  private void checkBegun(String function, long returnValue) {
    check(function, returnValue, failed -> new NotBegunException(failed, function));
  }

  /**
   * Throws what the return value deserves.
   *
   * @param alive makes what is thrown of a token that failed and is alive
   */
  private void check(String function, long returnValue, LongFunction<Pkcs11Exception> alive) {
    if (returnValue == CKR_OK) {
      return;
    }
    failures.accept(returnValue);
    switch (Fault.of(returnValue)) {
      case CALLER -> throw new Pkcs11Exception(returnValue, function);
      case BUSY -> throw new OverloadedException(function + " " + Ckr.name(returnValue));
      case LOST -> {
        epoch.end(function + " " + Ckr.name(returnValue));
        throw unavailable();
      }
      case DOUBTFUL -> {
        if (!token.answers(handle)) {
          epoch.end(function + " " + Ckr.name(returnValue) + ", and the token does not answer");
          throw unavailable();
        }
        throw alive.apply(returnValue);
      }
    }
  }

  /** SoftHSM answers CKR_GENERAL_ERROR to a wrong tag. */
  private static long meaning(Mechanism mechanism) {
    return mechanism.type() == Ckm.CKM_AES_GCM ? CKR_ENCRYPTED_DATA_INVALID : CKR_GENERAL_ERROR;
  }

  static HsmUnavailableException unavailable() {
    return new HsmUnavailableException("the token is not available, recovery is under way");
  }

  /** What a token says that it gave; what lies behind the room for it is of something else. */
  private static long within(String function, long length, long room) {
    if (length < 0 || length > room) {
      throw new Pkcs11Exception(
          CKR_DEVICE_ERROR, function + " says that it gave more than there was room for");
    }
    return length;
  }

  private static byte[] toArray(String function, MemorySegment segment, long length) {
    return toArray(segment, within(function, length, segment.byteSize()));
  }

  private static byte[] toArray(MemorySegment segment, long length) {
    var array = new byte[Math.toIntExact(length)];
    MemorySegment.copy(segment, JAVA_BYTE, 0, array, 0, array.length);
    return array;
  }

  /** The native handle, for what is done before the session is published. */
  long handle() {
    return handle;
  }

  /** Whether a call is running in it. */
  boolean busy() {
    return busy && !closed();
  }

  /**
   * Closes the native session of an ended epoch; one that hangs in a call is closed when the call
   * comes back.
   */
  void discard() {
    orphan = true;
    if (BUSY.compareAndSet(this, false, true)) {
      closeNative();
    }
  }

  private void closeNative() {
    if (handle != 0) {
      var _ = insisting(() -> cryptoki.C_CloseSession(handle));
      handle = 0;
    }
  }

  /** Whether the native session is gone, and no call can be running in it. */
  boolean closed() {
    return handle == 0;
  }

  /** The span of one call: the session is taken, and its memory wiped at the end. */
  private final class Call implements AutoCloseable {
    Call begin() {
      if (!BUSY.compareAndSet(Session.this, false, true)) {
        if (orphan) {
          throw unavailable();
        }
        throw new IllegalStateException("a session serves one thread at a time");
      }
      if (!epoch.live()) {
        close();
        throw unavailable();
      }
      return this;
    }

    @Override
    public void close() {
      scratch.wipe();
      busy = false;
      if (orphan) {
        discard();
      }
    }
  }
}
