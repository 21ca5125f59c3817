package dev.grep11.jca;

import dev.grep11.agent.store.StoreException;
import dev.grep11.client.Cka;
import dev.grep11.client.Ckk;
import dev.grep11.client.Ckm;
import dev.grep11.client.Cko;
import dev.grep11.client.Ckr;
import dev.grep11.client.Grep11Exception;
import dev.grep11.client.Hash;
import dev.grep11.client.Mechanisms;
import dev.grep11.client.PrivateKeyBlob;
import dev.grep11.client.PublicKeyBlob;
import dev.grep11.client.SecretKeyBlob;
import dev.grep11.client.Template;
import dev.grep11.client.Templates;
import dev.grep11.proto.Mechanism;
import java.security.AlgorithmParameters;
import java.security.GeneralSecurityException;
import java.security.InvalidAlgorithmParameterException;
import java.security.InvalidKeyException;
import java.security.Key;
import java.security.NoSuchAlgorithmException;
import java.security.ProviderException;
import java.security.SecureRandom;
import java.security.interfaces.RSAPublicKey;
import java.security.spec.AlgorithmParameterSpec;
import java.security.spec.InvalidParameterSpecException;
import java.security.spec.MGF1ParameterSpec;
import java.util.Arrays;
import java.util.Locale;
import javax.crypto.AEADBadTagException;
import javax.crypto.BadPaddingException;
import javax.crypto.Cipher;
import javax.crypto.CipherSpi;
import javax.crypto.IllegalBlockSizeException;
import javax.crypto.NoSuchPaddingException;
import javax.crypto.ShortBufferException;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.IvParameterSpec;
import javax.crypto.spec.OAEPParameterSpec;
import javax.crypto.spec.PSource;
import org.jspecify.annotations.Nullable;

/**
 * Encrypts, decrypts, wraps and unwraps by the gateway.
 *
 * <p>Data is collected and goes in one call at {@code doFinal}: nothing of a decrypted message is
 * seen before all of it was found genuine. With an RSA public key the JDK's own code works, which
 * needs no secret.
 */
final class GatewayCipher extends CipherSpi {
  private static final int BLOCK = 16;
  private static final int GCM_IV = 12;
  private static final int GCM_TAG_BITS = 128;

  private final Transformation transformation;
  private final Buffer data = new Buffer();
  private final Buffer associated = new Buffer();

  private int mode;
  private @Nullable GatewayKey<?> key;

  /** With a public key, beside it. */
  private @Nullable Cipher ofPublicKey;

  private @Nullable RSAPublicKey publicKey;

  /** Of the application, or, after an encryption by GCM, of the HSM. */
  private byte @Nullable [] iv;

  private boolean ivOfApplication;

  /** The IV has been used under its key, and the next message would have it again. */
  private boolean ivIsSpent;

  private int tagBits = GCM_TAG_BITS;
  private OAEPParameterSpec oaep;

  GatewayCipher(Transformation transformation) {
    this.transformation = transformation;
    this.oaep = defaultOaep();
  }

  /** As the JDK has it: the name tells the hash of the label, MGF1 keeps SHA-1. */
  private OAEPParameterSpec defaultOaep() {
    return new OAEPParameterSpec(
        transformation == Transformation.RSA_OAEP_SHA256 ? "SHA-256" : "SHA-1",
        "MGF1",
        MGF1ParameterSpec.SHA1,
        PSource.PSpecified.DEFAULT);
  }

  // ---- Init

  @Override
  protected void engineSetMode(String name) throws NoSuchAlgorithmException {
    throw new NoSuchAlgorithmException(
        "name the whole transformation: " + transformation.algorithm());
  }

  @Override
  protected void engineSetPadding(String name) throws NoSuchPaddingException {
    throw new NoSuchPaddingException(
        "name the whole transformation: " + transformation.algorithm());
  }

