package dev.grep11.gateway.hsm;

import dev.grep11.gateway.pkcs11.Pkcs11Exception;

/**
 * The token failed before it saw any data. Where its failure over data says that these are wrong,
 * as of signatures, paddings and tags, this one does not.
 */
public final class NotBegunException extends Pkcs11Exception {
  private static final long serialVersionUID = 1;

  NotBegunException(long returnValue, String function) {
    super(returnValue, function);
  }
}
