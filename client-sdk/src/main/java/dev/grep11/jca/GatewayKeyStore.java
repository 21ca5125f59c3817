package dev.grep11.jca;

import static dev.grep11.client.Cka.CKA_ENCRYPT;
import static dev.grep11.client.Cka.CKA_ID;
import static dev.grep11.client.Cka.CKA_LABEL;
import static dev.grep11.client.Cka.CKA_SUBJECT;
import static dev.grep11.client.Cka.CKA_TRUSTED;
import static dev.grep11.client.Cka.CKA_VERIFY;

import dev.grep11.agent.store.Attributes;
import dev.grep11.agent.store.RemoteStore;
import dev.grep11.agent.store.StoreException;
import dev.grep11.agent.store.StoredObject;
import dev.grep11.client.Grep11Exception;
import dev.grep11.client.PublicKeyBlob;
import dev.grep11.client.Template;
import dev.grep11.jca.Contents.Entry;
import dev.grep11.jca.Contents.PrivateEntry;
import dev.grep11.jca.Contents.SecretEntry;
import dev.grep11.jca.Contents.TrustedEntry;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.security.Key;
import java.security.KeyStore;
import java.security.KeyStoreException;
import java.security.KeyStoreSpi;
import java.security.PublicKey;
import java.security.UnrecoverableEntryException;
import java.security.UnrecoverableKeyException;
import java.security.cert.Certificate;
import java.security.cert.CertificateEncodingException;
import java.security.cert.X509Certificate;
import java.security.interfaces.RSAPublicKey;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Date;
import java.util.Enumeration;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.stream.Stream;
import javax.security.auth.login.FailedLoginException;
import javax.security.auth.login.LoginException;
import org.jspecify.annotations.Nullable;

/**
 * The keystores of the gateway that PKCS #11 applications have their token objects in, as a
 * KeyStore. It shows what was there when it was loaded and what it changed since; changes are made
 * in the gateway at once.
 */
final class GatewayKeyStore extends KeyStoreSpi {
  /** What was read, and as whom. */
  private record Loaded(Login login, Contents contents) {}

  private final Grep11Provider provider;

  /**
   * Null before the first load. Written with this object's lock, and read without: whoever looks up
   * a key waits for no change that is on its way to the gateway.
   */
  private volatile @Nullable Loaded loaded;

  GatewayKeyStore(Grep11Provider provider) {
    this.provider = provider;
  }

  // ---- Loading

  /**
   * Logs in and reads the keystores.
   *
   * @param stream null: there is no file
   * @param apiKey of the user; null for who is logged in, or for the public keystore alone
   */
  @Override
  public synchronized void engineLoad(@Nullable InputStream stream, char @Nullable [] apiKey)
      throws IOException {
    if (stream != null) {
      throw new IOException(
          "a KeyStore of type GREP11 is no file: load(null, apiKey), or -keystore NONE");
    }
    try {
      var who = provider.loginFor(apiKey);
      loaded = new Loaded(who, Contents.read(who));
    } catch (FailedLoginException e) {
      // By which KeyStore.load says that the password was the wrong one.
      var cause = new UnrecoverableKeyException(e.getMessage());
      cause.initCause(e);
      throw new IOException(e.getMessage(), cause);
    } catch (LoginException e) {
      throw new IOException(e.getMessage(), e);
    } catch (Grep11Exception e) {
      throw new IOException(Remedy.of(e), e);
    } catch (StoreException e) {
      throw new IOException(e.getMessage(), e);
    }
  }

  /** Nothing is left to do: changes are made at once. */
  @Override
  public void engineStore(@Nullable OutputStream stream, char @Nullable [] password)
      throws IOException {
    if (stream != null) {
      throw new IOException("keys behind a gateway are not written to a file: store(null, null)");
    }
  }

  @Override
  public void engineStore(KeyStore.@Nullable LoadStoreParameter parameter) {}

  private Loaded loaded() {
    var now = loaded;
    if (now == null) {
      throw new IllegalStateException("load(null, apiKey) comes first");
    }
    return now;
  }

  private Contents contents() {
    return loaded().contents();
  }

