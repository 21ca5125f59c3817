package dev.grep11.gateway.token;

import static dev.grep11.gateway.pkcs11.Cka.CKA_CLASS;
import static dev.grep11.gateway.pkcs11.Cka.CKA_DECRYPT;
import static dev.grep11.gateway.pkcs11.Cka.CKA_EC_PARAMS;
import static dev.grep11.gateway.pkcs11.Cka.CKA_ENCRYPT;
import static dev.grep11.gateway.pkcs11.Cka.CKA_EXTRACTABLE;
import static dev.grep11.gateway.pkcs11.Cka.CKA_ID;
import static dev.grep11.gateway.pkcs11.Cka.CKA_KEY_TYPE;
import static dev.grep11.gateway.pkcs11.Cka.CKA_LABEL;
import static dev.grep11.gateway.pkcs11.Cka.CKA_PRIVATE;
import static dev.grep11.gateway.pkcs11.Cka.CKA_SENSITIVE;
import static dev.grep11.gateway.pkcs11.Cka.CKA_SIGN;
import static dev.grep11.gateway.pkcs11.Cka.CKA_TOKEN;
import static dev.grep11.gateway.pkcs11.Cka.CKA_VERIFY;
import static java.nio.charset.StandardCharsets.US_ASCII;

import dev.grep11.gateway.hsm.Session;
import dev.grep11.gateway.key.SealingKeys;
import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.NamedCurve;
import dev.grep11.gateway.pkcs11.Template;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.HexFormat;
import java.util.List;
import java.util.Properties;
import java.util.Set;

/**
 * Where the gateway's own two keys are in the token: random CKA_IDs, kept beside the store because
 * they are needed to open it. No secret: who changes them gets a store that does not open.
 *
 * @param storeKey seals the data key of the store (AES-256, nothing else)
 * @param signingKey signs the embedded token service's tokens (P-256)
 */
public record TokenKeys(byte[] storeKey, byte[] signingKey) {
  private static final String FILE = "token-keys";

  /** What to do where it is not there as it was. */
  private static final String ANOTHER =
      "; a replica has a copy of the first gateway's, a store that was lost comes back by: grep11"
          + " restore, and only a new gateway begins with: grep11 instance create";

  private static final int ID_LENGTH = 16;

  public static boolean exist(Path storeDirectory) {
    return Files.exists(storeDirectory.resolve(FILE));
  }

  /** Makes both keys in the token. */
  public static TokenKeys create(Session session) {
    var storeKey =
        SealingKeys.generate(
            session,
            Ckm.CKM_AES_KEY_GEN,
            SealingKeys.aes("grep11 store").put(CKA_ENCRYPT, true).put(CKA_DECRYPT, true));
    var signingKey = session.random(ID_LENGTH);
    var _ =
        session.generateKeyPair(
            Mechanism.of(Ckm.CKM_EC_KEY_PAIR_GEN),
            half(Cko.CKO_PUBLIC_KEY, signingKey)
                .put(CKA_PRIVATE, false)
                .put(CKA_VERIFY, true)
                .put(CKA_EC_PARAMS, NamedCurve.P_256.parameters())
                .build(),
            half(Cko.CKO_PRIVATE_KEY, signingKey)
                .put(CKA_PRIVATE, true)
                .put(CKA_SENSITIVE, true)
                .put(CKA_EXTRACTABLE, false)
                .put(CKA_SIGN, true)
                .build());
    return new TokenKeys(storeKey, signingKey);
  }

  private static Template.Builder half(long objectClass, byte[] id) {
    return Template.builder()
        .put(CKA_CLASS, objectClass)
        .put(CKA_KEY_TYPE, Ckk.CKK_EC)
        .put(CKA_TOKEN, true)
        .put(CKA_ID, id)
        .put(CKA_LABEL, "grep11 token signing".getBytes(US_ASCII));
  }

  /**
   * Reads the ids.
   *
   * @throws StartException when they are not there or are none
   */
  public static TokenKeys read(Path storeDirectory) {
    var file = storeDirectory.resolve(FILE);
    var written = new Properties();
    try (var in = Files.newInputStream(file)) {
      written.load(in);
      return new TokenKeys(id(written, "storeKey"), id(written, "signingKey"));
    } catch (IOException e) {
      throw new StartException(file + " cannot be read" + ANOTHER, e);
    } catch (IllegalArgumentException e) {
      throw new StartException(file + " does not name the gateway's keys" + ANOTHER, e);
    }
  }

  private static byte[] id(Properties written, String name) {
    var id = HexFormat.of().parseHex(written.getProperty(name, ""));
    if (id.length != ID_LENGTH) {
      throw new IllegalArgumentException(name);
    }
    return id;
  }

  /** Writes the ids, once. */
  public void write(Path storeDirectory) throws IOException {
    var text =
        "# CKA_IDs of the gateway's own keys in the token. No secret.%nstoreKey=%s%nsigningKey=%s%n"
            .formatted(HexFormat.of().formatHex(storeKey), HexFormat.of().formatHex(signingKey));
    try (var channel =
        FileChannel.open(
            storeDirectory.resolve(FILE),
            Set.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE),
            PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")))) {
      channel.write(ByteBuffer.wrap(text.getBytes(US_ASCII)));
      channel.force(true);
    }
  }

  /** Forgets the ids; the keys stay in the token, where nothing names them any more. */
  public static void delete(Path storeDirectory) throws IOException {
    Files.delete(storeDirectory.resolve(FILE));
  }

  /** The one object of this class under the signing key's id. */
  public long findSigningKey(Session session, long objectClass) {
    List<Long> found =
        session.findObjects(
            Template.builder()
                .put(CKA_ID, signingKey)
                .put(CKA_CLASS, objectClass)
                .put(CKA_TOKEN, true)
                .build());
    if (found.size() != 1) {
      throw new StartException(
          "token-signing key (CKA_ID %s): %d objects in the token, expected exactly one; bring the token's own backup back"
              .formatted(HexFormat.of().formatHex(signingKey), found.size()));
    }
    return found.getFirst();
  }
}
