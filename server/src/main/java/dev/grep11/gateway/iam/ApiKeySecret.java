package dev.grep11.gateway.iam;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.SecureRandom;
import java.util.Arrays;
import java.util.Base64;

/** An API key in clear, to be shown once and wiped. */
public final class ApiKeySecret implements AutoCloseable {
  /**
   * Lets secret scanners and people recognise one. Only characters that need no escaping in forms
   * and URLs.
   */
  private static final String PREFIX = "g11_";

  private static final int BYTES = 32;

  /** Of so many bytes in base64url. */
  private static final int TEXT_LENGTH = 43;

  private final char[] chars;

  private ApiKeySecret(char[] chars) {
    this.chars = chars;
  }

  /** 256 random bits. */
  public static ApiKeySecret random() {
    byte[] random = new byte[BYTES];
    new SecureRandom().nextBytes(random);
    byte[] text = Base64.getUrlEncoder().withoutPadding().encode(random);
    char[] chars = new char[PREFIX.length() + text.length];
    PREFIX.getChars(0, PREFIX.length(), chars, 0);
    for (int i = 0; i < text.length; i++) {
      chars[PREFIX.length() + i] = (char) text[i];
    }
    Arrays.fill(random, (byte) 0);
    Arrays.fill(text, (byte) 0);
    return new ApiKeySecret(chars);
  }

  /** What somebody typed as a name, for an event or a message: a key by mistake is not repeated. */
  public static String masked(String text) {
    return text.length() == PREFIX.length() + TEXT_LENGTH && text.startsWith(PREFIX)
        ? PREFIX + "…"
        : text;
  }

  /** The key itself; the array is this object's own, which {@link #close} wipes. */
  public char[] chars() {
    return chars;
  }

  byte[] hash() {
    // All ASCII, so a character is a byte; a String in between could not be wiped.
    byte[] bytes = new byte[chars.length];
    for (int i = 0; i < chars.length; i++) {
      bytes[i] = (byte) chars[i];
    }
    try {
      return sha256().digest(bytes);
    } finally {
      Arrays.fill(bytes, (byte) 0);
    }
  }

  /** SHA-256 of a key as a client sends it. */
  static byte[] hash(String key) {
    return sha256().digest(key.getBytes(StandardCharsets.UTF_8));
  }

  private static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("SHA-256 is part of every JDK", e);
    }
  }

  /** Wipes it. */
  @Override
  public void close() {
    Arrays.fill(chars, '\0');
  }

  @Override
  public String toString() {
    return "ApiKeySecret[redacted]";
  }
}
