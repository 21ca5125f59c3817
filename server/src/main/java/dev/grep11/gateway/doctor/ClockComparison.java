package dev.grep11.gateway.doctor;

import dev.grep11.findings.Findings;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;

/** This host's clock beside every other one that is met on the way. */
final class ClockComparison {
  private static final String CHECK = "clock";

  /** Tokens are refused that were issued later than this from now, and leases are told by it. */
  private static final Duration LEEWAY = Duration.ofSeconds(30);

  private static final Duration SMALL = Duration.ofSeconds(5);

  /** What the header Date of HTTP and the clocks of tokens leave out. */
  private static final Duration SECOND = Duration.ofSeconds(1);

  private static final String SET = "set it by NTP, and look when it last jumped: timedatectl";

  private final InstantSource clock;
  private final List<String> agreeing = new ArrayList<>();
  private final Findings findings;

  ClockComparison(InstantSource clock, Findings findings) {
    this.clock = clock;
    this.findings = findings;
  }

  /** This host's. */
  InstantSource ours() {
    return clock;
  }

  /** With a clock that says {@code theirs} now. */
  void with(String whose, Instant theirs) {
    with(whose, theirs, clock.instant());
  }

  /** With a clock that said {@code theirs} when this host's said {@code ours}. */
  void with(String whose, Instant theirs, Instant ours) {
    var ahead = Duration.between(ours, theirs);
    var apart = ahead.abs().minus(SECOND);
    var what =
        "this host's is %d s %s %s"
            .formatted(ahead.abs().toSeconds(), ahead.isNegative() ? "ahead of" : "behind", whose);
    if (apart.compareTo(LEEWAY) > 0) {
      findings.bad(CHECK, what + ": tokens and leases are judged by it", SET);
    } else if (apart.compareTo(SMALL) > 0) {
      findings.warning(CHECK, what, SET);
    } else {
      agreeing.add(whose);
    }
  }

  /** With the latest moment that was recorded: nothing is recorded in the future. */
  void withRecord(String what, Instant recorded) {
    var ahead = Duration.between(clock.instant(), recorded);
    if (ahead.compareTo(SMALL) > 0) {
      findings.bad(
          CHECK,
          "%s was recorded %d s from now, at %s: this clock was set back, or another host's is ahead"
              .formatted(what, ahead.toSeconds(), recorded),
          SET);
    } else {
      agreeing.add(what);
    }
  }

  /** At the end: whether it agreed with all. */
  void tell() {
    if (findings.all().stream().noneMatch(finding -> finding.check().equals(CHECK))) {
      findings.good(
          CHECK,
          agreeing.isEmpty()
              ? "%s; there was no other to compare it with".formatted(clock.instant())
              : "%s, as is told by %s".formatted(clock.instant(), String.join(", ", agreeing)));
    }
  }
}
