package dev.grep11.client.certmgr;

import java.io.IOException;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.AlgorithmParameters;
import java.security.GeneralSecurityException;
import java.security.InvalidKeyException;
import java.security.KeyFactory;
import java.security.KeyPairGenerator;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.SecureRandom;
import java.security.Signature;
import java.security.SignatureException;
import java.security.interfaces.ECPrivateKey;
import java.security.interfaces.EdECPrivateKey;
import java.security.spec.ECFieldFp;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;
import java.security.spec.ECPublicKeySpec;
import java.security.spec.InvalidKeySpecException;
import java.security.spec.NamedParameterSpec;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;
import javax.crypto.Cipher;
import javax.crypto.EncryptedPrivateKeyInfo;
import javax.crypto.KeyAgreement;
import javax.crypto.SecretKeyFactory;
import javax.crypto.spec.PBEKeySpec;
import javax.crypto.spec.PBEParameterSpec;
import org.jspecify.annotations.Nullable;

/**
 * The signature key pair of a certificate administrator: ECDSA P-256 with SHA-256, or Ed25519.
 *
 * <p>The private key is kept as PKCS #8 PEM, under a passphrase if one is given (PBES2 with
 * PBKDF2-HMAC-SHA-256 and AES-256-CBC, RFC 8018), which openssl reads and writes too. Failures to
 * read are {@link IllegalArgumentException}s that name the file and show nothing of it.
 */
public final class AdministratorKeyPair {
  /** The algorithms that a gateway accepts; the registered key fixes which one signs. */
  public enum Type {
    P256("SHA256withECDSA"),
    ED25519("Ed25519");

    private final String signature;

    Type(String signature) {
      this.signature = signature;
    }
  }

  private static final String PBES2_ALGORITHM = "PBEWithHmacSHA256AndAES_256";
  // OWASP's figure for PBKDF2-HMAC-SHA-256.
  private static final int ITERATIONS = 600_000;
  private static final int SALT_BYTES = 16;
  private static final String P256 = "secp256r1";

  private final Type type;
  private final PrivateKey privateKey;
  private final PublicKey publicKey;

  private AdministratorKeyPair(Type type, PrivateKey privateKey, PublicKey publicKey) {
    this.type = type;
    this.privateKey = privateKey;
    this.publicKey = publicKey;
  }

  /** A new pair. */
  public static AdministratorKeyPair generate(Type type) {
    try {
      var generator =
          switch (type) {
            case P256 -> {
              var ec = KeyPairGenerator.getInstance("EC");
              ec.initialize(new ECGenParameterSpec(P256));
              yield ec;
            }
            case ED25519 -> KeyPairGenerator.getInstance("Ed25519");
          };
      var pair = generator.generateKeyPair();
      return new AdministratorKeyPair(type, pair.getPrivate(), pair.getPublic());
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException("every JDK makes P-256 and Ed25519 keys", e);
    }
  }

  /** Whether the file holds a private key that {@link #read} needs a passphrase for. */
  public static boolean isEncrypted(Path file) {
    return onlyKey(file).label().equals("ENCRYPTED PRIVATE KEY");
  }

  /**
   * Reads a pair from its private key.
   *
   * @param passphrase ignored where the key is not encrypted
   * @throws IllegalArgumentException when the file holds no usable key, or the passphrase is wrong
   */
  public static AdministratorKeyPair read(Path file, char @Nullable [] passphrase) {
    var block = onlyKey(file);
    byte[] pkcs8 = block.der();
    try {
      if (block.label().equals("ENCRYPTED PRIVATE KEY")) {
        if (passphrase == null) {
          throw new IllegalArgumentException(
              file + ": the key is encrypted and needs a passphrase");
        }
        pkcs8 = decrypted(file, block.der(), passphrase);
      }
      return of(file, pkcs8);
    } finally {
      Arrays.fill(pkcs8, (byte) 0);
    }
  }

  private static PemFile.Block onlyKey(Path file) {
    List<PemFile.Block> keys =
        PemFile.blocks(file).stream()
            .filter(block -> block.label().contains("PRIVATE KEY"))
            .toList();
    if (keys.size() != 1) {
      throw new IllegalArgumentException(
          keys.isEmpty() ? file + ": no PEM private key" : file + ": holds several private keys");
    }
    var key = keys.get(0);
    if (!Set.of("PRIVATE KEY", "ENCRYPTED PRIVATE KEY").contains(key.label())) {
      throw new IllegalArgumentException(
          "%s: a %s, not PKCS #8; convert it: openssl pkcs8 -topk8 -in FILE -out NEW"
              .formatted(file, key.label()));
    }
    return key;
  }

