package dev.grep11.bench.vectors;

import static dev.grep11.client.Cka.CKA_CLASS;
import static dev.grep11.client.Cka.CKA_DECRYPT;
import static dev.grep11.client.Cka.CKA_ENCRYPT;
import static dev.grep11.client.Cka.CKA_EXTRACTABLE;
import static dev.grep11.client.Cka.CKA_KEY_TYPE;
import static dev.grep11.client.Cka.CKA_UNWRAP;
import static dev.grep11.client.Cka.CKA_VERIFY;
import static dev.grep11.client.Cka.CKA_WRAP;
import static dev.grep11.client.Cko.CKO_PRIVATE_KEY;
import static dev.grep11.client.Cko.CKO_SECRET_KEY;

import com.google.protobuf.ByteString;
import dev.grep11.client.Grep11Client;
import dev.grep11.client.Grep11Exception;
import dev.grep11.client.KeyBlob;
import dev.grep11.client.Mechanisms;
import dev.grep11.client.PrivateKeyBlob;
import dev.grep11.client.PublicKeyBlob;
import dev.grep11.client.SecretKeyBlob;
import dev.grep11.client.Template;
import dev.grep11.client.Templates;
import dev.grep11.proto.DecryptFinalRequest;
import dev.grep11.proto.DecryptInitRequest;
import dev.grep11.proto.DecryptUpdateRequest;
import dev.grep11.proto.EncryptFinalRequest;
import dev.grep11.proto.EncryptInitRequest;
import dev.grep11.proto.EncryptUpdateRequest;
import dev.grep11.proto.Mechanism;
import dev.grep11.proto.SignFinalRequest;
import dev.grep11.proto.SignInitRequest;
import dev.grep11.proto.SignUpdateRequest;
import io.grpc.StatusRuntimeException;
import java.util.Arrays;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Supplier;

/**
 * The gateway as a client meets it, with a transport key of the client's own. A key is imported
 * once, whichever cases use it. Any thread.
 */
final class Peer {
  private static final byte[] NO_IV = new byte[16];

  private final Grep11Client client;
  private final Set<Long> offered;
  private final SecretKeyBlob transport;
  private final Map<Object, KeyBlob> imported = new ConcurrentHashMap<>();

  private record Import(long keyType, String value, Template template) {}

  Peer(Grep11Client client) {
    this.client = client;
    offered = Set.copyOf(client.mechanisms());
    transport =
        client.generateKey(
            Mechanisms.aesKeyGen(),
            Templates.aesWrapping(256).with(CKA_ENCRYPT, true).with(CKA_DECRYPT, true));
  }

  Grep11Client client() {
    return client;
  }

  boolean offers(long mechanism) {
    return offered.contains(mechanism);
  }

  // ---- Keys

  /** A secret key of this value with these rights, by UnwrapKey under AES_CBC_PAD. */
  SecretKeyBlob secret(long keyType, byte[] value, long... rights) {
    var template = rights(CKO_SECRET_KEY, keyType, rights);
    return (SecretKeyBlob)
        once(
            new Import(keyType, hex(value), template),
            () -> client.unwrapKey(transportMechanism(), transport, sealed(value), template));
  }

  /** A private key from PKCS #8, in the same way. */
  PrivateKeyBlob privateKey(long keyType, byte[] pkcs8, long... rights) {
    var template = rights(CKO_PRIVATE_KEY, keyType, rights);
    return (PrivateKeyBlob)
        once(
            new Import(keyType, hex(pkcs8), template),
            () ->
                client.unwrapPrivateKey(transportMechanism(), transport, sealed(pkcs8), template));
  }

  /** A public key that verifies, by IBM_TRANSPORTKEY. */
  PublicKeyBlob publicKey(byte[] subjectPublicKeyInfo) {
    var template = Template.empty().with(CKA_VERIFY, true);
    return (PublicKeyBlob)
        once(
            new Import(0, hex(subjectPublicKeyInfo), template),
            () -> client.importPublicKey(subjectPublicKeyInfo, template));
  }

