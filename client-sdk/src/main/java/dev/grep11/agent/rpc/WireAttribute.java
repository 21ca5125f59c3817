package dev.grep11.agent.rpc;

import org.jspecify.annotations.Nullable;

/**
 * An attribute as it travels.
 *
 * @param type CK_ATTRIBUTE_TYPE
 * @param value a flag in one byte, a number in eight (big-endian), otherwise the bytes; null where
 *     there is none: "unavailable information" in an answer, a nested template in a request
 */
public record WireAttribute(long type, byte @Nullable [] value) {

  /** The type only: a value may be a secret. */
  @Override
  public String toString() {
    return "WireAttribute[0x" + Long.toHexString(type) + "]";
  }
}
