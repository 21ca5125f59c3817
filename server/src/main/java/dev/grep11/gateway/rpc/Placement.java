package dev.grep11.gateway.rpc;

/** Where a call runs. */
public enum Placement {
  /** On the event loop itself: for what is cheaper than handing it over. */
  INLINE,
  /** Workers for the use of keys. */
  USE,
  /** Workers for making keys, which takes up to seconds. */
  GENERATE,
  /** Workers for domain parameters, which takes up to minutes. */
  PARAMETERS
}
