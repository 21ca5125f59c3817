package dev.grep11.gateway.pkcs11;

import static dev.grep11.gateway.pkcs11.Ckk.*;
import static dev.grep11.gateway.pkcs11.Ckm.*;
import static dev.grep11.gateway.pkcs11.CryptoFunction.*;
import static dev.grep11.gateway.pkcs11.ServedBy.*;

import dev.grep11.gateway.pkcs11.MechanismRow.Service;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * What this gateway offers in front of this token under this configuration. One row a mechanism, in
 * the order in which GetMechanismList names them: IBM's own order first (semantics section 8.1),
 * then the standard mechanisms that IBM's service lacks.
 */
public final class MechanismCatalog {
  private static final long EC_FLAGS =
      Ckf.CKF_EC_F_P | Ckf.CKF_EC_NAMEDCURVE | Ckf.CKF_EC_UNCOMPRESS;
  private static final long EC_DERIVE_FLAGS = Ckf.CKF_EC_F_P | Ckf.CKF_EC_UNCOMPRESS;

  private static final Set<Long> RSA = Set.of(CKK_RSA);
  private static final Set<Long> AES = Set.of(CKK_AES);
  private static final Set<Long> DES = Set.of(CKK_DES2, CKK_DES3);
  private static final Set<Long> EC = Set.of(CKK_EC);
  private static final Set<Long> SECRET = Set.of(CKK_AES, CKK_DES2, CKK_DES3, CKK_GENERIC_SECRET);

  private static final Service IN_TOKEN = new Service(S, true);
  private static final Service FRAMED = new Service(S_PLUS, true);
  private static final Service VALUE_SEEN = new Service(W, true);
  private static final Service IN_GATEWAY = new Service(G, true);
  private static final Service COMPATIBLE_IN_TOKEN = new Service(S, false);
  private static final Service COMPATIBLE_VALUE_SEEN = new Service(W, false);

  private static final Service RAW_RSA_FRAMED = new Service(S_PLUS, false, Set.of(CKM_RSA_X_509));
  private static final Service RAW_RSA_VALUE_SEEN = new Service(W, false, Set.of(CKM_RSA_X_509));

  private static final Service ATTRIBUTE_BOUND =
      new Service(W, true, Set.of(CKM_RSA_PKCS_OAEP, CKM_AES_KEY_GEN, CKM_AES_GCM));

  private static final List<MechanismRow> ROWS = rows();

  private final Map<Long, MechanismRow> offered;

  private MechanismCatalog(Map<Long, MechanismRow> offered) {
    this.offered = offered;
  }

  /**
   * The catalog of one configuration.
   *
   * @param tokenMechanisms what the token lists
   * @param softwareFallback whether functions marked W are offered
   */
  public static MechanismCatalog of(
      Set<Long> tokenMechanisms, Policy policy, boolean softwareFallback) {
    var offered = new LinkedHashMap<Long, MechanismRow>();
    for (var row : ROWS) {
      var functions = new EnumMap<CryptoFunction, Service>(CryptoFunction.class);
      row.functions()
          .forEach((function, service) -> {
            boolean backed =
                (service.by() == G || tokenMechanisms.contains(row.token()))
                    && tokenMechanisms.containsAll(service.needs());
            boolean allowed = service.strict() || policy == Policy.COMPATIBLE;
            boolean visible = service.by() != W || softwareFallback;
            // A digest needs no key, so the gateway computes those that the token lacks.
            if (row.family() == MechanismFamily.DIGEST && !backed) {
              functions.put(function, IN_GATEWAY);
            } else if (backed && allowed && visible) {
              functions.put(function, service);
            }
          });
      if (!functions.isEmpty()) {
        offered.put(row.type(), row.withFunctions(functions));
      }
    }
    return new MechanismCatalog(offered);
  }

  /** Every row that some token and some configuration could offer. */
  public static List<MechanismRow> all() {
    return ROWS;
  }