  private static byte[] decrypted(Path file, byte[] der, char[] passphrase) {
    EncryptedPrivateKeyInfo info;
    Cipher cipher;
    SecretKeyFactory factory;
    try {
      info = new EncryptedPrivateKeyInfo(der);
      // JDK: the parameters of PBES2 print as the name that factory and cipher want.
      var parameters = info.getAlgParameters();
      var name = parameters == null ? info.getAlgName() : parameters.toString();
      factory = SecretKeyFactory.getInstance(name);
      cipher = Cipher.getInstance(name);
    } catch (IOException | GeneralSecurityException e) {
      throw new IllegalArgumentException(
          file
              + ": encrypted in a way that is not supported; convert it: openssl pkcs8 -topk8 -v2"
              + " aes-256-cbc -v2prf hmacWithSHA256 -iter 600000 -in FILE -out NEW",
          e);
    }
    var spec = new PBEKeySpec(passphrase);
    try {
      cipher.init(Cipher.DECRYPT_MODE, factory.generateSecret(spec), info.getAlgParameters());
      return cipher.doFinal(info.getEncryptedData());
    } catch (GeneralSecurityException e) {
      throw new IllegalArgumentException(file + ": wrong passphrase, or the file is damaged", e);
    } finally {
      spec.clearPassword();
    }
  }

  private static AdministratorKeyPair of(Path file, byte[] pkcs8) {
    try {
      for (String algorithm : List.of("EC", "Ed25519")) {
        PrivateKey key;
        try {
          key = KeyFactory.getInstance(algorithm).generatePrivate(new PKCS8EncodedKeySpec(pkcs8));
        } catch (InvalidKeySpecException notThisOne) {
          continue;
        }
        if (key instanceof EdECPrivateKey edwards) {
          return checked(Type.ED25519, edwards, List.of(publicKey(edwards)));
        }
        if (key instanceof ECPrivateKey ec && isP256(ec.getParams())) {
          return checked(Type.P256, ec, publicKeys(ec));
        }
      }
    } catch (GeneralSecurityException e) {
      throw new IllegalArgumentException(file + ": no usable private key", e);
    }
    throw new IllegalArgumentException(
        file + ": neither an ECDSA P-256 nor an Ed25519 key (or a wrong passphrase)");
  }

  private static boolean isP256(ECParameterSpec curve) throws GeneralSecurityException {
    var parameters = AlgorithmParameters.getInstance("EC");
    parameters.init(new ECGenParameterSpec(P256));
    var expected = parameters.getParameterSpec(ECParameterSpec.class);
    return curve.getCurve().equals(expected.getCurve())
        && curve.getGenerator().equals(expected.getGenerator())
        && curve.getOrder().equals(expected.getOrder());
  }

  /**
   * PKCS #8 need not hold the public key, and the JDK does not compute it. ECDH with the generator
   * gives the x coordinate of d*G by the JDK's own constant-time code; two points have it.
   */
  private static List<PublicKey> publicKeys(ECPrivateKey key) throws GeneralSecurityException {
    var curve = key.getParams();
    var factory = KeyFactory.getInstance("EC");
    var agreement = KeyAgreement.getInstance("ECDH");
    agreement.init(key);
    agreement.doPhase(
        factory.generatePublic(new ECPublicKeySpec(curve.getGenerator(), curve)), true);
    var x = new BigInteger(1, agreement.generateSecret());
    var p = ((ECFieldFp) curve.getCurve().getField()).getP();
    var right =
        x.pow(3).add(curve.getCurve().getA().multiply(x)).add(curve.getCurve().getB()).mod(p);
    // p = 3 (mod 4), SEC 1, 2.3.4.
    var y = right.modPow(p.add(BigInteger.ONE).shiftRight(2), p);
    return List.of(
        factory.generatePublic(new ECPublicKeySpec(new ECPoint(x, y), curve)),
        factory.generatePublic(new ECPublicKeySpec(new ECPoint(x, p.subtract(y)), curve)));
  }

  /** RFC 8032, 5.1.5: a pair is made of 32 random bytes, and these are the private key. */
  private static PublicKey publicKey(EdECPrivateKey key) throws GeneralSecurityException {
    byte[] seed =
        key.getBytes().orElseThrow(() -> new InvalidKeyException("the key shows no bytes"));
    try {
      var generator = KeyPairGenerator.getInstance("Ed25519");
      generator.initialize(NamedParameterSpec.ED25519, new Replay(seed));
      return generator.generateKeyPair().getPublic();
    } finally {
      Arrays.fill(seed, (byte) 0);
    }
  }

  /**
   * What {@link #publicKey} drew from is checked by {@link #checked}, whatever the provider did.
   */
  private static final class Replay extends SecureRandom {
    private static final long serialVersionUID = 1;
    private final transient byte[] seed;

    Replay(byte[] seed) {
      this.seed = seed;
    }

    @Override
    public void nextBytes(byte[] bytes) {
      System.arraycopy(seed, 0, bytes, 0, Math.min(seed.length, bytes.length));
    }
  }

  private static AdministratorKeyPair checked(
      Type type, PrivateKey privateKey, List<PublicKey> candidates)
      throws GeneralSecurityException {
    byte[] probe = "pair?".getBytes(StandardCharsets.US_ASCII);
    for (PublicKey candidate : candidates) {
      var pair = new AdministratorKeyPair(type, privateKey, candidate);
      if (pair.verifies(probe, pair.sign(probe))) {
        return pair;
      }
    }
    throw new InvalidKeyException("no public key belongs to it");
  }

