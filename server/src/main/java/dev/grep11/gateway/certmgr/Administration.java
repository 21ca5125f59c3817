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
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.RegistryRecord;
import dev.grep11.gateway.store.RegistryRecord.Entry;
import dev.grep11.gateway.store.Snapshot;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.store.StoreException;
import dev.grep11.gateway.store.StoreFollower;
import dev.grep11.gateway.store.Subject;
import dev.grep11.gateway.trust.TrustAnchors;
import dev.grep11.gateway.trust.Verdict;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.function.Function;
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

  private static final String UNREACHABLE =
      "the registry cannot be reached at present; look before you repeat";

  private final Store store;
  private final StoreFollower follower;
  private final CommandExecution.Surroundings around;

  /**
   * What the operator decides.
   *
   * @param certificatesRequired whether the last client CA must stay, and calls are refused while
   *     there is none
   */
  public record Rules(Enrolment enrolment, boolean certificatesRequired) {
    boolean locks(RegistryRecord registry) {
      return certificatesRequired || !registry.entries().isEmpty();
    }
  }

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
    this.around = new CommandExecution.Surroundings(replicas, events, trust, rules, clock);
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
          if (!around.events().available()) {
            throw unrecorded();
          }
          // As fresh as the transaction will find it; the store's one writer is not asked yet.
          follower.refresh();
          var check = CommandCheck.of(confirmed(), caller, signed);
          check.requireSigned();
          check.requirePresent();
          var prepared = CommandExecution.Prepared.of(around, check);
          var done = change(caller, signed, prepared);
          around.events().committed(done.event());
          return done.result(around.replicas().await(done.asked(), now()));
        });
  }

  /**
   * Whether the administrator's registered key signed a command, as far as is known without asking
   * the store. It decides nothing but against which budget the command counts.
   */
  public boolean isByRegisteredKey(Administrator caller, SignedCommand signed) {
    try {
      return CommandCheck.of(confirmed(), caller, signed).isByRegisteredKey();
    } catch (CommandRefusedException e) {
      return false;
    }
  }

  private CommandExecution.Done change(
      Administrator caller, SignedCommand signed, CommandExecution.Prepared prepared) {
    try {
      return store.change(
          change -> new CommandExecution(around, change, caller, signed, prepared).run());
    } catch (StoreException e) {
      // It may be committed: not anchored, or the connection broke at the wrong moment.
      var refused =
          new CommandRefusedException(
              Reason.UNAVAILABLE,
              UNREACHABLE,
              "outcome unknown; see the event of the change: " + e.getMessage());
      refused.initCause(e);
      throw refused;
    }
  }

  private Snapshot confirmed() {
    return follower
        .current()
        .orElseThrow(() ->
            new CommandRefusedException(Reason.UNAVAILABLE, "the registry could not be confirmed"));
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
              around.rules().locks(state.registry()),
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
          var locked = around.rules().locks(state.registry());
          var entries = new ArrayList<>(state.registry().entries());
          var certificates = Given.chain(chain);
          if (with.length > 0) {
            var _ = Given.ca(with, around.clock().instant());
            entries.add(new Entry(caller.subject(), "with", with, now()));
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
          return switch (around.anchors(entries).judge(certificates, now())) {
            case Verdict.Accepted(var anchor, var until) ->
                new Check(locked, true, "", "", ownId(state, caller, anchor), Optional.of(until));
            case Verdict.Refused(var reason, var text) ->
                new Check(locked, false, reason.word(), text, Optional.empty(), Optional.empty());
          };
        });
  }

  private static Optional<String> ownId(State state, Administrator caller, X509Certificate anchor) {
    return state.registry().entries().stream()
        .filter(entry -> entry.owner().equals(caller.subject()))
        .filter(entry -> Given.x509(entry.certificate()).equals(anchor))
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
          var snapshot = confirmed();
          var state =
              new State(
                  snapshot,
                  requireInstance(snapshot, caller.instance()),
                  requireRegistry(snapshot, caller.instance()));
          var answer = question.of(state);
          around
              .events()
              .record(
                  event(
                      now(),
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
              Reason.UNAVAILABLE, UNREACHABLE, String.valueOf(e.getMessage()));
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
      around
          .events()
          .record(
              event(
                  now(),
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

  static CommandRefusedException noCertificate(String id) {
    return new CommandRefusedException(
        Reason.NOT_FOUND, "you have no certificate with id \"" + id + "\"");
  }

  static InstanceRecord requireInstance(Snapshot snapshot, UUID instance) {
    return snapshot
        .instance(instance)
        .orElseThrow(() -> new CommandRefusedException(Reason.NOT_FOUND, "no such instance"));
  }

  /** An absent registry is a fault, never an empty one (security rules 2.12). */
  static RegistryRecord requireRegistry(Snapshot snapshot, UUID instance) {
    return snapshot
        .registry(instance)
        .orElseThrow(() ->
            new CommandRefusedException(
                Reason.UNAVAILABLE,
                "the registry of the instance is missing",
                "the instance has no registry record"));
  }

  private Instant now() {
    return around.clock().instant();
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

  static AuditEvent.RequestData about(Administrator caller, Command.Action action) {
    var request = request(caller);
    return switch (action) {
      case SetAdminKey _, UpdateAdminKey _, DeleteAdminKey _ ->
          request.withAccountId(caller.subject().id());
      case Countersign(var subject, var _) -> request.withAccountId(subject.id());
      case SetCertificate set -> request.withCertificateId(set.id());
      case DeleteCertificate(var id) -> request.withCertificateId(id);
    };
  }

  static AuditEvent event(
      Instant time,
      Administrator caller,
      String crn,
      AdministrativeAction action,
      AuditEvent.RequestData request,
      AuditEvent.Outcome outcome,
      AuditEvent.Reason reason,
      AuditEvent.ResponseData response) {
    return new AuditEvent(
        action,
        time,
        outcome,
        reason,
        new AuditEvent.Initiator(
            caller.subject().id(),
            caller.name(),
            AuditEvent.Initiator.SERVICE_ID,
            "token",
            Optional.of(caller.subject().issuer()),
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
