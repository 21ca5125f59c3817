package dev.grep11.gateway.host;

import static java.util.stream.Collectors.counting;
import static java.util.stream.Collectors.groupingBy;
import static java.util.stream.Collectors.joining;

import dev.grep11.gateway.audit.AdministrativeAction;
import dev.grep11.gateway.audit.AuditEvent;
import dev.grep11.gateway.certmgr.AdministratorKey;
import dev.grep11.gateway.certmgr.InvitationCode;
import dev.grep11.gateway.iam.Roles;
import dev.grep11.gateway.store.EnrolmentRecord;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.RegistryRecord;
import dev.grep11.gateway.store.RegistryRecord.Entry;
import dev.grep11.gateway.store.Snapshot;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.store.Subject;
import dev.grep11.gateway.token.StartException;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;

/**
 * The certificate administrators of instances, for commands on the host: the only way in for the
 * first one, and for one whose key is lost (security rules 6.1, 6.8). What cannot be recorded is
 * not done.
 */
public final class Administrators {
  private static final Duration SHORTEST = Duration.ofMinutes(1);
  private static final String FIRST_KEY = AdministrativeAction.ADMIN_KEY_CREATE.eventName();

  private final Store store;
  private final HostAudit audit;
  private final Roles roles;
  private final Set<String> issuersOfRoles;
  private final InstantSource clock;

  /**
   * @param issuersOfRoles whose tokens may bring a role that no grant tells of
   */
  Administrators(
      Store store, HostAudit audit, Roles roles, Set<String> issuersOfRoles, InstantSource clock) {
    this.store = store;
    this.audit = audit;
    this.roles = roles;
    this.issuersOfRoles = Set.copyOf(issuersOfRoles);
    this.clock = clock;
  }

  /**
   * Leave to register a first key.
   *
   * @param code which is nowhere else
   */
  public record Invitation(Subject subject, InvitationCode code, Instant expires) {}

  /**
   * An administrator as it stands.
   *
   * @param fingerprint SHA-256 of the key, hexadecimal
   */
  public record Standing(
      Subject subject, String fingerprint, Instant since, long counter, long certificates) {}

  /** All administrators of an instance who have registered a key. */
  public List<Standing> list(UUID instance) {
    var snapshot = store.snapshot();
    var _ = require(snapshot, instance);
    var entries = registry(snapshot, instance).entries();
    return snapshot.administrators(instance).stream()
        .map(each ->
            new Standing(
                each.subject(),
                each.fingerprint(),
                each.since(),
                each.counter(),
                entries.stream().filter(entry -> entry.owner().equals(each.subject())).count()))
        .toList();
  }

  /**
   * How many client CAs of an instance belong to subjects without a registered key, who can
   * therefore not remove them.
   */
  public Map<Subject, Long> ownersWithoutKey(UUID instance) {
    var snapshot = store.snapshot();
    var _ = require(snapshot, instance);
    return registry(snapshot, instance).entries().stream()
        .filter(entry -> snapshot.administrator(instance, entry.owner()).isEmpty())
        .collect(groupingBy(Entry::owner, LinkedHashMap::new, counting()));
  }

  /**
   * Gives the client CAs of a subject, who may be gone, to another administrator, and takes the
   * subject's key away. The lock stays as it is: only the other one's signed command removes a CA.
   *
   * @return how many
   * @throws StartException when there are none, or the other one has no key or has the same ids
   */
  public int handOver(UUID instance, Subject from, Subject to) {
    var given = new ArrayList<Entry>();
    changing(
        AdministrativeAction.CERT_HAND_OVER,
        "admin hand-over",
        instance,
        from,
        change -> {
          var snapshot = change.snapshot();
          var registry = registry(snapshot, instance);
          given.addAll(
              registry.entries().stream().filter(entry -> entry.owner().equals(from)).toList());
          if (given.isEmpty()) {
            throw new StartException(from.id() + " has no client CA; see: grep11 admin list");
          }
          if (from.equals(to) || snapshot.administrator(instance, to).isEmpty()) {
            throw new StartException(
                to.id() + " is no other administrator with a registered key; see: admin invite");
          }
          var clashes =
              given.stream().map(Entry::id).filter(id -> registry.entry(to, id).isPresent());
          var clash = clashes.collect(joining(", "));
          if (!clash.isEmpty()) {
            throw new StartException(
                to.id() + " has client CAs of the same id, rename them first: " + clash);
          }
          snapshot.administrator(instance, from).ifPresent(change::remove);
          snapshot.enrolments(instance, from).forEach(change::remove);
          snapshot.countersignatures(instance, from).forEach(change::remove);
          change.replace(
              registry.next(
                  registry.entries().stream()
                      .map(entry ->
                          entry.owner().equals(from)
                              ? new Entry(to, entry.id(), entry.certificate(), entry.registered())
                              : entry)
                      .toList()));
          return "handed over to %s: %s"
              .formatted(to.id(), given.stream().map(Entry::id).collect(joining(", ")));
        },
        () -> {});
    return given.size();
  }

