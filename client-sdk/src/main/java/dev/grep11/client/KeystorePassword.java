package dev.grep11.client;

import com.google.protobuf.ByteString;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.StandardCharsets;

/** The password of a keystore, which no text of this class shows. */
final class KeystorePassword {
  static final KeystorePassword NONE = new KeystorePassword(new char[0]);

  private final byte[] utf8;

  KeystorePassword(char[] password) {
    ByteBuffer encoded = StandardCharsets.UTF_8.encode(CharBuffer.wrap(password));
    utf8 = new byte[encoded.remaining()];
    encoded.get(utf8);
    encoded.clear();
    encoded.put(new byte[encoded.remaining()]);
  }

  ByteString bytes() {
    return ByteString.copyFrom(utf8);
  }

  @Override
  public String toString() {
    return "KeystorePassword";
  }
}
