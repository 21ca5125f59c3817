package dev.grep11.client;

import com.google.protobuf.ByteString;
import dev.grep11.proto.AttributeValue;
import dev.grep11.proto.CryptoGrpc;
import dev.grep11.proto.DecryptSingleRequest;
import dev.grep11.proto.DeriveKeyRequest;
import dev.grep11.proto.DigestSingleRequest;
import dev.grep11.proto.EncryptSingleRequest;
import dev.grep11.proto.GenerateKeyPairRequest;
import dev.grep11.proto.GenerateKeyRequest;
import dev.grep11.proto.GenerateRandomRequest;
import dev.grep11.proto.GetAttributeValueRequest;
import dev.grep11.proto.GetMechanismInfoRequest;
import dev.grep11.proto.GetMechanismListRequest;
import dev.grep11.proto.Mechanism;
import dev.grep11.proto.ReencryptSingleRequest;
import dev.grep11.proto.RewrapKeyBlobRequest;
import dev.grep11.proto.SetAttributeValueRequest;
import dev.grep11.proto.SignSingleRequest;
import dev.grep11.proto.UnwrapKeyRequest;
import dev.grep11.proto.UnwrapKeyResponse;
import dev.grep11.proto.VerifySingleRequest;
import dev.grep11.proto.WrapKeyRequest;
import io.grpc.MethodDescriptor;
import java.util.List;
import java.util.Optional;
import java.util.function.BiFunction;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * A call of the gateway, whoever waits for it: {@link Grep11Client} or {@link AsyncGrep11Client}.
 *
 * @param isRepeatable whether its repetition has no effect
 * @param result what the answer means
 * @param refused what a refusal means, where it is a result too
 */
