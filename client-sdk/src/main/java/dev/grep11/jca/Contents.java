package dev.grep11.jca;

import static dev.grep11.client.Cka.*;

import dev.grep11.agent.cryptoki.ObjectTemplates;
import dev.grep11.agent.store.Attributes;
import dev.grep11.agent.store.StoredObject;
import dev.grep11.client.Ckk;
import dev.grep11.client.Cko;
import dev.grep11.client.PrivateKeyBlob;
import dev.grep11.client.PublicKeyBlob;
import dev.grep11.client.SecretKeyBlob;
import java.nio.charset.StandardCharsets;
import java.security.PublicKey;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/**
 * What one reading of the keystores found, as the entries of a KeyStore. Immutable.
 *
 * <p>A private key's certificate is the one with its public key. An alias is the label of the key;
 * of a key without one, as SunPKCS11 makes them, that of its certificate; else its CKA_ID in
 * hexadecimal. Where several entries have the same name, each gets {@code #} and the beginning of
 * its object's id behind it, so that none is taken for another. One of the private keystore keeps
 * its name whatever the public one has, where others may write.
 */
final class Contents {
  private static final int SHORT_ID = 8;

  /** An object, and the keystore that it is in. */
  record Item(Login.Place place, StoredObject object) {
    Attributes attributes() {
      return object.attributes();
    }

    byte[] id() {
      return attributes().get(CKA_ID).orElse(new byte[0]);
    }

    String label() {
      return new String(attributes().get(CKA_LABEL).orElse(new byte[0]), StandardCharsets.UTF_8);
    }
  }

  /** What an alias names. */
  sealed interface Entry {
    /** The object that gives the alias. */
    Item item();
  }

  /**
   * @param chain from the key's own upward; empty of a key without a certificate
   */
  record PrivateEntry(Item item, GatewayPrivateKey key, List<Certificates.Found> chain)
      implements Entry {}

  record SecretEntry(Item item, GatewaySecretKey key) implements Entry {}

  /**
   * A certificate of the private keystore that its user has declared trusted (CKA_TRUSTED). Of one
   * in the public keystore that says nothing: whoever may write there can have set it, past the
   * agent too.
   */
  record TrustedEntry(Certificates.Found trusted) implements Entry {
    @Override
    public Item item() {
      return trusted.item();
    }
  }

  private final Map<String, Entry> entries;
  private final List<Certificates.Found> certificates;
  private final List<Item> publicKeys;

  private Contents(
      Map<String, Entry> entries, List<Certificates.Found> certificates, List<Item> publicKeys) {
    this.entries = entries;
    this.certificates = certificates;
    this.publicKeys = publicKeys;
  }

  Map<String, Entry> entries() {
    return entries;
  }

  /** All certificate objects, trusted or not. */
  List<Certificates.Found> certificates() {
    return certificates;
  }

  /** Public key objects with this CKA_ID and this key. */
  List<Item> publicKeys(byte[] id, PublicKey key) {
    return publicKeys.stream()
        .filter(item -> Arrays.equals(item.id(), id) && isSame(item, key))
        .toList();
  }

  private static boolean isSame(Item item, PublicKey key) {
    return item.attributes()
        .get(CKA_PUBLIC_KEY_INFO)
        .flatMap(info -> PublicKeys.of(new PublicKeyBlob(info)))
        .filter(key::equals)
        .isPresent();
  }

  // ---- Reading

  static Contents read(Login login) {
    return read(login, Map.of());
  }

  /**
   * What is there after a change. An alias that named another object passes to nobody by that: who
   * renames an entry deletes its old alias next, which must not be a second key of that label.
   */
  Contents reread(Login login) {
    return read(login, entries);
  }

  private static Contents read(Login login, Map<String, Entry> before) {
    var items = new ArrayList<Item>();
    for (var place : login.keystores()) {
      var objects = new ArrayList<>(place.store().find(Attributes.empty()));
      // The order of a keystore's answer says nothing; that of ids stays.
      objects.sort(Comparator.comparing(StoredObject::id));
      objects.forEach(object -> items.add(new Item(place, object)));
    }
    var certificates = Certificates.of(items);
    var publicKeys = ofClass(items, Cko.CKO_PUBLIC_KEY);
    var named = new LinkedHashMap<Entry, String>();
    for (var item : ofClass(items, Cko.CKO_PRIVATE_KEY)) {
      privateEntry(login, item, certificates, publicKeys)
          .ifPresent(entry -> named.put(entry, nameOf(entry)));
    }
    for (var item : ofClass(items, Cko.CKO_SECRET_KEY)) {
      var entry = new SecretEntry(item, secretKey(login, item));
      named.put(entry, nameOf(entry));
    }
    for (var item : certificates.all()) {
      if (item.item().place().isPrivate() && item.item().attributes().isTrue(CKA_TRUSTED)) {
        var entry = new TrustedEntry(item);
        named.put(entry, nameOf(entry));
      }
    }
    return new Contents(
        withoutPassingOn(before, byAlias(login, named)), certificates.all(), publicKeys);
  }