  private @Nullable Entry entry(String alias) {
    return contents().entries().get(alias);
  }

  // ---- Entries

  @Override
  public Enumeration<String> engineAliases() {
    return Collections.enumeration(contents().entries().keySet());
  }

  @Override
  public boolean engineContainsAlias(String alias) {
    return contents().entries().containsKey(alias);
  }

  @Override
  public int engineSize() {
    return contents().entries().size();
  }

  @Override
  public boolean engineIsKeyEntry(String alias) {
    var entry = entry(alias);
    return entry instanceof PrivateEntry || entry instanceof SecretEntry;
  }

  @Override
  public boolean engineIsCertificateEntry(String alias) {
    return entry(alias) instanceof TrustedEntry;
  }

  /**
   * @param password without meaning: the login is what protects a key
   */
  @Override
  public @Nullable Key engineGetKey(String alias, char @Nullable [] password) {
    var entry = entry(alias);
    if (entry instanceof PrivateEntry found) {
      return found.key();
    }
    return entry instanceof SecretEntry found ? found.key() : null;
  }

  @Override
  public Certificate @Nullable [] engineGetCertificateChain(String alias) {
    return entry(alias) instanceof PrivateEntry found ? chain(found) : null;
  }

  private static Certificate @Nullable [] chain(PrivateEntry of) {
    return of.chain().isEmpty()
        ? null
        : of.chain().stream().map(Certificates.Found::certificate).toArray(Certificate[]::new);
  }

  @Override
  public @Nullable Certificate engineGetCertificate(String alias) {
    return certificate(entry(alias));
  }

  private static @Nullable Certificate certificate(@Nullable Entry of) {
    if (of instanceof TrustedEntry found) {
      return found.trusted().certificate();
    }
    return of instanceof PrivateEntry found && !found.chain().isEmpty()
        ? found.chain().get(0).certificate()
        : null;
  }

  @Override
  public KeyStore.@Nullable Entry engineGetEntry(
      String alias, KeyStore.@Nullable ProtectionParameter protection)
      throws UnrecoverableEntryException {
    var entry = entry(alias);
    if (entry instanceof SecretEntry found) {
      return new KeyStore.SecretKeyEntry(found.key());
    }
    if (entry instanceof TrustedEntry found) {
      return new KeyStore.TrustedCertificateEntry(found.trusted().certificate());
    }
    if (entry instanceof PrivateEntry found) {
      var chain = chain(found);
      if (chain == null) {
        throw new UnrecoverableEntryException(
            "the key \"%s\" has no certificate yet: use getKey, and setKeyEntry with its chain"
                .formatted(alias));
      }
      return new KeyStore.PrivateKeyEntry(found.key(), chain);
    }
    return null;
  }

  /** Not known: keystores do not record it. */
  @Override
  public @Nullable Date engineGetCreationDate(String alias) {
    return null;
  }

  @Override
  public @Nullable String engineGetCertificateAlias(Certificate certificate) {
    String ofKey = null;
    for (var entry : contents().entries().entrySet()) {
      if (certificate.equals(certificate(entry.getValue()))) {
        if (entry.getValue() instanceof TrustedEntry) {
          return entry.getKey();
        }
        ofKey = ofKey == null ? entry.getKey() : ofKey;
      }
    }
    return ofKey;
  }

  // ---- Changes

  /** A change, after which what is there is read anew. */
  private interface Change {
    void make() throws KeyStoreException, CertificateEncodingException;
  }

  private void change(Change change) throws KeyStoreException {
    try {
      made(change);
    } catch (KeyStoreException e) {
      try {
        reread();
      } catch (KeyStoreException again) {
        e.addSuppressed(again);
      }
      throw e;
    }
    reread();
  }

  private static void made(Change change) throws KeyStoreException {
    try {
      change.make();
    } catch (CertificateEncodingException e) {
      throw new KeyStoreException("a certificate that has no encoding", e);
    } catch (Grep11Exception e) {
      throw new KeyStoreException(Remedy.of(e), e);
    } catch (StoreException e) {
      throw new KeyStoreException(e.getMessage(), e);
    }
  }

