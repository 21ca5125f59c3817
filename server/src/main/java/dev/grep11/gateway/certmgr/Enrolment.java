package dev.grep11.gateway.certmgr;

/** What a subject needs, besides token and role, to register a first key (security rules 6.1). */
public enum Enrolment {
  /** A one-time code that a command on the host has printed. */
  INVITED,
  /** The signature of another administrator over the key; an invitation for the very first one. */
  COUNTERSIGNED,
  /** Nothing more. For demonstrations. */
  OPEN
}