  /** The offered rows, listed or not. */
  public List<MechanismRow> offered() {
    return List.copyOf(offered.values());
  }

  /** What GetMechanismList answers. */
  public List<Long> listed() {
    return offered.values().stream().filter(MechanismRow::listed).map(MechanismRow::type).toList();
  }

  public Optional<MechanismRow> find(long type) {
    return Optional.ofNullable(offered.get(type));
  }

  /** The row of a mechanism that offers this function; otherwise CKR_MECHANISM_INVALID. */
  public MechanismRow require(Mechanism mechanism, CryptoFunction function) {
    var row = offered.get(mechanism.type());
    if (row == null || !row.functions().containsKey(function)) {
      throw new Pkcs11Exception(
          Ckr.CKR_MECHANISM_INVALID,
          mechanism.name()
              + " is not offered for "
              + function.name().toLowerCase(java.util.Locale.ROOT));
    }
    return row;
  }

  private static List<MechanismRow> rows() {
    var rows = new Rows();
    rows.add(CKM_RSA_PKCS, MechanismFamily.RSA_PKCS, RSA, 512, 4096)
        .signs(IN_TOKEN)
        .with(ENCRYPT, COMPATIBLE_IN_TOKEN)
        .with(DECRYPT, RAW_RSA_FRAMED)
        .with(WRAP, COMPATIBLE_IN_TOKEN)
        .with(UNWRAP, RAW_RSA_VALUE_SEEN);
    rows.add(CKM_RSA_PKCS_OAEP, MechanismFamily.RSA_OAEP, RSA, 512, 4096)
        .encrypts(FRAMED)
        .with(WRAP, IN_TOKEN)
        .with(UNWRAP, IN_TOKEN);
    rows.add(CKM_RSA_PKCS_KEY_PAIR_GEN, MechanismFamily.RSA_KEY_PAIR, RSA, 512, 4096)
        .with(GENERATE_KEY_PAIR, IN_TOKEN);
    rows.add(CKM_RSA_X9_31_KEY_PAIR_GEN, MechanismFamily.RSA_KEY_PAIR, RSA, 512, 4096)
        .with(GENERATE_KEY_PAIR, IN_TOKEN);
    rows.add(CKM_RSA_PKCS_PSS, MechanismFamily.RSA_PSS, RSA, 512, 4096).signs(IN_TOKEN);
    rows.add(CKM_SHA1_RSA_X9_31, MechanismFamily.RSA_X9_31_HASHED, RSA, 512, 4096)
        .hash(Hash.SHA_1)
        .signs(IN_TOKEN);
    rsaHashed(rows, Hash.SHA_1, CKM_SHA1_RSA_PKCS, CKM_SHA1_RSA_PKCS_PSS);
    rsaHashed(rows, Hash.SHA256, CKM_SHA256_RSA_PKCS, CKM_SHA256_RSA_PKCS_PSS);
    rsaHashed(rows, Hash.SHA224, CKM_SHA224_RSA_PKCS, CKM_SHA224_RSA_PKCS_PSS);
    rsaHashed(rows, Hash.SHA384, CKM_SHA384_RSA_PKCS, CKM_SHA384_RSA_PKCS_PSS);
    rsaHashed(rows, Hash.SHA512, CKM_SHA512_RSA_PKCS, CKM_SHA512_RSA_PKCS_PSS);
    rows.add(CKM_AES_KEY_GEN, MechanismFamily.AES_KEY, AES, 16, 32).with(GENERATE, IN_TOKEN);
    blockCipher(rows, AES, 16, 32, CKM_AES_ECB, CKM_AES_CBC, CKM_AES_CBC_PAD);
    rows.add(CKM_DES2_KEY_GEN, MechanismFamily.DES_KEY, Set.of(CKK_DES2), 16, 16)
        .with(GENERATE, IN_TOKEN);
    rows.add(CKM_DES3_KEY_GEN, MechanismFamily.DES_KEY, Set.of(CKK_DES3), 24, 24)
        .with(GENERATE, IN_TOKEN);
    blockCipher(rows, DES, 16, 24, CKM_DES3_ECB, CKM_DES3_CBC, CKM_DES3_CBC_PAD);
    rows.add(
            CKM_GENERIC_SECRET_KEY_GEN,
            MechanismFamily.GENERIC_KEY,
            Set.of(CKK_GENERIC_SECRET),
            8,
            256)
        .with(GENERATE, IN_TOKEN);
    digestAndKeyed(rows, Hash.SHA256, CKM_SHA256_KEY_DERIVATION, CKM_SHA256_HMAC);
    digestAndKeyed(rows, Hash.SHA224, CKM_SHA224_KEY_DERIVATION, CKM_SHA224_HMAC);
    digestAndKeyed(rows, Hash.SHA_1, CKM_SHA1_KEY_DERIVATION, CKM_SHA_1_HMAC);
    digestAndKeyed(rows, Hash.SHA384, CKM_SHA384_KEY_DERIVATION, CKM_SHA384_HMAC);
    digestAndKeyed(rows, Hash.SHA512, CKM_SHA512_KEY_DERIVATION, CKM_SHA512_HMAC);
    truncatedSha512(
        rows, Hash.SHA512_256, CKM_IBM_SHA512_256, CKM_SHA512_256_HMAC, CKM_IBM_SHA512_256_HMAC);
    truncatedSha512(
        rows, Hash.SHA512_224, CKM_IBM_SHA512_224, CKM_SHA512_224_HMAC, CKM_IBM_SHA512_224_HMAC);
    rows.add(CKM_EC_KEY_PAIR_GEN, MechanismFamily.EC_KEY_PAIR, EC, 160, 521)
        .flags(EC_FLAGS)
        .with(GENERATE_KEY_PAIR, IN_TOKEN);
    rows.add(CKM_ECDSA, MechanismFamily.ECDSA, EC, 160, 521).flags(EC_FLAGS).signs(IN_TOKEN);
    ecdsaHashed(rows, Hash.SHA_1, CKM_ECDSA_SHA1);
    rows.add(CKM_ECDH1_DERIVE, MechanismFamily.ECDH, EC, 160, 521)
        .flags(EC_DERIVE_FLAGS)
        .with(DERIVE, IN_TOKEN);
    rows.add(CKM_IBM_ECDH1_DERIVE_RAW, MechanismFamily.ECDH_RAW, EC, 160, 521)
        .servedBy(CKM_ECDH1_DERIVE)
        .flags(EC_DERIVE_FLAGS)
        .with(DERIVE, IN_TOKEN);
    rows.add(CKM_DSA_PARAMETER_GEN, MechanismFamily.DSA_PARAMETERS, Set.of(CKK_DSA), 1024, 3072)
        .with(GENERATE, IN_TOKEN);
    rows.add(CKM_DSA_KEY_PAIR_GEN, MechanismFamily.DSA_KEY_PAIR, Set.of(CKK_DSA), 1024, 3072)
        .with(GENERATE_KEY_PAIR, IN_TOKEN);
    rows.add(CKM_DSA, MechanismFamily.DSA, Set.of(CKK_DSA), 1024, 3072).signs(IN_TOKEN);
    dsaHashed(rows, Hash.SHA_1, CKM_DSA_SHA1);
    rows.add(CKM_DH_PKCS_PARAMETER_GEN, MechanismFamily.DH_PARAMETERS, Set.of(CKK_DH), 1024, 3072)
        .with(GENERATE, IN_TOKEN);
    rows.add(CKM_DH_PKCS_KEY_PAIR_GEN, MechanismFamily.DH_KEY_PAIR, Set.of(CKK_DH), 1024, 3072)
        .with(GENERATE_KEY_PAIR, IN_TOKEN);
    rows.add(CKM_DH_PKCS_DERIVE, MechanismFamily.DH, Set.of(CKK_DH), 1024, 3072)
        .with(DERIVE, IN_TOKEN);
    rows.add(CKM_IBM_DH_PKCS_DERIVE_RAW, MechanismFamily.DH_RAW, Set.of(CKK_DH), 1024, 3072)
        .servedBy(CKM_DH_PKCS_DERIVE)
        .with(DERIVE, IN_TOKEN);
    rows.add(CKM_RSA_X9_31, MechanismFamily.RSA_X9_31, RSA, 512, 4096).signs(IN_TOKEN);
    for (var hash : List.of(Hash.SHA3_224, Hash.SHA3_256, Hash.SHA3_384, Hash.SHA3_512)) {
      rows.add(hash.mechanism(), MechanismFamily.DIGEST, Set.of(), 0, 0)
          .hash(hash)
          .with(DIGEST, IN_TOKEN);
    }
    softwareHmac(rows, Hash.SHA3_224, CKM_IBM_SHA3_224_HMAC);
    softwareHmac(rows, Hash.SHA3_256, CKM_IBM_SHA3_256_HMAC);
    softwareHmac(rows, Hash.SHA3_384, CKM_IBM_SHA3_384_HMAC);
    softwareHmac(rows, Hash.SHA3_512, CKM_IBM_SHA3_512_HMAC);
    rows.add(CKM_IBM_ATTRIBUTEBOUND_WRAP, MechanismFamily.ATTRIBUTE_BOUND, union(RSA, AES), 0, 4096)
        .servedBy(CKM_AES_KEY_WRAP_PAD)
        .with(WRAP, ATTRIBUTE_BOUND)
        .with(UNWRAP, ATTRIBUTE_BOUND);
    ecdsaHashed(rows, Hash.SHA224, CKM_ECDSA_SHA224);
    ecdsaHashed(rows, Hash.SHA224, CKM_IBM_ECDSA_SHA224);
    ecdsaHashed(rows, Hash.SHA256, CKM_ECDSA_SHA256);
    ecdsaHashed(rows, Hash.SHA256, CKM_IBM_ECDSA_SHA256);
    ecdsaHashed(rows, Hash.SHA384, CKM_ECDSA_SHA384);
    ecdsaHashed(rows, Hash.SHA384, CKM_IBM_ECDSA_SHA384);
    ecdsaHashed(rows, Hash.SHA512, CKM_ECDSA_SHA512);
    ecdsaHashed(rows, Hash.SHA512, CKM_IBM_ECDSA_SHA512);
    rows.add(CKM_IBM_EC_X25519, MechanismFamily.XDH, EC, 256, 256)
        .servedBy(CKM_ECDH1_DERIVE)
        .flags(EC_DERIVE_FLAGS)
        .with(DERIVE, VALUE_SEEN);
    rows.add(CKM_IBM_EC_X448, MechanismFamily.XDH, EC, 448, 448)
        .servedBy(CKM_ECDH1_DERIVE)
        .flags(EC_DERIVE_FLAGS)
        .with(DERIVE, VALUE_SEEN);
    rows.add(CKM_IBM_ED25519_SHA512, MechanismFamily.EDDSA, EC, 256, 256)
        .servedBy(CKM_EDDSA)
        .flags(Ckf.CKF_EC_F_P | Ckf.CKF_EC_UNCOMPRESS)
        .signs(VALUE_SEEN);
    rows.add(CKM_IBM_ED448_SHA3, MechanismFamily.EDDSA, EC, 448, 448)
        .servedBy(CKM_EDDSA)
        .flags(Ckf.CKF_EC_F_P | Ckf.CKF_EC_UNCOMPRESS)
        .signs(VALUE_SEEN);
    rows.add(CKM_IBM_CMAC, MechanismFamily.CMAC, union(AES, DES), 16, 32)
        .servedBy(CKM_AES_CMAC)
        .signs(IN_TOKEN);
    rows.add(CKM_AES_CMAC, MechanismFamily.CMAC, AES, 16, 32).signs(IN_TOKEN);
    rows.add(CKM_DES3_CMAC, MechanismFamily.CMAC, DES, 16, 24).signs(IN_TOKEN);
    // Beyond IBM's list.
    rows.add(CKM_AES_CTR, MechanismFamily.CTR, AES, 16, 32).encrypts(IN_TOKEN);
    rows.add(CKM_AES_GCM, MechanismFamily.GCM, AES, 16, 32).encrypts(IN_TOKEN);
    dsaHashed(rows, Hash.SHA224, CKM_DSA_SHA224);
    dsaHashed(rows, Hash.SHA256, CKM_DSA_SHA256);
    dsaHashed(rows, Hash.SHA384, CKM_DSA_SHA384);
    dsaHashed(rows, Hash.SHA512, CKM_DSA_SHA512);
    rows.add(CKM_AES_KEY_WRAP, MechanismFamily.KEY_WRAP, AES, 16, 32)
        .with(WRAP, IN_TOKEN)
        .with(UNWRAP, IN_TOKEN);
    rows.add(CKM_AES_KEY_WRAP_PAD, MechanismFamily.KEY_WRAP_PAD, AES, 16, 32)
        .with(WRAP, IN_TOKEN)
        .with(UNWRAP, IN_TOKEN);
    rows.add(CKM_EC_EDWARDS_KEY_PAIR_GEN, MechanismFamily.EC_KEY_PAIR, EC, 256, 448)
        .flags(Ckf.CKF_EC_F_P | Ckf.CKF_EC_UNCOMPRESS)
        .with(GENERATE_KEY_PAIR, VALUE_SEEN);
    rows.add(CKM_EDDSA, MechanismFamily.EDDSA, EC, 256, 448)
        .flags(Ckf.CKF_EC_F_P | Ckf.CKF_EC_UNCOMPRESS)
        .signs(VALUE_SEEN);
    // Served though IBM's list leaves them out, as IBM does.
    rows.add(CKM_DES3_ECB_ENCRYPT_DATA, MechanismFamily.ENCRYPTED_DATA, DES, 16, 24)
        .unlisted()
        .with(DERIVE, IN_TOKEN);
    rows.add(CKM_IBM_TRANSPORTKEY, MechanismFamily.TRANSPORT_KEY, Set.of(), 0, 4096)
        .unlisted()
        .with(UNWRAP, IN_GATEWAY);
    return rows.build();
  }

