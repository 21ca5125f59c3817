package dev.grep11.agent.cryptoki;

import static dev.grep11.client.Cka.*;
import static dev.grep11.client.Ckr.*;

import dev.grep11.agent.cryptoki.Slot.Role;
import dev.grep11.agent.store.Attributes;
import dev.grep11.client.Ckk;
import dev.grep11.client.Ckm;
import dev.grep11.client.Cko;
import dev.grep11.client.Hash;
import dev.grep11.client.KeyPair;
import dev.grep11.client.Mechanisms;
import dev.grep11.client.Template;
import dev.grep11.client.Templates;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PublicKey;
import java.security.SecureRandom;
import java.security.spec.X509EncodedKeySpec;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import javax.crypto.Cipher;
import javax.crypto.spec.SecretKeySpec;

/**
 * C_CreateObject: keys whose value the application has, which go to the HSM and nowhere else, and
 * certificates and data, which the agent keeps by itself.
 */
final class KeyImport {
  private static final int TRANSPORT_BITS = 2048;
  private static final int OAEP_MOST = TRANSPORT_BITS / 8 - 2 * 20 - 2;

  private final Session session;
  private final GatewayUser user;
  private final Role role;
  private final ObjectTable objects;
  private final NewKeys made;

  KeyImport(Session session, GatewayUser user, Role role, ObjectTable objects) {
    this.session = session;
    this.user = user;
    this.role = role;
    this.objects = objects;
    this.made = new NewKeys(session, user, role, objects);
  }

  CkObject create(Attributes template) {
    long objectClass =
        template
            .number(CKA_CLASS)
            .orElseThrow(() -> new Refusal(CKR_TEMPLATE_INCOMPLETE, "CKA_CLASS is missing"));
    if (objectClass == Cko.CKO_PUBLIC_KEY) {
      return createPublic(template);
    }
    if (objectClass == Cko.CKO_SECRET_KEY) {
      return createSecret(template);
    }
    if (objectClass == Cko.CKO_PRIVATE_KEY) {
      return createPrivate(template);
    }
    ObjectTemplates.requireOfOther(template, objectClass, role);
    var attributes = ObjectTemplates.withDefaults(template, role == Role.NORMAL);
    return objects.add(session.handle(), session.readWrite(), role, attributes, List.of());
  }

  /**
   * Rights that the template does not name, "where the algorithm allows": applications that create
   * a key rarely name them (SunPKCS11 names none for a public key), and the gateway gives an
   * imported key none by itself.
   */
  private static Attributes withUsages(Attributes template) {
    long objectClass = template.number(CKA_CLASS).orElse(-1);
    long type = template.number(CKA_KEY_TYPE).orElse(-1);
    if (objectClass == Cko.CKO_PUBLIC_KEY) {
      var usable = template.orElse(CKA_VERIFY, true);
      return type == Ckk.CKK_RSA ? usable.orElse(CKA_ENCRYPT, true) : usable;
    }
    if (objectClass == Cko.CKO_PRIVATE_KEY) {
      var usable = template.orElse(CKA_SIGN, true);
      return type == Ckk.CKK_RSA ? usable.orElse(CKA_DECRYPT, true) : usable;
    }
    return type == Ckk.CKK_GENERIC_SECRET
        ? template.orElse(CKA_SIGN, true).orElse(CKA_VERIFY, true)
        : template.orElse(CKA_ENCRYPT, true).orElse(CKA_DECRYPT, true);
  }

  private CkObject createPublic(Attributes template) {
    ObjectTemplates.requireOfKey(
        template, Set.of(CKA_MODULUS, CKA_EC_POINT, CKA_VALUE, CKA_PUBLIC_KEY_INFO));
    var recorded = made.placed(template);
    byte[] spki = SubjectPublicKey.encoded(template);
    // The numbers of the key itself are in its SubjectPublicKeyInfo.
    var said =
        withUsages(template)
            .without(CKA_MODULUS_BITS)
            .without(CKA_PUBLIC_EXPONENT)
            .without(CKA_EC_PARAMS)
            .without(CKA_CLASS)
            .without(CKA_KEY_TYPE)
            .without(CKA_PRIME);
    var key = user.call(client -> client.importPublicKey(spki, ObjectTemplates.forGateway(said)));
    byte[] blob = key.bytes();
    return made.add(
        Cko.CKO_PUBLIC_KEY, key, recorded.with(SubjectPublicKey.attributes(blob)), null, blob);
  }

