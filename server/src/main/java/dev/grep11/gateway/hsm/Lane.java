package dev.grep11.gateway.hsm;

/** The kinds of work that must not wait behind each other; each lane has threads of its own. */
public enum Lane {
  /** Using a loaded key: sign, encrypt, wrap. */
  USE,
  /** Unwrapping keys into the token. */
  LOAD,
  /** Making keys; an RSA-8192 pair takes half a minute. */
  GENERATE,
  /** Making DH and DSA domain parameters, which takes minutes. */
  PARAMETERS
}
