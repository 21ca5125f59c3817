package dev.grep11.gateway.operation;

import dev.grep11.gateway.key.StateSealer;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.CryptoFunction;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismCatalog;
import dev.grep11.gateway.pkcs11.MechanismFamily;
import dev.grep11.gateway.pkcs11.MechanismParameters.AesGcm;
import dev.grep11.gateway.pkcs11.MechanismRow;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Policy;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Locale;
import java.util.Set;

/**
 * Digest, encrypt, decrypt, sign and verify as Init, Update and Final, and as Init with one part.
 * One engine: every call opens the client's state, does its step, and seals the next state. Nothing
 * is kept in between, neither here nor in the token, so any replica continues, and a state may be
 * used again (semantics sections 1 and 2).
 */
public final class PartedOperations {
  private static final byte[] NOTHING = {};

  private final Set<Long> tokenMechanisms;
  private final MechanismCatalog catalog;
  private final StateSealer states;
  private final Ciphers ciphers;
  private final CipherParts cipherParts;
  private final Signatures signatures;
  private final DigestedKeys digestedKeys;
  private final OneShotDigest digests;
  private final Policy policy;
  private final int bufferedBytes;

  /** Digests in one part. */
  interface OneShotDigest {
    byte[] digest(Mechanism mechanism, ByteBuffer data);
  }

  PartedOperations(
      Set<Long> tokenMechanisms,
      MechanismCatalog catalog,
      StateSealer states,
      Ciphers ciphers,
      Signatures signatures,
      OneShotDigest digests,
      DigestedKeys digestedKeys,
      Policy policy,
      int bufferedBytes) {
    this.tokenMechanisms = Set.copyOf(tokenMechanisms);
    this.catalog = catalog;
    this.states = states;
    this.ciphers = ciphers;
    this.cipherParts = new CipherParts(ciphers);
    this.signatures = signatures;
    this.digests = digests;
    this.digestedKeys = digestedKeys;
    this.policy = policy;
    this.bufferedBytes = bufferedBytes;
  }

  /** How the parts of a mechanism are put together. */
  private enum Course {
    /** A hash runs along; a key, if there is one, acts at the end. */
    HASH,
    /** Blocks leave as soon as they are complete. */
    CIPHER,
    /** The token has no way to stop in between: the parts wait in the state, up to a limit. */
    BUFFER,
    /** One part only. */
    WHOLE
  }

  private static Course course(MechanismRow row) {
    return switch (row.family()) {
      case DIGEST, RSA_PKCS_HASHED, RSA_PSS_HASHED, ECDSA_HASHED, DSA_HASHED -> Course.HASH;
      case ECB, CBC, CBC_PAD, CTR -> Course.CIPHER;
      // PKCS #11 does not say whether CKM_RSA_X9_31 takes the hash with its identifier or without.
      case HMAC, CMAC, GCM, RSA_X9_31_HASHED -> Course.BUFFER;
      default -> Course.WHOLE;
    };
  }

  /** Init: the first state of an operation that this key may do. */
  public byte[] begin(Requester by, CryptoFunction function, Mechanism mechanism, byte[] key) {
    var row = catalog.require(mechanism, function);
    switch (function) {
      case DIGEST -> Parameters.requireNone(mechanism);
      case ENCRYPT, DECRYPT -> ciphers.check(by, function, mechanism, key);
      case SIGN, VERIFY -> signatures.check(by, function, mechanism, key);
      default -> throw new IllegalArgumentException(function + " runs in one call");
    }
    var chain =
        switch (course(row)) {
          case HASH -> RunningHash.begin(row.requireHash()).state();
          case CIPHER -> CipherParts.firstChain(mechanism);
          case BUFFER, WHOLE -> NOTHING;
        };
    return seal(by, function, RunningOperation.begin(mechanism, key, chain));
  }

