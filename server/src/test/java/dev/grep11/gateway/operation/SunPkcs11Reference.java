package dev.grep11.gateway.operation;

import static dev.grep11.gateway.operation.Client.flags;
import static dev.grep11.gateway.pkcs11.Cka.*;
import static dev.grep11.gateway.pkcs11.Ckm.*;

import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Hash;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismParameters.AesCtr;
import dev.grep11.gateway.pkcs11.MechanismParameters.AesGcm;
import dev.grep11.gateway.pkcs11.MechanismParameters.RsaPss;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.softhsm.SoftHsmToken;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.MessageDigest;
import java.security.Provider;
import java.security.Security;
import java.security.Signature;
import java.security.spec.MGF1ParameterSpec;
import java.security.spec.PSSParameterSpec;
import java.util.Arrays;
import javax.crypto.Cipher;
import javax.crypto.KeyGenerator;
import javax.crypto.Mac;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.IvParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/**
 * The JDK's own PKCS #11 provider beside the operations, on one token in one process: prints a row
 * for each comparison. A process of its own, because the provider keeps session handles beyond the
 * end of a test and closes them when it likes.
 */
final class SunPkcs11Reference {
  private static final byte[] DATA = new byte[48];
  private static final byte[] IV = Arrays.copyOf(new byte[] {1, 2, 3}, 16);

  private SunPkcs11Reference() {}

  public static void main(String[] arguments) throws Exception {
    var directory = Path.of(arguments[0]);
    var token = SoftHsmToken.at(directory, arguments[1]);
    var core = Core.on(token);
    var configuration = directory.resolve("sun.cfg");
    Files.writeString(
        configuration, "name = reference\nlibrary = " + token.module() + "\nslotListIndex = 0\n");
    var sun = Security.getProvider("SunPKCS11").configure(configuration.toString());
    compare(new Client(core.operations(Policy.COMPATIBLE, true), Core.A), sun);
    System.out.flush();
    // Neither side may finalise the module under the other.
    Runtime.getRuntime().halt(0);
  }

  private static void compare(Client client, Provider sun) throws Exception {
    var value = new byte[32];
    Arrays.fill(value, (byte) 9);
    var aes =
        client.importSecret(Ckk.CKK_AES, value, flags(CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN)).blob();
    cipher(client, sun, "AES/ECB/NoPadding", Mechanism.of(CKM_AES_ECB), aes, value);
    cipher(client, sun, "AES/CBC/NoPadding", Mechanism.of(CKM_AES_CBC, IV), aes, value);
    cipher(client, sun, "AES/CBC/PKCS5Padding", Mechanism.of(CKM_AES_CBC_PAD, IV), aes, value);
    cipher(
        client,
        sun,
        "AES/CTR/NoPadding",
        new Mechanism(CKM_AES_CTR, new AesCtr(128, IV)),
        aes,
        value);
    var generic = client.importSecret(Ckk.CKK_GENERIC_SECRET, value, flags(CKA_SIGN)).blob();
    var mac = Mac.getInstance("HmacSHA256", sun);
    mac.init(new SecretKeySpec(value, "HmacSHA256"));
    row(
        "HmacSHA256",
        Arrays.equals(
            mac.doFinal(DATA), client.sign(Mechanism.of(CKM_SHA256_HMAC), generic, DATA)));
    row(
        "SHA-256",
        Arrays.equals(
            MessageDigest.getInstance("SHA-256", sun).digest(DATA),
            client.digest(CKM_SHA256, DATA)));
    var rsaGenerator = KeyPairGenerator.getInstance("RSA");
    rsaGenerator.initialize(2048);
    var rsa = rsaGenerator.generateKeyPair();
    var signer = Signature.getInstance("SHA256withRSA", sun);
    signer.initSign(rsa.getPrivate());
    signer.update(DATA);
    var ours =
        client.sign(
            Mechanism.of(CKM_SHA256_RSA_PKCS),
            client.importPrivate(Ckk.CKK_RSA, rsa.getPrivate(), flags(CKA_SIGN)).blob(),
            DATA);
    row("SHA256withRSA", Arrays.equals(signer.sign(), ours));
    var ecGenerator = KeyPairGenerator.getInstance("EC");
    ecGenerator.initialize(256);
    var ec = ecGenerator.generateKeyPair();
    var ecdsa = Mechanism.of(CKM_ECDSA_SHA256);
    var imported = client.importPrivate(Ckk.CKK_EC, ec.getPrivate(), flags(CKA_SIGN)).blob();
    var verifier = Signature.getInstance("SHA256withECDSAinP1363Format", sun);
    verifier.initVerify(ec.getPublic());
    verifier.update(DATA);
    row("ECDSA by us", verifier.verify(client.sign(ecdsa, imported, DATA)));
    verifier.initSign(ec.getPrivate());
    verifier.update(DATA);
    client.verify(ecdsa, ec.getPublic().getEncoded(), DATA, verifier.sign());
    row("ECDSA by SunPKCS11", true);
    pss(client, sun, rsa);
    des3(client, sun);
    gcm(client, sun, aes, value);
  }

