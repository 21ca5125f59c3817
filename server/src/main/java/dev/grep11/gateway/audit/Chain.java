package dev.grep11.gateway.audit;

import static java.nio.charset.StandardCharsets.US_ASCII;

import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.Base64;
import java.util.Optional;

/**
 * The hash chain over the lines of an audit file. A line ends with its chain value, which is the
 * SHA-256 of the value before it, the bytes of the line without its own, and the letter L. A line
 * without one (what was torn when a process was killed) moves the value too, with the letter O: so
 * the next line vouches for it. Not safe for use by several threads.
 */
final class Chain {
  static final int LENGTH = 32;

  private static final byte LINE = 'L';
  private static final byte OTHER = 'O';
  private static final byte[] BEFORE = ",\"chain\":\"".getBytes(US_ASCII);
  private static final byte[] AFTER = "\"}".getBytes(US_ASCII);
  private static final int TEXT = 43;

  /** The bytes that a line's own value takes at its end. */
  static final int SUFFIX = BEFORE.length + TEXT + AFTER.length;

  private final MessageDigest sha256 = sha256();
  private byte[] value;

  Chain(byte[] value) {
    this.value = value.clone();
  }

  /** That of a file in which there is nothing. */
  static Chain empty() {
    return new Chain(new byte[LENGTH]);
  }

  byte[] value() {
    return value.clone();
  }

  /** Goes on from another value than the lines gave. */
  void resume(byte[] other) {
    value = other.clone();
  }

  /** Takes a line without its suffix. */
  void line(byte[] bytes, int from, int to) {
    step(bytes, from, to, LINE);
  }

  /** Takes a line that has no suffix. */
  void other(byte[] bytes, int from, int to) {
    step(bytes, from, to, OTHER);
  }

  private void step(byte[] bytes, int from, int to, byte kind) {
    sha256.update(value);
    sha256.update(bytes, from, to - from);
    sha256.update(kind);
    value = sha256.digest();
  }

  void writeSuffix(LineBuffer out) {
    out.writeBytes(BEFORE);
    out.writeBytes(text(value).getBytes(US_ASCII));
    out.writeBytes(AFTER);
  }

  /** The value that a line states, where it ends as one of the chain does. */
  static Optional<byte[]> stated(byte[] bytes, int length) {
    int from = length - SUFFIX;
    if (from < 1
        || !Arrays.equals(bytes, from, from + BEFORE.length, BEFORE, 0, BEFORE.length)
        || !Arrays.equals(bytes, length - AFTER.length, length, AFTER, 0, AFTER.length)) {
      return Optional.empty();
    }
    return value(new String(bytes, from + BEFORE.length, TEXT, US_ASCII));
  }

  static String text(byte[] value) {
    return Base64.getUrlEncoder().withoutPadding().encodeToString(value);
  }

  static Optional<byte[]> value(String text) {
    try {
      byte[] value = Base64.getUrlDecoder().decode(text);
      // The last digit has two bits to spare: one value, one text.
      return value.length == LENGTH && text(value).equals(text)
          ? Optional.of(value)
          : Optional.empty();
    } catch (IllegalArgumentException _) {
      return Optional.empty();
    }
  }

  static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("SHA-256 is part of every JDK", e);
    }
  }
}
