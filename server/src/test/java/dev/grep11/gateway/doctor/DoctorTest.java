package dev.grep11.gateway.doctor;

import static dev.grep11.findings.Finding.Level.BAD;
import static dev.grep11.findings.Finding.Level.GOOD;
import static dev.grep11.findings.Finding.Level.WARNING;
import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.findings.Finding;
import dev.grep11.findings.Findings;
import dev.grep11.gateway.Gateway;
import dev.grep11.gateway.command.DemoCopy;
import dev.grep11.gateway.command.DemoData;
import dev.grep11.gateway.command.GatewayCopy;
import dev.grep11.gateway.command.GatewayProcess;
import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.host.Host;
import dev.grep11.gateway.hsm.Cryptoki;
import dev.grep11.gateway.hsm.Faults;
import dev.grep11.gateway.hsm.NativeCryptoki;
import dev.grep11.gateway.hsm.Session;
import dev.grep11.gateway.key.SealingKeys;
import dev.grep11.gateway.pkcs11.Cka;
import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.gateway.store.PostgresServer;
import dev.grep11.gateway.store.RegistryRecord;
import dev.grep11.gateway.store.ReplicaRecord;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.store.StoreLocation;
import dev.grep11.gateway.store.Subject;
import dev.grep11.gateway.token.TokenKeys;
import dev.grep11.gateway.trust.TestCertificates;
import dev.grep11.gateway.trust.TestCertificates.Identity;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.UUID;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Stream;
import org.bouncycastle.asn1.x509.KeyPurposeId;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Faults planted in a whole gateway with a real token, a real database and real certificates. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class DoctorTest {
  private static final Identity CA = TestCertificates.ca("CN=Server CA").selfSigned();
  private static final Identity OTHER_CA = TestCertificates.ca("CN=Other CA").selfSigned();

  /** As the launcher sets them. */
  private static final Map<String, String> FLAGS =
      Map.of("DisableAttachMechanism", "true", "HeapDumpOnOutOfMemoryError", "false");

  private static final long FINAL_TRY = 0x20000;
  private static final long LOCKED = 0x40000;
  private static final long PLENTY = 1L << 40;

  private Path template = Path.of("");
  private Path copies = Path.of("");
  private int number;

  /** What is examined: a copy of a sound gateway, and where it runs. */
  private static final class Patient extends GatewayCopy {
    final Map<String, Object> settings = new HashMap<>(Map.of("/listen/portBase", 0));
    final Map<String, String> flags = new HashMap<>(FLAGS);
    final List<AutoCloseable> held = new ArrayList<>();
    Runtime.Version java = Runtime.version();
    Path proc;
    String program = "nothing";
    long space = PLENTY;
    Function<Path, Cryptoki> module = NativeCryptoki::load;
    InstantSource clock = InstantSource.system();
    boolean tryPin;

    Patient(Path directory) {
      super(directory);
      proc = directory.resolve("proc");
    }

    @Override
    public GatewayConfig config() {
      return GatewayConfig.read(file("gateway.yaml"), settings);
    }

    Findings examine() {
      var surroundings =
          new Surroundings(
              java,
              name -> Optional.ofNullable(flags.get(name)),
              proc,
              program,
              _ -> space,
              module,
              clock);
      return new Doctor(surroundings, tryPin).examine(file("gateway.yaml"), settings);
    }

    @Override
    public void set(String pointer, Object value) {
      settings.put(pointer, value);
    }

    void inStore(Function<Store.Change, Boolean> change) {
      try (var host = Host.open(config())) {
        assertThat(host.store().change(change)).isTrue();
      }
    }

    UUID instance() {
      return config().instance().orElseThrow();
    }

    void register(Identity ca) {
      inStore(change ->
          change.replace(
              change
                  .snapshot()
                  .registry(instance())
                  .orElseThrow()
                  .next(
                      List.of(
                          new RegistryRecord.Entry(
                              new Subject("i", "alice"), "ca-1", ca.der(), Instant.now())))));
    }
  }

  /** Something that can go wrong. */
  private interface Plant {
    void into(Patient patient) throws Exception;
  }

  /**
   * A fault.
   *
   * @param words that the finding says, detail and remedy together
   */
  record Fault(String name, Plant plant, Finding.Level level, String check, List<String> words) {
    @Override
    public String toString() {
      return name;
    }
  }

  private static Fault bad(String name, Plant plant, String check, String... words) {
    return new Fault(name, plant, BAD, check, List.of(words));
  }

  private static Fault warning(String name, Plant plant, String check, String... words) {
    return new Fault(name, plant, WARNING, check, List.of(words));
  }

  @BeforeAll
  void make(@TempDir Path parent) throws IOException {
    copies = parent;
    template = parent.resolve("template");
    DemoData.open(template);
    var proc = template.resolve("proc");
    Files.createDirectories(proc.resolve("self"));
    Files.createDirectories(proc.resolve("sys/net/core"));
    Files.writeString(proc.resolve("sys/net/core/somaxconn"), "4096\n");
    Files.writeString(proc.resolve("self/limits"), limits("0", "65536", "8388608"));
  }

  private static String limits(String core, String files, String locked) {
    return """
    Limit                     Soft Limit           Hard Limit           Units
    Max core file size        %-20s unlimited            bytes
    Max open files            %-20s 1048576              files
    Max locked memory         %-20s unlimited            bytes
    """
        .formatted(core, files, locked);
  }

  /** A gateway of its own, which takes milliseconds. */
  private synchronized Patient patient() throws IOException {
    var copy = copies.resolve("patient-" + number++);
    DemoCopy.withItsToken(template, copy);
    return new Patient(copy);
  }

  static Stream<Fault> faults() {
    return Stream.of(machine(), settings(), certificates(), token(), keys(), store(), outside())
        .flatMap(List::stream);
  }

  private static List<Fault> machine() {
    return List.of(
        bad(
            "an old Java",
            patient -> patient.java = Runtime.Version.parse("21.0.2"),
            "Java",
            "21.0.2",
            "25 is needed"),
        warning(
            "a JVM that can be attached to",
            patient -> patient.flags.put("DisableAttachMechanism", "false"),
            "Java flags",
            "attach",
            "-XX:+DisableAttachMechanism"),
        warning(
            "heap dumps",
            patient -> patient.flags.put("HeapDumpOnOutOfMemoryError", "true"),
            "Java flags",
            "-XX:-HeapDumpOnOutOfMemoryError"),
        bad(
            "very few descriptors",
            patient -> patient.write("proc/self/limits", limits("0", "256", "8388608")),
            "open files",
            "256 may be open",
            "LimitNOFILE"),
        warning(
            "few descriptors",
            patient -> patient.write("proc/self/limits", limits("0", "1024", "8388608")),
            "open files",
            "1024 may be open"),
        warning(
            "fewer descriptors than connections",
            patient -> patient.write("proc/self/limits", limits("0", "8192", "8388608")),
            "open files",
            "8192 may be open, and with 13000 connections",
            "14024 would be",
            "LimitNOFILE=65536"),
        warning(
            "more connections on two addresses than descriptors",
            patient -> {
              patient.set("/limits/connections", 40_000);
              patient.set("/listen/private/host", "127.0.0.2");
            },
            "open files",
            "65536 may be open, and with 84000 connections",
            "LimitNOFILE=85024",
            "limits.connections"),
        warning(
            "core files",
            patient -> patient.write("proc/self/limits", limits("unlimited", "65536", "8388608")),
            "core files",
            "ulimit -c 0"),
        warning(
            "no locked memory",
            patient -> patient.write("proc/self/limits", limits("0", "65536", "0")),
            "locked memory",
            "LimitMEMLOCK"),
        warning(
            "a short queue of connections",
            patient -> patient.write("proc/sys/net/core/somaxconn", "128\n"),
            "listen queue",
            "128 connections",
            "somaxconn=4096"));
  }

  private static List<Fault> settings() {
    return List.of(
        bad(
            "a placeholder that is left",
            patient -> patient.set("/hsm/tokenLabel", "<LABEL>"),
            "configuration",
            "hsm.tokenLabel",
            "still holds the placeholder \"<LABEL>\""),
        bad(
            "a placeholder among host names",
            patient -> patient.set("/tls/hosts", List.of("<gateway.example>")),
            "configuration",
            "tls.hosts",
            "placeholder"),
        bad(
            "an unknown setting",
            patient -> patient.set("/frobnicate", true),
            "configuration",
            "frobnicate: is not a setting"),
        bad(
            "a configuration that is not YAML",
            patient -> patient.write("gateway.yaml", "mode: [\n"),
            "configuration",
            "not YAML"),
        bad(
            "a configuration that is not there",
            patient -> Files.delete(patient.file("gateway.yaml")),
            "configuration",
            "no such file"),
        bad(
            "a configuration that others write",
            patient -> patient.mode("gateway.yaml", "rw-rw-rw-"),
            "files",
            "gateway.yaml",
            "mode rw-rw-rw-",
            "chmod go-w"),
        bad(
            "a PIN file that others read",
            patient -> patient.mode("token/pin", "rw-r--r--"),
            "configuration",
            "hsm.pinFile",
            "rw-r--r--",
            "chmod 600"),
        bad(
            "a PIN file that is not there",
            patient -> Files.delete(patient.file("token/pin")),
            "configuration",
            "hsm.pinFile",
            "is not there"),
        bad(
            "a key file that others read",
            patient -> patient.mode("tls/server.key", "rw-r-----"),
            "configuration",
            "tls.key",
            "chmod 600"),
        bad(
            "a directory of the key that others write",
            patient -> patient.mode("tls", "rwxrwxrwx"),
            "files",
            "/tls: ",
            "chmod go-w"),
        writableDirectory(
            "a configuration's directory",
            "",
            patient -> {
              // That of the audit file is looked at for its own sake.
              Files.createDirectory(patient.file("audit"));
              patient.set("/audit/file", "audit/audit.jsonl");
            }),
        writableDirectory(
            "a module's directory",
            "lib",
            patient -> {
              patient.write("lib/module.so", "no library");
              patient.set("/hsm/module", "lib/module.so");
            }),
        writableDirectory("a PIN's directory", "token", _ -> {}),
        writableFile(
            "an issuer's key set",
            "issuer/keys.json",
            patient -> patient.set("/issuers", List.of(issuer("jwksFile", "issuer/keys.json")))),
        writableDirectory(
            "the directory of an issuer's key set",
            "issuer",
            patient -> {
              patient.write("issuer/keys.json", "{}");
              patient.set("/issuers", List.of(issuer("jwksFile", "issuer/keys.json")));
            }),
        writableFile(
            "the CA of an issuer's URL",
            "issuer-ca.pem",
            patient -> {
              var issuer = new HashMap<>(issuer("jwksUrl", "https://127.0.0.1:1/keys"));
              issuer.put("caFile", "issuer-ca.pem");
              patient.set("/issuers", List.of(issuer));
            }),
        writableFile(
            "the CA of a collector",
            "collector-ca.pem",
            patient -> {
              patient.set("/tracing/endpoint", "https://127.0.0.1:1");
              patient.set("/tracing/caFile", "collector-ca.pem");
            }),
        writableFile(
            "a deny file", "denied", patient -> patient.set("/clientCas/denyFile", "denied")),
        writableFile(
            "a revocation list",
            "revoked.crl",
            patient ->
                patient.set(
                    "/clientCas/crls", List.of(Map.of("ca", "ca.pem", "crl", "revoked.crl")))),
        writableFile(
            "the CA of a revocation list",
            "ca.pem",
            patient ->
                patient.set(
                    "/clientCas/crls", List.of(Map.of("ca", "ca.pem", "crl", "revoked.crl")))),
        bad(
            "a store that others enter",
            patient -> patient.mode("store", "rwxr-xr-x"),
            "files",
            "/store: ",
            "no rights of group and others",
            "chmod go="),
        bad(
            "a database that others read",
            patient -> patient.mode("store/store.db", "rw-r--r--"),
            "files",
            "store.db",
            "chmod go="));
  }

  private static Fault writableFile(String what, String name, Plant use) {
    return bad(
        what + " that a group writes",
        patient -> {
          Files.createDirectories(patient.file(name).resolveSibling("."));
          patient.write(name, "");
          patient.mode(name, "rw-rw-r--");
          use.into(patient);
        },
        "files",
        "/" + name + ": owner ",
        "mode rw-rw-r--",
        "chmod go-w");
  }

  private static Fault writableDirectory(String what, String name, Plant use) {
    return bad(
        what + " that a group writes",
        patient -> {
          Files.createDirectories(patient.file(name));
          use.into(patient);
          patient.mode(name, "rwxrwxr-x");
        },
        "files",
        (name.isEmpty() ? "" : "/" + name) + ": owner ",
        "mode rwxrwxr-x",
        "chmod go-w");
  }

  private static TestCertificates.Draft server() {
    return TestCertificates.bare("CN=gw").dnsName("gw.example");
  }

  private static List<Fault> certificates() {
    var intermediate = TestCertificates.ca("CN=Issuing CA").signedBy(CA);
    return List.of(
        bad(
            "a chain out of order",
            patient -> {
              var server = server().signedBy(intermediate);
              patient.show(server, CA, intermediate);
            },
            "certificate chain",
            "out of order",
            "put \"CN=Issuing CA\" behind it"),
        bad(
            "a chain with a gap",
            patient -> patient.show(server().signedBy(intermediate), OTHER_CA),
            "certificate chain",
            "its issuer \"CN=Issuing CA\" is not in the file"),
        warning(
            "a root in the chain",
            patient -> patient.show(server().signedBy(intermediate), intermediate, CA),
            "certificate chain",
            "the root \"CN=Server CA\"",
            "take it out"),
        bad(
            "a host that is not on the certificate",
            patient -> patient.set("/tls/hosts", List.of("localhost", "gw.example.com")),
            "certificate names",
            "is not for gw.example.com of tls.hosts"),
        bad(
            "no names",
            patient -> patient.show(TestCertificates.bare("CN=gw").signedBy(CA)),
            "certificate names",
            "no subject alternative name"),
        bad(
            "a certificate that has expired",
            patient -> patient.show(server().expired().signedBy(CA)),
            "server certificate",
            "expired at"),
        bad(
            "a certificate of tomorrow",
            patient -> patient.show(server().notYetValid().signedBy(CA)),
            "server certificate",
            "is valid from"),
        bad(
            "a certificate that ends today",
            patient -> patient.show(ending(Duration.ofHours(5)).signedBy(CA)),
            "server certificate",
            "expires in 4 hours"),
        warning(
            "a certificate that ends this week",
            patient -> patient.show(ending(Duration.ofDays(6)).signedBy(CA)),
            "server certificate",
            "within 7 days"),
        warning(
            "a certificate that ends this month",
            patient -> patient.show(ending(Duration.ofDays(29)).signedBy(CA)),
            "server certificate",
            "within 30 days"),
        bad(
            "another one's key",
            patient -> {
              patient.show(server().signedBy(CA));
              server().signedBy(CA).write(patient.directory, "other");
              patient.mode("other.key", "rw-------");
              patient.set("/tls/key", "other.key");
            },
            "server key",
            "is the key of no certificate"),
        bad(
            "the server's certificate second",
            patient -> {
              var server = server().signedBy(CA);
              patient.show(OTHER_CA, server);
              server.write(patient.directory, "own");
              patient.mode("own.key", "rw-------");
              patient.set("/tls/key", "own.key");
            },
            "server key",
            "which is not the first"),
        bad(
            "half a key",
            patient -> patient.edit("tls/server.key", text -> text.substring(0, 60)),
            "server key",
            "server.key"),
        bad(
            "a certificate file without one",
            patient -> patient.write("tls/server.pem", "nothing\n"),
            "server certificate",
            "server.pem"),
        bad(
            "a certificate for clients",
            patient -> patient.show(server().purpose(KeyPurposeId.id_kp_clientAuth).signedBy(CA)),
            "server certificate",
            "not for servers",
            "serverAuth"),
        warning(
            "a CA as a server",
            patient ->
                patient.show(TestCertificates.ca("CN=gw").dnsName("gw.example").signedBy(CA)),
            "server certificate",
            "is that of a CA"));
  }

  private static TestCertificates.Draft ending(Duration left) {
    return server().valid(Instant.now().minusSeconds(60), Instant.now().plus(left));
  }

  private static List<Fault> token() {
    return List.of(
        bad(
            "a module that is no library",
            patient -> {
              patient.write("module.so", "no library");
              patient.set("/hsm/module", "module.so");
            },
            "module",
            "module.so does not load"),
        bad(
            "a module without its configuration",
            patient -> patient.set("/hsm/environment", Map.of("SOFTHSM2_CONF", "/nowhere")),
            "token",
            "C_Initialize",
            "hsm.environment"),
        bad(
            "a token that is not there",
            patient -> patient.set("/hsm/tokenLabel", "another"),
            "token",
            "\"another\"",
            "\"grep11-demo\""),
        bad(
            "two tokens of one label",
            Patient::addToken,
            "token",
            "2 tokens have the label",
            "serial numbers"),
        bad(
            "a wrong PIN",
            patient -> patient.write("token/pin", "wrong-pin"),
            "PIN",
            "CKR_PIN_INCORRECT",
            "--try-pin"),
        bad("an empty PIN file", patient -> patient.write("token/pin", ""), "PIN", "is empty"),
        bad(
            "a PIN that is locked",
            patient -> patient.module = _ -> Faults.flagged(LOCKED),
            "PIN",
            "CKF_USER_PIN_LOCKED"),
        bad(
            "a PIN with one try left",
            patient -> {
              patient.module = _ -> Faults.flagged(FINAL_TRY);
              patient.tryPin = true;
            },
            "PIN",
            "CKF_USER_PIN_FINAL_TRY",
            "was not tried"),
        bad(
            "a token that cannot seal",
            patient -> patient.module = _ -> Faults.lacking(Set.of(Ckm.CKM_AES_KEY_WRAP_PAD)),
            "mechanisms",
            "CKM_AES_KEY_WRAP_PAD",
            "no rpc works"),
        bad(
            "a token that cannot sign tokens",
            patient -> patient.module = _ -> Faults.lacking(Set.of(Ckm.CKM_ECDSA)),
            "mechanisms",
            "CKM_ECDSA"),
        bad(
            "a token of another time",
            patient -> patient.module = _ -> Faults.clocked("2031040212000000"),
            "clock",
            "behind the token's"));
  }

  private static void make(Session session, byte[] id, Consumer<Template.Builder> uses) {
    var template = SealingKeys.aes("planted").put(Cka.CKA_ID, id);
    uses.accept(template);
    session.generateKey(Mechanism.of(Ckm.CKM_AES_KEY_GEN), template.build());
  }

  private static List<Fault> keys() {
    return List.of(
        bad(
            "a sealing key that is gone",
            patient -> {
              var id = patient.masterKey().macKey();
              patient.inToken(session -> Patient.destroy(session, id));
            },
            "sealing keys",
            "MAC key",
            "0 objects in the token"),
        bad(
            "a sealing key that is there twice",
            patient -> {
              var id = patient.masterKey().valueKey();
              patient.inToken(session -> make(session, id, _ -> {}));
            },
            "sealing keys",
            "value key",
            "2 objects in the token"),
        bad(
            "a KEK that decrypts",
            patient -> {
              var id = patient.masterKey().kekX();
              patient.inToken(session -> {
                Patient.destroy(session, id);
                make(
                    session,
                    id,
                    uses ->
                        uses.put(Cka.CKA_WRAP, true)
                            .put(Cka.CKA_UNWRAP, true)
                            .put(Cka.CKA_DECRYPT, true));
              });
            },
            "sealing keys",
            "KEK-X",
            "CKA_DECRYPT true"),
        bad(
            "a key that no blob was sealed with",
            patient -> {
              var id = patient.masterKey().kekN();
              patient.inToken(session -> {
                Patient.destroy(session, id);
                make(
                    session,
                    id,
                    uses -> uses.put(Cka.CKA_WRAP, true).put(Cka.CKA_EXTRACTABLE, true));
              });
            },
            "sealing keys",
            "KEK-N",
            "could have left it"),
        bad(
            "a token-signing key that is gone",
            patient -> {
              var id = TokenKeys.read(patient.config().store()).signingKey();
              patient.inToken(session -> Patient.destroy(session, id));
            },
            "token-signing key",
            "0 objects in the token"),
        bad(
            "no file of key ids",
            patient -> Files.delete(patient.file("store/token-keys")),
            "token-signing key",
            "token-keys cannot be read"),
        bad(
            "a store key that is gone",
            patient -> {
              var id = TokenKeys.read(patient.config().store()).storeKey();
              patient.inToken(session -> Patient.destroy(session, id));
            },
            "store",
            "store key",
            "0 objects"));
  }

  private static List<Fault> store() {
    return List.of(
        bad(
            "no database",
            patient -> Files.delete(patient.file("store/store.db")),
            "schema",
            "there is no store in",
            "instance create"),
        bad(
            "a database of a newer program",
            patient -> patient.sql("INSERT INTO schema_version (version) VALUES (99)"),
            "schema",
            "has version 99"),
        warning(
            "a database of an older program",
            patient -> patient.sql("DELETE FROM schema_version WHERE version > 3"),
            "schema",
            "has version 3"),
        bad(
            "a row that was removed",
            patient -> patient.sql("DELETE FROM access_grant"),
            "store",
            "rows of the store are not those"),
        bad(
            "an older database",
            patient -> {
              var kept = Files.readAllBytes(patient.file("store/store.db"));
              patient.register(TestCertificates.ca("CN=New").selfSigned());
              Files.write(patient.file("store/store.db"), kept);
            },
            "store",
            "an older database was put back",
            "the token remembers generation"),
        warning(
            "a token that was not told",
            patient ->
                patient.inToken(session ->
                    session
                        .findObjects(
                            Template.builder()
                                .put(Cka.CKA_CLASS, Cko.CKO_DATA)
                                .put(Cka.CKA_APPLICATION, "grep11-gateway".getBytes(US_ASCII))
                                .build())
                        .forEach(session::destroyObject)),
            "store",
            "cut off before the token knew"),
        bad(
            "an instance that is not there",
            patient -> patient.set("/instance", UUID.randomUUID().toString()),
            "instance",
            "there is no instance",
            "instance create"),
        bad(
            "no client CA where one is required",
            patient -> patient.set("/clientCertificates", "required"),
            "client CAs",
            "none is registered",
            "certmgr cert set"),
        warning(
            "a client CA that ends this month",
            patient ->
                patient.register(
                    TestCertificates.ca("CN=Old")
                        .valid(
                            Instant.now().minusSeconds(60), Instant.now().plus(Duration.ofDays(20)))
                        .selfSigned()),
            "client CAs",
            "\"ca-1\" of alice",
            "within 30 days",
            "register its successor"),
        bad(
            "a client CA that has expired",
            patient -> patient.register(TestCertificates.ca("CN=Old").expired().selfSigned()),
            "client CAs",
            "expired at"),
        warning(
            "a gateway of other rules",
            patient ->
                patient.inStore(change -> {
                  change.put(replica(Instant.now(), true));
                  return true;
                }),
            "gateways",
            "other rules",
            "10.0.0.9:9876"),
        bad(
            "a clock that was set back",
            patient ->
                patient.inStore(change -> {
                  change.put(replica(Instant.now().plusSeconds(600), false));
                  return true;
                }),
            "clock",
            "the newest record of the store",
            "set back"));
  }

  private static ReplicaRecord replica(Instant seen, boolean required) {
    return new ReplicaRecord(
        UUID.randomUUID(),
        "10.0.0.9:9876 (process 4000000)",
        seen,
        seen.plusSeconds(300),
        Set.of(),
        Set.of(),
        Set.of(),
        Optional.of(new ReplicaRecord.Rules(required, "OPEN")));
  }

  private static List<Fault> outside() {
    return List.of(
        bad(
            "no directory for the audit file",
            patient -> patient.set("/audit/file", "absent/audit.jsonl"),
            "audit file",
            "absent is not there"),
        bad(
            "a directory as audit file",
            patient -> {
              Files.createDirectory(patient.file("audit.jsonl"));
              patient.mode("audit.jsonl", "rwx------");
            },
            "audit file",
            "is no regular file"),
        bad(
            "an audit file that others read",
            patient -> {
              record(patient);
              patient.mode("audit.jsonl", "rw-r--r--");
            },
            "files",
            "audit.jsonl",
            "chmod go="),
        bad(
            "a changed line of the audit file",
            patient -> {
              record(patient);
              patient.edit(
                  "audit.jsonl", text -> text.replaceFirst("\"outcome\":\"", "\"outcome\":\"x"));
            },
            "audit chain",
            "not as it was written",
            "audit verify"),
        warning(
            "little space",
            patient -> patient.space = 900L << 20,
            "audit space",
            "900 MiB are left"),
        bad(
            "no space",
            patient -> patient.space = 1L << 20,
            "audit space",
            "1 MiB are left",
            "every call is refused"),
        bad(
            "a port in use",
            patient -> {
              int base = GatewayProcess.freePorts();
              var taken = new ServerSocket(base, 1, InetAddress.getLoopbackAddress());
              patient.held.add(taken);
              patient.proc = Path.of("/proc");
              patient.set("/listen/portBase", base);
            },
            "crypto port",
            "is in use by process " + ProcessHandle.current().pid(),
            "listen.portBase"),
        bad(
            "a port of another gateway",
            patient -> {
              int base = GatewayProcess.freePorts();
              var taken = new ServerSocket(base, 1, InetAddress.getLoopbackAddress());
              patient.held.add(taken);
              patient.proc = Path.of("/proc");
              // What this process has on its command line.
              patient.program = "java";
              patient.set("/listen/portBase", base);
            },
            "crypto port",
            "is in use by another gateway, process " + ProcessHandle.current().pid(),
            "listen.portBase"),
        bad(
            "an address of another host",
            patient -> {
              patient.set("/listen/host", "192.0.2.1");
              patient.set("/listen/portBase", 9876);
            },
            "crypto port",
            "192.0.2.1:9876 cannot be bound"),
        bad(
            "a key set without keys",
            patient -> {
              patient.write("no-keys.json", "{\"keys\":[]}");
              patient.set("/issuers", List.of(issuer("jwksFile", "no-keys.json")));
            },
            "issuer of-test",
            "no-keys.json"),
        warning(
            "an issuer that is away",
            patient ->
                patient.set("/issuers", List.of(issuer("jwksUrl", "https://127.0.0.1:1/keys"))),
            "issuer of-test",
            "https://127.0.0.1:1/keys",
            "UNAVAILABLE"),
        bad(
            "a deny file that is not there",
            patient -> patient.set("/clientCas/denyFile", "absent"),
            "revoked client certificates",
            "absent cannot be read"));
  }

  private static Map<String, String> issuer(String source, String value) {
    return Map.of("issuer", "of-test", source, value, "audience", "grep11");
  }

  /** An audit file with events in it. */
  private static void record(Patient patient) {
    patient.register(TestCertificates.ca("CN=Ending").expired().selfSigned());
    // Tells of the end of that CA.
    Gateway.start(patient.config()).close();
    assertThat(patient.file("audit.jsonl")).isNotEmptyFile();
  }

  @ParameterizedTest
  @MethodSource("faults")
  void findsThePlantedFault(Fault fault) throws Exception {
    var patient = patient();
    try {
      fault.plant().into(patient);
      assertFound(patient.examine(), fault);
    } finally {
      for (var each : patient.held) {
        each.close();
      }
    }
  }

  private static void assertFound(Findings findings, Fault fault) {
    assertThat(findings.all())
        .as(findings.as(Findings.Format.TEXT))
        .anySatisfy(finding -> {
          assertThat(finding.check()).isEqualTo(fault.check());
          assertThat(finding.level()).isEqualTo(fault.level());
          assertThat(finding.detail() + "; " + finding.remedy()).contains(fault.words());
        });
    if (fault.level() == BAD) {
      assertThat(findings.exitCode()).isEqualTo(1);
    }
    assertThat(findings.as(Findings.Format.TEXT))
        .doesNotContain("could not be looked at to its end");
  }

  @Test
  void thereAreAtLeastThirtyFaults() {
    assertThat(faults().count()).isGreaterThan(60);
    assertThat(faults().map(Fault::name)).doesNotHaveDuplicates();
  }

  @Test
  void findsNothingWrongWithASoundGatewayAndLeavesItAsItWas() throws IOException {
    var patient = patient();
    patient.register(TestCertificates.ca("CN=Payments CA").selfSigned());
    patient.set("/tls/hosts", List.of("localhost"));
    var before = contents(patient.directory);

    var findings = patient.examine();

    assertThat(findings.all())
        .as(findings.as(Findings.Format.TEXT))
        .allSatisfy(finding -> assertThat(finding.level()).isEqualTo(GOOD));
    assertThat(findings.all())
        .extracting(Finding::check)
        .contains(
            "Java",
            "Java flags",
            "TLS library",
            "open files",
            "configuration",
            "files",
            "server key",
            "certificate chain",
            "certificate names",
            "server certificate",
            "module",
            "token",
            "mechanisms",
            "PIN",
            "schema",
            "token-signing key",
            "store",
            "instance",
            "client CAs",
            "gateways",
            "sealing keys",
            "audit file",
            "audit space",
            "crypto port",
            "health port",
            "clock");
    assertThat(findings.exitCode()).isZero();
    assertThat(contents(patient.directory)).isEqualTo(before);
  }

  /** All files but the token's own object, which SoftHSM writes at every login. */
  private static Map<String, String> contents(Path directory) throws IOException {
    var contents = new TreeMap<String, String>();
    try (var all = Files.walk(directory)) {
      for (var file : all.filter(Files::isRegularFile).toList()) {
        if (!file.startsWith(directory.resolve("token"))) {
          contents.put(
              directory.relativize(file).toString(),
              Files.getLastModifiedTime(file) + " " + Files.size(file));
        } else {
          contents.put(directory.relativize(file).toString(), "");
        }
      }
    }
    return contents;
  }

  @Test
  void aFaultStopsNoOtherCheck() throws Exception {
    var patient = patient();
    patient.mode("tls/server.key", "rw-r--r--");
    patient.write("token/pin", "wrong-pin");
    patient.set("/audit/file", "absent/audit.jsonl");
    patient.set("/frobnicate", 1);

    var levels = new LinkedHashMap<String, Finding.Level>();
    patient
        .examine()
        .all()
        .forEach(
            each -> levels.merge(each.check(), each.level(), (a, b) -> a.compareTo(b) > 0 ? a : b));

    assertThat(levels)
        .containsEntry("configuration", BAD)
        .containsEntry("certificate chain", GOOD)
        .containsEntry("token", GOOD)
        .containsEntry("PIN", BAD)
        .containsEntry("schema", GOOD)
        .containsEntry("store, keys", WARNING)
        .containsEntry("audit file", BAD)
        .containsEntry("crypto port", GOOD)
        .containsEntry("clock", GOOD);
  }

  @Test
  void triesAWrongPinOnceAndNotAgainUnlessTold() throws Exception {
    var patient = patient();
    var right = Files.readString(patient.file("token/pin"));
    patient.write("token/pin", "wrong-pin");
    assertThat(of(patient.examine(), "PIN").detail()).contains("CKR_PIN_INCORRECT");

    patient.write("token/pin", right);
    assertThat(of(patient.examine(), "PIN").detail())
        .contains("CKF_USER_PIN_COUNT_LOW", "was not tried");

    patient.tryPin = true;
    assertThat(of(patient.examine(), "PIN").level()).isEqualTo(GOOD);
    patient.tryPin = false;
    assertThat(of(patient.examine(), "PIN").level()).as("cleared").isEqualTo(GOOD);
  }

  private static Finding of(Findings findings, String check) {
    return findings.all().stream()
        .filter(finding -> finding.check().equals(check))
        .max(Comparator.comparing(Finding::level))
        .orElseThrow();
  }

  @Test
  void namesWhatATokenLacksByRpc() throws IOException {
    var patient = patient();
    patient.module = _ -> Faults.lacking(Set.of(Ckm.CKM_ECDH1_DERIVE));

    var found = of(patient.examine(), "mechanisms");

    assertThat(found.level()).isEqualTo(GOOD);
    assertThat(found.detail()).contains("DeriveKey of ");
    assertThat(found.items())
        .contains("CKM_ECDH1_DERIVE (the token's CKM_ECDH1_DERIVE): DeriveKey")
        .hasSizeGreaterThan(3);
  }

  @Test
  void showsNoSecret() throws IOException {
    var patient = patient();
    var pin = Files.readString(patient.file("token/pin"));
    for (var format : Findings.Format.values()) {
      assertThat(patient.examine().as(format)).doesNotContain(pin);
    }
  }

  @Test
  void findsThePortsOfAGatewayThatRuns() throws Exception {
    var patient = patient();
    patient.proc = Path.of("/proc");
    patient.set("/listen/portBase", GatewayProcess.freePorts());
    try (var gateway = Gateway.start(patient.config())) {
      assertThat(gateway.cryptoPort()).isPositive();

      var findings = patient.examine();

      assertThat(findings.all())
          .as(findings.as(Findings.Format.TEXT))
          .filteredOn(finding -> finding.level() == BAD)
          .isEmpty();
      for (var port :
          List.of("crypto port", "certificate manager port", "token service port", "health port")) {
        assertThat(of(findings, port).detail())
            .contains("that of the gateway that runs, process " + ProcessHandle.current().pid());
      }
      assertThat(of(findings, "gateways").detail()).startsWith("1: 127.0.0.1:");
      var told = new ProcessBuilder("cat", "/proc/sys/net/core/somaxconn").start();
      var length = new String(told.getInputStream().readAllBytes(), US_ASCII).strip();
      assertThat(of(findings, "listen queue").detail()).startsWith(length + " connections");
    }
  }

  // ---- PostgreSQL

  private Patient onPostgres() throws Exception {
    var patient = patient();
    var database = PostgresServer.shared().createDatabase();
    Files.createDirectory(patient.file("replicated"));
    patient.mode("replicated", "rwx------");
    Files.copy(database.passwordFile(), patient.file("db-password"));
    patient.mode("db-password", "rw-------");
    name(patient, database);
    var config = patient.config();
    try (var host = Host.openOrBegin(config)) {
      host.createInstance(config.instance().orElseThrow(), "payments", "account", "local");
    }
    return patient;
  }

  private static void name(Patient patient, StoreLocation.Postgresql database) {
    patient.set("/store/directory", "replicated");
    patient.set("/store/postgresql/url", database.url());
    patient.set("/store/postgresql/user", database.user());
    patient.set("/store/postgresql/passwordFile", "db-password");
  }

  private static StoreLocation.Postgresql database(Patient patient) {
    return (StoreLocation.Postgresql) patient.config().database();
  }

  @Test
  void findsNothingWrongWithASoundGatewayOnPostgresql() throws Exception {
    var patient = onPostgres();
    var findings = patient.examine();
    assertThat(findings.all())
        .as(findings.as(Findings.Format.TEXT))
        .allSatisfy(finding -> assertThat(finding.level()).isEqualTo(GOOD));
    assertThat(of(findings, "database").detail())
        .startsWith("PostgreSQL ")
        .contains("in clear on this host");
    assertThat(of(findings, "clock").detail()).contains("the database server's");
  }

  static Stream<Fault> databaseFaults() {
    return Stream.of(
        bad(
            "a server that is not there",
            patient -> patient.set("/store/postgresql/url", "jdbc:postgresql://127.0.0.1:1/grep11"),
            "database",
            "127.0.0.1:1",
            "see that it runs"),
        bad(
            "a wrong password",
            patient -> {
              patient.write("password", "wrong\n");
              patient.mode("password", "rw-------");
              patient.set("/store/postgresql/passwordFile", "password");
            },
            "database",
            "password authentication failed"),
        bad(
            "a server that only reads",
            patient -> PostgresServer.shared().forbidTables(database(patient)),
            "database",
            "default_transaction_read_only"),
        bad(
            "a user who may not write",
            patient -> {
              var server = PostgresServer.shared();
              var database = PostgresServer.nameOf(database(patient));
              server.execute(
                  database,
                  "DO $$ BEGIN CREATE USER reader PASSWORD 'reader-pw'; EXCEPTION WHEN duplicate_object THEN NULL; END $$");
              server.execute(database, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader");
              patient.write("password", "reader-pw\n");
              patient.mode("password", "rw-------");
              patient.set("/store/postgresql/user", "reader");
              patient.set("/store/postgresql/passwordFile", "password");
            },
            "database",
            "INSERT on registry",
            "own the tables"),
        bad(
            "a user who may write records and not what belongs to them",
            patient -> {
              var server = PostgresServer.shared();
              var database = PostgresServer.nameOf(database(patient));
              server.execute(
                  database,
                  "DO $$ BEGIN CREATE USER writer PASSWORD 'writer-pw'; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
                      + " GRANT ALL ON ALL TABLES IN SCHEMA public TO writer;"
                      + " REVOKE UPDATE ON head FROM writer;"
                      + " REVOKE DELETE ON data_key FROM writer;"
                      + " REVOKE INSERT ON schema_version FROM writer;"
                      + " REVOKE UPDATE ON keystore FROM writer;"
                      + " REVOKE INSERT ON keystore_key FROM writer;"
                      + " REVOKE DELETE ON keystore_transaction FROM writer");
              patient.write("password", "writer-pw\n");
              patient.mode("password", "rw-------");
              patient.set("/store/postgresql/user", "writer");
              patient.set("/store/postgresql/passwordFile", "password");
            },
            "database",
            "UPDATE on head",
            "DELETE on data_key",
            "INSERT on schema_version",
            "UPDATE on keystore,",
            "INSERT on keystore_key",
            "DELETE on keystore_transaction",
            "own the tables"),
        bad(
            "an empty database",
            patient -> {
              var empty = PostgresServer.shared().createDatabase();
              patient.set("/store/postgresql/url", empty.url());
            },
            "schema",
            "there is no store in"),
        bad(
            "a server that knows no TLS",
            patient ->
                patient.set(
                    "/store/postgresql/url", database(patient).url() + "?sslmode=verify-full"),
            "database",
            "SSL"),
        bad(
            "a server of another name without TLS",
            patient -> patient.set("/store/postgresql/url", "jdbc:postgresql://db.example/grep11"),
            "configuration",
            "store.postgresql.url",
            "sslmode=verify-full"),
        bad(
            "a database server of another time",
            patient ->
                patient.clock = InstantSource.offset(InstantSource.system(), Duration.ofMinutes(3)),
            "clock",
            "ahead of",
            "timedatectl"));
  }

  @ParameterizedTest
  @MethodSource("databaseFaults")
  void findsThePlantedFaultOfADatabase(Fault fault) throws Exception {
    var patient = onPostgres();
    fault.plant().into(patient);
    assertFound(patient.examine(), fault);
  }
}