  /** Randomised, so that each side verifies what the other has signed. */
  private static void pss(Client client, Provider sun, KeyPair rsa) throws Exception {
    int salt = 32;
    var mechanism =
        new Mechanism(CKM_SHA256_RSA_PKCS_PSS, new RsaPss(CKM_SHA256, Hash.SHA256.mgf(), salt));
    var signature = Signature.getInstance("SHA256withRSASSA-PSS", sun);
    signature.setParameter(
        new PSSParameterSpec("SHA-256", "MGF1", MGF1ParameterSpec.SHA256, salt, 1));
    signature.initVerify(rsa.getPublic());
    signature.update(DATA);
    var imported = client.importPrivate(Ckk.CKK_RSA, rsa.getPrivate(), flags(CKA_SIGN)).blob();
    row("RSA-PSS by us", signature.verify(client.sign(mechanism, imported, DATA)));
    signature.initSign(rsa.getPrivate());
    signature.update(DATA);
    client.verify(mechanism, rsa.getPublic().getEncoded(), DATA, signature.sign());
    row("RSA-PSS by SunPKCS11", true);
  }

  private static void des3(Client client, Provider sun) throws Exception {
    var generator = KeyGenerator.getInstance("DESede");
    generator.init(168);
    var key = generator.generateKey();
    var imported =
        client.importSecret(Ckk.CKK_DES3, key.getEncoded(), flags(CKA_ENCRYPT, CKA_DECRYPT)).blob();
    var iv = Arrays.copyOf(IV, 8);
    var cipher = Cipher.getInstance("DESede/CBC/NoPadding", sun);
    cipher.init(Cipher.ENCRYPT_MODE, key, new IvParameterSpec(iv));
    row(
        "DESede/CBC/NoPadding",
        Arrays.equals(
            cipher.doFinal(DATA), client.encrypt(Mechanism.of(CKM_DES3_CBC, iv), imported, DATA)));
  }

  private static void gcm(Client client, Provider sun, byte[] key, byte[] value) throws Exception {
    var iv = Arrays.copyOf(IV, 12);
    var aad = new byte[] {5, 6, 7};
    var cipher = Cipher.getInstance("AES/GCM/NoPadding", sun);
    cipher.init(
        Cipher.ENCRYPT_MODE, new SecretKeySpec(value, "AES"), new GCMParameterSpec(128, iv));
    cipher.updateAAD(aad);
    row(
        "AES/GCM/NoPadding",
        Arrays.equals(
            cipher.doFinal(DATA),
            client.encrypt(new Mechanism(CKM_AES_GCM, new AesGcm(iv, aad, 128)), key, DATA)));
  }

  private static void cipher(
      Client client,
      Provider sun,
      String transformation,
      Mechanism mechanism,
      byte[] key,
      byte[] value)
      throws Exception {
    var cipher = Cipher.getInstance(transformation, sun);
    var jdkKey = new SecretKeySpec(value, "AES");
    if (transformation.contains("ECB")) {
      cipher.init(Cipher.ENCRYPT_MODE, jdkKey);
    } else {
      cipher.init(Cipher.ENCRYPT_MODE, jdkKey, new IvParameterSpec(IV));
    }
    row(transformation, Arrays.equals(cipher.doFinal(DATA), client.encrypt(mechanism, key, DATA)));
  }

  private static void row(String what, boolean same) {
    System.out.println("row " + what + ": " + (same ? "same" : "DIFFERENT"));
  }
}
