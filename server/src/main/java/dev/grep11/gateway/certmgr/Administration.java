package dev.grep11.gateway.certmgr;

import dev.grep11.gateway.audit.AdministrativeAction;
import dev.grep11.gateway.audit.AuditEvent;
import dev.grep11.gateway.audit.AuditUnavailableException;
import dev.grep11.gateway.certmgr.Command.Countersign;
import dev.grep11.gateway.certmgr.Command.DeleteAdminKey;
import dev.grep11.gateway.certmgr.Command.DeleteCertificate;
import dev.grep11.gateway.certmgr.Command.SetAdminKey;
import dev.grep11.gateway.certmgr.Command.SetCertificate;
import dev.grep11.gateway.certmgr.Command.UpdateAdminKey;
import dev.grep11.gateway.certmgr.CommandRefusedException.Kind;
import dev.grep11.gateway.certmgr.CommandRefusedException.Reason;
import dev.grep11.gateway.store.AdministratorRecord;
import dev.grep11.gateway.store.EnrolmentRecord;
import dev.grep11.gateway.store.EventRecord;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.RegistryRecord;
import dev.grep11.gateway.store.RegistryRecord.Entry;
import dev.grep11.gateway.store.Snapshot;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.store.StoreException;
import dev.grep11.gateway.store.StoreFollower;
import dev.grep11.gateway.store.Subject;
import dev.grep11.gateway.trust.ClientCa;
import dev.grep11.gateway.trust.TrustAnchors;
import dev.grep11.gateway.trust.Verdict;
import java.io.ByteArrayInputStream;
import java.security.MessageDigest;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.UUID;
import java.util.function.Function;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Executes administrators' commands and answers their questions.
 *
 * <p>A command is one transaction. In it, and against the state that it would change, are compared:
 * the subject with that of the token, the instance with that of the call, the key with the
 * registered one, the signature with the received bytes, generation and counter with the stored
 * ones. So a command counts once, in the state for which it was signed, whatever gateway it reaches
 * and however late (security rules 6.4). Safe for use by several threads; everything may wait for
 * the store.
 */
public final class Administration {
  private static final Logger LOG = LoggerFactory.getLogger(Administration.class);

  /** What a command is signed under. */
  public static final String COMMAND_CONTEXT = "grep11-gateway certificate manager command v1";

  /** What a new key signs, to show that somebody has it. */
  public static final String NEW_KEY_CONTEXT = "grep11-gateway certificate manager new key v1";

  static final int MOST_CERTIFICATES = 100;
  private static final int LONGEST_CERTIFICATE = 16 * 1024;
  private static final int LONGEST_CHAIN = 8;
  private static final Duration COUNTERSIGNATURE_HOLDS = Duration.ofHours(24);

  /** Beyond it a clock is said to be wrong. */
  private static final Duration CLOCKS_AGREE = Duration.ofMinutes(5);

  private final Store store;
  private final StoreFollower follower;
  private final Replicas replicas;
  private final AdministrativeEvents events;
  private final Function<List<X509Certificate>, TrustAnchors> trust;
  private final Rules rules;
  private final InstantSource clock;

  /**
   * What the operator decides.
   *
   * @param certificatesRequired whether the last client CA must stay, and calls are refused while
   *     there is none
   */
  public record Rules(Enrolment enrolment, boolean certificatesRequired) {}

  public Administration(
      Store store,
      StoreFollower follower,
      Replicas replicas,
      AdministrativeEvents events,
      Function<List<X509Certificate>, TrustAnchors> trust,
      Rules rules,
      InstantSource clock) {
    this.store = store;
    this.follower = follower;
    this.replicas = replicas;
    this.events = events;
    this.trust = trust;
    this.rules = rules;
    this.clock = clock;
  }

  // ---- Commands

