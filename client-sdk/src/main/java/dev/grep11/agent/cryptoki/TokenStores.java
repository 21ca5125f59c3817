package dev.grep11.agent.cryptoki;

import static dev.grep11.client.Ckr.CKR_DEVICE_ERROR;
import static dev.grep11.client.Ckr.CKR_IBM_GREP11_CONFLICT;
import static dev.grep11.client.Ckr.CKR_IBM_GREP11_MISSING;
import static dev.grep11.client.Ckr.CKR_OBJECT_HANDLE_INVALID;
import static dev.grep11.client.Ckr.CKR_PIN_INCORRECT;
import static dev.grep11.client.Ckr.CKR_TOKEN_WRITE_PROTECTED;

import dev.grep11.agent.config.ClientConfig;
import dev.grep11.agent.config.ClientConfig.User;
import dev.grep11.agent.config.Secret;
import dev.grep11.agent.log.Log;
import dev.grep11.agent.store.FileStore;
import dev.grep11.agent.store.LocalStore;
import dev.grep11.agent.store.NoStore;
import dev.grep11.agent.store.PostgresStore;
import dev.grep11.agent.store.RemoteStore;
import dev.grep11.agent.store.Store;
import dev.grep11.agent.store.StoreException;
import dev.grep11.client.Grep11Exception;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * The private and the public keystore of a slot, wherever the configuration says that they are.
 * Used by any number of threads.
 */
final class TokenStores implements AutoCloseable {
  private final ClientConfig.Token config;
  private final KeystorePasswords passwords;
  private final Log log;

  /** Guards the two below. */
  private final Object opening = new Object();

  private @Nullable LocalStore privateStore;
  private @Nullable LocalStore publicStore;

  /** Held for as long as both passwords are changed. */
  private final Object changing = new Object();

  TokenStores(ClientConfig.Token config, KeystorePasswords passwords, Log log) {
    this.config = config;
    this.passwords = passwords;
    this.log = log;
  }

  /**
   * The keystore of the normal user, or the public one.
   *
   * @param user who reaches into it; asked for only where the gateway keeps it
   */
  Store store(boolean isPrivate, Supplier<GatewayUser> user) {
    WouldWait.unlessElsewhere();
    return local(isPrivate)
        .<Store>map(store -> store)
        .orElseGet(() ->
            config.storage() instanceof ClientConfig.Storage.Remote
                ? new RemoteStore(
                    user.get()::ask,
                    owner(isPrivate).keystore().orElseThrow(),
                    passwords.of(isPrivate))
                : new NoStore());
  }

  /** The keystore, where it is the agent that keeps it. */
  Optional<LocalStore> local(boolean isPrivate) {
    try {
      return opened(isPrivate);
    } catch (StoreException e) {
      throw refusal(e);
    }
  }

  /** For work that nobody waits for: who needs the keystore is told why it does not open. */
  Optional<LocalStore> localIfItOpens(boolean isPrivate) {
    try {
      return opened(isPrivate);
    } catch (StoreException e) {
      log.debug("slot %d: %s".formatted(config.slot(), e.getMessage()));
      return Optional.empty();
    }
  }

  /** Whether there are keystores that the agent keeps. */
  boolean areLocal() {
    return config.storage() instanceof ClientConfig.Storage.Files
        || config.storage() instanceof ClientConfig.Storage.LocalPostgres;
  }

  private Optional<LocalStore> opened(boolean isPrivate) {
    if (!areLocal()) {
      return Optional.empty();
    }
    WouldWait.unlessElsewhere();
    synchronized (opening) {
      var open = isPrivate ? privateStore : publicStore;
      if (open == null) {
        open = open(isPrivate);
        if (isPrivate) {
          privateStore = open;
        } else {
          publicStore = open;
        }
      }
      return Optional.of(open);
    }
  }

  private LocalStore open(boolean isPrivate) {
    var keystore = owner(isPrivate).keystore().orElseThrow();
    char[] password = passwords.of(isPrivate).map(Secret::chars).orElse(null);
    Consumer<String> warn = problem -> log.error("slot %d: %s".formatted(config.slot(), problem));
    try {
      if (config.storage() instanceof ClientConfig.Storage.Files files) {
        return FileStore.open(files.directory(), keystore, password).warning(warn);
      }
      if (config.storage() instanceof ClientConfig.Storage.LocalPostgres postgres) {
        return PostgresStore.open(
            new String(postgres.connection().chars()), keystore, password, warn);
      }
      throw new IllegalStateException("no keystore of the agent's");
    } finally {
      if (password != null) {
        Arrays.fill(password, '\0');
      }
    }
  }