  @Override
  protected void engineInit(int opmode, Key with, SecureRandom random) throws InvalidKeyException {
    try {
      engineInit(opmode, with, (AlgorithmParameterSpec) null, random);
    } catch (InvalidAlgorithmParameterException e) {
      throw new InvalidKeyException(e.getMessage(), e);
    }
  }

  @Override
  protected void engineInit(
      int opmode, Key with, AlgorithmParameters parameters, SecureRandom random)
      throws InvalidKeyException, InvalidAlgorithmParameterException {
    try {
      engineInit(
          opmode,
          with,
          parameters == null ? null : parameters.getParameterSpec(specification()),
          random);
    } catch (InvalidParameterSpecException e) {
      throw new InvalidAlgorithmParameterException(
          "not the parameters of " + transformation.algorithm(), e);
    }
  }

  private Class<? extends AlgorithmParameterSpec> specification() {
    if (transformation == Transformation.AES_GCM) {
      return GCMParameterSpec.class;
    }
    return transformation.isRsa() ? OAEPParameterSpec.class : IvParameterSpec.class;
  }

  @Override
  protected void engineInit(
      int opmode, Key with, @Nullable AlgorithmParameterSpec parameters, SecureRandom random)
      throws InvalidKeyException, InvalidAlgorithmParameterException {
    data.clear();
    associated.clear();
    ofPublicKey = null;
    publicKey = null;
    key = null;
    boolean forward = opmode == Cipher.ENCRYPT_MODE || opmode == Cipher.WRAP_MODE;
    if (transformation.isRsa() && with instanceof RSAPublicKey rsa) {
      if (!forward) {
        throw new InvalidKeyException("a public key encrypts and wraps only");
      }
      takeParameters(opmode, parameters);
      publicKey = rsa;
      ofPublicKey = cipherOfTheJdk(opmode, rsa, parameters);
    } else if (transformation.keyClass().isInstance(with)) {
      if (transformation.isRsa() && forward) {
        throw new InvalidKeyException(
            "a private key decrypts and unwraps; encrypt with its public key");
      }
      takeParameters(opmode, parameters);
      key = (GatewayKey<?>) with;
    } else {
      throw new InvalidKeyException("not a key of the provider Grep11 for this transformation");
    }
    if (transformation.isForKeysOnly()
        && (opmode == Cipher.ENCRYPT_MODE || opmode == Cipher.DECRYPT_MODE)) {
      throw new InvalidKeyException(
          transformation.algorithm() + " is for Cipher.WRAP_MODE and Cipher.UNWRAP_MODE");
    }
    mode = opmode;
  }

  /** JCA finds another provider, since this one says that it takes no public keys. */
  private Cipher cipherOfTheJdk(
      int opmode, RSAPublicKey rsa, @Nullable AlgorithmParameterSpec parameters)
      throws InvalidKeyException, InvalidAlgorithmParameterException {
    try {
      var cipher = Cipher.getInstance(transformation.algorithm());
      cipher.init(opmode, rsa, parameters);
      return cipher;
    } catch (NoSuchAlgorithmException | NoSuchPaddingException e) {
      throw new InvalidKeyException("no other provider has " + transformation.algorithm(), e);
    }
  }

