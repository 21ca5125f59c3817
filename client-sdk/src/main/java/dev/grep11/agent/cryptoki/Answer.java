package dev.grep11.agent.cryptoki;

/** An attribute's value, or why there is none (C_GetAttributeValue). */
public sealed interface Answer {
  /** Fits the room, unless only its length was asked for. */
  record Value(byte[] value, boolean lengthOnly) implements Answer {
    @Override
    public String toString() {
      return "Value[" + value.length + "]";
    }
  }

  /** With the return value of the whole call that follows from it. */
  record Unavailable(long returnValue) implements Answer {}
}