  /** Update: takes more data, gives the output that is ready. */
  public Part update(Requester by, CryptoFunction function, byte[] state, ByteBuffer data) {
    var operation = open(by, function, state);
    var row = row(function, operation);
    if (function == CryptoFunction.DIGEST && !data.hasRemaining()) {
      throw new Pkcs11Exception(Ckr.CKR_DATA_LEN_RANGE, "no data");
    }
    requireParts(function, row, operation);
    if (function == CryptoFunction.SIGN || function == CryptoFunction.VERIFY) {
      signatures.checkRights(by, function, row, operation.key());
    }
    return switch (course(row)) {
      case HASH -> {
        if (function == CryptoFunction.DIGEST && operation.key().length > 0) {
          yield next(by, function, buffered(function, operation, data), NOTHING);
        }
        var hash = RunningHash.resume(row.requireHash(), operation.chain());
        hash.update(data);
        yield next(
            by, function, operation.advanced(data.remaining(), hash.state(), NOTHING), NOTHING);
      }
      case CIPHER -> {
        var step = cipherParts.update(by, function, row, operation, data);
        yield next(by, function, step.operation(), step.output());
      }
      case BUFFER -> {
        if (function == CryptoFunction.ENCRYPT || function == CryptoFunction.DECRYPT) {
          // The key's rights, which the other functions were asked for above.
          ciphers.check(by, function, operation.mechanism(), operation.key());
        }
        yield next(by, function, buffered(function, operation, data), NOTHING);
      }
      case WHOLE -> throw onePart(function, row);
    };
  }

  /**
   * DigestKey: takes the value of a key that may be used as data; one in a digest. The state
   * carries the blob, so that the value is opened, and the key's rights are asked, at the end; what
   * follows the key waits in the state.
   */
  public byte[] digestKey(Requester by, byte[] state, byte[] key) {
    var operation = open(by, CryptoFunction.DIGEST, state);
    var _ = row(CryptoFunction.DIGEST, operation);
    if (operation.key().length > 0) {
      throw new Pkcs11Exception(Ckr.CKR_KEY_INDIGESTIBLE, "a digest takes one key here");
    }
    digestedKeys.check(by, key);
    return seal(by, CryptoFunction.DIGEST, operation.withKey(key));
  }

  /** Final: the digest, the signature, or the rest of the output. */
  public byte[] finish(Requester by, CryptoFunction function, byte[] state) {
    var operation = open(by, function, state);
    var row = row(function, operation);
    requireParts(function, row, operation);
    return switch (course(row)) {
      case HASH -> {
        var hash = RunningHash.resume(row.requireHash(), operation.chain());
        if (function == CryptoFunction.SIGN) {
          yield signatures.signHash(by, operation.mechanism(), operation.key(), hash.digest());
        }
        if (operation.key().length > 0) {
          digestedKeys.absorb(by, operation.key(), hash);
          hash.update(ByteBuffer.wrap(operation.pending()));
        }
        yield hash.digest();
      }
      case CIPHER -> cipherParts.finish(by, function, row, operation);
      case BUFFER -> inOnePart(by, function, operation, ByteBuffer.wrap(operation.pending()));
      case WHOLE -> throw onePart(function, row);
    };
  }

  /** VerifyFinal: returns when the signature is right. */
  public void finishVerify(Requester by, byte[] state, byte[] signature) {
    var operation = open(by, CryptoFunction.VERIFY, state);
    var row = row(CryptoFunction.VERIFY, operation);
    requireParts(CryptoFunction.VERIFY, row, operation);
    switch (course(row)) {
      case HASH ->
          signatures.verifyHash(
              by,
              operation.mechanism(),
              operation.key(),
              RunningHash.resume(row.requireHash(), operation.chain()).digest(),
              signature);
      case BUFFER ->
          signatures.verify(
              by,
              operation.mechanism(),
              operation.key(),
              ByteBuffer.wrap(operation.pending()),
              signature);
      case CIPHER, WHOLE -> throw onePart(CryptoFunction.VERIFY, row);
    }
  }

  /** Digest, Encrypt, Decrypt, Sign: all data at once, from a state that has taken none. */
  public byte[] whole(Requester by, CryptoFunction function, byte[] state, ByteBuffer data) {
    return inOnePart(by, function, untouched(by, function, state), data);
  }

  /**
   * Encrypt and Decrypt, whose result is as long as the data.
   *
   * @param memory for a long result, which is valid until its end
   */
  public ByteBuffer wholeCipher(
      Requester by, CryptoFunction function, byte[] state, ByteBuffer data, CallMemory memory) {
    var operation = untouched(by, function, state);
    var mechanism = operation.mechanism();
    return switch (function) {
      case ENCRYPT -> ciphers.encrypt(by, mechanism, operation.key(), data, memory);
      case DECRYPT -> ciphers.decrypt(by, mechanism, operation.key(), data, memory);
      default -> throw new IllegalArgumentException(function + " is no cipher");
    };
  }

  /** Verify: returns when the signature is right. */
  public void wholeVerify(Requester by, byte[] state, ByteBuffer data, byte[] signature) {
    var operation = untouched(by, CryptoFunction.VERIFY, state);
    signatures.verify(by, operation.mechanism(), operation.key(), data, signature);
  }

