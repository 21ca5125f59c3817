package dev.grep11.client;

import com.google.protobuf.ByteString;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.DecryptFinalRequest;
import dev.grep11.proto.DecryptInitRequest;
import dev.grep11.proto.DecryptUpdateRequest;
import dev.grep11.proto.DigestFinalRequest;
import dev.grep11.proto.DigestInitRequest;
import dev.grep11.proto.DigestUpdateRequest;
import dev.grep11.proto.EncryptFinalRequest;
import dev.grep11.proto.EncryptInitRequest;
import dev.grep11.proto.EncryptUpdateRequest;
import dev.grep11.proto.Mechanism;
import dev.grep11.proto.SignFinalRequest;
import dev.grep11.proto.SignInitRequest;
import dev.grep11.proto.SignUpdateRequest;
import dev.grep11.proto.VerifyFinalRequest;
import dev.grep11.proto.VerifyInitRequest;
import dev.grep11.proto.VerifyUpdateRequest;
import io.grpc.MethodDescriptor;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;

/**
 * Data of any length, in parts: files and streams that are too long for one call, or that nobody
 * wants to hold in memory. {@link Grep11Client#streams()} gives one.
 *
 * <pre>{@code
 * var streams = client.streams().onProgress(bytes -> System.out.printf("%d MiB%n", bytes >> 20));
 * var mechanism = Mechanisms.aesCbcPad(client.generateRandom(16));
 * try (var in = Files.newInputStream(plain);
 *     var out = Files.newOutputStream(ciphered)) {
 *   streams.encrypt(mechanism, key, in, out);
 * }
 * byte[] signature = streams.sign(Mechanisms.ecdsaSha256(), pair.privateKey(), ciphered);
 * }</pre>
 *
 * <p>The same as a program that is compiled and run by the tests: {@code StreamsExample}.
 *
 * <p><b>Memory.</b> One part ({@value #PART_BYTES} bytes unless {@link #inPartsOf} says otherwise)
 * and its answer, however long the stream.
 *
 * <p><b>Retry.</b> The gateway keeps nothing between two parts: each answer carries the sealed
 * state from which the next part goes on. So a part is repeated as any repeatable call of {@link
 * Grep11Client}, from the last state, and any replica of the client's address list may take it. The
 * deadline holds for each part, not for the stream.
 *
 * <p><b>Mechanisms.</b> Digests; signatures with a hash ({@link Mechanisms#ecdsaSha256()}, {@link
 * Mechanisms#rsaPss(Hash)}); AES and DES3 in ECB, CBC, CBC_PAD, and CTR where the policy is not
 * {@code strict}. HMAC and CMAC wait in the state and take 4 KiB in parts (a setting of the
 * gateway); beyond it, and for whatever works in one part only, the gateway refuses with the
 * reason, and {@link Grep11Client} has the call for one part. AES-GCM is refused here.
 *
 * <p>Methods throw {@link Grep11Exception} when a part is refused, and what the streams throw. They
 * close no stream. Immutable; safe for use by several threads.
 */
public final class Streams {
  /**
   * Bytes of one part. Larger ones are no faster and cost memory at both ends; each smaller one
   * pays for the opening and sealing of the state: measured in {@code docs/state-blob.md}.
   */
  public static final int PART_BYTES = 256 << 10;

  private static final int MAX_PART_BYTES = 32 << 20;

  /** Told after every part, on the calling thread. */
  @FunctionalInterface
  public interface Progress {
    /**
     * A part was taken.
     *
     * @param bytes of the input done so far
     */
    void done(long bytes);
  }

  private final Grep11Client client;
  private final Progress progress;
  private final int partBytes;

  Streams(Grep11Client client) {
    this(client, bytes -> {}, PART_BYTES);
  }

  private Streams(Grep11Client client, Progress progress, int partBytes) {
    this.client = client;
    this.progress = progress;
    this.partBytes = partBytes;
  }

  /** The same, with somebody who wants to know how far it is. */
  public Streams onProgress(Progress listener) {
    return new Streams(client, listener, partBytes);
  }