  private User owner(boolean isPrivate) {
    return isPrivate ? config.normal() : config.anonymous();
  }

  // ---- Password

  /**
   * Gives both keystores another password, and takes the first change back when the second fails.
   * What was cut off is completed by the same call once more.
   */
  void changePassword(Secret password, Supplier<GatewayUser> user) {
    passwords.requireUse();
    synchronized (changing) {
      var before = passwords.of(true);
      change(true, password, user);
      try {
        change(false, password, user);
      } catch (Refusal e) {
        takeBack(before.orElseThrow(), user, e);
        throw e;
      }
    }
    log.warning(
        "slot %d: the password of both keystores was changed; write the new one to tokenspaceIDPassword of the configuration, of each agent that has these keystores, before it is started again"
            .formatted(config.slot()));
  }

  private void change(boolean isPrivate, Secret password, Supplier<GatewayUser> user) {
    char[] characters = password.chars();
    try {
      if (!hasAlready(isPrivate, password)) {
        stored(() -> {
          store(isPrivate, user).changePassword(characters);
          return isPrivate;
        });
      }
      passwords.set(isPrivate, password);
    } finally {
      Arrays.fill(characters, '\0');
    }
  }

  /**
   * A change before this one was cut off, and this agent was started since with the old password.
   */
  private boolean hasAlready(boolean isPrivate, Secret password) {
    try {
      local(isPrivate);
      return false;
    } catch (Refusal e) {
      if (e.returnValue() != CKR_PIN_INCORRECT) {
        throw e;
      }
    }
    var before = passwords.of(isPrivate).orElseThrow();
    passwords.set(isPrivate, password);
    try {
      local(isPrivate);
      return true;
    } catch (Refusal e) {
      passwords.set(isPrivate, before);
      throw e;
    }
  }

  private void takeBack(Secret before, Supplier<GatewayUser> user, Refusal why) {
    try {
      change(true, before, user);
      log.error(
          "slot %d: the password of the keystores was not changed: %s"
              .formatted(config.slot(), why.getMessage()));
    } catch (Refusal e) {
      log.error(
          "slot %d: the private keystore has the new password, the public one the old: %s; change it once more, from the old to the new"
              .formatted(config.slot(), e.getMessage()));
    }
  }

  // ---- Failures

  /** Work with a store, with its failures as return values. */
  <T> T stored(Supplier<T> work) {
    WouldWait.unlessElsewhere();
    try {
      return work.get();
    } catch (StoreException e) {
      throw refusal(e);
    } catch (Grep11Exception e) {
      throw GatewayUser.refusal(e);
    }
  }

  /** What a store's failure is to an application; what an operator has to know is logged. */
  private Refusal refusal(StoreException e) {
    long returnValue =
        switch (e.reason()) {
          case CONFLICT -> CKR_IBM_GREP11_CONFLICT;
          case MISSING -> CKR_OBJECT_HANDLE_INVALID;
          case ABSENT -> CKR_TOKEN_WRITE_PROTECTED;
          case PASSWORD -> CKR_PIN_INCORRECT;
          case NO_KEYSTORE -> CKR_IBM_GREP11_MISSING;
          case BROKEN -> CKR_DEVICE_ERROR;
        };
    boolean forOperators =
        switch (e.reason()) {
          case CONFLICT, MISSING, ABSENT -> false;
          case PASSWORD, NO_KEYSTORE, BROKEN -> true;
        };
    if (forOperators) {
      log.error("slot %d: %s".formatted(config.slot(), e.getMessage()));
    }
    return new Refusal(returnValue, String.valueOf(e.getMessage()), e);
  }

  @Override
  public void close() {
    synchronized (opening) {
      for (var store :
          List.of(Optional.ofNullable(privateStore), Optional.ofNullable(publicStore))) {
        store.ifPresent(LocalStore::close);
      }
    }
  }
}