  private static RegistryRecord registry(Snapshot snapshot, UUID instance) {
    return snapshot
        .registry(instance)
        .orElseThrow(() -> new StartException("instance " + instance + " has no registry"));
  }

  /**
   * Makes an invitation, in the place of an earlier one of this subject.
   *
   * @throws StartException when the subject has registered a key already, or has not the role
   *     without which its code would be of no use
   */
  public Invitation invite(UUID instance, Subject subject, Duration holds) {
    var invitation = invitation(subject, holds);
    changing(
        AdministrativeAction.ADMIN_KEY_INVITE,
        "admin invite",
        instance,
        subject,
        change -> {
          if (change.snapshot().administrator(instance, subject).isPresent()) {
            throw new StartException(
                subject.id()
                    + " has registered a key already; if it is lost: grep11 admin recover");
          }
          requireRole(change.snapshot(), instance, subject);
          put(change, instance, invitation);
          return "invited until " + invitation.expires();
        },
        () -> invitation.code().close());
    return invitation;
  }

  /**
   * A code for somebody without the role looks like leave and is none: who uses it is told "not
   * authorised" and nothing else, and nobody knows where to look. Roles that tokens bring are not
   * known here; those subjects are invited.
   */
  private void requireRole(Snapshot snapshot, UUID instance, Subject subject) {
    boolean granted =
        snapshot.grants(subject).stream()
            .filter(grant -> grant.instance().equals(instance) && grant.resource().isEmpty())
            .anyMatch(grant -> roles.actions(grant.entitlement()).contains(FIRST_KEY));
    if (!granted && !issuersOfRoles.contains(subject.issuer())) {
      throw new StartException(
          ("%s of %s has not the role Certificate Manager in instance %s; give it that first:"
                  + " grep11 grant add --role \"Certificate Manager\"; who uses keys cannot have it and"
                  + " needs another subject: grep11 apikey create")
              .formatted(subject.id(), subject.issuer(), instance));
    }
  }

  /**
   * Takes a lost key away and invites its owner to register another; certificates stay.
   *
   * @param fingerprint of the lost key, so that a key which was replaced meanwhile stays
   * @throws StartException when the subject has no key, or another one
   */
  public Invitation recover(UUID instance, Subject subject, String fingerprint, Duration holds) {
    var invitation = invitation(subject, holds);
    changing(
        AdministrativeAction.ADMIN_KEY_RECOVER,
        "admin recover",
        instance,
        subject,
        change -> {
          var administrator =
              change
                  .snapshot()
                  .administrator(instance, subject)
                  .orElseThrow(() ->
                      new StartException(
                          subject.id() + " has not registered a key; see: grep11 admin list"));
          if (!MessageDigest.isEqual(
              parsed(fingerprint), AdministratorKey.fingerprint(administrator.publicKey()))) {
            throw new StartException(
                "the key of %s is %s, not %s"
                    .formatted(subject.id(), administrator.fingerprint(), fingerprint));
          }
          change.remove(administrator);
          // Whoever found the lost key may have vouched with it.
          var vouched = change.snapshot().countersignatures(instance, subject);
          vouched.forEach(change::remove);
          var registry = registry(change.snapshot(), instance);
          // Whatever was signed for the state before does not hold in the one after.
          change.replace(registry.next(registry.entries()));
          put(change, instance, invitation);
          return "removed key %s%s"
              .formatted(
                  administrator.fingerprint(),
                  vouched.isEmpty()
                      ? ""
                      : "; countersignatures by it are withdrawn: " + subjects(vouched));
        },
        () -> invitation.code().close());
    return invitation;
  }

