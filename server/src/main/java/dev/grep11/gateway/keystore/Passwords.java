package dev.grep11.gateway.keystore;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.OverloadedException;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.store.KeystoreRecord;
import dev.grep11.gateway.store.PasswordEnvelope;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.time.Duration;
import java.time.InstantSource;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import javax.crypto.Cipher;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;
import org.bouncycastle.crypto.generators.Argon2BytesGenerator;
import org.bouncycastle.crypto.params.Argon2Parameters;
import org.jspecify.annotations.Nullable;

/**
 * Passwords of keystores. The password seals the keystore's own key, never a row: so it can be
 * changed in one step, and a wrong one opens nothing. It is kept nowhere; the key that it opened is
 * kept for a short time, so that a session does not pay for each call.
 *
 * <p>Passwords have 6 to 8 characters, so guesses must be few: each caller has {@link
 * #MOST_WRONG_BY_CALLER} wrong ones per keystore in {@link #WINDOW}, and all who never gave the
 * right one {@link #MOST_WRONG} together. Counted by this process; n gateways allow n times as
 * many. Safe for use by several threads.
 */
final class Passwords {
  static final int MOST_WRONG_BY_CALLER = 5;
  static final int MOST_WRONG = 50;
  static final Duration WINDOW = Duration.ofMinutes(15);
  static final Duration KEPT = Duration.ofMinutes(2);

  /** RFC 9106, 4: the second recommendation has 64 MiB and 4 lanes; this has half of it and one. */
  private static final int MEMORY_KIB = 32 * 1024;

  private static final int PASSES = 3;
  private static final int SALT_LENGTH = 16;
  private static final int NONCE_LENGTH = 12;
  private static final int TAG_BITS = 128;
  private static final int SHORTEST = 6;
  private static final int LONGEST = 8;
  private static final int MOST_COUNTED = 100_000;
  private static final Duration PATIENCE = Duration.ofSeconds(5);
  private static final SecureRandom RANDOM = new SecureRandom();

  private record Attempts(ByteBuffer keystore, String caller) {}

  /**
   * @param password a keyed hash of it, with the salt of its envelope
   */
  @SuppressWarnings("ArrayRecordComponent")
  private record Known(byte[] password, byte[] key, long untilMillis) {
    @Override
    public String toString() {
      return "Known";
    }
  }

  /**
   * By origin of the keystore. Its own lock guards it: a key that is wiped while it is copied would
   * seal rows that nobody opens again.
   */
  private final Map<ByteBuffer, Known> known = new HashMap<>();

  private final byte[] hashKey = random(PasswordSeal.KEY_LENGTH);
  private final Cache<Attempts, AtomicInteger> wrongByCaller = counted();
  private final Cache<ByteBuffer, AtomicInteger> wrong = counted();

  /** Who gave the right one lately is not kept out by what others try. */
  private final Cache<Attempts, Boolean> right =
      Caffeine.newBuilder().expireAfterWrite(Duration.ofDays(1)).maximumSize(MOST_COUNTED).build();

  /** One derivation at a time: each takes {@link #MEMORY_KIB} of the heap. */
  private final Semaphore deriving = new Semaphore(1, true);

  private final InstantSource clock;

  Passwords(InstantSource clock) {
    this.clock = clock;
  }

  private <K> Cache<K, AtomicInteger> counted() {
    return Caffeine.newBuilder().expireAfterWrite(WINDOW).maximumSize(MOST_COUNTED).build();
  }

  /**
   * A new key of a keystore, or the one it has, under a password.
   *
   * @throws Pkcs11Exception CKR_PIN_LEN_RANGE, CKR_PIN_INVALID
   * @throws OverloadedException when too many passwords are waiting
   */
  PasswordEnvelope envelope(byte[] key, byte[] password) {
    requireForm(password);
    var salt = random(SALT_LENGTH);
    acquire();
    byte[] derived;
    try {
      derived = derive(password, salt, MEMORY_KIB, PASSES);
    } finally {
      deriving.release();
    }
    try {
      var nonce = random(NONCE_LENGTH);
      var sealed = gcm(Cipher.ENCRYPT_MODE, derived, nonce, salt, key, 0);
      return new PasswordEnvelope(
          MEMORY_KIB,
          PASSES,
          salt,
          ByteBuffer.allocate(nonce.length + sealed.length).put(nonce).put(sealed).array());
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException("AES-256-GCM is part of every JDK", e);
    } finally {
      Arrays.fill(derived, (byte) 0);
    }
  }

  static byte[] newKey() {
    return random(PasswordSeal.KEY_LENGTH);
  }

  /**
   * What a keystore's password opens; empty for a keystore without one.
   *
   * @throws Pkcs11Exception CKR_PIN_INCORRECT for a wrong one, or none where one is needed;
   *     CKR_PIN_LOCKED after too many; CKR_USER_PIN_NOT_INITIALIZED for one where none is needed
   */
  Optional<PasswordSeal> open(KeystoreRecord keystore, String caller, byte[] password) {
    if (keystore.password().isEmpty()) {
      if (password.length > 0) {
        // Silently without, keys would be stored with less protection than their owner believes.
        throw new Pkcs11Exception(
            Ckr.CKR_USER_PIN_NOT_INITIALIZED, "this keystore has no password; give none");
      }
      return Optional.empty();
    }
    if (password.length == 0) {
      throw new Pkcs11Exception(Ckr.CKR_PIN_INCORRECT, "this keystore needs its password");
    }
    return Optional.of(new PasswordSeal(key(keystore, caller, password)));
  }

