package dev.grep11.gateway.certmgr;

import static java.util.stream.Collectors.joining;

import dev.grep11.gateway.audit.AuditEvent;
import dev.grep11.gateway.certmgr.Command.Countersign;
import dev.grep11.gateway.certmgr.Command.DeleteAdminKey;
import dev.grep11.gateway.certmgr.Command.DeleteCertificate;
import dev.grep11.gateway.certmgr.Command.SetAdminKey;
import dev.grep11.gateway.certmgr.Command.SetCertificate;
import dev.grep11.gateway.certmgr.Command.UpdateAdminKey;
import dev.grep11.gateway.certmgr.CommandRefusedException.Reason;
import dev.grep11.gateway.store.AdministratorRecord;
import dev.grep11.gateway.store.EnrolmentRecord;
import dev.grep11.gateway.store.EventRecord;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.RegistryRecord;
import dev.grep11.gateway.store.RegistryRecord.Entry;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.store.Subject;
import dev.grep11.gateway.trust.ClientCa;
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

  /**
   * What takes long and needs no transaction: reading a certificate and judging a client's chain,
   * which an administrator can make dear.
   *
   * @param registry for which it was judged
   * @param ca that is to be registered; empty for other commands
   * @param ofClient the verdict on the client that must be accepted afterwards; empty without one
   */
  record Prepared(RegistryRecord registry, Optional<ClientCa> ca, Optional<Verdict> ofClient) {
    static Prepared of(Surroundings around, CommandCheck check) {
      if (!(check.signed().command().action() instanceof SetCertificate set)) {
        return new Prepared(check.registry(), Optional.empty(), Optional.empty());
      }
      var now = around.clock().instant();
      var ca = Given.ca(set.certificate(), now);
      if (set.requiredClientChain().isEmpty()) {
        return new Prepared(check.registry(), Optional.of(ca), Optional.empty());
      }
      var chain = Given.chain(set.requiredClientChain());
      var changed = with(check.registry(), check.caller().subject(), set, now);
      return new Prepared(
          check.registry(),
          Optional.of(ca),
          Optional.of(around.anchors(changed).judge(chain, now)));
    }
  }

  /** The entries once this certificate is registered. */
  private static List<Entry> with(
      RegistryRecord registry, Subject owner, SetCertificate set, Instant now) {
    var changed = new ArrayList<>(registry.entries());
    registry.entry(owner, set.id()).ifPresent(changed::remove);
    changed.add(new Entry(owner, set.id(), set.certificate(), now));
    return changed;
  }

  private final Surroundings around;
  private final Store.Change change;
  private final Administrator caller;
  private final SignedCommand signed;
  private final Command command;
  private final Instant now;
  private final Prepared prepared;
  private final CommandCheck check;
  private final InstanceRecord instance;
  private final RegistryRecord registry;
  private final Optional<AdministratorRecord> administrator;
  private final StandingRules standing;
  private final List<String> notes = new ArrayList<>();
  private List<Entry> entries;
  private Optional<Subject> adoptedBy = Optional.empty();
  private String deed = "";

  CommandExecution(
      Surroundings around,
      Store.Change change,
      Administrator caller,
      SignedCommand signed,
      Prepared prepared) {
    this.around = around;
    this.now = around.clock().instant();
    this.change = change;
    this.caller = caller;
    this.signed = signed;
    this.command = signed.command();
    this.prepared = prepared;
    this.check = CommandCheck.of(change.snapshot(), caller, signed);
    this.instance = check.instance();
    this.registry = check.registry();
    this.administrator = check.administrator();
    this.entries = registry.entries();
    this.standing = StandingRules.of(around.rules(), change.snapshot().live(now));
  }

  Done run() {
    check.requireSigned();
    check.requirePresent();
    if (!registry.equals(prepared.registry())) {
      throw new CommandRefusedException(Reason.OUTDATED, "the registry changed; look and repeat");
    }
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
    withdrawCountersignatures();
    change.put(record(caller.subject(), key, present().since()));
    deed = "replaced the key by " + key;
  }

  private void deleteAdminKey(DeleteAdminKey delete) {
    var own = entries.stream().filter(this::isOwn).toList();
    if (!own.isEmpty()) {
      if (!delete.force()) {
        throw new CommandRefusedException(
            Reason.CERTIFICATES_HELD,
            "you still hold certificates (%d); delete them first, or hand them over (--force)"
                .formatted(own.size()));
      }
      adopt(own);
    }
    withdrawCountersignatures();
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
              .formatted(around.rules().enrolment().name().toLowerCase(Locale.ROOT)));
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
            expires,
            Optional.of(
                new EnrolmentRecord.Signer(
                    caller.subject(), HexFormat.of().formatHex(command.keyId())))));
    bump();
    notes.add(
        "%s may register this key until %s"
            .formatted(subject.id(), expires.truncatedTo(ChronoUnit.SECONDS)));
    deed =
        "countersigned key %s of %s"
            .formatted(HexFormat.of().formatHex(countersign.keyFingerprint()), subject.id());
  }

  private void setCertificate(SetCertificate set) {
    var ca = prepared.ca().orElseThrow(() -> new IllegalStateException("it was read before"));
    if (ca.publicRoot() && !set.allowPublicRoot()) {
      throw new CommandRefusedException(
          Reason.PUBLIC_ROOT,
          "this CA is trusted for the public Internet: whoever buys a certificate of it could"
              + " connect; it is registered only with an explicit --allow-public-root");
    }
    var before = registry.entry(caller.subject(), set.id()).map(CommandExecution::title);
    var changed = with(registry, caller.subject(), set, now);
    if (changed.size() > MOST_CERTIFICATES) {
      throw new CommandRefusedException(
          Reason.TOO_MANY_CERTIFICATES,
          "an instance has at most %d certificates".formatted(MOST_CERTIFICATES));
    }
    prepared.ofClient().ifPresent(CommandExecution::requireAccepted);
    entries = List.copyOf(changed);
    bump();
    notes.addAll(ca.notes(now));
    before.ifPresent(replaced ->
        notes.add(replaced + " is replaced: its clients pass only if another CA vouches for them"));
    deed =
        "%s certificate %s: %s%s%s"
            .formatted(
                before.isPresent() ? "replaced" : "registered",
                set.id(),
                ClientCa.title(ca.certificate()),
                before.map(replaced -> ", before " + replaced).orElse(""),
                ca.publicRoot() ? ", a public root by explicit override" : "");
  }

  private static void requireAccepted(Verdict verdict) {
    switch (verdict) {
      case Verdict.Accepted _ -> {}
      case Verdict.Refused(var reason, var text) ->
          throw new CommandRefusedException(
              Reason.CLIENT_WOULD_BE_REFUSED,
              "nothing was changed: the client would be refused afterwards (%s): %s"
                  .formatted(reason.word(), text));
    }
  }

  private void deleteCertificate(DeleteCertificate delete) {
    var entry =
        registry
            .entry(caller.subject(), delete.id())
            .orElseThrow(() -> Administration.noCertificate(delete.id()));
    if (entries.size() == 1 && standing.certificatesRequired()) {
      throw new CommandRefusedException(
          Reason.LAST_CERTIFICATE,
          "this is the last client CA of the instance, and the operator requires client"
              + " certificates (clientCertificates: required)");
    }
    entries = entries.stream().filter(other -> !other.equals(entry)).toList();
    bump();
    deed = "removed certificate %s: %s".formatted(delete.id(), title(entry));
  }

  private static String title(Entry entry) {
    try {
      return ClientCa.title(Given.x509(entry.certificate()));
    } catch (CommandRefusedException | IllegalArgumentException e) {
      // It must be possible to remove one that cannot be read, above all.
      return "a certificate that cannot be read";
    }
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

  /** Whoever took the old key may have vouched with it; what is still wanted is signed again. */
  private void withdrawCountersignatures() {
    var given = change.snapshot().countersignatures(caller.instance(), caller.subject());
    given.forEach(change::remove);
    if (!given.isEmpty()) {
      notes.add(
          "%d countersignatures by your old key are withdrawn: %s"
              .formatted(
                  given.size(),
                  given.stream().map(leave -> leave.subject().id()).collect(joining(", "))));
    }
  }

  /** Beside the withdrawal: one that was given before signers were kept has none to withdraw. */
  private void requireSigner(EnrolmentRecord leave) {
    var registered =
        leave
            .by()
            .filter(by ->
                change
                    .snapshot()
                    .administrator(caller.instance(), by.subject())
                    .map(AdministratorRecord::publicKey)
                    .map(key -> HexFormat.of().formatHex(AdministratorKey.fingerprint(key)))
                    .filter(by.keyFingerprint()::equals)
                    .isPresent());
    if (registered.isEmpty()) {
      throw new CommandRefusedException(
          Reason.COUNTERSIGNATURE_NEEDED,
          "the key that countersigned is no longer registered; ask an administrator to countersign"
              + " again");
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
    if (kind == EnrolmentRecord.Kind.COUNTERSIGNATURE) {
      requireSigner(leave.get());
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
