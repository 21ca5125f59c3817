/* The types of PKCS #11 v2.40 that the module needs, under their names in the standard. */
#ifndef PKCS11_GREP11_H
#define PKCS11_GREP11_H

typedef unsigned char CK_BYTE;
typedef CK_BYTE CK_BBOOL;
typedef CK_BYTE CK_UTF8CHAR;
typedef unsigned long CK_ULONG;
typedef CK_ULONG CK_RV;
typedef CK_ULONG CK_FLAGS;
typedef CK_ULONG CK_SLOT_ID;
typedef CK_ULONG CK_SESSION_HANDLE;
typedef CK_ULONG CK_OBJECT_HANDLE;
typedef CK_ULONG CK_USER_TYPE;
typedef CK_ULONG CK_ATTRIBUTE_TYPE;
typedef CK_ULONG CK_MECHANISM_TYPE;

#define CK_UNAVAILABLE_INFORMATION ((CK_ULONG)-1)
#define CKF_OS_LOCKING_OK 2ul

#define CKR_OK 0ul
#define CKR_HOST_MEMORY 2ul
#define CKR_ARGUMENTS_BAD 7ul
#define CKR_ATTRIBUTE_VALUE_INVALID 0x13ul
#define CKR_DEVICE_ERROR 0x30ul
#define CKR_DEVICE_REMOVED 0x32ul
#define CKR_FUNCTION_NOT_PARALLEL 0x51ul
#define CKR_MECHANISM_INVALID 0x70ul
#define CKR_MECHANISM_PARAM_INVALID 0x71ul
#define CKR_PIN_INCORRECT 0xa0ul
#define CKR_PIN_INVALID 0xa1ul
#define CKR_SESSION_COUNT 0xb1ul
#define CKR_SESSION_HANDLE_INVALID 0xb3ul
#define CKR_TOKEN_NOT_PRESENT 0xe0ul
#define CKR_BUFFER_TOO_SMALL 0x150ul
#define CKR_CRYPTOKI_NOT_INITIALIZED 0x190ul
#define CKR_CRYPTOKI_ALREADY_INITIALIZED 0x191ul

typedef struct {
  CK_BYTE major, minor;
} CK_VERSION;

typedef struct {
  CK_VERSION cryptokiVersion;
  CK_UTF8CHAR manufacturerID[32];
  CK_FLAGS flags;
  CK_UTF8CHAR libraryDescription[32];
  CK_VERSION libraryVersion;
} CK_INFO;

typedef struct {
  CK_UTF8CHAR slotDescription[64], manufacturerID[32];
  CK_FLAGS flags;
  CK_VERSION hardwareVersion, firmwareVersion;
} CK_SLOT_INFO;

typedef struct {
  CK_UTF8CHAR label[32], manufacturerID[32], model[16], serialNumber[16];
  CK_FLAGS flags;
  CK_ULONG ulMaxSessionCount, ulSessionCount, ulMaxRwSessionCount, ulRwSessionCount;
  CK_ULONG ulMaxPinLen, ulMinPinLen;
  CK_ULONG ulTotalPublicMemory, ulFreePublicMemory, ulTotalPrivateMemory, ulFreePrivateMemory;
  CK_VERSION hardwareVersion, firmwareVersion;
  CK_UTF8CHAR utcTime[16];
} CK_TOKEN_INFO;

typedef struct {
  CK_SLOT_ID slotID;
  CK_ULONG state;
  CK_FLAGS flags;
  CK_ULONG ulDeviceError;
} CK_SESSION_INFO;

typedef struct {
  CK_ULONG ulMinKeySize, ulMaxKeySize;
  CK_FLAGS flags;
} CK_MECHANISM_INFO;

typedef struct {
  CK_ATTRIBUTE_TYPE type;
  void *pValue;
  CK_ULONG ulValueLen;
} CK_ATTRIBUTE;

typedef struct {
  CK_MECHANISM_TYPE mechanism;
  void *pParameter;
  CK_ULONG ulParameterLen;
} CK_MECHANISM;

typedef struct {
  CK_ULONG hashAlg, mgf, sLen;
} CK_RSA_PKCS_PSS_PARAMS;

typedef struct {
  CK_ULONG hashAlg, mgf, source;
  void *pSourceData;
  CK_ULONG ulSourceDataLen;
} CK_RSA_PKCS_OAEP_PARAMS;

typedef struct {
  CK_ULONG kdf, ulSharedDataLen;
  CK_BYTE *pSharedData;
  CK_ULONG ulPublicDataLen;
  CK_BYTE *pPublicData;
} CK_ECDH1_DERIVE_PARAMS;

