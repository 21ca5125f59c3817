package dev.grep11.gateway.operation;

import static dev.grep11.gateway.pkcs11.Cka.*;

import dev.grep11.gateway.key.KeyForm;
import dev.grep11.gateway.key.KeySealer;
import dev.grep11.gateway.key.KeySealer.Opened;
import dev.grep11.gateway.key.KeySealer.OpenedKey;
import dev.grep11.gateway.key.Keys;
import dev.grep11.gateway.key.PublicKeyInfo;
import dev.grep11.gateway.key.WorkingKey;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.MechanismFamily;
import dev.grep11.gateway.pkcs11.MechanismRow;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Policy;
import dev.grep11.gateway.pkcs11.Template;
import org.jspecify.annotations.Nullable;

/**
 * Hands out keys for a purpose. This is where a key's rights are enforced, from the attributes
 * under its blob's MAC: the token knows only working copies and grants more than a client may use.
 */
final class KeyAccess {
  private static final int STRICT_RSA_KEK_BITS = 2048;
  private static final String BOUND_TOGETHER =
      "CKA_IBM_ATTRBOUND and CKM_IBM_ATTRIBUTEBOUND_WRAP need each other";

  private final Keys keys;
  private final KeySealer sealer;
  private final Policy policy;

  KeyAccess(Keys keys, KeySealer sealer, Policy policy) {
    this.keys = keys;
    this.sealer = sealer;
    this.policy = policy;
  }

  Policy policy() {
    return policy;
  }

  /**
   * Lends a key for a use; the caller closes it.
   *
   * @param objectClass CKO number that the use needs
   * @param usage CKA number of the flag that permits it
   */
  WorkingKey borrow(
      Requester by,
      byte[] blob,
      MechanismRow row,
      long objectClass,
      long usage,
      KeyRole role,
      KeyForm form) {
    requirePresent(blob, role);
    var key = keys.borrow(by.instance(), blob, form);
    try {
      requireUsable(key.attributes(), key.isBare(), row, objectClass, usage, role);
      requireKekSize(key.attributes(), key.publicKey(), role);
      return key;
    } catch (Pkcs11Exception e) {
      key.close();
      throw e;
    }
  }

  /** Opens a key whose value or extractable copy is needed rather than a cached object. */
  OpenedKey open(
      Requester by, byte[] blob, MechanismRow row, long objectClass, long usage, KeyRole role) {
    requirePresent(blob, role);
    if (sealer.open(by.instance(), blob) instanceof OpenedKey key) {
      requireUsable(key.attributes(), false, row, objectClass, usage, role);
      return key;
    }
    throw new Pkcs11Exception(role.wrongType(), role + " is a public key");
  }

  /** Refuses what {@link #borrow} would refuse, and loads nothing. */
  void check(
      Requester by, byte[] blob, MechanismRow row, long objectClass, long usage, KeyRole role) {
    requirePresent(blob, role);
    var opened = sealer.open(by.instance(), blob);
    boolean bare = opened instanceof KeySealer.OpenedPublicKey publicKey && publicKey.bare();
    requireUsable(opened.attributes(), bare, row, objectClass, usage, role);
  }

  /** Opens any blob, for its attributes. */
  Opened open(Requester by, byte[] blob) {
    requirePresent(blob, KeyRole.KEY);
    return sealer.open(by.instance(), blob);
  }

  /** The key type of a blob, for whoever must know it before its use. */
  long keyType(Requester by, byte[] blob, KeyRole role) {
    requirePresent(blob, role);
    return sealer.open(by.instance(), blob).attributes().ulong(CKA_KEY_TYPE).orElseThrow();
  }

  /** A key that authenticates attribute-bound payloads, also if its blob is of other times. */
  OpenedKey openMacKey(Requester by, byte[] blob) {
    requirePresent(blob, KeyRole.MAC_KEY);
    if (sealer.open(by.instance(), blob) instanceof OpenedKey key
        && AttributeRules.isMacKey(key.attributes())) {
      return key;
    }
    throw new Pkcs11Exception(
        KeyRole.MAC_KEY.wrongType(),
        "a MAC key is a generic secret with CKA_IBM_ATTRBOUND that does nothing else");
  }

  /** A key that is to be wrapped with its attributes. */
  OpenedKey openForBoundWrapping(Requester by, byte[] blob, Template kek) {
    return openForWrapping(by, blob, kek, true);
  }

  /** A key that is to be wrapped. */
  OpenedKey openForWrapping(Requester by, byte[] blob, Template kek) {
    return openForWrapping(by, blob, kek, false);
  }

