package dev.grep11.agent.store;

import static dev.grep11.client.Ckr.CKR_ATTRIBUTE_TYPE_INVALID;
import static dev.grep11.client.Ckr.CKR_ATTRIBUTE_VALUE_INVALID;
import static dev.grep11.client.Ckr.CKR_IBM_GREP11_CONFLICT;
import static dev.grep11.client.Ckr.CKR_IBM_GREP11_MISSING;
import static dev.grep11.client.Ckr.CKR_IBM_GREP11_REPLAY;
import static dev.grep11.client.Ckr.CKR_PIN_INCORRECT;

import dev.grep11.agent.config.Secret;
import dev.grep11.agent.store.StoreException.Reason;
import dev.grep11.client.Cka;
import dev.grep11.client.Cko;
import dev.grep11.client.Grep11Client;
import dev.grep11.client.Grep11Exception;
import dev.grep11.client.KeyBlob;
import dev.grep11.client.Keystore;
import dev.grep11.client.KeystoreInfo;
import dev.grep11.client.Keystores;
import dev.grep11.client.PrivateKeyBlob;
import dev.grep11.client.PublicKeyBlob;
import dev.grep11.client.SecretKeyBlob;
import dev.grep11.client.StoredKey;
import dev.grep11.client.Template;
import io.grpc.Status;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * A keystore of the gateway, as one user reaches it, who has the rights that he has there.
 *
 * <p>It holds nothing itself. What the gateway refuses for a reason that a {@link StoreException}
 * has no word for, such as a limit or a missing right, stays a {@link Grep11Exception}.
 */
public final class RemoteStore implements Store {
  /** CK_UNAVAILABLE_INFORMATION, which no keystore keeps: it is what is not there. */
  private static final long UNAVAILABLE = -1;

  private static final int LONGEST_NAME = 32;
  private static final String UNNAMED = "grep11";

  /**
   * The gateway as a user reaches it. Throws what the SDK throws. It may make the call several
   * times, so what names a change is drawn outside of it: a change whose answer was lost is then
   * recognised by the gateway, and not carried out twice.
   */
  @FunctionalInterface
  public interface Reach {
    <T> T ask(Function<Grep11Client, T> call);
  }

  private final Reach reach;
  private final UUID id;
  private final Optional<Secret> password;

  /** Nothing is asked yet. */
  public RemoteStore(Reach reach, UUID id, Optional<Secret> password) {
    this.reach = reach;
    this.id = id;
    this.password = password;
  }

  /** What cannot be asked of the gateway is compared here. */
  @Override
  public List<StoredObject> find(Attributes template) {
    var asked = template(template);
    var rest = template;
    for (long type : asked.attributes()) {
      rest = rest.without(type);
    }
    var compared = rest;
    try {
      return inKeystore(keystore -> keystore.find(asked)).stream()
          .map(RemoteStore::object)
          .filter(object -> object.attributes().match(compared))
          .toList();
    } catch (Grep11Exception e) {
      // Applications look for other vendors' attributes too. What no keystore takes, none has.
      if (e.returnValue() == CKR_ATTRIBUTE_TYPE_INVALID
          || e.returnValue() == CKR_ATTRIBUTE_VALUE_INVALID) {
        return List.of();
      }
      throw e;
    }
  }

  @Override
  public Optional<StoredObject> read(UUID object) {
    return inKeystore(keystore -> keystore.find(object)).map(RemoteStore::object);
  }

  /** Of two blobs the first, which is the better one. */
  @Override
  public StoredObject create(Attributes attributes, List<byte[]> blobs) {
    var template = template(attributes);
    Optional<KeyBlob> key =
        blobs.isEmpty() ? Optional.empty() : Optional.of(key(attributes, blobs.get(0)));
    var made = UUID.randomUUID();
    var transaction = UUID.randomUUID();
    return object(inKeystore(keystore -> keystore.store(made, transaction, template, key)));
  }

  @Override
  public StoredObject update(UUID object, long version, Attributes attributes, List<byte[]> blobs) {
    var transaction = UUID.randomUUID();
    var sent = new AtomicReference<@Nullable StoredKey>();
    return ofObject(
        object,
        keystore -> {
          var before = sent.get();
          if (before != null) {
            // What is there now may be this very change.
            return object(keystore.update(before, transaction));
          }
          var present = keystore.get(object);
          if (present.version() != version) {
            throw new StoreException(
                Reason.CONFLICT,
                "object %s is of version %d by now, not %d"
                    .formatted(object, present.version(), version));
          }
          var changed = present.with(template(attributes));
          // A rotation may have put another blob of the same key before this one: that is to stay.
          boolean sameKey =
              blobs.isEmpty()
                  || present.blobs().stream().anyMatch(blob -> Arrays.equals(blob, blobs.get(0)));
          var update = sameKey ? changed : changed.with(key(attributes, blobs.get(0)));
          sent.set(update);
          // The gateway compares the version once more, so that nobody is overwritten.
          return object(keystore.update(update, transaction));
        });
  }

  @Override
  public void delete(UUID object) {
    ofObject(
        object,
        keystore -> {
          keystore.delete(object);
          return object;
        });
  }

  /**
   * Makes the keystore anew, which needs no old password, so that this is also what helps after one
   * was lost. The label is the keystore's name: who may use the keystore may read it, and it goes
   * with it.
   */
  @Override
  public void initialize(String label) {
    var name = name(label);
    reach.ask(client -> {
      var keystores = client.keystores();
      if (keystores.find(id).isPresent()) {
        keystores.delete(id);
      }
      return create(keystores, name);
    });
  }