  private static void rsaHashed(Rows rows, Hash hash, long pkcs, long pss) {
    rows.add(pkcs, MechanismFamily.RSA_PKCS_HASHED, RSA, 512, 4096).hash(hash).signs(IN_TOKEN);
    rows.add(pss, MechanismFamily.RSA_PSS_HASHED, RSA, 512, 4096).hash(hash).signs(IN_TOKEN);
  }

  private static void blockCipher(
      Rows rows, Set<Long> keyTypes, int min, int max, long ecb, long cbc, long cbcPad) {
    rows.add(ecb, MechanismFamily.ECB, keyTypes, min, max).encrypts(IN_TOKEN);
    rows.add(cbc, MechanismFamily.CBC, keyTypes, min, max)
        .encrypts(IN_TOKEN)
        .with(WRAP, VALUE_SEEN)
        .with(UNWRAP, COMPATIBLE_VALUE_SEEN);
    rows.add(cbcPad, MechanismFamily.CBC_PAD, keyTypes, min, max)
        .encrypts(IN_TOKEN)
        .with(WRAP, COMPATIBLE_VALUE_SEEN)
        // The gateway removes the padding itself, in constant time.
        .with(UNWRAP, new Service(W, false, Set.of(cbc)));
  }

  private static void digestAndKeyed(Rows rows, Hash hash, long derivation, long hmac) {
    rows.add(hash.mechanism(), MechanismFamily.DIGEST, Set.of(), 0, 0)
        .hash(hash)
        .with(DIGEST, IN_TOKEN);
    // What opens a value: see KeyValues.
    rows.add(derivation, MechanismFamily.HASH_DERIVATION, SECRET, 8, 256)
        .servedBy(CKM_AES_KEY_WRAP_PAD)
        .hash(hash)
        .with(DERIVE, VALUE_SEEN);
    rows.add(hmac, MechanismFamily.HMAC, SECRET, 1, 256).hash(hash).signs(IN_TOKEN);
  }

