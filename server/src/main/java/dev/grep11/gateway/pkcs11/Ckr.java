package dev.grep11.gateway.pkcs11;

/** Return values (CK_RV): PKCS #11 v2.40, EP11's vendor block and the GREP11 block. */
public final class Ckr {
  public static final long CKR_OK = 0x0L;
  public static final long CKR_CANCEL = 0x1L;
  public static final long CKR_HOST_MEMORY = 0x2L;
  public static final long CKR_SLOT_ID_INVALID = 0x3L;
  public static final long CKR_GENERAL_ERROR = 0x5L;
  public static final long CKR_FUNCTION_FAILED = 0x6L;
  public static final long CKR_ARGUMENTS_BAD = 0x7L;
  public static final long CKR_NO_EVENT = 0x8L;
  public static final long CKR_NEED_TO_CREATE_THREADS = 0x9L;
  public static final long CKR_CANT_LOCK = 0xaL;
  public static final long CKR_ATTRIBUTE_READ_ONLY = 0x10L;
  public static final long CKR_ATTRIBUTE_SENSITIVE = 0x11L;
  public static final long CKR_ATTRIBUTE_TYPE_INVALID = 0x12L;
  public static final long CKR_ATTRIBUTE_VALUE_INVALID = 0x13L;
  public static final long CKR_ACTION_PROHIBITED = 0x1bL;
  public static final long CKR_DATA_INVALID = 0x20L;
  public static final long CKR_DATA_LEN_RANGE = 0x21L;
  public static final long CKR_DEVICE_ERROR = 0x30L;
  public static final long CKR_DEVICE_MEMORY = 0x31L;
  public static final long CKR_DEVICE_REMOVED = 0x32L;
  public static final long CKR_ENCRYPTED_DATA_INVALID = 0x40L;
  public static final long CKR_ENCRYPTED_DATA_LEN_RANGE = 0x41L;
  public static final long CKR_FUNCTION_CANCELED = 0x50L;
  public static final long CKR_FUNCTION_NOT_PARALLEL = 0x51L;
  public static final long CKR_FUNCTION_NOT_SUPPORTED = 0x54L;
  public static final long CKR_KEY_HANDLE_INVALID = 0x60L;
  public static final long CKR_KEY_SIZE_RANGE = 0x62L;
  public static final long CKR_KEY_TYPE_INCONSISTENT = 0x63L;
  public static final long CKR_KEY_NOT_NEEDED = 0x64L;
  public static final long CKR_KEY_CHANGED = 0x65L;
  public static final long CKR_KEY_NEEDED = 0x66L;
  public static final long CKR_KEY_INDIGESTIBLE = 0x67L;
  public static final long CKR_KEY_FUNCTION_NOT_PERMITTED = 0x68L;
  public static final long CKR_KEY_NOT_WRAPPABLE = 0x69L;
  public static final long CKR_KEY_UNEXTRACTABLE = 0x6aL;
  public static final long CKR_MECHANISM_INVALID = 0x70L;
  public static final long CKR_MECHANISM_PARAM_INVALID = 0x71L;
  public static final long CKR_OBJECT_HANDLE_INVALID = 0x82L;
  public static final long CKR_OPERATION_ACTIVE = 0x90L;
  public static final long CKR_OPERATION_NOT_INITIALIZED = 0x91L;
  public static final long CKR_PIN_INCORRECT = 0xa0L;
  public static final long CKR_PIN_INVALID = 0xa1L;
  public static final long CKR_PIN_LEN_RANGE = 0xa2L;
  public static final long CKR_PIN_EXPIRED = 0xa3L;
  public static final long CKR_PIN_LOCKED = 0xa4L;
  public static final long CKR_SESSION_CLOSED = 0xb0L;
  public static final long CKR_SESSION_COUNT = 0xb1L;
  public static final long CKR_SESSION_HANDLE_INVALID = 0xb3L;
  public static final long CKR_SESSION_PARALLEL_NOT_SUPPORTED = 0xb4L;
  public static final long CKR_SESSION_READ_ONLY = 0xb5L;
  public static final long CKR_SESSION_EXISTS = 0xb6L;
  public static final long CKR_SIGNATURE_INVALID = 0xc0L;
  public static final long CKR_SIGNATURE_LEN_RANGE = 0xc1L;
  public static final long CKR_TEMPLATE_INCOMPLETE = 0xd0L;
  public static final long CKR_TEMPLATE_INCONSISTENT = 0xd1L;
  public static final long CKR_TOKEN_NOT_PRESENT = 0xe0L;
  public static final long CKR_TOKEN_NOT_RECOGNIZED = 0xe1L;
  public static final long CKR_TOKEN_WRITE_PROTECTED = 0xe2L;
  public static final long CKR_UNWRAPPING_KEY_HANDLE_INVALID = 0xf0L;
  public static final long CKR_UNWRAPPING_KEY_SIZE_RANGE = 0xf1L;
  public static final long CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT = 0xf2L;
  public static final long CKR_USER_ALREADY_LOGGED_IN = 0x100L;
  public static final long CKR_USER_NOT_LOGGED_IN = 0x101L;
  public static final long CKR_USER_PIN_NOT_INITIALIZED = 0x102L;
  public static final long CKR_USER_TYPE_INVALID = 0x103L;
  public static final long CKR_WRAPPED_KEY_INVALID = 0x110L;
  public static final long CKR_WRAPPED_KEY_LEN_RANGE = 0x112L;
  public static final long CKR_WRAPPING_KEY_HANDLE_INVALID = 0x113L;
  public static final long CKR_WRAPPING_KEY_SIZE_RANGE = 0x114L;
  public static final long CKR_WRAPPING_KEY_TYPE_INCONSISTENT = 0x115L;
  public static final long CKR_RANDOM_SEED_NOT_SUPPORTED = 0x120L;
  public static final long CKR_RANDOM_NO_RNG = 0x121L;
  public static final long CKR_DOMAIN_PARAMS_INVALID = 0x130L;
  public static final long CKR_CURVE_NOT_SUPPORTED = 0x140L;
  public static final long CKR_BUFFER_TOO_SMALL = 0x150L;
  public static final long CKR_SAVED_STATE_INVALID = 0x160L;
  public static final long CKR_INFORMATION_SENSITIVE = 0x170L;
  public static final long CKR_STATE_UNSAVEABLE = 0x180L;
  public static final long CKR_CRYPTOKI_NOT_INITIALIZED = 0x190L;
  public static final long CKR_CRYPTOKI_ALREADY_INITIALIZED = 0x191L;
  public static final long CKR_MUTEX_BAD = 0x1a0L;
  public static final long CKR_MUTEX_NOT_LOCKED = 0x1a1L;
  public static final long CKR_FUNCTION_REJECTED = 0x200L;

