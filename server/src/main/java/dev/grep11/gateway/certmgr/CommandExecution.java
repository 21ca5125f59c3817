package dev.grep11.gateway.certmgr;

import dev.grep11.gateway.audit.AuditEvent;
import dev.grep11.gateway.certmgr.Command.Countersign;
import dev.grep11.gateway.certmgr.Command.DeleteAdminKey;
import dev.grep11.gateway.certmgr.Command.DeleteCertificate;
import dev.grep11.gateway.certmgr.Command.SetAdminKey;
import dev.grep11.gateway.certmgr.Command.SetCertificate;
import dev.grep11.gateway.certmgr.Command.UpdateAdminKey;
import dev.grep11.gateway.certmgr.CommandRefusedException.Kind;
import dev.grep11.gateway.store.AdministratorRecord;
import dev.grep11.gateway.store.EnrolmentRecord;
import dev.grep11.gateway.store.EventRecord;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.RegistryRecord;
import dev.grep11.gateway.store.RegistryRecord.Entry;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.store.Subject;
import dev.grep11.gateway.trust.TrustAnchors;
import dev.grep11.gateway.trust.Verdict;
import java.security.MessageDigest;
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
import java.util.function.Function;

/** The transaction of one command: its rules, against the state that it would change. */
final class CommandExecution {
  private static final int MOST_CERTIFICATES = 100;
  private static final Duration COUNTERSIGNATURE_HOLDS = Duration.ofHours(24);

  /** Beyond it a clock is said to be wrong. */
  private static final Duration CLOCKS_AGREE = Duration.ofMinutes(5);

  /** What every execution works with. */
  record Surroundings(
      Replicas replicas,
      AdministrativeEvents events,
      Function<List<X509Certificate>, TrustAnchors> trust,
      Administration.Rules rules,
      InstantSource clock) {
    TrustAnchors anchors(List<Entry> entries) {
      return trust.apply(entries.stream().map(entry -> Given.x509(entry.certificate())).toList());
    }
  }

