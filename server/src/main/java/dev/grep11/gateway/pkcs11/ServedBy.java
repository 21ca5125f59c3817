package dev.grep11.gateway.pkcs11;

/** How a function of a mechanism is served, from best to worst. */
public enum ServedBy {
  /** In the token, by the mechanism of the same meaning. */
  S("in the token"),
  /** The key acts in the token; the gateway adds framing, padding or hashing around it. */
  S_PLUS("in the token, framed by the gateway"),
  /** A key's value is in gateway memory for the length of one call; needs softwareFallback. */
  W("key value in gateway memory during the call"),
  /** In the gateway, without any key. */
  G("in the gateway");

  private final String meaning;

  ServedBy(String meaning) {
    this.meaning = meaning;
  }

  public String meaning() {
    return meaning;
  }

  /** The mark of the documents: S, S+, W, G. */
  public String mark() {
    return this == S_PLUS ? "S+" : name();
  }
}