  private static List<Item> ofClass(List<Item> items, long objectClass) {
    return items.stream()
        .filter(item -> item.attributes().number(CKA_CLASS).orElse(-1) == objectClass)
        .filter(item -> objectClass == Cko.CKO_CERTIFICATE || !item.object().blobs().isEmpty())
        .toList();
  }

  /** A name within a keystore. */
  private record Named(Login.Place place, String name) {}

  private static Map<String, Entry> byAlias(Login login, Map<Entry, String> named) {
    var uses = new HashMap<Named, Integer>();
    named.forEach(
        (entry, name) -> uses.merge(new Named(entry.item().place(), name), 1, Integer::sum));
    var entries = new TreeMap<String, Entry>();
    named.forEach((entry, name) -> {
      var place = entry.item().place();
      boolean alone = uses.getOrDefault(new Named(place, name), 0) == 1;
      boolean first =
          place.equals(login.keystores().get(0))
              || !uses.containsKey(new Named(login.keystores().get(0), name));
      var id = entry.item().object().id().toString();
      var alias = alone && first ? name : name + "#" + id.substring(0, SHORT_ID);
      if (entries.containsKey(alias)) {
        alias = name + "#" + id;
      }
      entries.put(alias, entry);
    });
    return entries;
  }

  private static Map<String, Entry> withoutPassingOn(
      Map<String, Entry> before, Map<String, Entry> now) {
    var aliases = new HashMap<UUID, String>();
    before.forEach((alias, entry) -> aliases.put(idOf(entry), alias));
    var entries = new TreeMap<String, Entry>();
    now.forEach((alias, entry) -> {
      var own = aliases.get(idOf(entry));
      var other = before.get(alias);
      boolean stays =
          own != null && other != null && !idOf(other).equals(idOf(entry)) && !now.containsKey(own);
      entries.put(stays ? own : alias, entry);
    });
    return Collections.unmodifiableMap(entries);
  }

  private static UUID idOf(Entry entry) {
    return entry.item().object().id();
  }

  private static String nameOf(Entry entry) {
    var label = entry.item().label();
    if (!label.isEmpty()) {
      return label;
    }
    if (entry instanceof PrivateEntry key && !key.chain().isEmpty()) {
      var ofCertificate = key.chain().get(0).item().label();
      if (!ofCertificate.isEmpty()) {
        return ofCertificate;
      }
    }
    if (entry instanceof TrustedEntry trusted) {
      return trusted.trusted().certificate().getSubjectX500Principal().getName();
    }
    byte[] id = entry.item().id();
    return id.length > 0 ? HexFormat.of().formatHex(id) : entry.item().object().id().toString();
  }

  // ---- Keys

  private static GatewaySecretKey secretKey(Login login, Item item) {
    long type = item.attributes().number(CKA_KEY_TYPE).orElse(-1);
    var algorithm =
        type == Ckk.CKK_AES
            ? "AES"
            : type == Ckk.CKK_DES2 || type == Ckk.CKK_DES3 ? "DESede" : "Generic";
    return new GatewaySecretKey(
        algorithm,
        KeyHandle.saved(login.reach(), item.place().store(), item.object(), SecretKeyBlob::new));
  }

  private static Optional<PrivateEntry> privateEntry(
      Login login, Item item, Certificates certificates, List<Item> publicKeys) {
    var half = publicHalf(item, certificates, publicKeys);
    var handle =
        KeyHandle.saved(login.reach(), item.place().store(), item.object(), PrivateKeyBlob::new);
    return GatewayPrivateKey.of(handle, half, algorithm(item))
        .map(key ->
            new PrivateEntry(
                item,
                key,
                half == null
                    ? List.of()
                    : certificates.of(half, item).map(certificates::chain).orElse(List.of())));
  }

  private static String algorithm(Item item) {
    long type = item.attributes().number(CKA_KEY_TYPE).orElse(-1);
    if (type == Ckk.CKK_RSA) {
      return "RSA";
    }
    if (type == Ckk.CKK_EC) {
      return "EC";
    }
    if (type == Ckk.CKK_DSA) {
      return "DSA";
    }
    return type == ObjectTemplates.CKK_EC_EDWARDS ? "EdDSA" : "";
  }

  /**
   * As the record of the key tells it, else a public key or certificate of the same CKA_ID in the
   * same keystore.
   */
  private static @Nullable PublicKey publicHalf(
      Item item, Certificates certificates, List<Item> publicKeys) {
    var told =
        item.attributes()
            .get(CKA_PUBLIC_KEY_INFO)
            .filter(info -> info.length > 0)
            .flatMap(info -> PublicKeys.of(new PublicKeyBlob(info)));
    if (told.isPresent()) {
      return told.get();
    }
    byte[] id = item.id();
    if (id.length == 0) {
      return null;
    }
    for (var publicKey : publicKeys) {
      if (publicKey.place().equals(item.place()) && Arrays.equals(publicKey.id(), id)) {
        var key = PublicKeys.of(new PublicKeyBlob(publicKey.object().blobs().get(0)));
        if (key.isPresent()) {
          return key.get();
        }
      }
    }
    for (var certificate : certificates.all()) {
      if (certificate.item().place().equals(item.place())
          && Arrays.equals(certificate.item().id(), id)) {
        return certificate.certificate().getPublicKey();
      }
    }
    return null;
  }
}
