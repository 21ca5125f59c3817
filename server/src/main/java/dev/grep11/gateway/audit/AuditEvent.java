package dev.grep11.gateway.audit;

import java.time.Instant;
import java.util.Optional;
import java.util.UUID;

/**
 * One thing that was done or refused, in the fields of CADF (DMTF DSP0262) that the original
 * service uses. No field may hold plaintext, ciphertext, a blob, a token or a key. Texts that come
 * from a caller are cut to a bound.
 *
 * @param correlationId also returned to the caller
 * @param responseData of administrative events
 * @param id of events that may be written twice, so that a reader can tell; the others are told
 *     apart by the source and the sequence of their line
 */
public record AuditEvent(
    String action,
    Instant eventTime,
    Outcome outcome,
    Reason reason,
    Initiator initiator,
    Target target,
    String correlationId,
    RequestData requestData,
    Optional<ResponseData> responseData,
    Optional<UUID> id)
    implements AuditEntry {
  private static final int MAX_TEXT = 512;

  /** Of what was done: all actions that a grant may give are in it. */
  private static final int MAX_DONE = 4096;

  /** The event of every EP11 crypto call. */
  public static final String EP11_USE = "hs-crypto.ep11.use";

  /** Of a call. */
  public AuditEvent(
      String action,
      Instant eventTime,
      Outcome outcome,
      Reason reason,
      Initiator initiator,
      Target target,
      String correlationId,
      RequestData requestData) {
    this(
        action,
        eventTime,
        outcome,
        reason,
        initiator,
        target,
        correlationId,
        requestData,
        Optional.empty(),
        Optional.empty());
  }

  /** Of administration: with a name of its own, and what was done or would have been. */
  public AuditEvent(
      AdministrativeAction action,
      Instant eventTime,
      Outcome outcome,
      Reason reason,
      Initiator initiator,
      String instanceCrn,
      String correlationId,
      RequestData requestData,
      ResponseData responseData) {
    this(
        action.eventName(),
        eventTime,
        outcome,
        reason,
        initiator,
        new Target(instanceCrn, Optional.of(action.targetName()), action.targetTypeUri()),
        correlationId,
        requestData,
        Optional.of(responseData),
        Optional.of(UUID.randomUUID()));
  }

  public AuditEvent {
    action = bounded(action);
    correlationId = bounded(correlationId);
  }

  /**
   * As one line of JSON, without what the audit file adds: so can an event be kept elsewhere until
   * the audit log takes it.
   */
  public String text() {
    return AuditLines.text(this);
  }

  public enum Outcome {
    SUCCESS("success"),
    FAILURE("failure");

    private final String text;

    Outcome(String text) {
      this.text = text;
    }

    String text() {
      return text;
    }
  }

  /** The higher of what the action and what the status deserve. */
  public Severity severity() {
    Severity byAction = Severity.ofAction(action);
    // Once genuine, and how every client learns to fetch the next one: nothing to wake anybody for.
    if (reason.tokenRefusal().equals(Optional.of(Reason.EXPIRED))) {
      return byAction;
    }
    Severity byStatus =
        outcome == Outcome.FAILURE ? Severity.ofStatus(reason.code()) : Severity.NORMAL;
    return byAction.compareTo(byStatus) >= 0 ? byAction : byStatus;
  }

  /**
   * Why, as an HTTP-style status.
   *
   * @param forFailure for people, without secrets; empty on success
   * @param tokenRefusal in one word, what was wrong with the token, where that was it
   */
  public record Reason(
      int code, String type, Optional<String> forFailure, Optional<String> tokenRefusal) {
    public static final Reason OK = new Reason(200, "OK", Optional.empty(), Optional.empty());

    /** The {@code tokenRefusal} of a token that was good until its time was over. */
    public static final String EXPIRED = "expired";

    public Reason {
      type = bounded(type);
      forFailure = forFailure.map(AuditEvent::bounded);
    }

    public static Reason failure(int code, String type, String forFailure) {
      return new Reason(code, type, Optional.of(forFailure), Optional.empty());
    }

    public Reason withTokenRefusal(String word) {
      return new Reason(code, type, forFailure, Optional.of(word));
    }
  }

  /**
   * Who.
   *
   * @param id the subject, or what is known of an unidentified caller
   * @param name of the subject for people, by the word of whom the credential is from
   * @param credentialType {@code token}, {@code apikey}, {@code certificate}, {@code none}
   * @param authority who vouches for the credential: the issuer of a token. The same id of two
   *     issuers is two subjects
   * @param hostAddress empty where it is withheld (private network)
   */
  public record Initiator(
      String id,
      Optional<String> name,
      String typeUri,
      String credentialType,
      Optional<String> authority,
      Optional<String> hostAddress,
      Optional<String> hostAgent) {
    public static final String SERVICE_ID = "service/security/account/serviceid";
    public static final String USER = "service/security/account/user";
    public static final String SERVICE = "service/security";
    public static final String UNKNOWN = "unknown";

    /** Of a credential that vouches for itself, or of none. */
    public Initiator(
        String id,
        Optional<String> name,
        String typeUri,
        String credentialType,
        Optional<String> hostAddress,
        Optional<String> hostAgent) {
      this(id, name, typeUri, credentialType, Optional.empty(), hostAddress, hostAgent);
    }

    public Initiator {
      id = bounded(id);
      name = name.map(AuditEvent::bounded);
      typeUri = bounded(typeUri);
      credentialType = bounded(credentialType);
      authority = authority.map(AuditEvent::bounded);
      hostAddress = hostAddress.map(AuditEvent::bounded);
      hostAgent = hostAgent.map(AuditEvent::bounded);
    }
  }

  /**
   * On what.
   *
   * @param id CRN of the instance or object
   * @param typeUri {@code hs-crypto/<object>}
   */
  public record Target(String id, Optional<String> name, String typeUri) {
    public Target {
      id = bounded(id);
      name = name.map(AuditEvent::bounded);
      typeUri = bounded(typeUri);
    }
  }

  /**
   * By which request. The URI never carries a query.
   *
   * @param keyFingerprint of the key blob used: the beginning of its SHA-256, which tells blobs
   *     apart and opens none
   * @param accountId of administrators' keys: whose
   * @param certificateId of client CAs: which
   */
  public record RequestData(
      String requestUri,
      Optional<UUID> instanceId,
      Optional<String> mechanism,
      Optional<String> keyFingerprint,
      Optional<String> accountId,
      Optional<String> certificateId) {
    public RequestData(String requestUri, Optional<UUID> instanceId) {
      this(requestUri, instanceId, Optional.empty(), Optional.empty());
    }

    public RequestData(
        String requestUri,
        Optional<UUID> instanceId,
        Optional<String> mechanism,
        Optional<String> keyFingerprint) {
      this(requestUri, instanceId, mechanism, keyFingerprint, Optional.empty(), Optional.empty());
    }

    /** The same, about the key of this administrator. */
    public RequestData withAccountId(String account) {
      return new RequestData(
          requestUri, instanceId, mechanism, keyFingerprint, Optional.of(account), certificateId);
    }

    /** The same, about this client CA. */
    public RequestData withCertificateId(String certificate) {
      return new RequestData(
          requestUri, instanceId, mechanism, keyFingerprint, accountId, Optional.of(certificate));
    }

    public RequestData {
      accountId = accountId.map(AuditEvent::bounded);
      certificateId = certificateId.map(AuditEvent::bounded);
      int query = requestUri.indexOf('?');
      requestUri = bounded(query < 0 ? requestUri : requestUri.substring(0, query));
    }
  }

  /**
   * What administration did.
   *
   * @param action in a word or a sentence
   * @param consequence what changed by it for callers, such as that the second lock closed or
   *     opened
   */
  public record ResponseData(String action, Optional<String> consequence) {
    public ResponseData {
      action = bounded(action, MAX_DONE);
      consequence = consequence.map(AuditEvent::bounded);
    }

    public ResponseData(String action) {
      this(action, Optional.empty());
    }
  }

  private static String bounded(String text) {
    return bounded(text, MAX_TEXT);
  }

  private static String bounded(String text, int most) {
    return text.length() <= most ? text : text.substring(0, most) + "…";
  }
}