  /** The keystore's own key, the caller's to wipe; as {@link #open}, of one with a password. */
  byte[] key(KeystoreRecord keystore, String caller, byte[] password) {
    var envelope = keystore.password().orElseThrow();
    var attempts = new Attempts(ByteBuffer.wrap(keystore.origin()), caller);
    var hash = PasswordSeal.hmac(hashKey, envelope.salt(), password);
    // Before anything is compared: who guesses must not find a right guess in what others left.
    requireUnlocked(attempts);
    var cached = cached(attempts, hash);
    if (cached.isPresent()) {
      return cached.get();
    }
    acquire();
    try {
      requireUnlocked(attempts);
      cached = cached(attempts, hash);
      if (cached.isPresent()) {
        return cached.get();
      }
      var derived = derive(password, envelope.salt(), envelope.memoryKib(), envelope.passes());
      try {
        var sealed = envelope.sealedKey();
        var nonce = Arrays.copyOf(sealed, NONCE_LENGTH);
        var key = gcm(Cipher.DECRYPT_MODE, derived, nonce, envelope.salt(), sealed, NONCE_LENGTH);
        remember(attempts, hash, key);
        return key;
      } catch (GeneralSecurityException e) {
        count(attempts);
        throw new Pkcs11Exception(Ckr.CKR_PIN_INCORRECT, "wrong password of the keystore");
      } finally {
        Arrays.fill(derived, (byte) 0);
      }
    } finally {
      deriving.release();
    }
  }

  private void acquire() {
    try {
      if (!deriving.tryAcquire(PATIENCE.toMillis(), TimeUnit.MILLISECONDS)) {
        throw new OverloadedException("too many passwords of keystores are being checked");
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new OverloadedException("the gateway is stopping");
    }
  }

  private void requireUnlocked(Attempts attempts) {
    boolean callerLocked = of(wrongByCaller.getIfPresent(attempts)) >= MOST_WRONG_BY_CALLER;
    boolean locked =
        right.getIfPresent(attempts) == null
            && of(wrong.getIfPresent(attempts.keystore())) >= MOST_WRONG;
    if (callerLocked || locked) {
      throw new Pkcs11Exception(
          Ckr.CKR_PIN_LOCKED,
          "too many wrong passwords of this keystore; wait %d minutes"
              .formatted(WINDOW.toMinutes()));
    }
  }

  private static int of(@Nullable AtomicInteger count) {
    return count == null ? 0 : count.get();
  }

  private void count(Attempts attempts) {
    wrongByCaller.get(attempts, _ -> new AtomicInteger()).incrementAndGet();
    wrong.get(attempts.keystore(), _ -> new AtomicInteger()).incrementAndGet();
  }

  private Optional<byte[]> cached(Attempts attempts, byte[] hash) {
    synchronized (known) {
      var entry = known.get(attempts.keystore());
      if (entry == null
          || entry.untilMillis() <= clock.millis()
          || !MessageDigest.isEqual(entry.password(), hash)) {
        return Optional.empty();
      }
      noteRight(attempts);
      return Optional.of(entry.key().clone());
    }
  }

  private void noteRight(Attempts attempts) {
    right.put(attempts, true);
    wrongByCaller.invalidate(attempts);
  }

  private void remember(Attempts attempts, byte[] hash, byte[] key) {
    noteRight(attempts);
    var entry = new Known(hash, key.clone(), clock.instant().plus(KEPT).toEpochMilli());
    synchronized (known) {
      wipe(known.put(attempts.keystore(), entry));
    }
  }

  /** Wipes keys whose time is over; asked now and then. */
  void forgetOld() {
    synchronized (known) {
      known
          .values()
          .removeIf(entry -> {
            boolean old = entry.untilMillis() <= clock.millis();
            if (old) {
              wipe(entry);
            }
            return old;
          });
    }
  }

  /** Wipes what is known of a keystore. */
  void forget(KeystoreRecord keystore) {
    synchronized (known) {
      wipe(known.remove(ByteBuffer.wrap(keystore.origin())));
    }
  }

  private static void wipe(@Nullable Known entry) {
    if (entry != null) {
      Arrays.fill(entry.key(), (byte) 0);
    }
  }

  private static void requireForm(byte[] password) {
    int characters;
    try {
      var text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(password));
      characters = Character.codePointCount(text, 0, text.length());
      text.clear();
      text.put(new char[text.remaining()]);
    } catch (CharacterCodingException e) {
      throw new Pkcs11Exception(Ckr.CKR_PIN_INVALID, "the password is not UTF-8");
    }
    if (characters < SHORTEST || characters > LONGEST) {
      throw new Pkcs11Exception(
          Ckr.CKR_PIN_LEN_RANGE,
          "a password of a keystore has %d to %d characters".formatted(SHORTEST, LONGEST));
    }
  }

  private static byte[] derive(byte[] password, byte[] salt, int memoryKib, int passes) {
    var generator = new Argon2BytesGenerator();
    generator.init(
        new Argon2Parameters.Builder(Argon2Parameters.ARGON2_id)
            .withVersion(Argon2Parameters.ARGON2_VERSION_13)
            .withMemoryAsKB(memoryKib)
            .withIterations(passes)
            .withParallelism(1)
            .withSalt(salt)
            .build());
    var derived = new byte[PasswordSeal.KEY_LENGTH];
    generator.generateBytes(password, derived);
    return derived;
  }

  private static byte[] gcm(
      int mode, byte[] key, byte[] nonce, byte[] context, byte[] input, int from)
      throws GeneralSecurityException {
    var cipher = Cipher.getInstance("AES/GCM/NoPadding");
    cipher.init(mode, new SecretKeySpec(key, "AES"), new GCMParameterSpec(TAG_BITS, nonce));
    cipher.updateAAD(context);
    return cipher.doFinal(input, from, input.length - from);
  }

  private static byte[] random(int length) {
    var bytes = new byte[length];
    RANDOM.nextBytes(bytes);
    return bytes;
  }
}
