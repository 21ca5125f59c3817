package dev.grep11.gateway.certmgr;

import dev.grep11.gateway.audit.AuditEvent;
import dev.grep11.gateway.store.EventRecord;

/**
 * Where events of administration are written down. That of a change is a row in the transaction of
 * the change: so there is neither without the other. It reaches an audit file afterwards, at least
 * once, and bears an id by which a second copy shows. That of a refusal or of a reading goes
 * straight to the audit log.
 */
public interface AdministrativeEvents {
  /**
   * The row to add in the transaction of the change.
   *
   * @param event one with an id
   */
  EventRecord row(AuditEvent event);

  /**
   * To be called once the transaction has committed; returns at once. The row is in an audit file
   * soon after, and if this call is never made, a little later.
   */
  void committed(EventRecord row);

  /**
   * Writes an event that goes with no change, before its outcome is released.
   *
   * @throws dev.grep11.gateway.audit.AuditUnavailableException when it cannot be written; then the
   *     attempt must be answered as unavailable
   */
  void record(AuditEvent event);

  /** Whether a change may be made now: false when events cannot be written. */
  boolean available();
}