  private void reread() throws KeyStoreException {
    var before = loaded();
    try {
      loaded = new Loaded(before.login(), before.contents().reread(before.login()));
    } catch (Grep11Exception | StoreException e) {
      throw new KeyStoreException("the keystore cannot be read: " + e.getMessage(), e);
    }
  }

  private Login.Place home() throws KeyStoreException {
    return loaded().login().keystores().stream()
        .findFirst()
        .orElseThrow(() ->
            new KeyStoreException(
                "there is no keystore: switch remotestore on in the configuration, or give the"
                    + " provider a keystore"));
  }

  /**
   * Keeps a key of this provider, and its certificates; one that is kept already is renamed. An
   * alias of another key is refused, since what would go with it is a key: delete the entry first.
   *
   * <p>Who renames deletes the old alias next, as keytool does. So this succeeds only where the key
   * has the new one.
   */
  @Override
  public synchronized void engineSetKeyEntry(
      String alias, Key key, char @Nullable [] password, Certificate @Nullable [] chain)
      throws KeyStoreException {
    requireOwn(alias, key);
    change(() -> {
      if (key instanceof GatewaySecretKey secret) {
        keep(alias, secret);
      } else if (key instanceof GatewayPrivateKey privateKey) {
        keep(alias, privateKey, x509(chain));
      } else {
        throw new KeyStoreException(
            "a key of the application is not put into the HSM by this KeyStore: make it there, with"
                + " the provider's KeyGenerator or KeyPairGenerator");
      }
    });
    var now = entry(alias);
    if (now == null || !isOf(key, now)) {
      throw new KeyStoreException(
          "\"%s\" did not become the key's alias, since others have that label by now: load again, and"
                  .formatted(alias)
              + " choose another");
    }
  }

  private void requireOwn(String alias, Key key) throws KeyStoreException {
    var there = entry(alias);
    if (there != null && !isOf(key, there)) {
      throw new KeyStoreException(
          "\"%s\" names another entry, whose key would be lost: choose another alias, or delete that"
                  .formatted(alias)
              + " entry first");
    }
    if (there == null && key instanceof GatewayKey<?> own && isLabelOfOthers(alias, own)) {
      throw new KeyStoreException(
          "\"%s\" is the label of other entries, which have longer aliases by that: choose another"
              .formatted(alias));
    }
  }

  /** In the keystore that the key is in, or will be. */
  private boolean isLabelOfOthers(String alias, GatewayKey<?> key) throws KeyStoreException {
    var before = kept(key);
    var place = before.isPresent() ? before.get().item().place() : home();
    return contents().entries().values().stream()
        .anyMatch(entry ->
            !isOf(key, entry)
                && entry.item().place().equals(place)
                && entry.item().label().equals(alias));
  }

  private static List<X509Certificate> x509(Certificate @Nullable [] chain)
      throws KeyStoreException {
    var certificates = new ArrayList<X509Certificate>();
    for (var certificate : chain == null ? new Certificate[0] : chain) {
      if (!(certificate instanceof X509Certificate x509)) {
        throw new KeyStoreException("only X.509 certificates are kept");
      }
      certificates.add(x509);
    }
    return certificates;
  }

  private void keep(String alias, GatewaySecretKey key) throws KeyStoreException {
    var before = kept(key);
    if (before.isPresent()) {
      var item = before.get().item();
      update(item, named(alias, item));
      return;
    }
    var home = home();
    var handle = key.handle();
    var made =
        home.store()
            .create(
                KeyRecord.ofSecretKey(
                    handle, KeyRecord.named(alias, new byte[0], home.isPrivate())),
                List.of(handle.blob().bytes()));
    handle.savedAt(new KeyHandle.Place(home.store(), made.id()));
  }

  /** The entry of this very key, if it has one here. */
  private Optional<Entry> kept(GatewayKey<?> key) {
    return contents().entries().values().stream().filter(entry -> isOf(key, entry)).findFirst();
  }

  private static boolean isOf(Key key, Entry entry) {
    return (entry instanceof PrivateEntry found && found.key().equals(key))
        || (entry instanceof SecretEntry secret && secret.key().equals(key));
  }