  /**
   * The same, with parts of another size.
   *
   * @param bytes 1 to 32 MiB; a message of the gateway holds 64 MiB
   */
  public Streams inPartsOf(int bytes) {
    if (bytes < 1 || bytes > MAX_PART_BYTES) {
      throw new IllegalArgumentException("parts of " + bytes + " bytes; 1 to 32 MiB expected");
    }
    return new Streams(client, progress, bytes);
  }

  /** The hash of everything that {@code in} gives. */
  public byte[] digest(Mechanism mechanism, InputStream in) throws IOException {
    var init = DigestInitRequest.newBuilder().setMech(mechanism).build();
    var state =
        inParts(
            part(CryptoGrpc.getDigestInitMethod(), init).getState(),
            in,
            (before, part) ->
                part(
                        CryptoGrpc.getDigestUpdateMethod(),
                        DigestUpdateRequest.newBuilder().setState(before).setData(part).build())
                    .getState());
    var request = DigestFinalRequest.newBuilder().setState(state).build();
    return part(CryptoGrpc.getDigestFinalMethod(), request).getDigest().toByteArray();
  }

  /**
   * Encrypts everything that {@code in} gives.
   *
   * @return bytes written to {@code out}
   * @throws IllegalArgumentException for AES-GCM
   */
  public long encrypt(Mechanism mechanism, KeyBlob key, InputStream in, OutputStream out)
      throws IOException {
    requireNotGcm(mechanism, "encrypt");
    var init = EncryptInitRequest.newBuilder().setMech(mechanism).setKey(key.toMessage()).build();
    var sink = new Sink(out);
    var state =
        inParts(
            part(CryptoGrpc.getEncryptInitMethod(), init).getState(),
            in,
            (before, part) -> {
              var answer =
                  part(
                      CryptoGrpc.getEncryptUpdateMethod(),
                      EncryptUpdateRequest.newBuilder().setState(before).setPlain(part).build());
              sink.write(answer.getCiphered());
              return answer.getState();
            });
    var request = EncryptFinalRequest.newBuilder().setState(state).build();
    sink.write(part(CryptoGrpc.getEncryptFinalMethod(), request).getCiphered());
    return sink.written;
  }

  /**
   * Decrypts everything that {@code in} gives.
   *
   * <p><b>What is written before this returns is not to be trusted, and what is written when it
   * throws is to be thrown away.</b> Clear text leaves part by part; wrong padding or a length that
   * is no whole block shows at the end only, when all but the last part has been written. And CBC,
   * ECB and CTR authenticate nothing: a ciphertext that was altered decrypts to altered clear text,
   * most often without any error. Where somebody else can write the ciphertext, verify a signature
   * or a MAC over it first ({@link #verify}), or use AES-GCM by {@link Grep11Client#decrypt}.
   *
   * @return bytes written to {@code out}
   * @throws IllegalArgumentException for AES-GCM
   */
  public long decrypt(Mechanism mechanism, KeyBlob key, InputStream in, OutputStream out)
      throws IOException {
    requireNotGcm(mechanism, "decrypt");
    var init = DecryptInitRequest.newBuilder().setMech(mechanism).setKey(key.toMessage()).build();
    var sink = new Sink(out);
    var state =
        inParts(
            part(CryptoGrpc.getDecryptInitMethod(), init).getState(),
            in,
            (before, part) -> {
              var answer =
                  part(
                      CryptoGrpc.getDecryptUpdateMethod(),
                      DecryptUpdateRequest.newBuilder().setState(before).setCiphered(part).build());
              sink.write(answer.getPlain());
              return answer.getState();
            });
    var request = DecryptFinalRequest.newBuilder().setState(state).build();
    sink.write(part(CryptoGrpc.getDecryptFinalMethod(), request).getPlain());
    return sink.written;
  }

