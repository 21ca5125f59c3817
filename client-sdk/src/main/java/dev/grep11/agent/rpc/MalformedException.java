package dev.grep11.agent.rpc;

/** A message that is not one of the protocol. Without a stack trace: a peer can cause many. */
public final class MalformedException extends RuntimeException {
  private static final long serialVersionUID = 1;

  public MalformedException(String message) {
    super(message, null, false, false);
  }
}
