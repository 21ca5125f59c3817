package dev.grep11.gateway.certmgr;

import dev.grep11.gateway.certmgr.Command.SetAdminKey;
import dev.grep11.gateway.certmgr.Command.UpdateAdminKey;
import dev.grep11.gateway.certmgr.CommandRefusedException.Reason;
import dev.grep11.gateway.store.AdministratorRecord;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.RegistryRecord;
import dev.grep11.gateway.store.Snapshot;
import java.security.MessageDigest;
import java.util.Optional;

/**
 * A command beside a state of the store: whether the right key signed it, and for this state. Asked
 * twice: before the transaction, so that a token alone never makes anybody wait for the one writer
 * of the store, and in it, where it counts.
 *
 * @param administrator empty while the caller has registered no key
 */
record CommandCheck(
    Administrator caller,
    SignedCommand signed,
    InstanceRecord instance,
    RegistryRecord registry,
    Optional<AdministratorRecord> administrator) {
  static CommandCheck of(Snapshot snapshot, Administrator caller, SignedCommand signed) {
    return new CommandCheck(
        caller,
        signed,
        Administration.requireInstance(snapshot, caller.instance()),
        Administration.requireRegistry(snapshot, caller.instance()),
        snapshot.administrator(caller.instance(), caller.subject()));
  }

  /** Whether a key that is registered signed it; the first key of an administrator is not yet. */
  boolean isByRegisteredKey() {
    if (administrator.isEmpty() || signed.command().action() instanceof SetAdminKey) {
      return false;
    }
    try {
      requireSigned();
      return true;
    } catch (CommandRefusedException e) {
      return false;
    }
  }

  /** That it is this administrator's, for this instance, by the right key. */
  void requireSigned() {
    if (!signed.command().administrator().equals(caller.subject())) {
      throw CommandRefusedException.signature("signed for another administrator");
    }
    if (!signed.command().instance().equals(caller.instance())) {
      throw CommandRefusedException.signature("signed for another instance");
    }
    var key = signingKey();
    if (!MessageDigest.isEqual(signed.command().keyId(), key.fingerprint())) {
      throw CommandRefusedException.signature("signed by a key that is not registered");
    }
    if (!key.verify(Administration.COMMAND_CONTEXT, signed.payload(), signed.signature())) {
      throw CommandRefusedException.signature("the signature does not hold");
    }
    if (!(signed.command().action() instanceof UpdateAdminKey)
        && signed.newKeySignature().length > 0) {
      throw new CommandRefusedException(
          Reason.MALFORMED, "only an update of the key has a signature by a new key");
    }
  }

  private AdministratorKey signingKey() {
    if (signed.command().action() instanceof SetAdminKey(var publicKey, var _)) {
      if (administrator.isPresent()) {
        throw new CommandRefusedException(
            Reason.ALREADY_REGISTERED,
            "you have registered a key already; adminkey update puts another in its place");
      }
      return Given.key(publicKey);
    }
    return AdministratorKey.read(
        administrator
            .orElseThrow(() ->
                new CommandRefusedException(
                    Reason.NO_ADMINISTRATOR_KEY,
                    "you have not registered a key yet: run adminkey set"))
            .publicKey());
  }

  /** That it was signed for the state that is there, and was not executed before. */
  void requirePresent() {
    if (signed.command().expectedGeneration() != registry.generation()) {
      throw new CommandRefusedException(
          Reason.OUTDATED,
          "the registry changed (generation %d, you saw %d); look and repeat"
              .formatted(registry.generation(), signed.command().expectedGeneration()));
    }
    long last = administrator.map(AdministratorRecord::counter).orElse(0L);
    if (signed.command().counter() <= last) {
      throw new CommandRefusedException(
          Reason.OUTDATED,
          "counter %d is not above that of your last command, %d; look and repeat"
              .formatted(signed.command().counter(), last));
    }
  }
}