  /**
   * A value goes to the HSM under a throw-away RSA key, which can open it there and nowhere else.
   */
  private CkObject createSecret(Attributes template) {
    ObjectTemplates.requireOfKey(template, Set.of(CKA_VALUE));
    var recorded = made.placed(template);
    byte[] value = SubjectPublicKey.required(template, CKA_VALUE);
    if (value.length > OAEP_MOST) {
      throw new Refusal(
          CKR_ATTRIBUTE_VALUE_INVALID, "a value of more than " + OAEP_MOST + " bytes");
    }
    var transport = transportPair();
    byte[] wrapped = oaep(transport, value);
    var key =
        user.call(client ->
            client.unwrapKey(
                Mechanisms.rsaOaep(Hash.SHA1),
                transport.privateKey(),
                wrapped,
                ObjectTemplates.forGateway(
                    withUsages(template)
                        .without(CKA_VALUE_LEN)
                        .with(CKA_CLASS, Cko.CKO_SECRET_KEY))));
    return made.add(Cko.CKO_SECRET_KEY, key, recorded, null, key.checkSum());
  }

  /** PKCS #8 is too long for RSA, so an AES key goes first, which then opens it. */
  private CkObject createPrivate(Attributes template) {
    ObjectTemplates.requireOfKey(
        template,
        Set.of(
            CKA_MODULUS,
            CKA_VALUE,
            CKA_PUBLIC_KEY_INFO,
            ObjectTemplates.CKA_PRIVATE_EXPONENT,
            ObjectTemplates.CKA_PRIME_1,
            ObjectTemplates.CKA_PRIME_2,
            ObjectTemplates.CKA_EXPONENT_1,
            ObjectTemplates.CKA_EXPONENT_2,
            ObjectTemplates.CKA_COEFFICIENT));
    var recorded = made.placed(template);
    byte[] pkcs8 = Pkcs8.encoded(template);
    byte[] kekValue = new byte[32];
    new SecureRandom().nextBytes(kekValue);
    try {
      var transport = transportPair();
      byte[] wrappedKek = oaep(transport, kekValue);
      var kek =
          user.call(client ->
              client.unwrapKey(
                  Mechanisms.rsaOaep(Hash.SHA1),
                  transport.privateKey(),
                  wrappedKek,
                  Template.empty()
                      .with(CKA_CLASS, Cko.CKO_SECRET_KEY)
                      .with(CKA_KEY_TYPE, Ckk.CKK_AES)
                      .with(CKA_UNWRAP, true)));
      var cipher = Cipher.getInstance("AES/KWP/NoPadding");
      cipher.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(kekValue, "AES"));
      byte[] wrapped = cipher.doFinal(pkcs8);
      var said =
          withUsages(template)
              .without(CKA_EC_PARAMS)
              .without(CKA_PUBLIC_EXPONENT)
              .without(CKA_PRIME)
              .with(CKA_CLASS, Cko.CKO_PRIVATE_KEY);
      var key =
          user.call(client ->
              client.unwrapPrivateKey(
                  Mechanisms.of(Ckm.CKM_AES_KEY_WRAP_PAD),
                  kek,
                  wrapped,
                  ObjectTemplates.forGateway(said)));
      return made.add(Cko.CKO_PRIVATE_KEY, key, recorded, null, key.checkSum());
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e);
    } finally {
      Arrays.fill(pkcs8, (byte) 0);
      Arrays.fill(kekValue, (byte) 0);
    }
  }

  private KeyPair transportPair() {
    return user.call(client -> client.generateKeyPair(Templates.rsaWrappingPair(TRANSPORT_BITS)));
  }

  /** With SHA-1, which is what every token does inside; here it is no signature. */
  private static byte[] oaep(KeyPair transport, byte[] value) {
    try {
      byte[] spki =
          SubjectPublicKey.attributes(transport.publicKey().bytes())
              .get(CKA_PUBLIC_KEY_INFO)
              .orElseThrow();
      PublicKey key = KeyFactory.getInstance("RSA").generatePublic(new X509EncodedKeySpec(spki));
      var cipher = Cipher.getInstance("RSA/ECB/OAEPWithSHA-1AndMGF1Padding");
      cipher.init(Cipher.ENCRYPT_MODE, key);
      return cipher.doFinal(value);
    } catch (GeneralSecurityException e) {
      throw new Refusal(CKR_DEVICE_ERROR, "the throw-away key cannot be used", e);
    }
  }
}