typedef struct {
  CK_BBOOL phFlag;
  CK_ULONG ulContextDataLen;
  CK_BYTE *pContextData;
} CK_EDDSA_PARAMS;

typedef struct {
  CK_ULONG ulCounterBits;
  CK_BYTE cb[16];
} CK_AES_CTR_PARAMS;

typedef struct {
  CK_BYTE *pIv;
  CK_ULONG ulIvLen, ulIvBits;
  CK_BYTE *pAAD;
  CK_ULONG ulAADLen, ulTagBits;
} CK_GCM_PARAMS;

typedef struct {
  CK_BYTE *pIv;
  CK_ULONG ulIvLen;
  CK_BYTE *pAAD;
  CK_ULONG ulAADLen, ulTagBits;
} CK_GCM_PARAMS_WITHOUT_IV_BITS;

typedef struct {
  CK_ULONG type, childKeyIndex;
  CK_BYTE *pChainCode;
  CK_ULONG ulChainCodeLen, version;
} CK_IBM_BTC_DERIVE_PARAMS;

typedef struct {
  void *CreateMutex, *DestroyMutex, *LockMutex, *UnlockMutex;
  CK_FLAGS flags;
  void *pReserved;
} CK_C_INITIALIZE_ARGS;

/* The functions in the order of CK_FUNCTION_LIST. */
#define FUNCTIONS(F) \
  F(C_Initialize, (void *arguments)) \
  F(C_Finalize, (void *reserved)) \
  F(C_GetInfo, (CK_INFO *info)) \
  F(C_GetFunctionList, (struct CK_FUNCTION_LIST **list)) \
  F(C_GetSlotList, (CK_BBOOL present, CK_SLOT_ID *slots, CK_ULONG *count)) \
  F(C_GetSlotInfo, (CK_SLOT_ID slot, CK_SLOT_INFO *info)) \
  F(C_GetTokenInfo, (CK_SLOT_ID slot, CK_TOKEN_INFO *info)) \
  F(C_GetMechanismList, (CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *count)) \
  F(C_GetMechanismInfo, (CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info)) \
  F(C_InitToken, (CK_SLOT_ID slot, CK_BYTE *pin, CK_ULONG length, CK_UTF8CHAR *label)) \
  F(C_InitPIN, (CK_SESSION_HANDLE s, CK_BYTE *pin, CK_ULONG length)) \
  F(C_SetPIN, (CK_SESSION_HANDLE s, CK_BYTE *was, CK_ULONG was_length, CK_BYTE *pin, CK_ULONG length)) \
  F(C_OpenSession, (CK_SLOT_ID slot, CK_FLAGS flags, void *context, void *notify, CK_SESSION_HANDLE *s)) \
  F(C_CloseSession, (CK_SESSION_HANDLE s)) \
  F(C_CloseAllSessions, (CK_SLOT_ID slot)) \
  F(C_GetSessionInfo, (CK_SESSION_HANDLE s, CK_SESSION_INFO *info)) \
  F(C_GetOperationState, (CK_SESSION_HANDLE s, CK_BYTE *out, CK_ULONG *room)) \
  F(C_SetOperationState, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG length, CK_OBJECT_HANDLE cipher, \
                          CK_OBJECT_HANDLE authentication)) \
  F(C_Login, (CK_SESSION_HANDLE s, CK_USER_TYPE user, CK_UTF8CHAR *pin, CK_ULONG length)) \
  F(C_Logout, (CK_SESSION_HANDLE s)) \
  F(C_CreateObject, (CK_SESSION_HANDLE s, CK_ATTRIBUTE *t, CK_ULONG count, CK_OBJECT_HANDLE *object)) \
  F(C_CopyObject, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE from, CK_ATTRIBUTE *t, CK_ULONG count, \
                   CK_OBJECT_HANDLE *object)) \
  F(C_DestroyObject, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object)) \
  F(C_GetObjectSize, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object, CK_ULONG *size)) \
  F(C_GetAttributeValue, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *t, CK_ULONG count)) \
  F(C_SetAttributeValue, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *t, CK_ULONG count)) \
  F(C_FindObjectsInit, (CK_SESSION_HANDLE s, CK_ATTRIBUTE *t, CK_ULONG count)) \
  F(C_FindObjects, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE *found, CK_ULONG most, CK_ULONG *count)) \
  F(C_FindObjectsFinal, (CK_SESSION_HANDLE s)) \
  F(C_EncryptInit, (CK_SESSION_HANDLE s, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)) \
  F(C_Encrypt, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG length, CK_BYTE *out, CK_ULONG *room)) \
  F(C_EncryptUpdate, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG length, CK_BYTE *out, CK_ULONG *room)) \
  F(C_EncryptFinal, (CK_SESSION_HANDLE s, CK_BYTE *out, CK_ULONG *room)) \
  F(C_DecryptInit, (CK_SESSION_HANDLE s, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)) \
  F(C_Decrypt, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG length, CK_BYTE *out, CK_ULONG *room)) \
  F(C_DecryptUpdate, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG length, CK_BYTE *out, CK_ULONG *room)) \
  F(C_DecryptFinal, (CK_SESSION_HANDLE s, CK_BYTE *out, CK_ULONG *room)) \
  F(C_DigestInit, (CK_SESSION_HANDLE s, CK_MECHANISM *mechanism)) \
  F(C_Digest, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG length, CK_BYTE *out, CK_ULONG *room)) \
  F(C_DigestUpdate, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG length)) \
  F(C_DigestKey, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key)) \
  F(C_DigestFinal, (CK_SESSION_HANDLE s, CK_BYTE *out, CK_ULONG *room)) \
  F(C_SignInit, (CK_SESSION_HANDLE s, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)) \
  F(C_Sign, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG length, CK_BYTE *out, CK_ULONG *room)) \
  F(C_SignUpdate, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG length)) \
  F(C_SignFinal, (CK_SESSION_HANDLE s, CK_BYTE *out, CK_ULONG *room)) \
  F(C_SignRecoverInit, (CK_SESSION_HANDLE s, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)) \
  F(C_SignRecover, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG length, CK_BYTE *out, CK_ULONG *room)) \
  F(C_VerifyInit, (CK_SESSION_HANDLE s, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)) \
  F(C_Verify, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG length, CK_BYTE *signature, CK_ULONG signature_length)) \
  F(C_VerifyUpdate, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG length)) \
  F(C_VerifyFinal, (CK_SESSION_HANDLE s, CK_BYTE *signature, CK_ULONG length)) \
  F(C_VerifyRecoverInit, (CK_SESSION_HANDLE s, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)) \
  F(C_VerifyRecover, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG length, CK_BYTE *out, CK_ULONG *room)) \
  F(C_DigestEncryptUpdate, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG length, CK_BYTE *out, CK_ULONG *room)) \
  F(C_DecryptDigestUpdate, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG length, CK_BYTE *out, CK_ULONG *room)) \
  F(C_SignEncryptUpdate, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG length, CK_BYTE *out, CK_ULONG *room)) \
  F(C_DecryptVerifyUpdate, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG length, CK_BYTE *out, CK_ULONG *room)) \
  F(C_GenerateKey, (CK_SESSION_HANDLE s, CK_MECHANISM *mechanism, CK_ATTRIBUTE *t, CK_ULONG count, \
                    CK_OBJECT_HANDLE *key)) \
  F(C_GenerateKeyPair, (CK_SESSION_HANDLE s, CK_MECHANISM *mechanism, CK_ATTRIBUTE *public_t, CK_ULONG public_count, \
                        CK_ATTRIBUTE *private_t, CK_ULONG private_count, CK_OBJECT_HANDLE *public_key, \
                        CK_OBJECT_HANDLE *private_key)) \
  F(C_WrapKey, (CK_SESSION_HANDLE s, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE kek, CK_OBJECT_HANDLE key, \
                CK_BYTE *out, CK_ULONG *room)) \
  F(C_UnwrapKey, (CK_SESSION_HANDLE s, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE kek, CK_BYTE *in, CK_ULONG length, \
                  CK_ATTRIBUTE *t, CK_ULONG count, CK_OBJECT_HANDLE *key)) \
  F(C_DeriveKey, (CK_SESSION_HANDLE s, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE base, CK_ATTRIBUTE *t, \
                  CK_ULONG count, CK_OBJECT_HANDLE *key)) \
  F(C_SeedRandom, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG length)) \
  F(C_GenerateRandom, (CK_SESSION_HANDLE s, CK_BYTE *out, CK_ULONG length)) \
  F(C_GetFunctionStatus, (CK_SESSION_HANDLE s)) \
  F(C_CancelFunction, (CK_SESSION_HANDLE s)) \
  F(C_WaitForSlotEvent, (CK_FLAGS flags, CK_SLOT_ID *slot, void *reserved))

struct CK_FUNCTION_LIST;
#define MEMBER(name, arguments) CK_RV (*name) arguments;
typedef struct CK_FUNCTION_LIST {
  CK_VERSION version;
  FUNCTIONS(MEMBER)
} CK_FUNCTION_LIST;
#undef MEMBER

#endif
