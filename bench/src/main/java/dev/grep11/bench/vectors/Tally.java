package dev.grep11.bench.vectors;

import dev.grep11.bench.Line;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** What became of the cases of a file, or of all files. */
final class Tally {
  private int accepted;
  private int rejected;
  private int notOffered;
  private final Map<String, Integer> deviations = new TreeMap<>();
  private final List<String> mismatches = new ArrayList<>();

  void add(Case vector, Outcome outcome) {
    if (matches(vector, outcome)) {
      switch (outcome) {
        case Outcome.Accepted _ -> accepted++;
        case Outcome.Rejected _ -> rejected++;
        case Outcome.NotOffered _ -> notOffered++;
        case Outcome.Different _, Outcome.Partly _, Outcome.Failed _ ->
            throw new IllegalStateException();
      }
      return;
    }
    Deviation.of(vector, outcome)
        .ifPresentOrElse(
            rule -> deviations.merge(rule.name(), 1, Integer::sum),
            () -> mismatches.add(vector + " is " + vector.expected() + " and was " + outcome));
  }

  private static boolean matches(Case vector, Outcome outcome) {
    return switch (outcome) {
      case Outcome.NotOffered _ -> true;
      case Outcome.Accepted _ -> vector.expected() != Case.Expected.INVALID;
      case Outcome.Rejected _ -> vector.expected() != Case.Expected.VALID;
      case Outcome.Different _, Outcome.Partly _, Outcome.Failed _ -> false;
    };
  }

  void add(Tally other) {
    accepted += other.accepted;
    rejected += other.rejected;
    notOffered += other.notOffered;
    other.deviations.forEach((rule, count) -> deviations.merge(rule, count, Integer::sum));
    mismatches.addAll(other.mismatches);
  }

  /** Cases that the gateway gave an answer to. */
  int executed() {
    return accepted + rejected + mismatches.size() + deviating();
  }

  /** Cases that no call is about. */
  int notOffered() {
    return notOffered;
  }

  private int deviating() {
    return deviations.values().stream().mapToInt(Integer::intValue).sum();
  }

  List<String> mismatches() {
    return List.copyOf(mismatches);
  }

  /** Deviations with their rules, {@code gcm-short-iv:8,...}. */
  Line describe(Line line) {
    line.with("executed", executed())
        .with("accepted", accepted)
        .with("rejected", rejected)
        .with("deviations", deviating());
    if (!deviations.isEmpty()) {
      line.with(
          "rules",
          String.join(
              ",",
              deviations.entrySet().stream()
                  .map(rule -> rule.getKey() + ":" + rule.getValue())
                  .toList()));
    }
    return line.with("not_offered", notOffered).with("mismatches", mismatches.size());
  }
}