  private void takeParameters(int opmode, @Nullable AlgorithmParameterSpec parameters)
      throws InvalidAlgorithmParameterException {
    boolean encrypts = opmode == Cipher.ENCRYPT_MODE || opmode == Cipher.WRAP_MODE;
    iv = null;
    ivOfApplication = false;
    ivIsSpent = false;
    tagBits = GCM_TAG_BITS;
    oaep = defaultOaep();
    if (transformation == Transformation.AES_GCM) {
      takeGcm(encrypts, parameters);
    } else if (transformation.hasBlockIv()) {
      if (parameters instanceof IvParameterSpec spec) {
        iv = spec.getIV();
        if (iv.length != BLOCK) {
          throw new InvalidAlgorithmParameterException(
              "an IV of " + iv.length + " bytes; 16 are expected");
        }
      } else if (parameters == null && encrypts) {
        byte[] drawn = new byte[BLOCK];
        new SecureRandom().nextBytes(drawn);
        iv = drawn;
      } else {
        throw new InvalidAlgorithmParameterException(
            "an IvParameterSpec is expected, with what getIV() gave after the encryption");
      }
    } else if (transformation.isRsa() && transformation != Transformation.RSA_PKCS1) {
      if (parameters instanceof OAEPParameterSpec spec) {
        requireSupported(spec);
        oaep = spec;
      } else if (parameters != null) {
        throw new InvalidAlgorithmParameterException("OAEP takes an OAEPParameterSpec");
      }
    } else if (parameters != null) {
      throw new InvalidAlgorithmParameterException(
          transformation.algorithm() + " takes no parameters");
    }
  }

  private void takeGcm(boolean encrypts, @Nullable AlgorithmParameterSpec parameters)
      throws InvalidAlgorithmParameterException {
    if (parameters instanceof GCMParameterSpec spec) {
      tagBits = spec.getTLen();
      byte[] given = spec.getIV();
      if (tagBits < 96 || given.length < GCM_IV) {
        throw new InvalidAlgorithmParameterException(
            "AES-GCM takes IVs of 12 bytes and more, and tags of 96 to 128 bits");
      }
      iv = given;
      ivOfApplication = true;
    } else if (parameters != null || !encrypts) {
      throw new InvalidAlgorithmParameterException(
          "a GCMParameterSpec is expected, with what getIV() gave after the encryption");
    }
  }

  private static void requireSupported(OAEPParameterSpec spec)
      throws InvalidAlgorithmParameterException {
    if (!(spec.getMGFParameters() instanceof MGF1ParameterSpec mgf)
        || !Hashes.isKnown(mgf.getDigestAlgorithm())
        || !Hashes.isKnown(spec.getDigestAlgorithm())
        || !(spec.getPSource() instanceof PSource.PSpecified)) {
      throw new InvalidAlgorithmParameterException(
          "OAEP is offered with SHA-1 to SHA-512, MGF1 of one of these, and a label that is given");
    }
  }

  // ---- Data

  @Override
  protected void engineUpdateAAD(byte[] source, int offset, int length) {
    if (transformation != Transformation.AES_GCM) {
      throw new UnsupportedOperationException(transformation.algorithm() + " has no AAD");
    }
    if (data.size() > 0) {
      throw new IllegalStateException("AAD comes before the data");
    }
    associated.write(source, offset, length);
  }

  @Override
  protected byte[] engineUpdate(byte[] input, int offset, int length) {
    if (ofPublicKey != null) {
      byte[] made = ofPublicKey.update(input, offset, length);
      return made == null ? new byte[0] : made;
    }
    requireFreshIv();
    data.write(input, offset, length);
    return new byte[0];
  }

  @Override
  protected int engineUpdate(byte[] input, int offset, int length, byte[] output, int at) {
    engineUpdate(input, offset, length);
    return 0;
  }

  @Override
  protected int engineDoFinal(byte[] input, int offset, int length, byte[] output, int at)
      throws ShortBufferException, IllegalBlockSizeException, BadPaddingException {
    int before = data.size();
    byte[] source = input == null ? new byte[0] : input;
    byte[] result = complete(source, offset, length);
    if (output.length - at < result.length) {
      // The call is made again with more room: the data so far stays, this part comes again.
      data.truncate(Math.min(before, data.size()));
      Arrays.fill(result, (byte) 0);
      throw new ShortBufferException(
          "%d bytes of room, %d are needed".formatted(output.length - at, result.length));
    }
    System.arraycopy(result, 0, output, at, result.length);
    completed();
    return result.length;
  }

