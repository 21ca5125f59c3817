package dev.grep11.gateway.hsm;

/**
 * The PKCS #11 functions that the gateway calls, as numbers: every argument is a CK_ULONG, a handle
 * or a raw address (0 is NULL), every result a CK_RV. Names and argument order are the standard's
 * (PKCS #11 v2.40, section 5).
 *
 * <p>An interface, so that tests can count calls and make them fail.
 */
@SuppressWarnings("MemberName") // The standard's own names.
public interface Cryptoki {
  long C_Initialize(long args);

  long C_Finalize(long reserved);

  long C_GetSlotList(long tokenPresent, long slots, long count);

  long C_GetTokenInfo(long slot, long info);

  long C_GetMechanismList(long slot, long mechanisms, long count);

  long C_GetMechanismInfo(long slot, long mechanism, long info);

  long C_OpenSession(long slot, long flags, long application, long notify, long session);

  long C_CloseSession(long session);

  long C_GetSessionInfo(long session, long info);

  long C_Login(long session, long userType, long pin, long pinLength);

  long C_Logout(long session);

  long C_CreateObject(long session, long template, long count, long object);

  long C_DestroyObject(long session, long object);

  long C_GetAttributeValue(long session, long object, long template, long count);

  long C_SetAttributeValue(long session, long object, long template, long count);

  long C_FindObjectsInit(long session, long template, long count);

  long C_FindObjects(long session, long objects, long maxCount, long count);

  long C_FindObjectsFinal(long session);

  long C_EncryptInit(long session, long mechanism, long key);

  long C_Encrypt(long session, long data, long dataLength, long encrypted, long encryptedLength);

  long C_EncryptFinal(long session, long encrypted, long encryptedLength);

  long C_DecryptInit(long session, long mechanism, long key);

  long C_Decrypt(long session, long encrypted, long encryptedLength, long data, long dataLength);

  long C_DecryptUpdate(long session, long part, long partLength, long data, long dataLength);

  long C_DecryptFinal(long session, long data, long dataLength);

  long C_DigestInit(long session, long mechanism);

  long C_Digest(long session, long data, long dataLength, long digest, long digestLength);

  long C_DigestFinal(long session, long digest, long digestLength);

  long C_SignInit(long session, long mechanism, long key);

  long C_Sign(long session, long data, long dataLength, long signature, long signatureLength);

  long C_SignFinal(long session, long signature, long signatureLength);

  long C_VerifyInit(long session, long mechanism, long key);

  long C_Verify(long session, long data, long dataLength, long signature, long signatureLength);

  long C_VerifyFinal(long session, long signature, long signatureLength);

  long C_GenerateKey(long session, long mechanism, long template, long count, long key);

  long C_GenerateKeyPair(
      long session,
      long mechanism,
      long publicTemplate,
      long publicCount,
      long privateTemplate,
      long privateCount,
      long publicKey,
      long privateKey);

  long C_WrapKey(
      long session, long mechanism, long wrappingKey, long key, long wrapped, long wrappedLength);

  long C_UnwrapKey(
      long session,
      long mechanism,
      long unwrappingKey,
      long wrapped,
      long wrappedLength,
      long template,
      long count,
      long key);

  long C_DeriveKey(long session, long mechanism, long baseKey, long template, long count, long key);

  long C_GenerateRandom(long session, long random, long length);
}
