package dev.grep11.gateway.key;

/** How the key inside a blob is protected. The number is part of the format. */
enum Sealing {
  /** AES key wrap with padding under KEK-N: a non-extractable key. */
  KEK_N(1),
  /** AES key wrap with padding under KEK-X: an extractable key. */
  KEK_X(2),
  /**
   * AES-GCM under the value key, for keys that the token cannot wrap: Edwards and X keys, and
   * secret keys whose length is no multiple of 8, which SoftHSM's key wrap fills with zeros.
   */
  VALUE(3);

  private final int number;

  Sealing(int number) {
    this.number = number;
  }

  int number() {
    return number;
  }
}
