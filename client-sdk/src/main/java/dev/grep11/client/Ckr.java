package dev.grep11.client;

import static java.util.Map.entry;

import java.util.Map;
import java.util.OptionalLong;

/**
 * Return values, CK_RV (PKCS #11 v2.40; CKR_IBM is EP11's block, CKR_IBM_GREP11 the service's own).
 */
public final class Ckr {
  public static final long CKR_OK = 0x0L;
  public static final long CKR_CANCEL = 0x1L;
  public static final long CKR_HOST_MEMORY = 0x2L;
  public static final long CKR_SLOT_ID_INVALID = 0x3L;
  public static final long CKR_GENERAL_ERROR = 0x5L;
  public static final long CKR_FUNCTION_FAILED = 0x6L;
  public static final long CKR_ARGUMENTS_BAD = 0x7L;
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
  public static final long CKR_PIN_LOCKED = 0xa4L;
  public static final long CKR_SESSION_COUNT = 0xb1L;
  public static final long CKR_SESSION_HANDLE_INVALID = 0xb3L;
  public static final long CKR_SESSION_PARALLEL_NOT_SUPPORTED = 0xb4L;
  public static final long CKR_SESSION_READ_ONLY = 0xb5L;
  public static final long CKR_SESSION_EXISTS = 0xb6L;
  public static final long CKR_SESSION_READ_ONLY_EXISTS = 0xb7L;
  public static final long CKR_SESSION_READ_WRITE_SO_EXISTS = 0xb8L;
  public static final long CKR_SIGNATURE_INVALID = 0xc0L;
  public static final long CKR_SIGNATURE_LEN_RANGE = 0xc1L;
  public static final long CKR_TEMPLATE_INCOMPLETE = 0xd0L;
  public static final long CKR_TEMPLATE_INCONSISTENT = 0xd1L;
  public static final long CKR_TOKEN_NOT_PRESENT = 0xe0L;
  public static final long CKR_TOKEN_WRITE_PROTECTED = 0xe2L;
  public static final long CKR_UNWRAPPING_KEY_HANDLE_INVALID = 0xf0L;
  public static final long CKR_UNWRAPPING_KEY_SIZE_RANGE = 0xf1L;
  public static final long CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT = 0xf2L;
  public static final long CKR_USER_ALREADY_LOGGED_IN = 0x100L;
  public static final long CKR_USER_NOT_LOGGED_IN = 0x101L;
  public static final long CKR_USER_PIN_NOT_INITIALIZED = 0x102L;
  public static final long CKR_USER_TYPE_INVALID = 0x103L;
  public static final long CKR_USER_ANOTHER_ALREADY_LOGGED_IN = 0x104L;
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
  public static final long CKR_STATE_UNSAVEABLE = 0x180L;
  public static final long CKR_CRYPTOKI_NOT_INITIALIZED = 0x190L;
  public static final long CKR_CRYPTOKI_ALREADY_INITIALIZED = 0x191L;

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

  public static final long CKR_IBM_GREP11_NOT_AUTHENTICATED = 0x80040001L;
  public static final long CKR_IBM_GREP11_CANNOT_UNMARSHAL = 0x80040002L;
  public static final long CKR_IBM_GREP11_CANNOT_MARSHAL = 0x80040003L;
  public static final long CKR_IBM_GREP11_CONFLICT = 0x80040004L;
  public static final long CKR_IBM_GREP11_DBINTERNAL = 0x80040005L;
  public static final long CKR_IBM_GREP11_MISSING = 0x80040006L;
  public static final long CKR_IBM_GREP11_REPLAY = 0x80040007L;

