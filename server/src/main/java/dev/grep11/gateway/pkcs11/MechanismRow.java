package dev.grep11.gateway.pkcs11;

import java.util.Collections;
import java.util.EnumMap;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * One mechanism as the gateway offers it.
 *
 * @param type CKM number on the wire
 * @param family the implementation
 * @param token CKM number that the token must have, and that serves it
 * @param hash the hash that the mechanism fixes
 * @param keyTypes CKK numbers of keys it takes or makes; empty where it takes no key
 * @param minKeySize as in CK_MECHANISM_INFO: bits for asymmetric keys, bytes for symmetric ones
 * @param maxKeySize likewise
 * @param extraFlags CKF bits beyond the functions (CKF_EC_…)
 * @param listed whether GetMechanismList names it
 * @param functions how each function is served
 */
public record MechanismRow(
    long type,
    MechanismFamily family,
    long token,
    @Nullable Hash hash,
    Set<Long> keyTypes,
    long minKeySize,
    long maxKeySize,
    long extraFlags,
    boolean listed,
    Map<CryptoFunction, Service> functions) {

  /**
   * How one function is served.
   *
   * @param by where the key acts
   * @param strict whether {@link Policy#STRICT} offers it too
   * @param needs CKM numbers that the token must have besides the row's own
   */
  public record Service(ServedBy by, boolean strict, Set<Long> needs) {
    public Service {
      needs = Set.copyOf(needs);
    }

    Service(ServedBy by, boolean strict) {
      this(by, strict, Set.of());
    }
  }

  public MechanismRow {
    var ordered = new EnumMap<CryptoFunction, Service>(CryptoFunction.class);
    ordered.putAll(functions);
    functions = Collections.unmodifiableMap(ordered);
    keyTypes = Set.copyOf(keyTypes);
  }

  public String name() {
    return Ckm.name(type);
  }

  /** The hash of a family that fixes one. */
  public Hash requireHash() {
    if (hash == null) {
      throw new IllegalStateException(name() + " fixes no hash");
    }
    return hash;
  }

  MechanismRow withToken(long number) {
    return copy(number, hash, extraFlags, listed, functions);
  }

  MechanismRow withHash(Hash fixed) {
    return copy(token, fixed, extraFlags, listed, functions);
  }

  MechanismRow withExtraFlags(long flags) {
    return copy(token, hash, flags, listed, functions);
  }

  MechanismRow asUnlisted() {
    return copy(token, hash, extraFlags, false, functions);
  }

  MechanismRow withFunctions(Map<CryptoFunction, Service> served) {
    return copy(token, hash, extraFlags, listed, served);
  }

  private MechanismRow copy(
      long newToken,
      @Nullable Hash newHash,
      long newExtraFlags,
      boolean newListed,
      Map<CryptoFunction, Service> newFunctions) {
    return new MechanismRow(
        type,
        family,
        newToken,
        newHash,
        keyTypes,
        minKeySize,
        maxKeySize,
        newExtraFlags,
        newListed,
        newFunctions);
  }

  public Optional<Service> service(CryptoFunction function) {
    return Optional.ofNullable(functions.get(function));
  }

  public MechanismInfo info() {
    var flags = extraFlags;
    for (var function : functions.keySet()) {
      flags |= function.flag();
    }
    return new MechanismInfo(minKeySize, maxKeySize, flags);
  }
}