  /** With the alias as its label; of an object that has the alias already, as it is. */
  private Attributes named(String alias, Contents.Item item) {
    return entry(alias) == null
        ? item.attributes().with(CKA_LABEL, alias.getBytes(StandardCharsets.UTF_8))
        : item.attributes();
  }

  private static void update(Contents.Item item, Attributes changed) {
    if (!changed.equals(item.attributes())) {
      var object = item.object();
      item.place().store().update(object.id(), object.version(), changed, object.blobs());
    }
  }

  /** The key first, then its certificates: whatever is cut off, the key is there. */
  private void keep(String alias, GatewayPrivateKey key, List<X509Certificate> chain)
      throws KeyStoreException, CertificateEncodingException {
    var half =
        key.publicKey()
            .orElseThrow(() -> new KeyStoreException("the public half of this key is not known"));
    if (chain.isEmpty() || !chain.get(0).getPublicKey().equals(half)) {
      throw new KeyStoreException(
          "the first certificate of the chain is not that of this key's public half");
    }
    var before = kept(key);
    byte[] id =
        before
            .map(entry -> entry.item().id())
            .filter(some -> some.length > 0)
            .orElseGet(() -> KeyRecord.idOf(half));
    byte[] subject = chain.get(0).getSubjectX500Principal().getEncoded();
    Login.Place home = home();
    if (before.isPresent()) {
      var item = before.get().item();
      home = item.place();
      update(item, named(alias, item).with(CKA_ID, id).with(CKA_SUBJECT, subject));
      renameWhatBelongsTo(item, alias, half, chain.get(0));
    } else {
      var handle = key.handle();
      var made =
          home.store()
              .create(
                  KeyRecord.ofPrivateKey(
                      handle,
                      half,
                      KeyRecord.named(alias, id, home.isPrivate()).with(CKA_SUBJECT, subject)),
                  List.of(handle.blob().bytes()));
      handle.savedAt(new KeyHandle.Place(home.store(), made.id()));
      keepPublicKey(alias, id, half, home, handle.reach());
    }
    keepCertificates(alias, id, half, home, chain);
  }

  /**
   * By the label that the key had PKCS #11 applications find its public key and certificate too.
   */
  private void renameWhatBelongsTo(
      Contents.Item key, String alias, PublicKey half, X509Certificate leaf) {
    var certificates =
        contents().certificates().stream()
            .filter(found ->
                found.certificate().equals(leaf) && !found.item().attributes().isTrue(CKA_TRUSTED))
            .map(Certificates.Found::item);
    Stream.concat(contents().publicKeys(key.id(), half).stream(), certificates)
        .filter(item -> item.place().equals(key.place()) && item.label().equals(key.label()))
        .forEach(item -> update(item, named(alias, item)));
  }

  /** PKCS #11 applications verify by an object of its own. */
  private static void keepPublicKey(
      String alias, byte[] id, PublicKey half, Login.Place home, RemoteStore.Reach reach) {
    var rights = Template.empty().with(CKA_VERIFY, true);
    var template = half instanceof RSAPublicKey ? rights.with(CKA_ENCRYPT, true) : rights;
    var blob = reach.ask(client -> client.importPublicKey(half.getEncoded(), template));
    var record =
        KeyRecord.ofPublicKey(
            KeyHandle.unsaved(reach, blob, PublicKeyBlob::new),
            half,
            KeyRecord.named(alias, id, home.isPrivate()));
    home.store().create(record, List.of(blob.bytes()));
  }