  private static final Map<Long, String> NAMES =
      Map.ofEntries(
          entry(CKR_OK, "CKR_OK"),
          entry(CKR_CANCEL, "CKR_CANCEL"),
          entry(CKR_HOST_MEMORY, "CKR_HOST_MEMORY"),
          entry(CKR_SLOT_ID_INVALID, "CKR_SLOT_ID_INVALID"),
          entry(CKR_GENERAL_ERROR, "CKR_GENERAL_ERROR"),
          entry(CKR_FUNCTION_FAILED, "CKR_FUNCTION_FAILED"),
          entry(CKR_ARGUMENTS_BAD, "CKR_ARGUMENTS_BAD"),
          entry(CKR_CANT_LOCK, "CKR_CANT_LOCK"),
          entry(CKR_ATTRIBUTE_READ_ONLY, "CKR_ATTRIBUTE_READ_ONLY"),
          entry(CKR_ATTRIBUTE_SENSITIVE, "CKR_ATTRIBUTE_SENSITIVE"),
          entry(CKR_ATTRIBUTE_TYPE_INVALID, "CKR_ATTRIBUTE_TYPE_INVALID"),
          entry(CKR_ATTRIBUTE_VALUE_INVALID, "CKR_ATTRIBUTE_VALUE_INVALID"),
          entry(CKR_ACTION_PROHIBITED, "CKR_ACTION_PROHIBITED"),
          entry(CKR_DATA_INVALID, "CKR_DATA_INVALID"),
          entry(CKR_DATA_LEN_RANGE, "CKR_DATA_LEN_RANGE"),
          entry(CKR_DEVICE_ERROR, "CKR_DEVICE_ERROR"),
          entry(CKR_DEVICE_MEMORY, "CKR_DEVICE_MEMORY"),
          entry(CKR_DEVICE_REMOVED, "CKR_DEVICE_REMOVED"),
          entry(CKR_ENCRYPTED_DATA_INVALID, "CKR_ENCRYPTED_DATA_INVALID"),
          entry(CKR_ENCRYPTED_DATA_LEN_RANGE, "CKR_ENCRYPTED_DATA_LEN_RANGE"),
          entry(CKR_FUNCTION_CANCELED, "CKR_FUNCTION_CANCELED"),
          entry(CKR_FUNCTION_NOT_PARALLEL, "CKR_FUNCTION_NOT_PARALLEL"),
          entry(CKR_FUNCTION_NOT_SUPPORTED, "CKR_FUNCTION_NOT_SUPPORTED"),
          entry(CKR_KEY_HANDLE_INVALID, "CKR_KEY_HANDLE_INVALID"),
          entry(CKR_KEY_SIZE_RANGE, "CKR_KEY_SIZE_RANGE"),
          entry(CKR_KEY_TYPE_INCONSISTENT, "CKR_KEY_TYPE_INCONSISTENT"),
          entry(CKR_KEY_NEEDED, "CKR_KEY_NEEDED"),
          entry(CKR_KEY_INDIGESTIBLE, "CKR_KEY_INDIGESTIBLE"),
          entry(CKR_KEY_FUNCTION_NOT_PERMITTED, "CKR_KEY_FUNCTION_NOT_PERMITTED"),
          entry(CKR_KEY_NOT_WRAPPABLE, "CKR_KEY_NOT_WRAPPABLE"),
          entry(CKR_KEY_UNEXTRACTABLE, "CKR_KEY_UNEXTRACTABLE"),
          entry(CKR_MECHANISM_INVALID, "CKR_MECHANISM_INVALID"),
          entry(CKR_MECHANISM_PARAM_INVALID, "CKR_MECHANISM_PARAM_INVALID"),
          entry(CKR_OBJECT_HANDLE_INVALID, "CKR_OBJECT_HANDLE_INVALID"),
          entry(CKR_OPERATION_ACTIVE, "CKR_OPERATION_ACTIVE"),
          entry(CKR_OPERATION_NOT_INITIALIZED, "CKR_OPERATION_NOT_INITIALIZED"),
          entry(CKR_PIN_INCORRECT, "CKR_PIN_INCORRECT"),
          entry(CKR_PIN_INVALID, "CKR_PIN_INVALID"),
          entry(CKR_PIN_LEN_RANGE, "CKR_PIN_LEN_RANGE"),
          entry(CKR_PIN_LOCKED, "CKR_PIN_LOCKED"),
          entry(CKR_SESSION_COUNT, "CKR_SESSION_COUNT"),
          entry(CKR_SESSION_HANDLE_INVALID, "CKR_SESSION_HANDLE_INVALID"),
          entry(CKR_SESSION_PARALLEL_NOT_SUPPORTED, "CKR_SESSION_PARALLEL_NOT_SUPPORTED"),
          entry(CKR_SESSION_READ_ONLY, "CKR_SESSION_READ_ONLY"),
          entry(CKR_SESSION_EXISTS, "CKR_SESSION_EXISTS"),
          entry(CKR_SESSION_READ_ONLY_EXISTS, "CKR_SESSION_READ_ONLY_EXISTS"),
          entry(CKR_SESSION_READ_WRITE_SO_EXISTS, "CKR_SESSION_READ_WRITE_SO_EXISTS"),
          entry(CKR_SIGNATURE_INVALID, "CKR_SIGNATURE_INVALID"),
          entry(CKR_SIGNATURE_LEN_RANGE, "CKR_SIGNATURE_LEN_RANGE"),
          entry(CKR_TEMPLATE_INCOMPLETE, "CKR_TEMPLATE_INCOMPLETE"),
          entry(CKR_TEMPLATE_INCONSISTENT, "CKR_TEMPLATE_INCONSISTENT"),
          entry(CKR_TOKEN_NOT_PRESENT, "CKR_TOKEN_NOT_PRESENT"),
          entry(CKR_TOKEN_WRITE_PROTECTED, "CKR_TOKEN_WRITE_PROTECTED"),
          entry(CKR_UNWRAPPING_KEY_HANDLE_INVALID, "CKR_UNWRAPPING_KEY_HANDLE_INVALID"),
          entry(CKR_UNWRAPPING_KEY_SIZE_RANGE, "CKR_UNWRAPPING_KEY_SIZE_RANGE"),
          entry(CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT, "CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT"),
          entry(CKR_USER_ALREADY_LOGGED_IN, "CKR_USER_ALREADY_LOGGED_IN"),
          entry(CKR_USER_NOT_LOGGED_IN, "CKR_USER_NOT_LOGGED_IN"),
          entry(CKR_USER_PIN_NOT_INITIALIZED, "CKR_USER_PIN_NOT_INITIALIZED"),
          entry(CKR_USER_TYPE_INVALID, "CKR_USER_TYPE_INVALID"),
          entry(CKR_USER_ANOTHER_ALREADY_LOGGED_IN, "CKR_USER_ANOTHER_ALREADY_LOGGED_IN"),
          entry(CKR_WRAPPED_KEY_INVALID, "CKR_WRAPPED_KEY_INVALID"),
          entry(CKR_WRAPPED_KEY_LEN_RANGE, "CKR_WRAPPED_KEY_LEN_RANGE"),
          entry(CKR_WRAPPING_KEY_HANDLE_INVALID, "CKR_WRAPPING_KEY_HANDLE_INVALID"),
          entry(CKR_WRAPPING_KEY_SIZE_RANGE, "CKR_WRAPPING_KEY_SIZE_RANGE"),
          entry(CKR_WRAPPING_KEY_TYPE_INCONSISTENT, "CKR_WRAPPING_KEY_TYPE_INCONSISTENT"),
          entry(CKR_RANDOM_SEED_NOT_SUPPORTED, "CKR_RANDOM_SEED_NOT_SUPPORTED"),
          entry(CKR_RANDOM_NO_RNG, "CKR_RANDOM_NO_RNG"),
          entry(CKR_DOMAIN_PARAMS_INVALID, "CKR_DOMAIN_PARAMS_INVALID"),
          entry(CKR_CURVE_NOT_SUPPORTED, "CKR_CURVE_NOT_SUPPORTED"),
          entry(CKR_BUFFER_TOO_SMALL, "CKR_BUFFER_TOO_SMALL"),
          entry(CKR_SAVED_STATE_INVALID, "CKR_SAVED_STATE_INVALID"),
          entry(CKR_STATE_UNSAVEABLE, "CKR_STATE_UNSAVEABLE"),
          entry(CKR_CRYPTOKI_NOT_INITIALIZED, "CKR_CRYPTOKI_NOT_INITIALIZED"),
          entry(CKR_CRYPTOKI_ALREADY_INITIALIZED, "CKR_CRYPTOKI_ALREADY_INITIALIZED"),
          entry(CKR_IBM_WKID_MISMATCH, "CKR_IBM_WKID_MISMATCH"),
          entry(CKR_IBM_INTERNAL_ERROR, "CKR_IBM_INTERNAL_ERROR"),
          entry(CKR_IBM_TRANSPORT_ERROR, "CKR_IBM_TRANSPORT_ERROR"),
          entry(CKR_IBM_BLOB_ERROR, "CKR_IBM_BLOB_ERROR"),
          entry(CKR_IBM_BLOBKEY_CONFLICT, "CKR_IBM_BLOBKEY_CONFLICT"),
          entry(CKR_IBM_MODE_CONFLICT, "CKR_IBM_MODE_CONFLICT"),
          entry(CKR_IBM_NONCRT_KEY_SIZE, "CKR_IBM_NONCRT_KEY_SIZE"),
          entry(CKR_IBM_WK_NOT_INITIALIZED, "CKR_IBM_WK_NOT_INITIALIZED"),
          entry(CKR_IBM_OA_API_ERROR, "CKR_IBM_OA_API_ERROR"),
          entry(CKR_IBM_REQ_TIMEOUT, "CKR_IBM_REQ_TIMEOUT"),
          entry(CKR_IBM_READONLY, "CKR_IBM_READONLY"),
          entry(CKR_IBM_STATIC_POLICY, "CKR_IBM_STATIC_POLICY"),
          entry(CKR_IBM_TRANSPORT_LIMIT, "CKR_IBM_TRANSPORT_LIMIT"),
          entry(CKR_IBM_FCV_NOT_SET, "CKR_IBM_FCV_NOT_SET"),
          entry(CKR_IBM_PERF_CATEGORY_INVALID, "CKR_IBM_PERF_CATEGORY_INVALID"),
          entry(CKR_IBM_API_MISMATCH, "CKR_IBM_API_MISMATCH"),
          entry(CKR_IBM_TARGET_INVALID, "CKR_IBM_TARGET_INVALID"),
          entry(CKR_IBM_PQC_PARAMS_NOT_SUPPORTED, "CKR_IBM_PQC_PARAMS_NOT_SUPPORTED"),
          entry(CKR_IBM_PARAM_NOT_SUPPORTED, "CKR_IBM_PARAM_NOT_SUPPORTED"),
          entry(CKR_IBM_SESSION_IMMUTABLE, "CKR_IBM_SESSION_IMMUTABLE"),
          entry(CKR_IBM_ERROR_STATE, "CKR_IBM_ERROR_STATE"),
          entry(CKR_IBM_GREP11_NOT_AUTHENTICATED, "CKR_IBM_GREP11_NOT_AUTHENTICATED"),
          entry(CKR_IBM_GREP11_CANNOT_UNMARSHAL, "CKR_IBM_GREP11_CANNOT_UNMARSHAL"),
          entry(CKR_IBM_GREP11_CANNOT_MARSHAL, "CKR_IBM_GREP11_CANNOT_MARSHAL"),
          entry(CKR_IBM_GREP11_CONFLICT, "CKR_IBM_GREP11_CONFLICT"),
          entry(CKR_IBM_GREP11_DBINTERNAL, "CKR_IBM_GREP11_DBINTERNAL"),
          entry(CKR_IBM_GREP11_MISSING, "CKR_IBM_GREP11_MISSING"),
          entry(CKR_IBM_GREP11_REPLAY, "CKR_IBM_GREP11_REPLAY"));

  /**
   * The header's name of a return value, or its number in hexadecimal where the headers have none.
   */
  public static String nameOf(long returnValue) {
    String name = NAMES.get(returnValue);
    return name == null ? "CKR_0x" + Long.toHexString(returnValue) : name;
  }

  /** The number behind a name of the header, empty when there is none. */
  static OptionalLong valueOf(String name) {
    return NAMES.entrySet().stream()
        .filter(entry -> entry.getValue().equals(name))
        .mapToLong(Map.Entry::getKey)
        .findFirst();
  }

  private Ckr() {}
}