  /** The value of an extractable secret key: wrapped, and then decrypted as data. */
  byte[] value(KeyBlob key) {
    return client.decrypt(
        transportMechanism(), transport, client.wrapKey(transportMechanism(), transport, key));
  }

  private KeyBlob once(Import key, Supplier<KeyBlob> importing) {
    // A refusal is not kept: it rises anew for each case, and each case is told why.
    return imported.computeIfAbsent(key, _ -> importing.get());
  }

  private byte[] sealed(byte[] value) {
    return client.encrypt(transportMechanism(), transport, value);
  }

  private static Mechanism transportMechanism() {
    return Mechanisms.aesCbcPad(NO_IV);
  }

  private static Template rights(long objectClass, long keyType, long... rights) {
    var template = Template.empty().with(CKA_CLASS, objectClass).with(CKA_KEY_TYPE, keyType);
    for (long usage : new long[] {CKA_ENCRYPT, CKA_DECRYPT, CKA_WRAP, CKA_UNWRAP}) {
      if (objectClass == CKO_SECRET_KEY) {
        template = template.with(usage, false);
      }
    }
    template = template.with(CKA_EXTRACTABLE, false);
    for (long right : rights) {
      template = template.with(right, true);
    }
    return template;
  }

  private static String hex(byte[] bytes) {
    return java.util.HexFormat.of().formatHex(bytes);
  }

  // ---- Operations in parts, split in two

  byte[] signInParts(Mechanism mechanism, KeyBlob key, byte[] data) {
    return inParts(() -> {
      var stub = client.stub();
      var state =
          stub.signInit(
                  SignInitRequest.newBuilder()
                      .setMech(mechanism)
                      .setPrivKey(key.toMessage())
                      .build())
              .getState();
      for (var part : halves(data)) {
        state =
            stub.signUpdate(SignUpdateRequest.newBuilder().setState(state).setData(part).build())
                .getState();
      }
      return stub.signFinal(SignFinalRequest.newBuilder().setState(state).build()).getSignature();
    });
  }

  byte[] encryptInParts(Mechanism mechanism, KeyBlob key, byte[] plain) {
    return inParts(() -> {
      var stub = client.stub();
      var state =
          stub.encryptInit(
                  EncryptInitRequest.newBuilder()
                      .setMech(mechanism)
                      .setKey(key.toMessage())
                      .build())
              .getState();
      var ciphered = ByteString.EMPTY;
      for (var part : halves(plain)) {
        var answer =
            stub.encryptUpdate(
                EncryptUpdateRequest.newBuilder().setState(state).setPlain(part).build());
        state = answer.getState();
        ciphered = ciphered.concat(answer.getCiphered());
      }
      return ciphered.concat(
          stub.encryptFinal(EncryptFinalRequest.newBuilder().setState(state).build())
              .getCiphered());
    });
  }

  byte[] decryptInParts(Mechanism mechanism, KeyBlob key, byte[] ciphered) {
    return inParts(() -> {
      var stub = client.stub();
      var state =
          stub.decryptInit(
                  DecryptInitRequest.newBuilder()
                      .setMech(mechanism)
                      .setKey(key.toMessage())
                      .build())
              .getState();
      var plain = ByteString.EMPTY;
      for (var part : halves(ciphered)) {
        var answer =
            stub.decryptUpdate(
                DecryptUpdateRequest.newBuilder().setState(state).setCiphered(part).build());
        state = answer.getState();
        plain = plain.concat(answer.getPlain());
      }
      return plain.concat(
          stub.decryptFinal(DecryptFinalRequest.newBuilder().setState(state).build()).getPlain());
    });
  }

  private static byte[] inParts(Supplier<ByteString> calls) {
    try {
      return calls.get().toByteArray();
    } catch (StatusRuntimeException e) {
      throw Grep11Exception.of(e);
    }
  }

  /** Two parts, the first of them no multiple of a block where that can be. */
  private static ByteString[] halves(byte[] data) {
    int cut = data.length / 2;
    return new ByteString[] {
      ByteString.copyFrom(data, 0, cut),
      ByteString.copyFrom(Arrays.copyOfRange(data, cut, data.length))
    };
  }
}
