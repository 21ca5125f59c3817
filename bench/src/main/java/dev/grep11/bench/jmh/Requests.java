package dev.grep11.bench.jmh;

import com.google.protobuf.ByteString;
import dev.grep11.proto.AESGCMParm;
import dev.grep11.proto.EncryptSingleRequest;
import dev.grep11.proto.Mechanism;
import dev.grep11.proto.SignSingleRequest;
import io.grpc.internal.CompositeReadableBuffer;
import io.grpc.internal.ReadableBuffers;
import java.io.InputStream;
import java.nio.ByteBuffer;

/** Requests as clients send them, in the pieces in which the transport has them. */
final class Requests {
  /** Of an HTTP/2 DATA frame. */
  private static final int FRAME = 16 << 10;

  /** As long as that of a P-256 key. */
  private static final ByteString BLOB = ByteString.copyFrom(new byte[420]);

  private Requests() {}

  static byte[] signSingle() {
    return SignSingleRequest.newBuilder()
        .setMech(Mechanism.newBuilder().setMechanism(0x1041))
        .setPrivKeyBytes(BLOB)
        .setData(ByteString.copyFrom(new byte[32]))
        .build()
        .toByteArray();
  }

  static byte[] encryptSingle(int length) {
    return EncryptSingleRequest.newBuilder()
        .setMech(
            Mechanism.newBuilder()
                .setMechanism(0x1087)
                .setAESGCMParameter(AESGCMParm.newBuilder().setTagBits(128)))
        .setKeyBytes(BLOB)
        .setPlain(ByteString.copyFrom(new byte[length]))
        .build()
        .toByteArray();
  }

  /** Outside the heap, for {@link #stream}. */
  static ByteBuffer direct(byte[] message) {
    return ByteBuffer.allocateDirect(message.length).put(message).flip();
  }

  /** grpc's own stream over frames; it is made anew for each call, by the transport too. */
  static InputStream stream(ByteBuffer message) {
    var frames = new CompositeReadableBuffer();
    for (int at = 0; at < message.limit(); at += FRAME) {
      frames.addBuffer(
          ReadableBuffers.wrap(message.slice(at, Math.min(FRAME, message.limit() - at))));
    }
    return ReadableBuffers.openStream(frames, true);
  }
}