  /** What a transaction did. */
  record Done(
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

  private final Surroundings around;
  private final Store.Change change;
  private final Administrator caller;
  private final SignedCommand signed;
  private final Command command;
  private final Instant now;
  private final InstanceRecord instance;
  private final RegistryRecord registry;
  private final Optional<AdministratorRecord> administrator;
  private final List<String> notes = new ArrayList<>();
  private List<Entry> entries;
  private Optional<Subject> adoptedBy = Optional.empty();
  private String deed = "";

  CommandExecution(
      Surroundings around, Store.Change change, Administrator caller, SignedCommand signed) {
    this.around = around;
    this.now = around.clock().instant();
    this.change = change;
    this.caller = caller;
    this.signed = signed;
    this.command = signed.command();
    var snapshot = change.snapshot();
    this.instance = Administration.requireInstance(snapshot, caller.instance());
    this.registry = Administration.requireRegistry(snapshot, caller.instance());
    this.administrator = snapshot.administrator(caller.instance(), caller.subject());
    this.entries = registry.entries();
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
        around
            .events()
            .row(
                Administration.event(
                    now,
                    caller,
                    instance.crn(),
                    command.action().event(),
                    Administration.about(caller, command.action()),
                    AuditEvent.Outcome.SUCCESS,
                    AuditEvent.Reason.OK,
                    new AuditEvent.ResponseData(deed, consequence)));
    change.add(row);
    return new Done(
        after,
        caller.subject(),
        List.copyOf(notes),
        adoptedBy,
        around.rules().locks(after),
        row,
        around.replicas().ask(change));
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
    if (!key.verify(Administration.COMMAND_CONTEXT, signed.payload(), signed.signature())) {
      throw CommandRefusedException.signature("the signature does not hold");
    }
    if (!(command.action() instanceof UpdateAdminKey) && signed.newKeySignature().length > 0) {
      throw new CommandRefusedException(
          Kind.MALFORMED, "only an update of the key has a signature by a new key");
    }
  }

  private AdministratorKey signingKey() {
    if (command.action() instanceof SetAdminKey(var publicKey, var _)) {
      if (administrator.isPresent()) {
        throw new CommandRefusedException(
            Kind.ALREADY_EXISTS,
            "you have registered a key already; adminkey update puts another in its place");
      }
      return Given.key(publicKey);
    }
    return AdministratorKey.read(
        administrator
            .orElseThrow(() ->
                new CommandRefusedException(
                    Kind.NOT_NOW, "you have not registered a key yet: run adminkey set"))
            .publicKey());
  }

  /** That it was signed for the state that is there, and was not executed before. */
  private void requirePresent() {
    if (command.expectedGeneration() != registry.generation()) {
      throw new CommandRefusedException(
          Kind.STALE,
          "the registry changed (generation %d, you saw %d); look and repeat"
              .formatted(registry.generation(), command.expectedGeneration()));
    }
    long last = administrator.map(AdministratorRecord::counter).orElse(0L);
    if (command.counter() <= last) {
      throw new CommandRefusedException(
          Kind.STALE,
          "counter %d is not above that of your last command, %d; look and repeat"
              .formatted(command.counter(), last));
    }
  }

  private void setAdminKey(SetAdminKey set) {
    var key = Given.key(set.publicKey());
    requireNobodyElses(key);
    requireLeave(set, key);
    removeLeaves(caller.subject());
    change.put(record(caller.subject(), key, now));
    deed = "registered key " + key;
  }

  private void updateAdminKey(UpdateAdminKey update) {
    var key = Given.key(update.publicKey());
    if (!key.verify(Administration.NEW_KEY_CONTEXT, signed.payload(), signed.newKeySignature())) {
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
            Kind.NOT_NOW,
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
                    Kind.NOT_NOW, "there is no other administrator to hand them over to"))
            .subject();
    var clashes =
        own.stream().map(Entry::id).filter(id -> registry.entry(heir, id).isPresent()).toList();
    if (!clashes.isEmpty()) {
      throw new CommandRefusedException(
          Kind.NOT_NOW,
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
    if (around.rules().enrolment() != Enrolment.COUNTERSIGNED) {
      throw new CommandRefusedException(
          Kind.NOT_NOW,
          "this gateway does not enrol administrators by countersignature (enrolment: %s)"
              .formatted(around.rules().enrolment().name().toLowerCase(Locale.ROOT)));
    }
    var subject = countersign.subject();
    if (change.snapshot().administrator(caller.instance(), subject).isPresent()) {
      throw new CommandRefusedException(
          Kind.ALREADY_EXISTS, subject.id() + " has registered a key already");
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
    var ca = Given.ca(set.certificate(), now);
    if (ca.publicRoot() && !set.allowPublicRoot()) {
      throw new CommandRefusedException(
          Kind.NOT_NOW,
          "this CA is trusted for the public Internet: whoever buys a certificate of it could"
              + " connect; it is registered only with an explicit --allow-public-root");
    }
    var before = registry.entry(caller.subject(), set.id());
    var changed = new ArrayList<>(entries);
    before.ifPresent(changed::remove);
    if (changed.size() >= MOST_CERTIFICATES) {
      throw new CommandRefusedException(
          Kind.TOO_MANY, "an instance has at most %d certificates".formatted(MOST_CERTIFICATES));
    }
    changed.add(new Entry(caller.subject(), set.id(), set.certificate(), now));
    if (!set.requiredClientChain().isEmpty()) {
      requireAccepted(changed, set.requiredClientChain());
    }
    entries = List.copyOf(changed);
    bump();
    notes.addAll(ca.notes(now));
    deed = "%s certificate %s".formatted(before.isPresent() ? "replaced" : "registered", set.id());
  }

  private void requireAccepted(List<Entry> changed, List<byte[]> chain) {
    var verdict = around.anchors(changed).judge(Given.chain(chain), now);
    switch (verdict) {
      case Verdict.Accepted _ -> {}
      case Verdict.Refused(var reason, var text) ->
          throw new CommandRefusedException(
              Kind.NOT_NOW,
              "nothing was changed: the client would be refused afterwards (%s): %s"
                  .formatted(Administration.word(reason), text));
    }
  }

  private void deleteCertificate(DeleteCertificate delete) {
    var entry =
        registry
            .entry(caller.subject(), delete.id())
            .orElseThrow(() -> Administration.noCertificate(delete.id()));
    if (entries.size() == 1 && around.rules().certificatesRequired()) {
      throw new CommandRefusedException(
          Kind.NOT_NOW,
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
          Kind.ALREADY_EXISTS, "this key is registered already; make a new one");
    }
  }

  private void requireLeave(SetAdminKey set, AdministratorKey key) {
    var leaves = change.snapshot().enrolments(caller.instance(), caller.subject());
    var first = change.snapshot().administrators(caller.instance()).isEmpty();
    switch (around.rules().enrolment()) {
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
        "no valid invitation; the operator makes one on the host: grep11 admin invite");
  }

  private void requireProof(
      List<EnrolmentRecord> leaves, EnrolmentRecord.Kind kind, byte[] proof, String remedy) {
    var leave = leaves.stream().filter(each -> each.kind() == kind).findFirst();
    var what = kind.name().toLowerCase(Locale.ROOT);
    if (leave.isEmpty()) {
      throw new CommandRefusedException(Kind.REJECTED, remedy, "there is no " + what);
    }
    if (!MessageDigest.isEqual(leave.get().proof(), proof)) {
      throw new CommandRefusedException(Kind.REJECTED, remedy, "not the one of the " + what);
    }
    if (!now.isBefore(leave.get().expires())) {
      throw new CommandRefusedException(Kind.REJECTED, remedy, "the " + what + " has expired");
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