  // EP11
  public static final long CKR_IBM_WKID_MISMATCH = 0x80010001L;
  public static final long CKR_IBM_INTERNAL_ERROR = 0x80010002L;
  public static final long CKR_IBM_TRANSPORT_ERROR = 0x80010003L;
  public static final long CKR_IBM_BLOB_ERROR = 0x80010004L;
  public static final long CKR_IBM_BLOBKEY_CONFLICT = 0x80010005L;
  public static final long CKR_IBM_MODE_CONFLICT = 0x80010006L;
  public static final long CKR_IBM_NONCRT_KEY_SIZE = 0x80010008L;
  public static final long CKR_IBM_WK_NOT_INITIALIZED = 0x80010009L;
  public static final long CKR_IBM_OA_API_ERROR = 0x8001000aL;
  public static final long CKR_IBM_REQ_TIMEOUT = 0x8001000bL;
  public static final long CKR_IBM_READONLY = 0x8001000cL;
  public static final long CKR_IBM_STATIC_POLICY = 0x8001000dL;
  public static final long CKR_IBM_TRANSPORT_LIMIT = 0x80010010L;
  public static final long CKR_IBM_FCV_NOT_SET = 0x80010011L;
  public static final long CKR_IBM_PERF_CATEGORY_INVALID = 0x80010012L;
  public static final long CKR_IBM_API_MISMATCH = 0x80010013L;
  public static final long CKR_IBM_TARGET_INVALID = 0x80010030L;
  public static final long CKR_IBM_PQC_PARAMS_NOT_SUPPORTED = 0x80010031L;
  public static final long CKR_IBM_PARAM_NOT_SUPPORTED = 0x80010032L;
  public static final long CKR_IBM_SESSION_IMMUTABLE = 0x80010033L;
  public static final long CKR_IBM_ERROR_STATE = 0x80010101L;

  // GREP11
  public static final long CKR_IBM_GREP11_NOT_AUTHENTICATED = 0x80040001L;
  public static final long CKR_IBM_GREP11_CANNOT_UNMARSHAL = 0x80040002L;
  public static final long CKR_IBM_GREP11_CANNOT_MARSHAL = 0x80040003L;
  public static final long CKR_IBM_GREP11_CONFLICT = 0x80040004L;
  public static final long CKR_IBM_GREP11_DBINTERNAL = 0x80040005L;
  public static final long CKR_IBM_GREP11_MISSING = 0x80040006L;
  public static final long CKR_IBM_GREP11_REPLAY = 0x80040007L;

  private static final ConstantNames NAMES = ConstantNames.of(Ckr.class, "CKR_");

  private Ckr() {}

  /** The header's name of a number, or its hexadecimal form when the header has none. */
  public static String name(long value) {
    return NAMES.name(value);
  }

  /** Whether the header has a name for this number. */
  public static boolean isKnown(long value) {
    return NAMES.has(value);
  }
}
