package dev.grep11.bench.vectors;

import java.util.Arrays;

/** What the gateway made of a case. */
sealed interface Outcome {

  /** Everything that the case asks for came back as it says. */
  record Accepted() implements Outcome {}

  /** Refused, by the gateway with this return value or by the client's own parse. */
  record Rejected(String why) implements Outcome {}

  /** An answer where none or another one was due. */
  record Different(String what) implements Outcome {}

  /** Right in one direction, refused in the other. */
  record Partly(String what) implements Outcome {}

  /** A failure that says nothing about the input, such as CKR_GENERAL_ERROR. */
  record Failed(String what) implements Outcome {}

  /** No call of this gateway does what the case is about. */
  record NotOffered(String why) implements Outcome {}

  static Outcome accepted() {
    return new Accepted();
  }

  /** Accepted when the answer is the one that the vector has. */
  static Outcome compared(String what, byte[] expected, byte[] actual) {
    return Arrays.equals(expected, actual) ? new Accepted() : new Different(what);
  }
}