record Call<Q, A, T>(
    MethodDescriptor<Q, A> method,
    Q request,
    boolean isRepeatable,
    Function<A, T> result,
    Function<Grep11Exception, Optional<T>> refused) {

  private static <Q, A, T> Call<Q, A, T> repeatable(
      MethodDescriptor<Q, A> method, Q request, Function<A, T> result) {
    return new Call<>(method, request, true, result, refusal -> Optional.empty());
  }

  private static <Q, A, T> Call<Q, A, T> once(
      MethodDescriptor<Q, A> method, Q request, Function<A, T> result) {
    return new Call<>(method, request, false, result, refusal -> Optional.empty());
  }

  /** With nothing made of the answer: a part of {@link Streams}. */
  static <Q, A> Call<Q, A, A> part(MethodDescriptor<Q, A> method, Q request) {
    return repeatable(method, request, Function.identity());
  }

  static Call<?, ?, byte[]> generateRandom(int length) {
    return repeatable(
        CryptoGrpc.getGenerateRandomMethod(),
        GenerateRandomRequest.newBuilder().setLen(length).build(),
        answer -> answer.getRnd().toByteArray());
  }

  static Call<?, ?, byte[]> digest(Mechanism mechanism, byte[] data) {
    return repeatable(
        CryptoGrpc.getDigestSingleMethod(),
        DigestSingleRequest.newBuilder().setMech(mechanism).setData(bytes(data)).build(),
        answer -> answer.getDigest().toByteArray());
  }

  static Call<?, ?, SecretKeyBlob> generateKey(Mechanism mechanism, Template template) {
    return once(
        CryptoGrpc.getGenerateKeyMethod(),
        GenerateKeyRequest.newBuilder().setMech(mechanism).putAllTemplate(template.toMap()).build(),
        answer -> new SecretKeyBlob(answer.getKeyBytes(), answer.getCheckSum()));
  }

  static Call<?, ?, KeyPair> generateKeyPair(KeyPairTemplate template) {
    return once(
        CryptoGrpc.getGenerateKeyPairMethod(),
        GenerateKeyPairRequest.newBuilder()
            .setMech(template.mechanism())
            .putAllPubKeyTemplate(template.publicKey().toMap())
            .putAllPrivKeyTemplate(template.privateKey().toMap())
            .build(),
        answer ->
            new KeyPair(
                new PublicKeyBlob(answer.getPubKeyBytes(), ByteString.EMPTY),
                new PrivateKeyBlob(answer.getPrivKeyBytes(), ByteString.EMPTY)));
  }

  static Call<?, ?, byte[]> encrypt(Mechanism mechanism, KeyBlob key, byte[] plain) {
    return repeatable(
        CryptoGrpc.getEncryptSingleMethod(),
        EncryptSingleRequest.newBuilder()
            .setMech(mechanism)
            .setKey(key.toMessage())
            .setPlain(bytes(plain))
            .build(),
        answer -> answer.getCiphered().toByteArray());
  }

  static Call<?, ?, byte[]> decrypt(Mechanism mechanism, KeyBlob key, byte[] ciphered) {
    return repeatable(
        CryptoGrpc.getDecryptSingleMethod(),
        DecryptSingleRequest.newBuilder()
            .setMech(mechanism)
            .setKey(key.toMessage())
            .setCiphered(bytes(ciphered))
            .build(),
        answer -> answer.getPlain().toByteArray());
  }

  static Call<?, ?, byte[]> reencrypt(
      Mechanism decryption,
      KeyBlob decryptionKey,
      Mechanism encryption,
      KeyBlob encryptionKey,
      byte[] ciphered) {
    return repeatable(
        CryptoGrpc.getReencryptSingleMethod(),
        ReencryptSingleRequest.newBuilder()
            .setDecMech(decryption)
            .setDecKey(decryptionKey.toMessage())
            .setEncMech(encryption)
            .setEncKey(encryptionKey.toMessage())
            .setCiphered(bytes(ciphered))
            .build(),
        answer -> answer.getReciphered().toByteArray());
  }

  static Call<?, ?, byte[]> sign(Mechanism mechanism, KeyBlob key, byte[] data) {
    return repeatable(
        CryptoGrpc.getSignSingleMethod(),
        SignSingleRequest.newBuilder()
            .setMech(mechanism)
            .setPrivKey(key.toMessage())
            .setData(bytes(data))
            .build(),
        answer -> answer.getSignature().toByteArray());
  }

  static Call<?, ?, Boolean> verify(
      Mechanism mechanism, KeyBlob key, byte[] data, byte[] signature) {
    return new Call<>(
        CryptoGrpc.getVerifySingleMethod(),
        VerifySingleRequest.newBuilder()
            .setMech(mechanism)
            .setPubKey(key.toMessage())
            .setData(bytes(data))
            .setSignature(bytes(signature))
            .build(),
        true,
        answer -> true,
        Call::notGenuine);
  }

  /** The end of a verification in parts. */
  static <Q, A> Call<Q, A, Boolean> verifyFinal(MethodDescriptor<Q, A> method, Q request) {
    return new Call<>(method, request, true, answer -> true, Call::notGenuine);
  }

  /** False where the refusal says that of the signature; others say nothing of it. */
  private static Optional<Boolean> notGenuine(Grep11Exception refusal) {
    return refusal.returnValue() == Ckr.CKR_SIGNATURE_INVALID
            || refusal.returnValue() == Ckr.CKR_SIGNATURE_LEN_RANGE
        ? Optional.of(false)
        : Optional.empty();
  }

  static Call<?, ?, byte[]> wrapKey(Mechanism mechanism, KeyBlob kek, KeyBlob key) {
    return repeatable(
        CryptoGrpc.getWrapKeyMethod(),
        WrapKeyRequest.newBuilder()
            .setMech(mechanism)
            .setKeK(kek.toMessage())
            .setKey(key.toMessage())
            .build(),
        answer -> answer.getWrapped().toByteArray());
  }

  static Call<?, ?, SecretKeyBlob> unwrapKey(
      Mechanism mechanism, KeyBlob kek, byte[] wrapped, Template template) {
    return unwrap(mechanism, kek, wrapped, template, SecretKeyBlob::new);
  }

  static Call<?, ?, PrivateKeyBlob> unwrapPrivateKey(
      Mechanism mechanism, KeyBlob kek, byte[] wrapped, Template template) {
    return unwrap(mechanism, kek, wrapped, template, PrivateKeyBlob::new);
  }

  static Call<?, ?, PublicKeyBlob> importPublicKey(byte[] subjectPublicKeyInfo, Template template) {
    return unwrap(
        Mechanisms.transportKey(), null, subjectPublicKeyInfo, template, PublicKeyBlob::new);
  }

  private static <K extends KeyBlob> Call<UnwrapKeyRequest, UnwrapKeyResponse, K> unwrap(
      Mechanism mechanism,
      @Nullable KeyBlob kek,
      byte[] wrapped,
      Template template,
      BiFunction<ByteString, ByteString, K> blob) {
    var request =
        UnwrapKeyRequest.newBuilder()
            .setMech(mechanism)
            .setWrapped(bytes(wrapped))
            .putAllTemplate(template.toMap());
    if (kek != null) {
      request.setKeK(kek.toMessage());
    }
    return once(
        CryptoGrpc.getUnwrapKeyMethod(),
        request.build(),
        answer -> blob.apply(answer.getUnwrappedBytes(), answer.getCheckSum()));
  }

  static Call<?, ?, SecretKeyBlob> deriveKey(Mechanism mechanism, KeyBlob base, Template template) {
    return once(
        CryptoGrpc.getDeriveKeyMethod(),
        DeriveKeyRequest.newBuilder()
            .setMech(mechanism)
            .setBaseKey(base.toMessage())
            .putAllTemplate(template.toMap())
            .build(),
        answer -> new SecretKeyBlob(answer.getNewKeyBytes(), answer.getCheckSum()));
  }

  static Call<?, ?, Template> attributes(KeyBlob key, long... attributes) {
    var request = GetAttributeValueRequest.newBuilder().setObject(key.wireBytes());
    for (long attribute : attributes) {
      request.putAttributes(attribute, AttributeValue.getDefaultInstance());
    }
    return repeatable(
        CryptoGrpc.getGetAttributeValueMethod(),
        request.build(),
        answer -> Template.of(answer.getAttributesMap()));
  }

  static <K extends KeyBlob> Call<?, ?, K> setAttributes(K key, Template changes) {
    return once(
        CryptoGrpc.getSetAttributeValueMethod(),
        SetAttributeValueRequest.newBuilder()
            .setObject(key.wireBytes())
            .putAllAttributes(changes.toMap())
            .build(),
        answer -> withBytes(key, answer.getObject()));
  }

  static <K extends KeyBlob> Call<?, ?, K> rewrap(K key) {
    return repeatable(
        CryptoGrpc.getRewrapKeyBlobMethod(),
        RewrapKeyBlobRequest.newBuilder().setWrappedKey(key.toMessage()).build(),
        answer -> withBytes(key, answer.getRewrappedKeyBytes()));
  }

  static Call<?, ?, List<Long>> mechanisms() {
    return repeatable(
        CryptoGrpc.getGetMechanismListMethod(),
        GetMechanismListRequest.getDefaultInstance(),
        answer -> List.copyOf(answer.getMechsList()));
  }

  static Call<?, ?, MechanismInfo> mechanismInfo(long mechanism) {
    return repeatable(
        CryptoGrpc.getGetMechanismInfoMethod(),
        GetMechanismInfoRequest.newBuilder().setMech(mechanism).build(),
        answer -> {
          var info = answer.getMechInfo();
          return new MechanismInfo(info.getMinKeySize(), info.getMaxKeySize(), info.getFlags());
        });
  }

  @SuppressWarnings("unchecked") // The permitted classes are final, so K is the class of the case.
  private static <K extends KeyBlob> K withBytes(K key, ByteString bytes) {
    ByteString checkSum = ByteString.copyFrom(key.checkSum());
    if (key instanceof SecretKeyBlob) {
      return (K) new SecretKeyBlob(bytes, checkSum);
    }
    return key instanceof PrivateKeyBlob
        ? (K) new PrivateKeyBlob(bytes, checkSum)
        : (K) new PublicKeyBlob(bytes, checkSum);
  }

  /** A copy: the caller may change the array, or wipe it, while gRPC holds the request. */
  private static ByteString bytes(byte[] data) {
    return ByteString.copyFrom(data);
  }
}