  public Type type() {
    return type;
  }

  /** SubjectPublicKeyInfo, DER. */
  public byte[] publicKey() {
    return publicKey.getEncoded();
  }

  /** SHA-256 of {@link #publicKey()}: the key id of commands, and what is countersigned. */
  public byte[] fingerprint() {
    return fingerprintOf(publicKey());
  }

  /** SHA-256 of a SubjectPublicKeyInfo. */
  public static byte[] fingerprintOf(byte[] subjectPublicKeyInfo) {
    try {
      return MessageDigest.getInstance("SHA-256").digest(subjectPublicKeyInfo);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every JDK has SHA-256", e);
    }
  }

  /** An ASN.1 signature for P-256 (SHA-256), 64 bytes for Ed25519. */
  public byte[] sign(byte[] message) {
    try {
      var signature = Signature.getInstance(type.signature);
      signature.initSign(privateKey);
      signature.update(message);
      return signature.sign();
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException("the key was checked when it was read", e);
    }
  }

  private boolean verifies(byte[] message, byte[] signed) throws GeneralSecurityException {
    var signature = Signature.getInstance(type.signature);
    signature.initVerify(publicKey);
    signature.update(message);
    try {
      return signature.verify(signed);
    } catch (SignatureException malformed) {
      return false;
    }
  }

  /**
   * Writes a new file with mode 0600 from its first byte on, and waits for the disk.
   *
   * @param passphrase of printable ASCII; null for a key in clear text
   * @throws IOException also when the file exists
   */
  public void writePrivateKey(Path file, char @Nullable [] passphrase) throws IOException {
    byte[] pkcs8 = privateKey.getEncoded();
    try {
      var pem =
          passphrase == null
              ? PemFile.encode("PRIVATE KEY", pkcs8)
              : PemFile.encode("ENCRYPTED PRIVATE KEY", encrypted(pkcs8, passphrase));
      create(file, pem, "rw-------");
    } finally {
      Arrays.fill(pkcs8, (byte) 0);
    }
  }

  /** Writes a new file with the SubjectPublicKeyInfo as PEM. */
  public void writePublicKey(Path file) throws IOException {
    create(file, PemFile.encode("PUBLIC KEY", publicKey()), "rw-r--r--");
  }

  private static byte[] encrypted(byte[] pkcs8, char[] passphrase) throws IOException {
    requireUsable(passphrase);
    var spec = new PBEKeySpec(passphrase);
    try {
      byte[] salt = new byte[SALT_BYTES];
      new SecureRandom().nextBytes(salt);
      var cipher = Cipher.getInstance(PBES2_ALGORITHM);
      cipher.init(
          Cipher.ENCRYPT_MODE,
          SecretKeyFactory.getInstance(PBES2_ALGORITHM).generateSecret(spec),
          new PBEParameterSpec(salt, ITERATIONS));
      // JDK: the cipher's parameters encode as PBES2, but only those named so may be used here.
      var parameters = AlgorithmParameters.getInstance("PBES2");
      parameters.init(cipher.getParameters().getEncoded());
      return new EncryptedPrivateKeyInfo(parameters, cipher.doFinal(pkcs8)).getEncoded();
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException("every JDK has PBES2 with AES-256", e);
    } finally {
      spec.clearPassword();
    }
  }

  /**
   * The JDK's PBES2 takes printable ASCII only.
   *
   * @throws IllegalArgumentException for an empty passphrase or one with other characters
   */
  public static void requireUsable(char[] passphrase) {
    if (passphrase.length == 0) {
      throw new IllegalArgumentException("the passphrase is empty");
    }
    for (char c : passphrase) {
      if (c < 0x20 || c > 0x7e) {
        throw new IllegalArgumentException("a passphrase is of printable ASCII characters only");
      }
    }
  }

  private static void create(Path file, String text, String mode) throws IOException {
    var permissions = PosixFilePermissions.fromString(mode);
    try (var channel =
        FileChannel.open(
            file,
            EnumSet.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE),
            PosixFilePermissions.asFileAttribute(permissions))) {
      byte[] content = text.getBytes(StandardCharsets.US_ASCII);
      var buffer = ByteBuffer.wrap(content);
      while (buffer.hasRemaining()) {
        channel.write(buffer);
      }
      // The key must not be lost in a crash right after it was registered.
      channel.force(true);
      Arrays.fill(content, (byte) 0);
    }
    var directory = file.toAbsolutePath().getParent();
    if (directory != null && Files.isDirectory(directory)) {
      try (var entry = FileChannel.open(directory, StandardOpenOption.READ)) {
        entry.force(true);
      }
    }
  }

  @Override
  public String toString() {
    return "AdministratorKeyPair[%s, %s]".formatted(type, HexFormat.of().formatHex(fingerprint()));
  }
}
