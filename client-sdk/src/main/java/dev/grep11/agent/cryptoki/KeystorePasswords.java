package dev.grep11.agent.cryptoki;

import static dev.grep11.client.Ckr.CKR_FUNCTION_NOT_SUPPORTED;
import static dev.grep11.client.Ckr.CKR_PIN_INCORRECT;
import static dev.grep11.client.Ckr.CKR_PIN_INVALID;
import static dev.grep11.client.Ckr.CKR_PIN_LEN_RANGE;
import static dev.grep11.client.Ckr.CKR_PIN_LOCKED;

import dev.grep11.agent.config.Secret;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * The password of a slot's keystores (sessionauth): one for both, unless a change of it was cut off
 * in between. Used by any number of threads.
 *
 * <p>Where no gateway counts what is tried, this does.
 */
final class KeystorePasswords {
  /** After so many wrong passwords nothing is compared for so long. */
  private static final int WRONG_PASSWORDS = 5;

  private static final long LOCKED = TimeUnit.MINUTES.toNanos(1);
  private static final int SHORTEST = 6;
  private static final int LONGEST = 8;

  /** Wrong passwords, one after the other, and when the last was. */
  private record Attempts(int wrong, long last) {}

  private final Consumer<String> warn;

  /** By who asked; guarded by this. */
  private final Map<String, Attempts> attempts = new HashMap<>();

  /** Guarded by this. */
  private Optional<Secret> ofPrivate;

  /** Guarded by this. */
  private Optional<Secret> ofPublic;

  /**
   * @param configured empty where the keystores have no password
   * @param warn gets a line for people when somebody is locked out
   */
  KeystorePasswords(Optional<Secret> configured, Consumer<String> warn) {
    this.ofPrivate = configured;
    this.ofPublic = configured;
    this.warn = warn;
  }

  /** That of the private keystore or of the public one. */
  synchronized Optional<Secret> of(boolean isPrivate) {
    return isPrivate ? ofPrivate : ofPublic;
  }

  /** What a keystore has from now on. */
  synchronized void set(boolean isPrivate, Secret password) {
    if (isPrivate) {
      ofPrivate = Optional.of(password);
    } else {
      ofPublic = Optional.of(password);
    }
  }

  /** CKR_FUNCTION_NOT_SUPPORTED where there is nothing to change: a PIN is an API key then. */
  synchronized void requireUse() {
    if (ofPrivate.isEmpty()) {
      throw new Refusal(
          CKR_FUNCTION_NOT_SUPPORTED,
          "the keystores have no password (sessionauth), and a PIN is an API key");
    }
  }

  /**
   * That these bytes are the password. Either one's where a change was cut off.
   *
   * @param who the user of this host who says it
   * @throws Refusal CKR_PIN_INCORRECT, or CKR_PIN_LOCKED after five of those
   */
  synchronized void require(byte[] password, String who) {
    long now = System.nanoTime();
    var before = attempts.get(who);
    if (before != null && now - before.last > LOCKED) {
      before = null;
    }
    if (before != null && before.wrong >= WRONG_PASSWORDS) {
      throw new Refusal(
          CKR_PIN_LOCKED, WRONG_PASSWORDS + " wrong passwords; try again in a minute");
    }
    if (is(ofPrivate, password) || is(ofPublic, password)) {
      attempts.remove(who);
      return;
    }
    int wrong = before == null ? 1 : before.wrong + 1;
    attempts.put(who, new Attempts(wrong, now));
    if (wrong == WRONG_PASSWORDS) {
      warn.accept(
          "user %s is locked out for a minute after %d wrong passwords".formatted(who, wrong));
    }
    throw new Refusal(CKR_PIN_INCORRECT, "not the password of the keystore");
  }

  private static boolean is(Optional<Secret> known, byte[] password) {
    return known.filter(secret -> secret.is(password)).isPresent();
  }

  /**
   * A password that keystores may have.
   *
   * @throws Refusal CKR_PIN_LEN_RANGE, CKR_PIN_INVALID
   */
  static Secret acceptable(byte[] utf8) {
    String text;
    try {
      text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(utf8)).toString();
    } catch (CharacterCodingException e) {
      throw new Refusal(CKR_PIN_INVALID, "the new password is not UTF-8");
    }
    int length = text.codePointCount(0, text.length());
    if (length < SHORTEST || length > LONGEST) {
      throw new Refusal(
          CKR_PIN_LEN_RANGE,
          "a password of %d characters; %d to %d are expected"
              .formatted(length, SHORTEST, LONGEST));
    }
    if (text.codePoints().anyMatch(Character::isISOControl)) {
      throw new Refusal(CKR_PIN_INVALID, "the new password has a control character");
    }
    return new Secret(text);
  }
}
