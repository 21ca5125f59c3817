package dev.grep11.gateway.certmgr;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.security.SecureRandom;
import java.util.Arrays;
import java.util.Base64;

/** A one-time code in clear, to be shown once and wiped. */
public final class InvitationCode implements AutoCloseable {
  private static final String PREFIX = "g11i_";
  private static final int BYTES = 32;

  private final char[] chars;

  private InvitationCode(char[] chars) {
    this.chars = chars;
  }

  /** 256 random bits. */
  public static InvitationCode random() {
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
    return new InvitationCode(chars);
  }

  /** The code itself; the array is this object's own, which {@link #close} wipes. */
  public char[] chars() {
    return chars;
  }

  /** SHA-256, which is enough: the code has 256 random bits. */
  public byte[] hash() {
    return hash(new String(chars));
  }

  /** SHA-256 of a code as an administrator sends it. */
  static byte[] hash(String code) {
    return AdministratorKey.fingerprint(code.getBytes(UTF_8));
  }

  /** Wipes it. */
  @Override
  public void close() {
    Arrays.fill(chars, '\0');
  }

  @Override
  public String toString() {
    return "InvitationCode[redacted]";
  }
}