  /** As the gateway takes it, so that it cannot refuse the new keystore after the old one went. */
  private static String name(String label) {
    var name =
        label
            .codePoints()
            .filter(character -> !Character.isISOControl(character))
            .limit(LONGEST_NAME)
            .collect(StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append)
            .toString();
    return name.isBlank() ? UNNAMED : name;
  }

  private Keystore create(Keystores keystores, String name) {
    if (password.isEmpty()) {
      return keystores.create(id, name);
    }
    char[] characters = password.get().chars();
    try {
      return keystores.create(id, name, characters);
    } finally {
      Arrays.fill(characters, '\0');
    }
  }

  @Override
  public Optional<String> label() {
    return reach.ask(client -> client.keystores().find(id)).map(KeystoreInfo::name);
  }

  /** A keystore that is not there yet has no password: C_InitToken makes it. */
  @Override
  public void requirePassword() {
    try {
      inKeystore(keystore -> keystore.firstPage(Template.empty(), 1));
    } catch (StoreException e) {
      if (e.reason() != Reason.NO_KEYSTORE) {
        throw e;
      }
    }
  }

  /** An answer may have been lost on its way: what the keystore has by now decides. */
  @Override
  public void changePassword(char[] newPassword) {
    try {
      inKeystore(keystore -> keystore.changePassword(newPassword));
    } catch (StoreException e) {
      if (e.reason() != Reason.PASSWORD || !opensWith(newPassword)) {
        throw e;
      }
    }
  }

  private boolean opensWith(char[] other) {
    try {
      reach.ask(client -> client.keystores().open(id, other).firstPage(Template.empty(), 1));
      return true;
    } catch (Grep11Exception e) {
      if (e.returnValue() == CKR_PIN_INCORRECT) {
        return false;
      }
      throw e;
    }
  }

  @Override
  public void close() {}

  // ---- Asking

  /** For calls about no object in particular: what is missing is the keystore. */
  private <T> T inKeystore(Function<Keystore, T> call) {
    try {
      return reach.ask(client -> call.apply(open(client)));
    } catch (Grep11Exception e) {
      // Who has the right on some other keystore gets MISSING, who has it on none a denial.
      if (e.returnValue() == CKR_IBM_GREP11_MISSING
          || e.status() == Status.Code.PERMISSION_DENIED) {
        throw new StoreException(
            Reason.NO_KEYSTORE,
            "there is no keystore %s, or this user has no right on it; C_InitToken by the security officer makes it"
                .formatted(id),
            e);
      }
      throw told(e);
    }
  }

  private <T> T ofObject(UUID object, Function<Keystore, T> call) {
    try {
      return reach.ask(client -> call.apply(open(client)));
    } catch (Grep11Exception e) {
      // A change that was carried out before, of an object that is gone since.
      if (e.returnValue() == CKR_IBM_GREP11_MISSING || e.returnValue() == CKR_IBM_GREP11_REPLAY) {
        throw new StoreException(Reason.MISSING, "there is no object " + object, e);
      }
      if (e.returnValue() == CKR_IBM_GREP11_CONFLICT) {
        throw new StoreException(Reason.CONFLICT, "object " + object + ": " + e.detail(), e);
      }
      throw told(e);
    }
  }

  private RuntimeException told(Grep11Exception e) {
    return e.returnValue() == CKR_PIN_INCORRECT
        ? new StoreException(
            Reason.PASSWORD,
            ("keystore %s: the password of sessionauth is not the one that it has; if it was changed,"
                    + " write the new one to tokenspaceIDPassword and start the agent again")
                .formatted(id),
            e)
        : e;
  }

  private Keystore open(Grep11Client client) {
    if (password.isEmpty()) {
      return client.keystores().open(id);
    }
    char[] characters = password.get().chars();
    try {
      return client.keystores().open(id, characters);
    } finally {
      Arrays.fill(characters, '\0');
    }
  }

  // ---- Records

  private static StoredObject object(StoredKey key) {
    return new StoredObject(key.id(), key.version(), attributes(key), key.blobs());
  }

  private static Attributes attributes(StoredKey key) {
    var attributes = Attributes.empty();
    for (var attribute : key.attributes().toMap().entrySet()) {
      long type = attribute.getKey();
      var value = attribute.getValue();
      attributes =
          switch (value.getOneAttrCase()) {
            case ATTRIBUTETF -> attributes.with(type, value.getAttributeTF());
            case ATTRIBUTEI -> attributes.with(type, value.getAttributeI());
            case ATTRIBUTEB -> attributes.with(type, value.getAttributeB().toByteArray());
            case ONEATTR_NOT_SET -> attributes;
          };
    }
    return key.blobs().isEmpty() || attributes.has(Cka.CKA_KEY_GEN_MECHANISM)
        ? attributes
        : attributes.with(Cka.CKA_KEY_GEN_MECHANISM, UNAVAILABLE);
  }

  /** Without numbers that the wire has no form for. */
  private static Template template(Attributes attributes) {
    var template = Template.empty();
    for (long type : attributes.types()) {
      template =
          switch (Cka.armOf(type)) {
            case FLAG -> template.with(type, attributes.isTrue(type));
            case NUMBER -> {
              long number = attributes.number(type).orElse(UNAVAILABLE);
              yield number < 0 ? template : template.with(type, number);
            }
            case BYTES, ANY -> template.with(type, attributes.get(type).orElseThrow());
          };
    }
    return template;
  }

  private static KeyBlob key(Attributes attributes, byte[] blob) {
    long objectClass = attributes.number(Cka.CKA_CLASS).orElse(UNAVAILABLE);
    if (objectClass == Cko.CKO_SECRET_KEY) {
      return new SecretKeyBlob(blob);
    }
    return objectClass == Cko.CKO_PRIVATE_KEY ? new PrivateKeyBlob(blob) : new PublicKeyBlob(blob);
  }
}
