package dev.grep11.bench;

import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.MessageLite;
import io.grpc.MethodDescriptor;
import java.nio.ByteBuffer;

/**
 * A unary call whose bytes are made once: what is sent again and again differs in nothing but the
 * number of its stream.
 *
 * @param path of the rpc
 * @param body the message behind its length (gRPC over HTTP/2, Length-Prefixed-Message); never
 *     changed
 * @param judge is given messages of sampled answers
 */
record PreparedCall(String path, byte[] body, Judge judge) {
  static final int PREFIX = 5;

  /** Decides whether an answer is right; on no event loop. */
  @FunctionalInterface
  interface Judge {
    boolean isRight(byte[] message) throws InvalidProtocolBufferException;
  }

  /**
   * @throws BenchException when the answer is wrong
   */
  void judgeAnswer(byte[] message) {
    try {
      if (!judge.isRight(message)) {
        throw new BenchException("a wrong answer to " + path);
      }
    } catch (InvalidProtocolBufferException e) {
      throw new BenchException("an answer to " + path + " that cannot be read", e);
    }
  }

  static <Q extends MessageLite> PreparedCall of(
      MethodDescriptor<Q, ?> method, Q request, Judge judge) {
    byte[] message = request.toByteArray();
    var body = ByteBuffer.allocate(PREFIX + message.length);
    // Not compressed (gRPC over HTTP/2, Compressed-Flag).
    body.put((byte) 0).putInt(message.length).put(message);
    return new PreparedCall("/" + method.getFullMethodName(), body.array(), judge);
  }
}
