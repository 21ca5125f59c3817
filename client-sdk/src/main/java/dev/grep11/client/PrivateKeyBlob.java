package dev.grep11.client;

import com.google.protobuf.ByteString;

/** A sealed private key; see {@link KeyBlob}. */
public final class PrivateKeyBlob extends KeyBlob {
  public PrivateKeyBlob(byte[] bytes) {
    this(ByteString.copyFrom(bytes), ByteString.EMPTY);
  }

  PrivateKeyBlob(ByteString bytes, ByteString checkSum) {
    super(bytes, checkSum);
  }
}
