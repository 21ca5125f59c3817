package dev.grep11.gateway.store;

import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.security.GeneralSecurityException;
import java.util.Arrays;
import javax.crypto.Cipher;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/**
 * The body of a backup: chunks of AES-256-GCM under a key that no other body has, so that their
 * number can be the nonce (NIST SP 800-38D, 8.2.1). The nonce also says which is the last, so none
 * can be moved, left out or cut off, and the end comes only where it was written. Memory for one
 * chunk at a time, however long the body. Not safe for use by several threads.
 */
final class BackupChunks {
  static final int KEY_LENGTH = 32;
  private static final int CHUNK = 1 << 16;
  private static final int TAG_LENGTH = 16;

  private BackupChunks() {}

  private static byte[] crypt(
      int mode, SecretKeySpec key, long number, boolean last, byte[] input, int length) {
    byte[] nonce = ByteBuffer.allocate(12).putInt(last ? 1 : 0).putLong(number).array();
    try {
      Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
      cipher.init(mode, key, new GCMParameterSpec(TAG_LENGTH * Byte.SIZE, nonce));
      return cipher.doFinal(input, 0, length);
    } catch (GeneralSecurityException e) {
      throw new StoreTamperedException("the body of the backup was changed", e);
    }
  }

  /** Seals what is written to it; closing writes the last chunk and leaves the stream open. */
  static final class Sealing extends OutputStream {
    private final DataOutputStream out;
    private final SecretKeySpec key;
    private final byte[] chunk = new byte[CHUNK];
    private int length;
    private long number;
    private boolean ended;

    Sealing(OutputStream out, byte[] key) {
      this.out = new DataOutputStream(out);
      this.key = new SecretKeySpec(key, "AES");
    }

    @Override
    public void write(int value) throws IOException {
      write(new byte[] {(byte) value}, 0, 1);
    }

    @Override
    public void write(byte[] bytes, int offset, int count) throws IOException {
      int from = offset;
      int left = count;
      while (left > 0) {
        if (length == CHUNK) {
          flushChunk(false);
        }
        int part = Math.min(left, CHUNK - length);
        System.arraycopy(bytes, from, chunk, length, part);
        length += part;
        from += part;
        left -= part;
      }
    }

    private void flushChunk(boolean last) throws IOException {
      Fields.blob(out, crypt(Cipher.ENCRYPT_MODE, key, number++, last, chunk, length));
      length = 0;
    }

    @Override
    public void close() throws IOException {
      if (!ended) {
        ended = true;
        flushChunk(true);
        out.flush();
        Arrays.fill(chunk, (byte) 0);
      }
    }
  }

  /**
   * Opens what {@link Sealing} wrote.
   *
   * <p>Which chunk is the last shows when it opens as that one; nothing may follow it.
   */
  static final class Opening extends InputStream {
    private final DataInputStream in;
    private final SecretKeySpec key;
    private byte[] chunk = new byte[0];
    private int position;
    private long number;
    private boolean last;

    Opening(InputStream in, byte[] key) {
      this.in = new DataInputStream(in);
      this.key = new SecretKeySpec(key, "AES");
    }

    @Override
    public int read() throws IOException {
      return ahead() ? chunk[position++] & 0xff : -1;
    }

    @Override
    public int read(byte[] bytes, int offset, int count) throws IOException {
      if (count == 0) {
        return 0;
      }
      if (!ahead()) {
        return -1;
      }
      int part = Math.min(count, chunk.length - position);
      System.arraycopy(chunk, position, bytes, offset, part);
      position += part;
      return part;
    }

    private boolean ahead() throws IOException {
      while (position == chunk.length) {
        if (last) {
          return false;
        }
        byte[] sealed = sealed();
        // Only a full chunk can be followed by another; and one may be full and the last.
        last = isLast();
        chunk = crypt(Cipher.DECRYPT_MODE, key, number++, last, sealed, sealed.length);
        position = 0;
      }
      return true;
    }

    private byte[] sealed() throws IOException {
      int length = in.readInt();
      if (length < TAG_LENGTH || length > CHUNK + TAG_LENGTH) {
        throw new IOException("a chunk of " + length + " bytes");
      }
      byte[] sealed = in.readNBytes(length);
      if (sealed.length < length) {
        throw new EOFException("a chunk is cut short");
      }
      return sealed;
    }

    /** Whether nothing follows; what was cut off then does not open as the last. */
    private boolean isLast() throws IOException {
      in.mark(1);
      if (in.read() < 0) {
        return true;
      }
      in.reset();
      return false;
    }
  }
}