  /**
   * Leave to register a first key that was given and not used.
   *
   * @param by who countersigned; empty for an invitation by an operator
   */
  public record Leave(
      EnrolmentRecord.Kind kind, Subject subject, Optional<Subject> by, Instant expires) {}

  /** All leaves to register a first key with an instance, also those that have expired. */
  public List<Leave> leaves(UUID instance) {
    var snapshot = store.snapshot();
    var _ = require(snapshot, instance);
    return snapshot.enrolments(instance).stream()
        .map(each ->
            new Leave(
                each.kind(),
                each.subject(),
                each.by().map(EnrolmentRecord.Signer::subject),
                each.expires()))
        .toList();
  }

  /**
   * Takes every leave of a subject to register a first key back.
   *
   * @throws StartException when there is none
   */
  public void withdraw(UUID instance, Subject subject) {
    changing(
        AdministrativeAction.ADMIN_KEY_WITHDRAW,
        "admin withdraw",
        instance,
        subject,
        change -> {
          var leaves = change.snapshot().enrolments(instance, subject);
          if (leaves.isEmpty()) {
            throw new StartException(
                subject.id() + " has no leave to register a key; see: grep11 admin list");
          }
          leaves.forEach(change::remove);
          return "withdrew "
              + leaves.stream()
                  .map(each -> each.kind().name().toLowerCase(Locale.ROOT))
                  .collect(joining(" and "));
        },
        () -> {});
  }

  private static String subjects(List<EnrolmentRecord> leaves) {
    return leaves.stream().map(leave -> leave.subject().id()).collect(joining(", "));
  }

  private Invitation invitation(Subject subject, Duration holds) {
    if (holds.compareTo(SHORTEST) < 0) {
      throw new StartException("an invitation holds for a minute at least");
    }
    return new Invitation(subject, InvitationCode.random(), clock.instant().plus(holds));
  }

  private static void put(Store.Change change, UUID instance, Invitation invitation) {
    change.put(
        new EnrolmentRecord(
            instance,
            invitation.subject(),
            EnrolmentRecord.Kind.INVITATION,
            invitation.code().hash(),
            invitation.expires(),
            Optional.empty()));
  }

  private interface Deed {
    /** What was done, for the audit log. */
    String in(Store.Change change);
  }

  private void changing(
      AdministrativeAction action,
      String request,
      UUID instance,
      Subject subject,
      Deed deed,
      Runnable undone) {
    try {
      audit.change(
          store,
          change -> {
            var record = require(change.snapshot(), instance);
            var done = deed.in(change);
            return event(action, request, record, subject, done, Optional.empty());
          },
          why ->
              event(
                  action,
                  request,
                  require(store.snapshot(), instance),
                  subject,
                  "refused",
                  Optional.of(why)));
    } catch (RuntimeException e) {
      undone.run();
      throw e;
    }
  }

  private AuditEvent event(
      AdministrativeAction action,
      String request,
      InstanceRecord instance,
      Subject subject,
      String done,
      Optional<String> refusal) {
    return new AuditEvent(
        action,
        clock.instant(),
        HostAudit.outcome(refusal),
        HostAudit.reason(refusal),
        HostAudit.operator("grep11 admin"),
        instance.crn(),
        UUID.randomUUID().toString(),
        new AuditEvent.RequestData(request, Optional.of(instance.id())).withAccountId(subject.id()),
        new AuditEvent.ResponseData(done));
  }

  private static InstanceRecord require(Snapshot snapshot, UUID instance) {
    return snapshot
        .instance(instance)
        .orElseThrow(() ->
            new StartException("there is no instance " + instance + "; see: grep11 instance list"));
  }

  private static byte[] parsed(String fingerprint) {
    try {
      return HexFormat.of().parseHex(fingerprint);
    } catch (IllegalArgumentException e) {
      throw new StartException("a fingerprint is 64 hexadecimal digits, as admin list shows it", e);
    }
  }
}
