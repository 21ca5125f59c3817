package dev.grep11.gateway.store;

/** Who: an identity is only meaningful together with the issuer that vouches for it. */
public record Subject(String issuer, String id) {
  public Subject {
    Text.checked("issuer", issuer);
    Text.checked("subject", id);
  }
}
