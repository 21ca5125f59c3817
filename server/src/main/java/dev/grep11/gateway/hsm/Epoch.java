package dev.grep11.gateway.hsm;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/**
 * The time between two losses of the token. Object handles mean something only within the epoch in
 * which they were given, so whoever keeps a handle keeps its epoch beside it and compares.
 */
public final class Epoch {
  private final long number;
  private final Consumer<String> recovery;
  private final List<Runnable> listeners = new ArrayList<>();
  private boolean announced;
  private volatile boolean live = true;

  Epoch(long number, Consumer<String> recovery) {
    this.number = number;
    this.recovery = recovery;
  }

  /** Counts up from 1. */
  public long number() {
    return number;
  }

  public boolean live() {
    return live;
  }

  /**
   * Runs the action when this epoch has ended, before the next one is published; at once if it has
   * been announced already. Actions run on the recovery thread and must not block.
   */
  public void onEnd(Runnable action) {
    synchronized (listeners) {
      if (!announced) {
        listeners.add(action);
        return;
      }
    }
    action.run();
  }

  /** Ends the epoch, for the first reason given, and wakes the recovery. */
  void end(String reason) {
    synchronized (listeners) {
      if (!live) {
        return;
      }
      live = false;
    }
    recovery.accept(reason);
  }

  List<Runnable> announce() {
    synchronized (listeners) {
      announced = true;
      var all = List.copyOf(listeners);
      listeners.clear();
      return all;
    }
  }

  @Override
  public String toString() {
    return "epoch " + number + (live ? "" : " (ended)");
  }
}
