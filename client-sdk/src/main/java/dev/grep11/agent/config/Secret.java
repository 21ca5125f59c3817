package dev.grep11.agent.config;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;

/** A text that is shown nowhere. */
public final class Secret {
  private final String value;

  public Secret(String value) {
    this.value = value;
  }

  /** A copy, for the caller to wipe. */
  public char[] chars() {
    return value.toCharArray();
  }

  /** In characters, as a gateway counts them. */
  int length() {
    return value.codePointCount(0, value.length());
  }

  /** Whether the bytes are this text in UTF-8, in a time that does not tell where they differ. */
  public boolean is(byte[] utf8) {
    return MessageDigest.isEqual(value.getBytes(StandardCharsets.UTF_8), utf8);
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Secret secret && is(secret.value.getBytes(StandardCharsets.UTF_8));
  }

  @Override
  public int hashCode() {
    return value.hashCode();
  }

  @Override
  public String toString() {
    return "***";
  }
}
