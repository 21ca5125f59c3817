package dev.grep11.bench;

import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.MessageLite;
import io.grpc.MethodDescriptor;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;

/**
 * A unary call whose bytes are made once: what is sent again and again differs in nothing but the
 * number of its stream.
 *
 * @param path of the rpc
 * @param body the message behind its length (gRPC over HTTP/2, Length-Prefixed-Message); direct,
 *     and never changed
 * @param judge is given messages of sampled answers
 */
record PreparedCall(String path, ByteBuf body, Judge judge) {
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
    int length = request.getSerializedSize();
    var body = Unpooled.directBuffer(PREFIX + length, PREFIX + length);
    body.writeByte(0).writeInt(length).writeBytes(request.toByteArray());
    return new PreparedCall("/" + method.getFullMethodName(), body.asReadOnly(), judge);
  }
}