  /**
   * Carries a command out.
   *
   * @param caller whose token has the command's {@link Command.Action#grant} in the instance
   * @throws CommandRefusedException saying why not; then nothing was changed
   */
  public CommandResult execute(Administrator caller, SignedCommand signed) {
    return recorded(
        caller,
        signed.command().action().event(),
        about(caller, signed.command().action()),
        () -> {
          if (!events.available()) {
            throw unrecorded();
          }
          var done = store.change(change -> new Step(change, caller, signed).run());
          events.committed(done.event());
          return done.result(replicas.await(done.asked(), clock.instant()));
        });
  }

  /** What a transaction did. */
  private record Done(
      RegistryRecord registry,
      Subject owner,
      List<String> notes,
      Optional<Subject> adoptedBy,
      boolean locked,
      EventRecord event,
      Replicas.Asked asked) {
    CommandResult result(Replicas.Standing standing) {
      int own = (int) registry.entries().stream().filter(e -> e.owner().equals(owner)).count();
      return new CommandResult(
          registry.generation(),
          locked,
          own,
          registry.entries().size() - own,
          standing.confirmed(),
          standing.outstanding(),
          standing.binding(),
          notes,
          adoptedBy);
    }
  }

  /** A transaction under way. */
  private final class Step {
    private final Store.Change change;
    private final Administrator caller;
    private final SignedCommand signed;
    private final Command command;
    private final Instant now = clock.instant();
    private final InstanceRecord instance;
    private final RegistryRecord registry;
    private final Optional<AdministratorRecord> administrator;
    private final StandingRules standing;
    private final List<String> notes = new ArrayList<>();
    private List<Entry> entries;
    private Optional<Subject> adoptedBy = Optional.empty();
    private String deed = "";

    Step(Store.Change change, Administrator caller, SignedCommand signed) {
      this.change = change;
      this.caller = caller;
      this.signed = signed;
      this.command = signed.command();
      var snapshot = change.snapshot();
      this.instance = requireInstance(snapshot, caller.instance());
      this.registry = requireRegistry(snapshot, caller.instance());
      this.administrator = snapshot.administrator(caller.instance(), caller.subject());
      this.entries = registry.entries();
      this.standing = StandingRules.of(rules, snapshot.live(now));
    }

    Done run() {
      requireSigned();
      requirePresent();
      switch (command.action()) {
        case SetAdminKey set -> setAdminKey(set);
        case UpdateAdminKey update -> updateAdminKey(update);
        case DeleteAdminKey delete -> deleteAdminKey(delete);
        case Countersign countersign -> countersign(countersign);
        case SetCertificate set -> setCertificate(set);
        case DeleteCertificate delete -> deleteCertificate(delete);
      }
      noteClock();
      var after = registry.next(entries);
      if (!change.replace(after)) {
        throw new IllegalStateException("the registry was read in this transaction");
      }
      var consequence = consequence();
      consequence.ifPresent(notes::add);
      var row =
          events.row(
              event(
                  caller,
                  instance.crn(),
                  command.action().event(),
                  about(caller, command.action()),
                  AuditEvent.Outcome.SUCCESS,
                  AuditEvent.Reason.OK,
                  new AuditEvent.ResponseData(deed, consequence)));
      change.add(row);
      return new Done(
          after,
          caller.subject(),
          List.copyOf(notes),
          adoptedBy,
          locked(after),
          row,
          replicas.ask(change));
    }

    /** That it is this administrator's, for this instance, by the right key. */
    private void requireSigned() {
      if (!command.administrator().equals(caller.subject())) {
        throw CommandRefusedException.signature("signed for another administrator");
      }
      if (!command.instance().equals(caller.instance())) {
        throw CommandRefusedException.signature("signed for another instance");
      }
      var key = signingKey();
      if (!MessageDigest.isEqual(command.keyId(), key.fingerprint())) {
        throw CommandRefusedException.signature("signed by a key that is not registered");
      }
      if (!key.verify(COMMAND_CONTEXT, signed.payload(), signed.signature())) {
        throw CommandRefusedException.signature("the signature does not hold");
      }
      if (!(command.action() instanceof UpdateAdminKey) && signed.newKeySignature().length > 0) {
        throw new CommandRefusedException(
            Reason.MALFORMED, "only an update of the key has a signature by a new key");
      }
    }