  private void keepCertificates(
      String alias, byte[] id, PublicKey half, Login.Place home, List<X509Certificate> chain)
      throws CertificateEncodingException {
    var others = new ArrayList<Certificates.Found>();
    boolean leafIsThere = false;
    for (var known : contents().certificates()) {
      if (known.certificate().getPublicKey().equals(half)
          && !known.item().attributes().isTrue(CKA_TRUSTED)) {
        boolean same =
            known.certificate().equals(chain.get(0)) && Arrays.equals(known.item().id(), id);
        leafIsThere |= same;
        if (!same && known.item().place().equals(home)) {
          others.add(known);
        }
      }
    }
    if (!leafIsThere) {
      create(home, chain.get(0), false, alias, id);
    }
    for (var above : chain.subList(1, chain.size())) {
      if (contents().certificates().stream()
          .noneMatch(known -> known.certificate().equals(above))) {
        create(home, above, false, above.getSubjectX500Principal().getName(), new byte[0]);
      }
    }
    // The new one is there: now the old ones may go.
    others.forEach(old -> old.item().place().store().delete(old.item().object().id()));
  }

  private static StoredObject create(
      Login.Place home, X509Certificate certificate, boolean trusted, String label, byte[] id)
      throws CertificateEncodingException {
    return home.store()
        .create(
            KeyRecord.ofCertificate(
                certificate, trusted, KeyRecord.named(label, id, home.isPrivate())),
            List.of());
  }

  /** Without the password that other types ask for: the login protects a key. */
  @Override
  public void engineSetEntry(
      String alias, KeyStore.Entry entry, KeyStore.@Nullable ProtectionParameter protection)
      throws KeyStoreException {
    if (entry instanceof KeyStore.PrivateKeyEntry key) {
      engineSetKeyEntry(alias, key.getPrivateKey(), null, key.getCertificateChain());
    } else if (entry instanceof KeyStore.SecretKeyEntry key) {
      engineSetKeyEntry(alias, key.getSecretKey(), null, null);
    } else if (entry instanceof KeyStore.TrustedCertificateEntry trusted) {
      engineSetCertificateEntry(alias, trusted.getTrustedCertificate());
    } else {
      throw new KeyStoreException("entries of this kind are not kept: " + entry.getClass());
    }
  }

  @Override
  public void engineSetKeyEntry(String alias, byte[] key, Certificate @Nullable [] chain)
      throws KeyStoreException {
    throw new KeyStoreException("an encrypted key of somebody else is not kept here");
  }

  /** Declares a certificate trusted, which is for a user's own keystore to say. */
  @Override
  public synchronized void engineSetCertificateEntry(String alias, Certificate certificate)
      throws KeyStoreException {
    var there = entry(alias);
    if (there != null && !(there instanceof TrustedEntry)) {
      throw new KeyStoreException("\"%s\" names a key: choose another alias".formatted(alias));
    }
    var home = home();
    if (!home.isPrivate()) {
      throw new KeyStoreException(
          "a certificate in the public keystore, where others may write, is trusted by nobody: log in,"
              + " with load(null, apiKey)");
    }
    change(() -> {
      create(home, x509(new Certificate[] {certificate}).get(0), true, alias, new byte[0]);
      if (there != null) {
        delete(there.item().place(), there.item().object().id());
      }
    });
  }

  /**
   * Deletes the key for good, with its certificate and its public key. An alias that is not there
   * is none, as with the JDK's types: keytool renames by an entry of the new name and a deletion.
   */
  @Override
  public synchronized void engineDeleteEntry(String alias) throws KeyStoreException {
    var there = entry(alias);
    if (there == null) {
      return;
    }
    change(() -> {
      // The key last: what is cut off can be repeated.
      if (there instanceof PrivateEntry found) {
        for (var own : found.chain()) {
          if (found.key().publicKey().filter(own.certificate().getPublicKey()::equals).isPresent()
              && !own.item().attributes().isTrue(CKA_TRUSTED)) {
            delete(own.item().place(), own.item().object().id());
          }
        }
        found
            .key()
            .publicKey()
            .ifPresent(half ->
                contents()
                    .publicKeys(found.item().id(), half)
                    .forEach(item -> delete(item.place(), item.object().id())));
      }
      delete(there.item().place(), there.item().object().id());
    });
  }

  /** What somebody else has deleted meanwhile is gone, as it should be. */
  private static void delete(Login.Place place, UUID object) {
    try {
      place.store().delete(object);
    } catch (StoreException e) {
      if (e.reason() != StoreException.Reason.MISSING) {
        throw e;
      }
    }
  }
}
