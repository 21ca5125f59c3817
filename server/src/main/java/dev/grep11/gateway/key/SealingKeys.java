package dev.grep11.gateway.key;

import static dev.grep11.gateway.pkcs11.Cka.*;

import dev.grep11.gateway.hsm.Session;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Ckk;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.Template;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;
import java.util.UUID;
import java.util.stream.Stream;

/**
 * One generation of an instance's sealing keys, found in the token: five objects, never one for two
 * purposes. A key that wraps may never decrypt, because that would open every blob in one call.
 */
public record SealingKeys(
    UUID instance,
    byte[] masterKeyId,
    long kekN,
    long kekX,
    long macKey,
    long valueKey,
    long root) {
  private static final int AES_256 = 32;
  private static final List<Long> REQUIRED =
      List.of(
          Ckm.CKM_AES_KEY_GEN,
          Ckm.CKM_GENERIC_SECRET_KEY_GEN,
          Ckm.CKM_AES_KEY_WRAP_PAD,
          Ckm.CKM_AES_GCM,
          Ckm.CKM_SHA256_HMAC);

  /**
   * Checks that a token can seal at all.
   *
   * @throws SealingKeyException naming the mechanisms that it lacks
   */
  public static void requireMechanisms(Set<Long> offered) {
    var missing = REQUIRED.stream().filter(type -> !offered.contains(type)).map(Ckm::name).toList();
    if (!missing.isEmpty()) {
      throw new SealingKeyException("the token lacks " + String.join(", ", missing));
    }
  }

  /** Makes a generation as token objects. */
  public static SealingKeyIds create(Session session, UUID instance) {
    var masterKeyId = session.random(SealedKey.ID_LENGTH);
    var name = "grep11 " + instance + " " + HexFormat.of().formatHex(masterKeyId, 0, 4);
    // The token itself refuses to unwrap a non-extractable key into anything readable.
    var kekN =
        aes(name + " kek-n")
            .put(CKA_WRAP, true)
            .put(CKA_UNWRAP, true)
            .put(CKA_UNWRAP_TEMPLATE, Template.builder().put(CKA_SENSITIVE, true).build());
    var kekX = aes(name + " kek-x").put(CKA_WRAP, true).put(CKA_UNWRAP, true);
    var valueKey = aes(name + " value").put(CKA_ENCRYPT, true).put(CKA_DECRYPT, true);
    var ids =
        new SealingKeyIds(
            masterKeyId,
            session.random(SealedKey.ID_LENGTH),
            session.random(SealedKey.ID_LENGTH),
            session.random(SealedKey.ID_LENGTH),
            session.random(SealedKey.ID_LENGTH),
            session.random(SealedKey.ID_LENGTH));
    try {
      generate(session, Ckm.CKM_AES_KEY_GEN, kekN, ids.kekN());
      generate(session, Ckm.CKM_AES_KEY_GEN, kekX, ids.kekX());
      generate(session, Ckm.CKM_GENERIC_SECRET_KEY_GEN, hmac(name + " mac"), ids.macKey());
      generate(session, Ckm.CKM_AES_KEY_GEN, valueKey, ids.valueKey());
      generate(session, Ckm.CKM_GENERIC_SECRET_KEY_GEN, hmac(name + " root"), ids.root());
    } catch (RuntimeException e) {
      // Nobody knows these ids, so that nobody could delete what they name later.
      try {
        destroy(session, ids, false);
      } catch (RuntimeException also) {
        e.addSuppressed(also);
      }
      throw e;
    }
    return ids;
  }

  /**
   * Finds a generation. Each id must name exactly one object, made in this token and never outside
   * it.
   *
   * @throws SealingKeyException naming the first key that is missing, ambiguous or not trustworthy
   */
  public static SealingKeys load(Session session, UUID instance, SealingKeyIds ids) {
    return new SealingKeys(
        instance,
        ids.masterKeyId(),
        find(session, instance, "KEK-N", ids.kekN()),
        find(session, instance, "KEK-X", ids.kekX()),
        find(session, instance, "MAC key", ids.macKey()),
        find(session, instance, "value key", ids.valueKey()),
        find(session, instance, "derivation root", ids.root()));
  }

  /**
   * Deletes what is there of a generation.
   *
   * @param keepRoot leaves the derivation root
   */
  public static void destroy(Session session, SealingKeyIds ids, boolean keepRoot) {
    for (var id : List.of(ids.kekN(), ids.kekX(), ids.macKey(), ids.valueKey())) {
      destroy(session, id);
    }
    if (!keepRoot) {
      destroy(session, ids.root());
    }
  }

  private static void destroy(Session session, byte[] id) {
    objects(session, id).forEach(session::destroyObject);
  }

  /**
   * Everything about a generation that is not as {@link #create} made it; empty when all is well.
   */
  public static List<String> faults(Session session, UUID instance, SealingKeyIds ids) {
    var wraps = Set.of(CKA_WRAP, CKA_UNWRAP);
    var faults = new ArrayList<String>();
    faults(session, instance, "KEK-N", ids.kekN(), wraps, faults);
    faults(session, instance, "KEK-X", ids.kekX(), wraps, faults);
    faults(session, instance, "MAC key", ids.macKey(), Set.of(CKA_SIGN), faults);
    faults(
        session, instance, "value key", ids.valueKey(), Set.of(CKA_ENCRYPT, CKA_DECRYPT), faults);
    faults(session, instance, "derivation root", ids.root(), Set.of(CKA_SIGN), faults);
    return faults;
  }

  private static void faults(
      Session session,
      UUID instance,
      String role,
      byte[] id,
      Set<Long> purpose,
      List<String> faults) {
    long key;
    try {
      key = find(session, instance, role, id);
    } catch (SealingKeyException e) {
      faults.add(e.getMessage());
      return;
    }
    var has =
        session.attributes(
            key,
            CKA_PRIVATE,
            CKA_SENSITIVE,
            CKA_EXTRACTABLE,
            CKA_ENCRYPT,
            CKA_DECRYPT,
            CKA_WRAP,
            CKA_UNWRAP,
            CKA_SIGN);
    var wrong = new ArrayList<String>();
    expect(has, CKA_PRIVATE, true, wrong);
    expect(has, CKA_SENSITIVE, true, wrong);
    expect(has, CKA_EXTRACTABLE, false, wrong);
    for (long use : purpose) {
      expect(has, use, true, wrong);
    }
    // What wraps and decrypts opens every blob; what encrypts and unwraps makes keys of data.
    if (purpose.contains(CKA_WRAP)) {
      expect(has, CKA_ENCRYPT, false, wrong);
      expect(has, CKA_DECRYPT, false, wrong);
    }
    if (purpose.contains(CKA_DECRYPT)) {
      expect(has, CKA_WRAP, false, wrong);
      expect(has, CKA_UNWRAP, false, wrong);
    }
    if (!wrong.isEmpty()) {
      faults.add(
          "%s of %s (CKA_ID %s) has %s"
              .formatted(role, instance, HexFormat.of().formatHex(id), String.join(", ", wrong)));
    }
  }

  private static void expect(Template has, long attribute, boolean value, List<String> wrong) {
    if (has.isTrue(attribute) != value) {
      wrong.add(Cka.name(attribute) + " " + !value);
    }
  }

  /** How many of a generation's keys are in the token. */
  public static int count(Session session, SealingKeyIds ids) {
    return Stream.of(ids.kekN(), ids.kekX(), ids.macKey(), ids.valueKey(), ids.root())
        .mapToInt(id -> objects(session, id).size())
        .sum();
  }

  /** An AES-256 token key without any usage. */
  public static Template.Builder aes(String label) {
    return tokenKey(Ckk.CKK_AES, label)
        .put(CKA_ENCRYPT, false)
        .put(CKA_DECRYPT, false)
        .put(CKA_WRAP, false)
        .put(CKA_UNWRAP, false)
        .put(CKA_SIGN, false);
  }

  /** Generates a token key under a fresh random CKA_ID and gives that. */
  public static byte[] generate(Session session, long mechanism, Template.Builder template) {
    var id = session.random(SealedKey.ID_LENGTH);
    generate(session, mechanism, template, id);
    return id;
  }

  private static void generate(
      Session session, long mechanism, Template.Builder template, byte[] id) {
    session.generateKey(Mechanism.of(mechanism), template.put(CKA_ID, id).build());
  }

  /** The one object under an id, with its provenance checked; {@code role} is for the message. */
  public static long find(Session session, Object owner, String role, byte[] id) {
    var found = objects(session, id);
    if (found.size() != 1) {
      throw new SealingKeyException(
          "%s of %s (CKA_ID %s): %d objects in the token, expected exactly one; bring the token's own backup back"
              .formatted(role, owner, HexFormat.of().formatHex(id), found.size()));
    }
    long handle = found.getFirst();
    var made = session.attributes(handle, CKA_LOCAL, CKA_NEVER_EXTRACTABLE, CKA_ALWAYS_SENSITIVE);
    if (!made.isTrue(CKA_LOCAL)
        || !made.isTrue(CKA_NEVER_EXTRACTABLE)
        || !made.isTrue(CKA_ALWAYS_SENSITIVE)) {
      throw new SealingKeyException(
          "%s of %s (CKA_ID %s) was not generated in this token, or could have left it"
              .formatted(role, owner, HexFormat.of().formatHex(id)));
    }
    return handle;
  }

  private static List<Long> objects(Session session, byte[] id) {
    return session.findObjects(
        Template.builder()
            .put(CKA_ID, id)
            .put(CKA_CLASS, Cko.CKO_SECRET_KEY)
            .put(CKA_TOKEN, true)
            .build());
  }

  private static Template.Builder hmac(String label) {
    return tokenKey(Ckk.CKK_GENERIC_SECRET, label).put(CKA_SIGN, true);
  }

  private static Template.Builder tokenKey(long keyType, String label) {
    return Template.builder()
        .put(CKA_CLASS, Cko.CKO_SECRET_KEY)
        .put(CKA_KEY_TYPE, keyType)
        .put(CKA_VALUE_LEN, AES_256)
        .put(CKA_TOKEN, true)
        // Public token objects lie in clear on SoftHSM's disk.
        .put(CKA_PRIVATE, true)
        .put(CKA_SENSITIVE, true)
        .put(CKA_EXTRACTABLE, false)
        .put(CKA_VERIFY, false)
        .put(CKA_DERIVE, false)
        .put(CKA_LABEL, label.getBytes(java.nio.charset.StandardCharsets.UTF_8));
  }
}
