package dev.grep11.gateway.operation;

import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismInfo;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Template;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Set;

/**
 * Every rpc that is not multi-part. Calls run on a thread that owns a session of the token and
 * throw {@link Pkcs11Exception} for every refusal. A key argument is the raw blob; an empty one
 * means that the field was absent.
 */
@SuppressWarnings("DoNotCallSuggester") // bodies follow
public final class Operations {

  public byte[] generateRandom(long length) {
    throw unsupported();
  }

  public List<Long> mechanisms() {
    throw unsupported();
  }

  public MechanismInfo mechanismInfo(long mechanism) {
    throw unsupported();
  }

  public byte[] digestSingle(Mechanism mechanism, ByteBuffer data) {
    throw unsupported();
  }

  public byte[] encryptSingle(Requester by, Mechanism mechanism, byte[] key, ByteBuffer plain) {
    throw unsupported();
  }

  public byte[] decryptSingle(Requester by, Mechanism mechanism, byte[] key, ByteBuffer ciphered) {
    throw unsupported();
  }

  public byte[] reencryptSingle(
      Requester by,
      Mechanism decryption,
      byte[] decryptionKey,
      Mechanism encryption,
      byte[] encryptionKey,
      ByteBuffer ciphered) {
    throw unsupported();
  }

  public byte[] signSingle(Requester by, Mechanism mechanism, byte[] key, ByteBuffer data) {
    throw unsupported();
  }

  public void verifySingle(
      Requester by, Mechanism mechanism, byte[] key, ByteBuffer data, byte[] signature) {
    throw unsupported();
  }

  public NewKey generateKey(Requester by, Mechanism mechanism, Template template) {
    throw unsupported();
  }

  public NewKeyPair generateKeyPair(
      Requester by, Mechanism mechanism, Template publicTemplate, Template privateTemplate) {
    throw unsupported();
  }

  public byte[] wrapKey(
      Requester by, Mechanism mechanism, byte[] key, byte[] wrappingKey, byte[] macKey) {
    throw unsupported();
  }

  public NewKey unwrapKey(
      Requester by,
      Mechanism mechanism,
      byte[] wrapped,
      byte[] unwrappingKey,
      byte[] macKey,
      Template template) {
    throw unsupported();
  }

  public NewKey deriveKey(
      Requester by, Mechanism mechanism, byte[] baseKey, byte[] data, Template template) {
    throw unsupported();
  }

  /** The requested attributes, all or none. */
  public Template attributes(Requester by, byte[] object, Set<Long> types) {
    throw unsupported();
  }

  /** A new blob with these attributes; the old one stays valid with its own. */
  public byte[] setAttributes(Requester by, byte[] object, Template changes) {
    throw unsupported();
  }

  /** A PIN blob, which no other call takes (semantics section 1, session binding). */
  public byte[] login(Requester by, byte[] pin) {
    throw unsupported();
  }

  private static Pkcs11Exception unsupported() {
    return new Pkcs11Exception(Ckr.CKR_FUNCTION_NOT_SUPPORTED, "not served yet");
  }
}
