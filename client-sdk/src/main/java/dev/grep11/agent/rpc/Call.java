package dev.grep11.agent.rpc;

import java.util.Arrays;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.Collectors;

/** The calls that the agent knows; their numbers and signatures are in {@code protocol.txt}. */
public enum Call {
  C_Initialize,
  C_Finalize,
  C_GetInfo,
  C_GetSlotList,
  C_GetSlotInfo,
  C_GetTokenInfo,
  C_GetMechanismList,
  C_GetMechanismInfo,
  C_InitToken,
  C_OpenSession,
  C_CloseSession,
  C_CloseAllSessions,
  C_GetSessionInfo,
  C_InitPIN,
  C_SetPIN,
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
  C_WaitForSlotEvent,
  C_LoginUser,
  C_SessionCancel,
  C_InitToken2,
  C_DeriveKey2;

  private static final Map<Integer, Call> BY_NUMBER =
      Arrays.stream(values()).collect(Collectors.toMap(Call::number, Function.identity()));

  private final int number;
  private final String request;
  private final String response;

  Call() {
    var signature = Protocol.INSTANCE.signature(name());
    number = signature.number();
    request = signature.request();
    response = signature.response();
  }

  /** The call of that number, if the agent knows it. */
  public static Optional<Call> of(int number) {
    return Optional.ofNullable(BY_NUMBER.get(number));
  }

  public int number() {
    return number;
  }

  /** Types of the arguments; see {@code protocol.txt}. */
  public String request() {
    return request;
  }

  /** Types of the results. */
  public String response() {
    return response;
  }

  /**
   * Whether the first argument is a session. Calls of one session are answered in their order,
   * those of several at once.
   */
  public boolean ofSession() {
    return switch (this) {
      case C_Initialize,
          C_Finalize,
          C_GetInfo,
          C_GetSlotList,
          C_GetSlotInfo,
          C_GetTokenInfo,
          C_GetMechanismList,
          C_GetMechanismInfo,
          C_InitToken,
          C_InitToken2,
          C_OpenSession,
          C_CloseAllSessions,
          C_WaitForSlotEvent ->
          false;
      default -> true;
    };
  }
}