    private AdministratorKey signingKey() {
      if (command.action() instanceof SetAdminKey(var publicKey, var _)) {
        if (administrator.isPresent()) {
          throw new CommandRefusedException(
              Reason.ALREADY_REGISTERED,
              "you have registered a key already; adminkey update puts another in its place");
        }
        return readKey(publicKey);
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
    private void requirePresent() {
      if (command.expectedGeneration() != registry.generation()) {
        throw new CommandRefusedException(
            Reason.OUTDATED,
            "the registry changed (generation %d, you saw %d); look and repeat"
                .formatted(registry.generation(), command.expectedGeneration()));
      }
      long last = administrator.map(AdministratorRecord::counter).orElse(0L);
      if (command.counter() <= last) {
        throw new CommandRefusedException(
            Reason.OUTDATED,
            "counter %d is not above that of your last command, %d; look and repeat"
                .formatted(command.counter(), last));
      }
    }

    private void setAdminKey(SetAdminKey set) {
      var key = readKey(set.publicKey());
      requireNobodyElses(key);
      requireLeave(set, key);
      removeLeaves(caller.subject());
      change.put(record(caller.subject(), key, now));
      deed = "registered key " + key;
    }

    private void updateAdminKey(UpdateAdminKey update) {
      var key = readKey(update.publicKey());
      if (!key.verify(NEW_KEY_CONTEXT, signed.payload(), signed.newKeySignature())) {
        throw CommandRefusedException.signature("the new key's signature does not hold");
      }
      requireNobodyElses(key);
      change.put(record(caller.subject(), key, present().since()));
      deed = "replaced the key by " + key;
    }

    private void deleteAdminKey(DeleteAdminKey delete) {
      var own = entries.stream().filter(this::isOwn).toList();
      if (!own.isEmpty()) {
        if (!delete.force()) {
          throw new CommandRefusedException(
              Reason.CERTIFICATES_HELD,
              "you still hold %d certificates; delete them first, or hand them over (--force)"
                  .formatted(own.size()));
        }
        adopt(own);
      }
      change.remove(present());
      removeLeaves(caller.subject());
      deed =
          "removed the key"
              + adoptedBy.map(to -> "; certificates handed over to " + to.id()).orElse("");
    }

    private void adopt(List<Entry> own) {
      var heir =
          change.snapshot().administrators(caller.instance()).stream()
              .filter(other -> !other.subject().equals(caller.subject()))
              .min(
                  Comparator.comparing(AdministratorRecord::since)
                      .thenComparing(other -> other.subject().id()))
              .orElseThrow(() ->
                  new CommandRefusedException(
                      Reason.NOBODY_TO_HAND_OVER_TO,
                      "there is no other administrator to hand them over to"))
              .subject();
      var clashes =
          own.stream().map(Entry::id).filter(id -> registry.entry(heir, id).isPresent()).toList();
      if (!clashes.isEmpty()) {
        throw new CommandRefusedException(
            Reason.NOBODY_TO_HAND_OVER_TO,
            "administrator %s has certificates of the same id: %s"
                .formatted(heir.id(), String.join(", ", clashes)));
      }
      entries =
          entries.stream()
              .map(entry ->
                  isOwn(entry)
                      ? new Entry(heir, entry.id(), entry.certificate(), entry.registered())
                      : entry)
              .toList();
      adoptedBy = Optional.of(heir);
      notes.add("%d certificates now belong to %s".formatted(own.size(), heir.id()));
    }

    private void countersign(Countersign countersign) {
      if (!standing.enrolments().contains(Enrolment.COUNTERSIGNED)) {
        throw new CommandRefusedException(
            Reason.NOT_COUNTERSIGNED_HERE,
            "this gateway does not enrol administrators by countersignature (enrolment: %s)"
                .formatted(rules.enrolment().name().toLowerCase(Locale.ROOT)));
      }
      var subject = countersign.subject();
      if (change.snapshot().administrator(caller.instance(), subject).isPresent()) {
        throw new CommandRefusedException(
            Reason.ALREADY_REGISTERED, subject.id() + " has registered a key already");
      }
      var expires = now.plus(COUNTERSIGNATURE_HOLDS);
      change.put(
          new EnrolmentRecord(
              caller.instance(),
              subject,
              EnrolmentRecord.Kind.COUNTERSIGNATURE,
              countersign.keyFingerprint(),
              expires));
      bump();
      notes.add(
          "%s may register this key until %s"
              .formatted(subject.id(), expires.truncatedTo(ChronoUnit.SECONDS)));
      deed =
          "countersigned key %s of %s"
              .formatted(HexFormat.of().formatHex(countersign.keyFingerprint()), subject.id());
    }

    private void setCertificate(SetCertificate set) {
      var ca = readCa(set.certificate());
      if (ca.publicRoot() && !set.allowPublicRoot()) {
        throw new CommandRefusedException(
            Reason.PUBLIC_ROOT,
            "this CA is trusted for the public Internet: whoever buys a certificate of it could"
                + " connect; it is registered only with an explicit --allow-public-root");
      }
      var before = registry.entry(caller.subject(), set.id());
      var changed = new ArrayList<>(entries);
      before.ifPresent(changed::remove);
      if (changed.size() >= MOST_CERTIFICATES) {
        throw new CommandRefusedException(
            Reason.TOO_MANY_CERTIFICATES,
            "an instance has at most %d certificates".formatted(MOST_CERTIFICATES));
      }
      changed.add(new Entry(caller.subject(), set.id(), set.certificate(), now));
      if (!set.requiredClientChain().isEmpty()) {
        requireAccepted(changed, set.requiredClientChain());
      }
      entries = List.copyOf(changed);
      bump();
      notes.addAll(ca.notes(now));
      deed =
          "%s certificate %s".formatted(before.isPresent() ? "replaced" : "registered", set.id());
    }

    private void requireAccepted(List<Entry> changed, List<byte[]> chain) {
      var verdict = anchors(changed.stream()).judge(readChain(chain), now);
      switch (verdict) {
        case Verdict.Accepted _ -> {}
        case Verdict.Refused(var reason, var text) ->
            throw new CommandRefusedException(
                Reason.CLIENT_WOULD_BE_REFUSED,
                "nothing was changed: the client would be refused afterwards (%s): %s"
                    .formatted(word(reason), text));
      }
    }

    private void deleteCertificate(DeleteCertificate delete) {
      var entry =
          registry
              .entry(caller.subject(), delete.id())
              .orElseThrow(() -> noCertificate(delete.id()));
      if (entries.size() == 1 && standing.certificatesRequired()) {
        throw new CommandRefusedException(
            Reason.LAST_CERTIFICATE,
            "this is the last client CA of the instance, and the operator requires client"
                + " certificates (clientCertificates: required)");
      }
      entries = entries.stream().filter(other -> !other.equals(entry)).toList();
      bump();
      deed = "removed certificate " + delete.id();
    }

    /** Keeps the counter of a command that leaves its administrator as it is. */
    private void bump() {
      var own = present();
      change.put(
          new AdministratorRecord(
              own.instance(), own.subject(), own.publicKey(), command.counter(), own.since()));
    }

    private AdministratorRecord record(Subject subject, AdministratorKey key, Instant since) {
      return new AdministratorRecord(
          caller.instance(), subject, key.encoded(), command.counter(), since);
    }

    private AdministratorRecord present() {
      return administrator.orElseThrow(
          () -> new IllegalStateException("the signature was compared with its key"));
    }

    private boolean isOwn(Entry entry) {
      return entry.owner().equals(caller.subject());
    }

    /** Each administrator has a key of its own, or a signature would not tell who it was. */
    private void requireNobodyElses(AdministratorKey key) {
      var taken =
          change.snapshot().administrators(caller.instance()).stream()
              .anyMatch(other -> MessageDigest.isEqual(other.publicKey(), key.encoded()));
      if (taken) {
        throw new CommandRefusedException(
            Reason.ALREADY_REGISTERED, "this key is registered already; make a new one");
      }
    }

    private void requireLeave(SetAdminKey set, AdministratorKey key) {
      standing.enrolments().forEach(enrolment -> requireLeave(enrolment, set, key));
    }

    private void requireLeave(Enrolment enrolment, SetAdminKey set, AdministratorKey key) {
      var leaves = change.snapshot().enrolments(caller.instance(), caller.subject());
      var first = change.snapshot().administrators(caller.instance()).isEmpty();
      switch (enrolment) {
        case OPEN -> {}
        case INVITED -> requireInvitation(leaves, set.invitation());
        case COUNTERSIGNED -> {
          if (first) {
            requireInvitation(leaves, set.invitation());
          } else {
            requireProof(
                leaves,
                EnrolmentRecord.Kind.COUNTERSIGNATURE,
                key.fingerprint(),
                Reason.COUNTERSIGNATURE_NEEDED,
                "an administrator of the instance must countersign this key first: adminkey"
                    + " countersign --subject %s --fingerprint %s"
                        .formatted(caller.subject().id(), key));
          }
        }
      }
    }

    private void requireInvitation(List<EnrolmentRecord> leaves, String code) {
      requireProof(
          leaves,
          EnrolmentRecord.Kind.INVITATION,
          InvitationCode.hash(code),
          Reason.INVITATION_NEEDED,
          "no valid invitation; the operator makes one on the host: grep11 admin invite");
    }

    private void requireProof(
        List<EnrolmentRecord> leaves,
        EnrolmentRecord.Kind kind,
        byte[] proof,
        Reason reason,
        String remedy) {
      var leave = leaves.stream().filter(each -> each.kind() == kind).findFirst();
      var what = kind.name().toLowerCase(Locale.ROOT);
      if (leave.isEmpty()) {
        throw new CommandRefusedException(reason, remedy, "there is no " + what);
      }
      if (!MessageDigest.isEqual(leave.get().proof(), proof)) {
        throw new CommandRefusedException(reason, remedy, "not the one of the " + what);
      }
      if (!now.isBefore(leave.get().expires())) {
        throw new CommandRefusedException(reason, remedy, "the " + what + " has expired");
      }
    }

    private void removeLeaves(Subject subject) {
      change.snapshot().enrolments(caller.instance(), subject).forEach(change::remove);
    }

    private Optional<String> consequence() {
      boolean before = !registry.entries().isEmpty();
      boolean after = !entries.isEmpty();
      if (before == after) {
        return Optional.empty();
      }
      return Optional.of(
          after
              ? "mutual TLS is now on for the instance: every client needs a certificate of a"
                  + " registered CA"
              : "mutual TLS is now off for the instance: clients connect without certificates");
    }

    private void noteClock() {
      var apart = Duration.between(command.time(), now).abs();
      if (apart.compareTo(CLOCKS_AGREE) > 0) {
        notes.add(
            "your clock and the gateway's are %d s apart; signatures do not depend on it"
                .formatted(apart.toSeconds()));
      }
    }
  }

  private static AdministratorKey readKey(byte[] publicKey) {
    try {
      return AdministratorKey.read(publicKey);
    } catch (IllegalArgumentException e) {
      throw new CommandRefusedException(Reason.MALFORMED, "public key: " + e.getMessage());
    }
  }

  private ClientCa readCa(byte[] der) {
    requireLength(der);
    try {
      return ClientCa.read(der, clock.instant());
    } catch (IllegalArgumentException e) {
      throw new CommandRefusedException(Reason.MALFORMED, "certificate: " + e.getMessage());
    }
  }

  private static List<X509Certificate> readChain(List<byte[]> chain) {
    if (chain.isEmpty() || chain.size() > LONGEST_CHAIN) {
      throw new CommandRefusedException(
          Reason.MALFORMED, "a client's chain has 1 to %d certificates".formatted(LONGEST_CHAIN));
    }
    return chain.stream().map(Administration::readX509).toList();
  }

  private static X509Certificate readX509(byte[] der) {
    requireLength(der);
    try {
      var in = new ByteArrayInputStream(der);
      var certificate = CertificateFactory.getInstance("X.509").generateCertificate(in);
      if (in.available() == 0 && certificate instanceof X509Certificate x509) {
        return x509;
      }
    } catch (CertificateException e) {
      // As for what is no X.509 certificate alone.
    }
    throw new CommandRefusedException(Reason.MALFORMED, "not one X.509 certificate in DER");
  }

  private static void requireLength(byte[] der) {
    if (der.length == 0 || der.length > LONGEST_CERTIFICATE) {
      throw new CommandRefusedException(
          Reason.MALFORMED, "a certificate has 1 to %d bytes".formatted(LONGEST_CERTIFICATE));
    }
  }

  // ---- Questions

  /**
   * What an administrator's commands must say, and the registered key.
   *
   * @param key empty when the caller has registered none
   */
  public record AdminKey(
      Optional<AdministratorKey> key,
      Subject subject,
      long lastCounter,
      long generation,
      String crn) {}

  /** The caller's key. */
  public AdminKey adminKey(Administrator caller) {
    return asked(
        caller,
        AdministrativeAction.ADMIN_KEY_READ,
        request(caller).withAccountId(caller.subject().id()),
        state -> {
          var own = state.snapshot().administrator(caller.instance(), caller.subject());
          return new AdminKey(
              own.map(record -> AdministratorKey.read(record.publicKey())),
              caller.subject(),
              own.map(AdministratorRecord::counter).orElse(0L),
              state.registry().generation(),
              state.instance().crn());
        });
  }

  /** The caller's certificates, and how many the others have. */
  public record Certificates(
      List<Entry> own, int otherCertificates, boolean locked, long generation) {}

  /** The caller's certificates, by their ids. */
  public Certificates certificates(Administrator caller) {
    return asked(
        caller,
        AdministrativeAction.CERT_LIST,
        request(caller),
        state -> {
          var own =
              state.registry().entries().stream()
                  .filter(entry -> entry.owner().equals(caller.subject()))
                  .sorted(Comparator.comparing(Entry::id))
                  .toList();
          return new Certificates(
              own,
              state.registry().entries().size() - own.size(),
              locked(state.registry()),
              state.registry().generation());
        });
  }

  /**
   * One of the caller's certificates.
   *
   * @throws CommandRefusedException when the caller has none with this id, whoever else has
   */
  public Entry certificate(Administrator caller, String id) {
    return asked(
        caller,
        AdministrativeAction.CERT_READ,
        request(caller).withCertificateId(id),
        state -> state.registry().entry(caller.subject(), id).orElseThrow(() -> noCertificate(id)));
  }

  /**
   * Whether a client would be let in.
   *
   * @param reason of a refusal; empty when accepted
   * @param certificateId of the CA that vouches for the client, if it is the caller's
   * @param until when the certificates are no longer valid
   */
  public record Check(
      boolean locked,
      boolean accepted,
      String reason,
      String text,
      Optional<String> certificateId,
      Optional<Instant> until) {}

  /**
   * Judges a client's chain as a connection would be.
   *
   * @param chain DER, leaf first
   * @param with a CA, DER, as if it were registered too; empty for none
   */
  public Check check(Administrator caller, List<byte[]> chain, byte[] with) {
    return asked(
        caller,
        AdministrativeAction.CERT_READ,
        request(caller),
        state -> {
          var locked = locked(state.registry());
          var entries = new ArrayList<>(state.registry().entries());
          var certificates = readChain(chain);
          if (with.length > 0) {
            var _ = readCa(with);
            entries.add(new Entry(caller.subject(), "with", with, clock.instant()));
          }
          if (entries.isEmpty() && !locked) {
            return new Check(
                false,
                true,
                "",
                "no client CA is registered: clients connect without certificates",
                Optional.empty(),
                Optional.empty());
          }
          return switch (anchors(entries.stream()).judge(certificates, clock.instant())) {
            case Verdict.Accepted(var anchor, var until) ->
                new Check(locked, true, "", "", ownId(state, caller, anchor), Optional.of(until));
            case Verdict.Refused(var reason, var text) ->
                new Check(locked, false, word(reason), text, Optional.empty(), Optional.empty());
          };
        });
  }

  private static Optional<String> ownId(State state, Administrator caller, X509Certificate anchor) {
    return state.registry().entries().stream()
        .filter(entry -> entry.owner().equals(caller.subject()))
        .filter(entry -> readX509(entry.certificate()).equals(anchor))
        .map(Entry::id)
        .findFirst();
  }

  private record State(Snapshot snapshot, InstanceRecord instance, RegistryRecord registry) {}

  private interface Question<T> {
    T of(State state);
  }

  private <T> T asked(
      Administrator caller,
      AdministrativeAction action,
      AuditEvent.RequestData request,
      Question<T> question) {
    return recorded(
        caller,
        action,
        request,
        () -> {
          // As fresh as a command would find it.
          follower.refresh();
          var snapshot =
              follower
                  .current()
                  .orElseThrow(() ->
                      new CommandRefusedException(
                          Reason.UNAVAILABLE, "the registry could not be confirmed"));
          var state =
              new State(
                  snapshot,
                  requireInstance(snapshot, caller.instance()),
                  requireRegistry(snapshot, caller.instance()));
          var answer = question.of(state);
          events.record(
              event(
                  caller,
                  state.instance().crn(),
                  action,
                  request,
                  AuditEvent.Outcome.SUCCESS,
                  AuditEvent.Reason.OK,
                  new AuditEvent.ResponseData("answered")));
          return answer;
        });
  }

  // ---- What both have in common

  private interface Work<T> {
    T run();
  }

  /** Whatever goes wrong refuses, and is written down before it is answered. */
  private <T> T recorded(
      Administrator caller,
      AdministrativeAction action,
      AuditEvent.RequestData request,
      Work<T> work) {
    CommandRefusedException refused;
    try {
      return work.run();
    } catch (CommandRefusedException e) {
      refused = e;
    } catch (StoreException e) {
      refused =
          new CommandRefusedException(
              Reason.UNAVAILABLE,
              "the registry cannot be reached at present; look before you repeat",
              String.valueOf(e.getMessage()));
      refused.initCause(e);
    } catch (AuditUnavailableException e) {
      refused = unrecorded();
      refused.initCause(e);
    } catch (RuntimeException e) {
      LOG.error("call {} failed unexpectedly", caller.correlationId(), e);
      refused =
          new CommandRefusedException(
              Reason.UNAVAILABLE,
              "internal error, correlation id " + caller.correlationId(),
              "internal error: " + e.getClass().getSimpleName());
      refused.initCause(e);
    }
    try {
      events.record(
          event(
              caller,
              crn(caller.instance()),
              action,
              request,
              AuditEvent.Outcome.FAILURE,
              AuditEvent.Reason.failure(
                  httpStatus(refused.kind()), reasonType(refused.kind()), refused.forAudit()),
              new AuditEvent.ResponseData("refused")));
    } catch (AuditUnavailableException e) {
      // The attempt is refused as it is; the audit log itself tells of its gap.
      refused.addSuppressed(e);
    }
    throw refused;
  }

  private static CommandRefusedException unrecorded() {
    return new CommandRefusedException(
        Reason.UNAVAILABLE, "administration cannot be recorded at present");
  }

  private static CommandRefusedException noCertificate(String id) {
    return new CommandRefusedException(
        Reason.NOT_FOUND, "you have no certificate with id \"" + id + "\"");
  }

  private static InstanceRecord requireInstance(Snapshot snapshot, UUID instance) {
    return snapshot
        .instance(instance)
        .orElseThrow(() -> new CommandRefusedException(Reason.NOT_FOUND, "no such instance"));
  }

  /** An absent registry is a fault, never an empty one (security rules 2.12). */
  private static RegistryRecord requireRegistry(Snapshot snapshot, UUID instance) {
    return snapshot
        .registry(instance)
        .orElseThrow(() ->
            new CommandRefusedException(
                Reason.UNAVAILABLE,
                "the registry of the instance is missing",
                "the instance has no registry record"));
  }

  private boolean locked(RegistryRecord registry) {
    return rules.certificatesRequired() || !registry.entries().isEmpty();
  }

  private TrustAnchors anchors(Stream<Entry> entries) {
    return trust.apply(entries.map(entry -> readX509(entry.certificate())).toList());
  }

  /** As docs/client-certificates.md spells it. */
  private static String word(Verdict.Reason reason) {
    return reason.name().toLowerCase(Locale.ROOT).replace('_', '-');
  }

  private String crn(UUID instance) {
    return follower
        .current()
        .flatMap(snapshot -> snapshot.instance(instance))
        .map(InstanceRecord::crn)
        .orElse(instance.toString());
  }

  private static AuditEvent.RequestData request(Administrator caller) {
    return new AuditEvent.RequestData(caller.request(), Optional.of(caller.instance()));
  }

  private static AuditEvent.RequestData about(Administrator caller, Command.Action action) {
    var request = request(caller);
    return switch (action) {
      case SetAdminKey _, UpdateAdminKey _, DeleteAdminKey _ ->
          request.withAccountId(caller.subject().id());
      case Countersign(var subject, var _) -> request.withAccountId(subject.id());
      case SetCertificate set -> request.withCertificateId(set.id());
      case DeleteCertificate(var id) -> request.withCertificateId(id);
    };
  }

  private AuditEvent event(
      Administrator caller,
      String crn,
      AdministrativeAction action,
      AuditEvent.RequestData request,
      AuditEvent.Outcome outcome,
      AuditEvent.Reason reason,
      AuditEvent.ResponseData response) {
    return new AuditEvent(
        action,
        clock.instant(),
        outcome,
        reason,
        new AuditEvent.Initiator(
            caller.subject().id(),
            Optional.of(caller.subject().issuer()),
            AuditEvent.Initiator.SERVICE_ID,
            "token",
            caller.address(),
            caller.agent()),
        crn,
        caller.correlationId(),
        request,
        response);
  }

  /** The codes that CADF readers know. */
  private static int httpStatus(Kind kind) {
    return switch (kind) {
      case REJECTED -> 403;
      case MALFORMED -> 400;
      case NOT_FOUND -> 404;
      case ALREADY_EXISTS, NOT_NOW, STALE -> 409;
      case TOO_MANY -> 429;
      case UNAVAILABLE -> 503;
    };
  }

  private static String reasonType(Kind kind) {
    return switch (kind) {
      case REJECTED -> "Forbidden";
      case MALFORMED -> "Bad Request";
      case NOT_FOUND -> "Not Found";
      case ALREADY_EXISTS, NOT_NOW, STALE -> "Conflict";
      case TOO_MANY -> "Too Many Requests";
      case UNAVAILABLE -> "Service Unavailable";
    };
  }
}
