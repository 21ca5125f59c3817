package dev.grep11.client;

import com.google.protobuf.ByteString;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.DecryptFinalRequest;
import dev.grep11.proto.DecryptFinalResponse;
import dev.grep11.proto.DecryptInitRequest;
import dev.grep11.proto.DecryptInitResponse;
import dev.grep11.proto.DecryptUpdateRequest;
import dev.grep11.proto.DecryptUpdateResponse;
import dev.grep11.proto.DigestFinalRequest;
import dev.grep11.proto.DigestFinalResponse;
import dev.grep11.proto.DigestInitRequest;
import dev.grep11.proto.DigestInitResponse;
import dev.grep11.proto.DigestUpdateRequest;
import dev.grep11.proto.DigestUpdateResponse;
import dev.grep11.proto.EncryptFinalRequest;
import dev.grep11.proto.EncryptFinalResponse;
import dev.grep11.proto.EncryptInitRequest;
import dev.grep11.proto.EncryptInitResponse;
import dev.grep11.proto.EncryptUpdateRequest;
import dev.grep11.proto.EncryptUpdateResponse;
import dev.grep11.proto.SignFinalRequest;
import dev.grep11.proto.SignFinalResponse;
import dev.grep11.proto.SignInitRequest;
import dev.grep11.proto.SignInitResponse;
import dev.grep11.proto.SignUpdateRequest;
import dev.grep11.proto.SignUpdateResponse;
import dev.grep11.proto.VerifyFinalRequest;
import dev.grep11.proto.VerifyFinalResponse;
import dev.grep11.proto.VerifyInitRequest;
import dev.grep11.proto.VerifyInitResponse;
import dev.grep11.proto.VerifyUpdateRequest;
import dev.grep11.proto.VerifyUpdateResponse;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.nio.ByteBuffer;
import java.util.concurrent.atomic.AtomicLong;
import org.bouncycastle.crypto.digests.SHA256Digest;

/**
 * Multi-part calls over states that the client holds, without a key: a digest is SHA-256, a
 * signature the digest, a ciphertext the plaintext xored with the low byte of its position.
 */
abstract class SoftwareParts extends CryptoGrpc.CryptoImplBase {
  /** Bytes of all parts taken so far. */
  final AtomicLong absorbed = new AtomicLong();

  @Override
  public void digestInit(DigestInitRequest request, StreamObserver<DigestInitResponse> observer) {
    answer(observer, DigestInitResponse.newBuilder().setState(state(new SHA256Digest())).build());
  }

  @Override
  public void digestUpdate(
      DigestUpdateRequest request, StreamObserver<DigestUpdateResponse> observer) {
    answer(
        observer,
        DigestUpdateResponse.newBuilder()
            .setState(hashed(request.getState(), request.getData()))
            .build());
  }

  @Override
  public void digestFinal(
      DigestFinalRequest request, StreamObserver<DigestFinalResponse> observer) {
    answer(observer, DigestFinalResponse.newBuilder().setDigest(hash(request.getState())).build());
  }

  @Override
  public void signInit(SignInitRequest request, StreamObserver<SignInitResponse> observer) {
    answer(observer, SignInitResponse.newBuilder().setState(state(new SHA256Digest())).build());
  }

  @Override
  public void signUpdate(SignUpdateRequest request, StreamObserver<SignUpdateResponse> observer) {
    answer(
        observer,
        SignUpdateResponse.newBuilder()
            .setState(hashed(request.getState(), request.getData()))
            .build());
  }

  @Override
  public void signFinal(SignFinalRequest request, StreamObserver<SignFinalResponse> observer) {
    answer(observer, SignFinalResponse.newBuilder().setSignature(hash(request.getState())).build());
  }

  @Override
  public void verifyInit(VerifyInitRequest request, StreamObserver<VerifyInitResponse> observer) {
    answer(observer, VerifyInitResponse.newBuilder().setState(state(new SHA256Digest())).build());
  }

  @Override
  public void verifyUpdate(
      VerifyUpdateRequest request, StreamObserver<VerifyUpdateResponse> observer) {
    answer(
        observer,
        VerifyUpdateResponse.newBuilder()
            .setState(hashed(request.getState(), request.getData()))
            .build());
  }

  @Override
  public void verifyFinal(
      VerifyFinalRequest request, StreamObserver<VerifyFinalResponse> observer) {
    if (hash(request.getState()).equals(request.getSignature())) {
      answer(observer, VerifyFinalResponse.getDefaultInstance());
    } else {
      observer.onError(
          FakeGateway.refusal(Status.Code.UNKNOWN, Ckr.CKR_SIGNATURE_INVALID, "signature", false));
    }
  }

  @Override
  public void encryptInit(
      EncryptInitRequest request, StreamObserver<EncryptInitResponse> observer) {
    answer(observer, EncryptInitResponse.newBuilder().setState(position(0)).build());
  }

  @Override
  public void encryptUpdate(
      EncryptUpdateRequest request, StreamObserver<EncryptUpdateResponse> observer) {
    answer(
        observer,
        EncryptUpdateResponse.newBuilder()
            .setState(after(request.getState(), request.getPlain()))
            .setCiphered(xored(request.getState(), request.getPlain()))
            .build());
  }

  @Override
  public void encryptFinal(
      EncryptFinalRequest request, StreamObserver<EncryptFinalResponse> observer) {
    answer(observer, EncryptFinalResponse.getDefaultInstance());
  }

  @Override
  public void decryptInit(
      DecryptInitRequest request, StreamObserver<DecryptInitResponse> observer) {
    answer(observer, DecryptInitResponse.newBuilder().setState(position(0)).build());
  }

  @Override
  public void decryptUpdate(
      DecryptUpdateRequest request, StreamObserver<DecryptUpdateResponse> observer) {
    answer(
        observer,
        DecryptUpdateResponse.newBuilder()
            .setState(after(request.getState(), request.getCiphered()))
            .setPlain(xored(request.getState(), request.getCiphered()))
            .build());
  }

  @Override
  public void decryptFinal(
      DecryptFinalRequest request, StreamObserver<DecryptFinalResponse> observer) {
    answer(observer, DecryptFinalResponse.getDefaultInstance());
  }

  private ByteString hashed(ByteString state, ByteString data) {
    absorbed.addAndGet(data.size());
    var digest = new SHA256Digest(state.toByteArray());
    digest.update(data.toByteArray(), 0, data.size());
    return state(digest);
  }

  private static ByteString state(SHA256Digest digest) {
    return ByteString.copyFrom(digest.getEncodedState());
  }

  private static ByteString hash(ByteString state) {
    var digest = new SHA256Digest(state.toByteArray());
    var hash = new byte[digest.getDigestSize()];
    digest.doFinal(hash, 0);
    return ByteString.copyFrom(hash);
  }

  private static ByteString position(long position) {
    return ByteString.copyFrom(ByteBuffer.allocate(Long.BYTES).putLong(0, position));
  }

  private ByteString after(ByteString state, ByteString data) {
    absorbed.addAndGet(data.size());
    return position(state.asReadOnlyByteBuffer().getLong() + data.size());
  }

  private static ByteString xored(ByteString state, ByteString data) {
    long position = state.asReadOnlyByteBuffer().getLong();
    var bytes = data.toByteArray();
    for (int i = 0; i < bytes.length; i++) {
      bytes[i] ^= (byte) (position + i);
    }
    return ByteString.copyFrom(bytes);
  }

  static <A> void answer(StreamObserver<A> observer, A message) {
    observer.onNext(message);
    observer.onCompleted();
  }
}