  @Override
  protected byte[] engineDoFinal(byte[] input, int offset, int length)
      throws IllegalBlockSizeException, BadPaddingException {
    byte[] result = complete(input == null ? new byte[0] : input, offset, length);
    completed();
    return result;
  }

  private byte[] complete(byte[] input, int offset, int length)
      throws IllegalBlockSizeException, BadPaddingException {
    if (ofPublicKey != null) {
      return ofPublicKey.doFinal(input, offset, length);
    }
    requireFreshIv();
    data.write(input, offset, length);
    var with = key;
    if (with == null) {
      throw new IllegalStateException("not initialized");
    }
    boolean done = false;
    try {
      byte[] result = mode == Cipher.ENCRYPT_MODE ? encrypt(with) : decrypt(with);
      done = true;
      return result;
    } finally {
      if (!done) {
        // Whether the gateway has used the IV is not known.
        completed();
      }
    }
  }

  private void completed() {
    data.clear();
    associated.clear();
    boolean again = transformation == Transformation.AES_CTR || ivOfApplication;
    ivIsSpent = mode == Cipher.ENCRYPT_MODE && again;
  }

  /**
   * A second message under one IV gives the key's authentication away (NIST SP 800-38D, 8), and by
   * CTR the exclusive-or of both messages (NIST SP 800-38A, appendix B).
   */
  private void requireFreshIv() {
    if (ivIsSpent) {
      throw new IllegalStateException(
          "this IV has been used with this key: init again, with another IV or with none");
    }
  }

  private byte[] encrypt(GatewayKey<?> with) throws IllegalBlockSizeException {
    byte[] plain = data.toByteArray();
    boolean drawn = transformation == Transformation.AES_GCM && !ivOfApplication;
    var mechanism = mechanism(drawn ? null : iv);
    try {
      byte[] made = with.handle().use((client, blob) -> client.encrypt(mechanism, blob, plain));
      if (!drawn) {
        return made;
      }
      // The gateway's output is IV ‖ ciphertext ‖ tag; JCA has the IV beside it.
      iv = Arrays.copyOf(made, GCM_IV);
      return Arrays.copyOfRange(made, GCM_IV, made.length);
    } catch (Grep11Exception e) {
      if (isOfLength(e)) {
        throw caused(new IllegalBlockSizeException(Remedy.of(e)), e);
      }
      throw new ProviderException(Remedy.of(e), e);
    } catch (StoreException e) {
      throw new ProviderException(e.getMessage(), e);
    } finally {
      Arrays.fill(plain, (byte) 0);
    }
  }

  private byte[] decrypt(GatewayKey<?> with) throws IllegalBlockSizeException, BadPaddingException {
    byte[] ciphered = data.toByteArray();
    var mechanism = mechanism(iv);
    try {
      return with.handle().use((client, blob) -> client.decrypt(mechanism, blob, ciphered));
    } catch (Grep11Exception e) {
      if (e.returnValue() == Ckr.CKR_ENCRYPTED_DATA_INVALID) {
        throw caused(
            transformation == Transformation.AES_GCM
                ? new AEADBadTagException(Remedy.of(e))
                : new BadPaddingException(Remedy.of(e)),
            e);
      }
      if (isOfLength(e)) {
        throw caused(new IllegalBlockSizeException(Remedy.of(e)), e);
      }
      throw new ProviderException(Remedy.of(e), e);
    } catch (StoreException e) {
      throw new ProviderException(e.getMessage(), e);
    }
  }

  private static boolean isOfLength(Grep11Exception e) {
    return e.returnValue() == Ckr.CKR_DATA_LEN_RANGE
        || e.returnValue() == Ckr.CKR_ENCRYPTED_DATA_LEN_RANGE;
  }

