package dev.grep11.gateway.certmgr;

import dev.grep11.gateway.store.ReplicaRecord;
import java.util.Collections;
import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * What every live gateway on a store demands, taken together: an administrator may turn to any of
 * them, and the laxest must not decide for all.
 *
 * @param enrolments each of which a first key must satisfy
 * @param certificatesRequired whether one of them wants the last client CA to stay
 */
record StandingRules(Set<Enrolment> enrolments, boolean certificatesRequired) {
  StandingRules {
    enrolments = Collections.unmodifiableSet(EnumSet.copyOf(enrolments));
  }

  /**
   * @param own of the gateway that carries the command out, whether it has said them or not
   * @throws IllegalArgumentException when a gateway goes by a rule that this one does not know
   */
  static StandingRules of(Administration.Rules own, List<ReplicaRecord> live) {
    var said = live.stream().map(ReplicaRecord::rules).flatMap(Optional::stream).toList();
    var enrolments = EnumSet.of(own.enrolment());
    said.forEach(rules -> enrolments.add(Enrolment.valueOf(rules.enrolment())));
    return new StandingRules(
        enrolments,
        own.certificatesRequired()
            || said.stream().anyMatch(ReplicaRecord.Rules::certificatesRequired));
  }
}