  /** Signs the content of a file, by a private key, or by a secret one (HMAC, CMAC). */
  public byte[] sign(Mechanism mechanism, KeyBlob key, Path file) throws IOException {
    try (var in = Files.newInputStream(file)) {
      return sign(mechanism, key, in);
    }
  }

  /** As {@link #sign(Mechanism, KeyBlob, Path)}, of everything that {@code in} gives. */
  public byte[] sign(Mechanism mechanism, KeyBlob key, InputStream in) throws IOException {
    var init = SignInitRequest.newBuilder().setMech(mechanism).setPrivKey(key.toMessage()).build();
    var state =
        inParts(
            part(CryptoGrpc.getSignInitMethod(), init).getState(),
            in,
            (before, part) ->
                part(
                        CryptoGrpc.getSignUpdateMethod(),
                        SignUpdateRequest.newBuilder().setState(before).setData(part).build())
                    .getState());
    var request = SignFinalRequest.newBuilder().setState(state).build();
    return part(CryptoGrpc.getSignFinalMethod(), request).getSignature().toByteArray();
  }

  /**
   * Whether the signature is genuine for the content of a file; false and exceptions as in {@link
   * Grep11Client#verify}.
   */
  public boolean verify(Mechanism mechanism, KeyBlob key, Path file, byte[] signature)
      throws IOException {
    try (var in = Files.newInputStream(file)) {
      return verify(mechanism, key, in, signature);
    }
  }

  /** As {@link #verify(Mechanism, KeyBlob, Path, byte[])}, for everything that {@code in} gives. */
  public boolean verify(Mechanism mechanism, KeyBlob key, InputStream in, byte[] signature)
      throws IOException {
    var init = VerifyInitRequest.newBuilder().setMech(mechanism).setPubKey(key.toMessage()).build();
    var state =
        inParts(
            part(CryptoGrpc.getVerifyInitMethod(), init).getState(),
            in,
            (before, part) ->
                part(
                        CryptoGrpc.getVerifyUpdateMethod(),
                        VerifyUpdateRequest.newBuilder().setState(before).setData(part).build())
                    .getState());
    var request =
        VerifyFinalRequest.newBuilder()
            .setState(state)
            .setSignature(ByteString.copyFrom(signature))
            .build();
    return client.run(Call.verifyFinal(CryptoGrpc.getVerifyFinalMethod(), request));
  }

  private <Q, A> A part(MethodDescriptor<Q, A> method, Q request) {
    return client.run(Call.part(method, request));
  }

  /** One Update: a part goes in, the next state comes out. */
  private interface Update {
    ByteString take(ByteString before, ByteString part) throws IOException;
  }

  /** The state after everything that {@code in} gives, part by part. */
  private ByteString inParts(ByteString first, InputStream in, Update update) throws IOException {
    var buffer = new byte[partBytes];
    try {
      var state = first;
      long done = 0;
      for (int length = read(in, buffer); length > 0; length = read(in, buffer)) {
        // A copy: grpc may still hold a request whose call is over.
        state = update.take(state, ByteString.copyFrom(buffer, 0, length));
        done += length;
        progress.done(done);
      }
      return state;
    } finally {
      Arrays.fill(buffer, (byte) 0);
    }
  }

  /** Fills the buffer, but for the last time. */
  private static int read(InputStream in, byte[] buffer) throws IOException {
    return in.readNBytes(buffer, 0, buffer.length);
  }

  /** Its output in parts would be unauthenticated until the end, so the gateway holds it back. */
  private static void requireNotGcm(Mechanism mechanism, String call) {
    if (mechanism.getMechanism() == Ckm.CKM_AES_GCM) {
      throw new IllegalArgumentException(
          "AES-GCM takes no more than 4 KiB in parts; use Grep11Client."
              + call
              + "(Mechanism, KeyBlob, byte[]), which takes up to 64 MiB in one call");
    }
  }

  private static final class Sink {
    private final OutputStream out;
    private long written;

    Sink(OutputStream out) {
      this.out = out;
    }

    void write(ByteString output) throws IOException {
      output.writeTo(out);
      written += output.size();
    }
  }
}