  private byte[] inOnePart(
      Requester by, CryptoFunction function, RunningOperation operation, ByteBuffer data) {
    var mechanism = operation.mechanism();
    return switch (function) {
      case DIGEST -> digests.digest(mechanism, data);
      case ENCRYPT -> ciphers.encrypt(by, mechanism, operation.key(), data);
      case DECRYPT -> ciphers.decrypt(by, mechanism, operation.key(), data);
      case SIGN -> signatures.sign(by, mechanism, operation.key(), data);
      default -> throw new IllegalArgumentException(function + " gives no data");
    };
  }

  private RunningOperation untouched(Requester by, CryptoFunction function, byte[] state) {
    var operation = open(by, function, state);
    if (operation.absorbed() > 0) {
      throw new Pkcs11Exception(
          Ckr.CKR_OPERATION_ACTIVE, "the operation has taken data: go on by Update and Final");
    }
    return operation;
  }

  private RunningOperation buffered(
      CryptoFunction function, RunningOperation operation, ByteBuffer data) {
    var pending = operation.pending();
    if (data.remaining() > bufferedBytes - pending.length) {
      throw new Pkcs11Exception(
          wrongLength(function),
          "%s takes at most %d bytes in parts; use the call for one part"
              .formatted(operation.mechanism().name(), bufferedBytes));
    }
    return operation.advanced(data.remaining(), operation.chain(), joined(pending, data));
  }

  static long wrongLength(CryptoFunction function) {
    return function == CryptoFunction.DECRYPT
        ? Ckr.CKR_ENCRYPTED_DATA_LEN_RANGE
        : Ckr.CKR_DATA_LEN_RANGE;
  }

  static byte[] joined(byte[] first, ByteBuffer second) {
    var both = Arrays.copyOf(first, first.length + second.remaining());
    second.duplicate().get(both, first.length, second.remaining());
    return both;
  }

  /** What can be done in one part may yet be no operation in parts. */
  private void requireParts(CryptoFunction function, MechanismRow row, RunningOperation operation) {
    if (course(row) == Course.WHOLE) {
      throw onePart(function, row);
    }
    // A forked state would encrypt two messages under one key stream (security rules 3.3).
    boolean streams = row.family() == MechanismFamily.CTR && policy == Policy.STRICT;
    boolean chosenIv =
        function == CryptoFunction.ENCRYPT
            && operation.mechanism().parameters() instanceof AesGcm gcm
            && gcm.iv().length > 0;
    if (streams || chosenIv || !isBacked(row)) {
      throw onePart(function, row);
    }
  }

  /** Whether the token has what the pieces of a mechanism are made with. */
  private boolean isBacked(MechanismRow row) {
    return switch (row.family()) {
      case RSA_PKCS_HASHED -> tokenMechanisms.contains(Ckm.CKM_RSA_PKCS);
      case RSA_PSS_HASHED -> tokenMechanisms.contains(Ckm.CKM_RSA_PKCS_PSS);
      case CBC_PAD -> tokenMechanisms.contains(CipherParts.withoutPadding(row));
      default -> true;
    };
  }

  private static Pkcs11Exception onePart(CryptoFunction function, MechanismRow row) {
    var call = function.name().charAt(0) + function.name().substring(1).toLowerCase(Locale.ROOT);
    return new Pkcs11Exception(
        Ckr.CKR_FUNCTION_NOT_SUPPORTED,
        "%s works in one part only here: call %s after %sInit, or %sSingle"
            .formatted(row.name(), call, call, call));
  }

  private MechanismRow row(CryptoFunction function, RunningOperation operation) {
    return catalog.require(operation.mechanism(), function);
  }

  private RunningOperation open(Requester by, CryptoFunction function, byte[] state) {
    var content = states.open(by.instance(), function, state);
    try {
      return RunningOperation.decode(content);
    } finally {
      Arrays.fill(content, (byte) 0);
    }
  }

  private Part next(
      Requester by, CryptoFunction function, RunningOperation operation, byte[] output) {
    return new Part(seal(by, function, operation), output);
  }

  private byte[] seal(Requester by, CryptoFunction function, RunningOperation operation) {
    var content = operation.encoded();
    try {
      return states.seal(
          by.instance(), function, operation.mechanism().type(), operation.key(), content);
    } finally {
      Arrays.fill(content, (byte) 0);
    }
  }
}
