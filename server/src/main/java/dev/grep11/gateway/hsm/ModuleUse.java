package dev.grep11.gateway.hsm;

import static dev.grep11.gateway.pkcs11.Ckr.CKR_CRYPTOKI_ALREADY_INITIALIZED;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_GENERAL_ERROR;
import static dev.grep11.gateway.pkcs11.Ckr.CKR_OK;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.grep11.gateway.pkcs11.Ckr;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.locks.ReentrantLock;
import java.util.stream.Collectors;

/**
 * The initialised state of a module, which belongs to the process (PKCS #11 v2.40, C_Initialize):
 * counted, so that several {@link Hsm}s share it and the last one finalises it.
 */
final class ModuleUse {
  private static final Map<Path, ModuleUse> IN_USE = new HashMap<>();

  /** sizeof(CK_C_INITIALIZE_ARGS): four mutex callbacks, flags, a reserved pointer. */
  private static final long INITIALIZE_ARGS = 48;

  private static final long FLAGS_OFFSET = 32;
  private static final long CKF_OS_LOCKING_OK = 2;

  private final ReentrantLock attempts = new ReentrantLock();
  private final Path module;
  private final Map<String, String> environment;

  /** False where someone else in the process, such as SunPKCS11, has initialised the module. */
  private boolean ours;

  private int users;

  /** Users without a session, waiting for their token. */
  private int recovering;

  private ModuleUse(Path module, Map<String, String> environment) {
    this.module = module;
    this.environment = environment;
  }

  static ModuleUse acquire(Cryptoki cryptoki, Path path, Map<String, String> environment) {
    Path module;
    try {
      module = path.toRealPath();
    } catch (IOException e) {
      throw new HsmOpenException("PKCS #11 module " + path + " cannot be read", e);
    }
    synchronized (IN_USE) {
      var use = IN_USE.get(module);
      if (use == null) {
        use = new ModuleUse(module, environment);
        use.initialize(cryptoki);
        IN_USE.put(module, use);
      } else if (!use.environment.equals(environment)) {
        throw new HsmOpenException(
            module + " is already in use in this process with another environment");
      }
      use.users++;
      return use;
    }
  }

  /**
   * Ends this use; the last one finalises the module.
   *
   * @param finalise false while a call hangs in the module, whose end that would be
   */
  void release(Cryptoki cryptoki, boolean finalise) {
    synchronized (IN_USE) {
      users--;
      if (users == 0) {
        IN_USE.remove(module);
        if (ours && finalise) {
          var _ = cryptoki.C_Finalize(0);
        }
      }
    }
  }

  /** Announces a user that has closed all its sessions. */
  void enterRecovery() {
    synchronized (IN_USE) {
      recovering++;
    }
  }

  void leaveRecovery() {
    synchronized (IN_USE) {
      recovering--;
    }
  }

  /** Held during an attempt to recover, so that no other user renews the module under it. */
  ReentrantLock attempts() {
    return attempts;
  }

  /**
   * Finalises and initialises the module once more, unless someone in the process still works with
   * it. SoftHSM gives a token that was away no other way back.
   */
  void renew(Cryptoki cryptoki) {
    synchronized (IN_USE) {
      if (ours && recovering == users) {
        var _ = cryptoki.C_Finalize(0);
        initialize(cryptoki);
      }
    }
  }

  private void initialize(Cryptoki cryptoki) {
    environment.forEach(NativeCryptoki::setEnvironment);
    long returnValue;
    try (var arena = Arena.ofConfined()) {
      var args = arena.allocate(INITIALIZE_ARGS, Long.BYTES);
      args.set(JAVA_LONG, FLAGS_OFFSET, CKF_OS_LOCKING_OK);
      returnValue = cryptoki.C_Initialize(args.address());
    }
    if (returnValue != CKR_OK && returnValue != CKR_CRYPTOKI_ALREADY_INITIALIZED) {
      throw new HsmOpenException(
          module + ": C_Initialize answered " + Ckr.name(returnValue) + hint(returnValue));
    }
    // Still ours where C_Finalize failed before.
    ours |= returnValue == CKR_OK;
  }

  /**
   * SoftHSM has this one answer for whatever is wrong with its own configuration, and so have
   * others.
   */
  private String hint(long returnValue) {
    if (returnValue != CKR_GENERAL_ERROR) {
      return "";
    }
    var set =
        environment.isEmpty()
            ? "hsm.environment sets nothing"
            : environment.entrySet().stream()
                .sorted(Map.Entry.comparingByKey())
                .map(variable -> variable.getKey() + "=" + variable.getValue())
                .collect(Collectors.joining(", ", "hsm.environment sets ", ""));
    return "; look whether the module finds its configuration (SoftHSM: the file that SOFTHSM2_CONF"
        + " names, and the directory of directories.tokendir in it, must be there and readable); "
        + set;
  }
}