  private Mechanism mechanism(byte @Nullable [] with) {
    byte[] vector = with == null ? new byte[0] : with;
    return switch (transformation) {
      case AES_GCM -> Mechanisms.aesGcm(vector, associated.toByteArray(), tagBits);
      case AES_CBC -> Mechanisms.aesCbc(vector);
      case AES_CBC_PAD -> Mechanisms.aesCbcPad(vector);
      case AES_ECB -> Mechanisms.of(Ckm.CKM_AES_ECB);
      case AES_CTR -> Mechanisms.aesCtr(vector);
      case AES_KW -> Mechanisms.of(Ckm.CKM_AES_KEY_WRAP);
      case AES_KWP -> Mechanisms.aesKeyWrapPad();
      case RSA_PKCS1 -> Mechanisms.of(Ckm.CKM_RSA_PKCS);
      case RSA_OAEP, RSA_OAEP_SHA1, RSA_OAEP_SHA256 ->
          Mechanisms.rsaOaep(
              Hashes.of(oaep.getDigestAlgorithm()),
              oaep.getMGFParameters() instanceof MGF1ParameterSpec mgf
                  ? Hashes.of(mgf.getDigestAlgorithm())
                  : Hash.SHA1,
              oaep.getPSource() instanceof PSource.PSpecified label
                  ? label.getValue()
                  : new byte[0]);
    };
  }

  // ---- Keys under keys

  @Override
  protected byte[] engineWrap(Key wrapped) throws InvalidKeyException, IllegalBlockSizeException {
    if (!(wrapped instanceof GatewayKey<?> inner)) {
      if (ofPublicKey != null) {
        return ofPublicKey.wrap(wrapped);
      }
      throw new InvalidKeyException(
          "a key of the application is not in the HSM, where it would be wrapped; a key of the"
              + " provider Grep11 is");
    }
    var mechanism = mechanism(iv);
    try {
      if (publicKey != null) {
        byte[] info = publicKey.getEncoded();
        var kek =
            inner
                .handle()
                .reach()
                .ask(client ->
                    client.importPublicKey(info, Template.empty().with(Cka.CKA_WRAP, true)));
        return inner.handle().use((client, blob) -> client.wrapKey(mechanism, kek, blob));
      }
      return wrappingKey()
          .handle()
          .use((client, kek) ->
              inner.handle().use((same, blob) -> client.wrapKey(mechanism, kek, blob)));
    } catch (Grep11Exception e) {
      throw new InvalidKeyException(Remedy.of(e), e);
    } catch (StoreException e) {
      throw new InvalidKeyException(e.getMessage(), e);
    }
  }

  private GatewayKey<?> wrappingKey() {
    if (key == null) {
      throw new IllegalStateException("not initialized");
    }
    return key;
  }

  @Override
  protected Key engineUnwrap(byte[] wrapped, String algorithm, int type)
      throws InvalidKeyException, NoSuchAlgorithmException {
    var kek = key;
    if (kek == null) {
      throw new InvalidKeyException("not initialized with a key that unwraps");
    }
    var mechanism = mechanism(iv);
    var reach = kek.handle().reach();
    try {
      switch (type) {
        case Cipher.SECRET_KEY -> {
          var template = secretTemplate(algorithm);
          var blob =
              kek.handle().use((client, by) -> client.unwrapKey(mechanism, by, wrapped, template));
          return new GatewaySecretKey(
              algorithm, KeyHandle.unsaved(reach, blob, SecretKeyBlob::new));
        }
        case Cipher.PRIVATE_KEY -> {
          var template =
              switch (algorithm) {
                case "RSA" -> Templates.unwrappedRsaPrivateKey().with(Cka.CKA_DECRYPT, true);
                case "EC" -> Templates.unwrappedEcPrivateKey().with(Cka.CKA_DERIVE, true);
                default ->
                    throw new NoSuchAlgorithmException(
                        algorithm + ": private keys are unwrapped for RSA and EC");
              };
          var blob =
              kek.handle()
                  .use((client, by) -> client.unwrapPrivateKey(mechanism, by, wrapped, template));
          // The check sum of a private key is its public half.
          var half = PublicKeys.of(new PublicKeyBlob(blob.checkSum())).orElse(null);
          return GatewayPrivateKey.of(
                  KeyHandle.unsaved(reach, blob, PrivateKeyBlob::new), half, algorithm)
              .orElseThrow(() -> new InvalidKeyException("not a key of " + algorithm));
        }
        default -> throw new InvalidKeyException("public keys are not wrapped: they are no secret");
      }
    } catch (Grep11Exception e) {
      throw new InvalidKeyException(Remedy.of(e), e);
    } catch (StoreException e) {
      throw new InvalidKeyException(e.getMessage(), e);
    }
  }