  private OpenedKey openForWrapping(Requester by, byte[] blob, Template kek, boolean bound) {
    requirePresent(blob, KeyRole.KEY);
    if (!(sealer.open(by.instance(), blob) instanceof OpenedKey key)) {
      throw new Pkcs11Exception(Ckr.CKR_KEY_NOT_WRAPPABLE, "a public key needs no wrapping");
    }
    if (!key.attributes().isTrue(CKA_EXTRACTABLE)) {
      throw new Pkcs11Exception(Ckr.CKR_KEY_UNEXTRACTABLE, "CKA_EXTRACTABLE is false");
    }
    if (key.attributes().isTrue(CKA_WRAP_WITH_TRUSTED) && !kek.isTrue(CKA_TRUSTED)) {
      throw new Pkcs11Exception(
          Ckr.CKR_KEY_NOT_WRAPPABLE, "CKA_WRAP_WITH_TRUSTED, and the wrapping key is not trusted");
    }
    if (key.attributes().isTrue(CKA_IBM_ATTRBOUND) != bound) {
      throw new Pkcs11Exception(Ckr.CKR_KEY_NOT_WRAPPABLE, BOUND_TOGETHER);
    }
    if (bound && key.attributes().ulong(CKA_KEY_TYPE).orElseThrow() == Ckk.CKK_GENERIC_SECRET) {
      // Under policy compatible the wrapping key may decrypt too, and its holder read the MAC key.
      throw new Pkcs11Exception(
          Ckr.CKR_KEY_NOT_WRAPPABLE, "a key for attribute-bound MACs stays where it was generated");
    }
    return key;
  }

  private static void requirePresent(byte[] blob, KeyRole role) {
    if (blob.length == 0) {
      throw new Pkcs11Exception(role.absent(), "the " + role + " is absent");
    }
  }

  private static void requireUsable(
      Template attributes,
      boolean bare,
      MechanismRow row,
      long objectClass,
      long usage,
      KeyRole role) {
    if (attributes.ulong(CKA_CLASS).orElseThrow() != objectClass) {
      throw new Pkcs11Exception(
          role.wrongType(), "%s is not a %s".formatted(role, Cko.name(objectClass)));
    }
    if (!row.keyTypes().contains(attributes.ulong(CKA_KEY_TYPE).orElseThrow())) {
      throw new Pkcs11Exception(
          role.wrongType(), "type of the %s is not of %s".formatted(role, row.name()));
    }
    if (bare && usage != CKA_VERIFY) {
      throw new Pkcs11Exception(
          Ckr.CKR_IBM_BLOB_ERROR,
          "a bare SubjectPublicKeyInfo only verifies; import it by CKM_IBM_TRANSPORTKEY");
    }
    if (!attributes.isTrue(usage)) {
      throw new Pkcs11Exception(Ckr.CKR_KEY_FUNCTION_NOT_PERMITTED, Cka.name(usage) + " is false");
    }
    if (usage == CKA_DERIVE && attributes.isTrue(CKA_IBM_ATTRBOUND)) {
      // The new key is not bound. An extractable one would carry a function of the bound key's
      // value to wherever the attributes do not follow.
      throw new Pkcs11Exception(
          Ckr.CKR_KEY_FUNCTION_NOT_PERMITTED, "nothing is derived from an attribute-bound key");
    }
    boolean bound = row.family() == MechanismFamily.ATTRIBUTE_BOUND;
    if (role != KeyRole.KEY && attributes.isTrue(CKA_IBM_ATTRBOUND) != bound) {
      throw new Pkcs11Exception(role.wrongType(), BOUND_TOGETHER);
    }
  }

  private void requireKekSize(
      Template attributes, @Nullable PublicKeyInfo publicKey, KeyRole role) {
    if (policy == Policy.COMPATIBLE || role == KeyRole.KEY) {
      return;
    }
    long bits =
        publicKey instanceof PublicKeyInfo.Rsa rsa
            ? rsa.bits()
            : attributes.ulong(CKA_MODULUS_BITS).orElse(STRICT_RSA_KEK_BITS);
    if (bits < STRICT_RSA_KEK_BITS) {
      throw new Pkcs11Exception(
          role.wrongSize(), "RSA " + role + "s have at least " + STRICT_RSA_KEK_BITS + " bits");
    }
  }

  /** The public key of a borrowed one that is known to be public. */
  static PublicKeyInfo publicKey(WorkingKey key) {
    var info = key.publicKey();
    if (info == null) {
      throw new IllegalStateException("not a public key");
    }
    return info;
  }
}