  private static void truncatedSha512(
      Rows rows, Hash hash, long ibmDigest, long hmac, long ibmHmac) {
    for (var number : new long[] {hash.mechanism(), ibmDigest}) {
      rows.add(number, MechanismFamily.DIGEST, Set.of(), 0, 0).hash(hash).with(DIGEST, IN_TOKEN);
    }
    softwareHmac(rows, hash, hmac);
    softwareHmac(rows, hash, ibmHmac);
  }

  /** HMAC that tokens lack: the value of the key is used in gateway memory. */
  private static void softwareHmac(Rows rows, Hash hash, long hmac) {
    rows.add(hmac, MechanismFamily.HMAC, SECRET, 1, 256)
        .servedBy(CKM_AES_KEY_WRAP_PAD)
        .hash(hash)
        .signs(VALUE_SEEN);
  }

  private static void dsaHashed(Rows rows, Hash hash, long number) {
    rows.add(number, MechanismFamily.DSA_HASHED, Set.of(CKK_DSA), 1024, 3072)
        .servedBy(CKM_DSA)
        .hash(hash)
        .signs(FRAMED);
  }

  private static void ecdsaHashed(Rows rows, Hash hash, long number) {
    rows.add(number, MechanismFamily.ECDSA_HASHED, EC, 160, 521)
        .servedBy(CKM_ECDSA)
        .hash(hash)
        .flags(EC_FLAGS)
        .signs(FRAMED);
  }