  private static Template secretTemplate(String algorithm) {
    return algorithm.toUpperCase(Locale.ROOT).startsWith("AES")
        ? Templates.unwrappedAes()
        : Template.empty()
            .with(Cka.CKA_CLASS, Cko.CKO_SECRET_KEY)
            .with(Cka.CKA_KEY_TYPE, Ckk.CKK_GENERIC_SECRET)
            .with(Cka.CKA_SIGN, true)
            .with(Cka.CKA_VERIFY, true)
            .with(Cka.CKA_EXTRACTABLE, false);
  }

  // ---- What there is to ask

  @Override
  protected int engineGetBlockSize() {
    return transformation.isRsa() ? 0 : BLOCK;
  }

  @Override
  protected int engineGetOutputSize(int inputLength) {
    if (publicKey != null) {
      return (publicKey.getModulus().bitLength() + 7) / 8;
    }
    if (key instanceof GatewayPrivateKey.Rsa rsa) {
      return (rsa.getModulus().bitLength() + 7) / 8;
    }
    int length = data.size() + inputLength;
    boolean encrypts = mode == Cipher.ENCRYPT_MODE;
    return switch (transformation) {
      case AES_GCM -> encrypts ? length + tagBits / 8 : Math.max(length - tagBits / 8, 0);
      case AES_CBC_PAD -> encrypts ? length - length % BLOCK + BLOCK : length;
      case AES_CBC, AES_ECB, AES_CTR -> length;
      default -> length + 2 * BLOCK;
    };
  }

  /**
   * After an encryption by GCM without parameters, the IV that the HSM drew for it; before that,
   * null: it is drawn with the call.
   */
  @Override
  protected byte @Nullable [] engineGetIV() {
    return iv == null ? null : iv.clone();
  }

  @Override
  protected @Nullable AlgorithmParameters engineGetParameters() {
    try {
      if (transformation == Transformation.AES_GCM && iv != null) {
        var parameters = AlgorithmParameters.getInstance("GCM");
        parameters.init(new GCMParameterSpec(tagBits, iv));
        return parameters;
      }
      if (transformation.hasBlockIv() && iv != null) {
        var parameters = AlgorithmParameters.getInstance("AES");
        parameters.init(new IvParameterSpec(iv));
        return parameters;
      }
      if (transformation.isRsa() && transformation != Transformation.RSA_PKCS1) {
        var parameters = AlgorithmParameters.getInstance("OAEP");
        parameters.init(oaep);
        return parameters;
      }
      return null;
    } catch (GeneralSecurityException e) {
      throw new ProviderException("the JDK has no such parameters", e);
    }
  }

  /** JCA asks for it to judge by its policy of key lengths, which are the gateway's here. */
  @Override
  protected int engineGetKeySize(Key of) throws InvalidKeyException {
    if (of instanceof GatewayPrivateKey.Rsa rsa) {
      return rsa.getModulus().bitLength();
    }
    if (of instanceof RSAPublicKey rsa) {
      return rsa.getModulus().bitLength();
    }
    if (of instanceof GatewaySecretKey) {
      return 256;
    }
    throw new InvalidKeyException("not a key of the provider Grep11");
  }

  private static <E extends Throwable> E caused(E exception, Throwable cause) {
    exception.initCause(cause);
    return exception;
  }
}
