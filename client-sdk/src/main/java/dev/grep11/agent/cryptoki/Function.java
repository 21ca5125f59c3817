package dev.grep11.agent.cryptoki;

import dev.grep11.client.Cka;

/** What an operation does, with the attribute that its key must have set. */
public enum Function {
  ENCRYPT(Cka.CKA_ENCRYPT, 0x100),
  DECRYPT(Cka.CKA_DECRYPT, 0x200),
  DIGEST(0, 0x400),
  SIGN(Cka.CKA_SIGN, 0x800),
  VERIFY(Cka.CKA_VERIFY, 0x2000);

  private final long usage;
  private final long flag;

  Function(long usage, long flag) {
    this.usage = usage;
    this.flag = flag;
  }

  /** 0 where there is no key. */
  long usage() {
    return usage;
  }

  /** The bit of CK_MECHANISM_INFO.flags. */
  long flag() {
    return flag;
  }
}