  private static Set<Long> union(Set<Long> a, Set<Long> b) {
    var all = new java.util.HashSet<>(a);
    all.addAll(b);
    return all;
  }

  /** Collects rows; each builder call adds to the row begun last. */
  private static final class Rows {
    private final List<MechanismRow> rows = new ArrayList<>();

    Rows add(long type, MechanismFamily family, Set<Long> keyTypes, int min, int max) {
      rows.add(new MechanismRow(type, family, type, null, keyTypes, min, max, 0, true, Map.of()));
      return this;
    }

    Rows servedBy(long token) {
      return replace(rows.getLast().withToken(token));
    }

    Rows hash(Hash hash) {
      return replace(rows.getLast().withHash(hash));
    }

    Rows flags(long flags) {
      return replace(rows.getLast().withExtraFlags(flags));
    }

    Rows unlisted() {
      return replace(rows.getLast().asUnlisted());
    }

    Rows with(CryptoFunction function, Service service) {
      var row = rows.getLast();
      var functions = new EnumMap<CryptoFunction, Service>(CryptoFunction.class);
      functions.putAll(row.functions());
      functions.put(function, service);
      return replace(row.withFunctions(functions));
    }

    Rows signs(Service service) {
      return with(SIGN, service).with(VERIFY, service);
    }

    Rows encrypts(Service service) {
      return with(ENCRYPT, service).with(DECRYPT, service);
    }

    private Rows replace(MechanismRow row) {
      rows.set(rows.size() - 1, row);
      return this;
    }

    List<MechanismRow> build() {
      var numbers = new java.util.HashSet<Long>();
      for (var row : rows) {
        if (!numbers.add(row.type()) || row.functions().isEmpty()) {
          throw new IllegalStateException(
              row.name() + " is twice in the catalog, or serves nothing");
        }
      }
      return List.copyOf(rows);
    }
  }
}
