package dev.grep11.client;

import com.google.protobuf.ByteString;

/** A sealed secret key; see {@link KeyBlob}. */
public final class SecretKeyBlob extends KeyBlob {
  public SecretKeyBlob(byte[] bytes) {
    this(ByteString.copyFrom(bytes), ByteString.EMPTY);
  }

  SecretKeyBlob(ByteString bytes, ByteString checkSum) {
    super(bytes, checkSum);
  }
}
