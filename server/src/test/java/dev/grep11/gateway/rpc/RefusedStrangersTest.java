package dev.grep11.gateway.rpc;

import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.store.Subject;
import io.grpc.Status;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** What a flood of calls without a token leaves in the audit log. */
class RefusedStrangersTest {
  private static final int FLOOD = 10_000;

  private final List<CallRecord> recorded = new ArrayList<>();

  private static CallRecord call(String address, Optional<Subject> subject, Status.Code status) {
    return new CallRecord(
        "id",
        "SignSingle",
        subject,
        Optional.empty(),
        Optional.empty(),
        Optional.empty(),
        Optional.empty(),
        Optional.empty(),
        Ckr.CKR_USER_NOT_LOGGED_IN,
        status,
        "no token",
        Optional.empty(),
        Optional.of(new InetSocketAddress(address, 1024)),
        Optional.empty(),
        Optional.empty(),
        Duration.ZERO);
  }

  private static CallRecord stranger(String address) {
    return call(address, Optional.empty(), Status.Code.UNAUTHENTICATED);
  }

  @Test
  void tooManyOfAnAddressAreANumber() {
    try (var audit = new RefusedStrangers(recorded::add)) {
      for (int i = 0; i < FLOOD; i++) {
        audit.record(stranger("192.0.2.1"));
      }
      assertThat(recorded).hasSize(600);
      audit.record(stranger("192.0.2.2"));
      assertThat(recorded).hasSize(601);
    }
    assertThat(recorded).hasSize(602);
    assertThat(recorded.getLast().reason())
        .isEqualTo("9400 more calls were refused within 10 s; this is the last of them");
  }

  @Test
  void manyAddressesComeToNoMoreThanSomeASecond() {
    try (var audit = new RefusedStrangers(recorded::add)) {
      for (int i = 0; i < FLOOD; i++) {
        audit.record(stranger("10.0." + i / 250 + "." + i % 250));
      }
      assertThat(recorded).hasSizeBetween(2000, FLOOD / 2);
    }
    assertThat(recorded.getLast().reason()).contains(" more calls were refused");
  }

  @Test
  void whoIsAdmittedIsRecordedEachTime() {
    var known = Optional.of(new Subject("issuer", "alice"));
    try (var audit = new RefusedStrangers(recorded::add)) {
      for (int i = 0; i < FLOOD; i++) {
        audit.record(call("192.0.2.1", known, Status.Code.INVALID_ARGUMENT));
        audit.record(call("192.0.2.1", known, Status.Code.OK));
      }
    }
    assertThat(recorded).hasSize(2 * FLOOD);
  }

  /** As of somebody without a grant, from wherever; strangers do not hide it. */
  @Test
  void tooManyRefusalsOfASubjectAreANumberOfTheirOwn() {
    var alice = Optional.of(new Subject("issuer", "alice"));
    var bob = Optional.of(new Subject("issuer", "bob"));
    try (var audit = new RefusedStrangers(recorded::add)) {
      for (int i = 0; i < FLOOD; i++) {
        audit.record(call("10.0." + i / 250 + "." + i % 250, alice, Status.Code.PERMISSION_DENIED));
        audit.record(stranger("192.0.2.1"));
      }
      assertThat(recorded).hasSize(1200);
      audit.record(call("10.0.0.1", bob, Status.Code.PERMISSION_DENIED));
      assertThat(recorded).hasSize(1201);
    }
    assertThat(recorded).hasSize(1203);
    assertThat(recorded.subList(1201, 1203))
        .anySatisfy(last -> {
          assertThat(last.subject()).isEqualTo(alice);
          assertThat(last.reason())
              .isEqualTo("9400 more calls were refused within 10 s; this is the last of them");
        })
        .anySatisfy(last -> assertThat(last.subject()).isEmpty());
  }

  @Test
  void whatCannotBeRecordedAtTheEndIsNoFailureOfTheEnd() {
    var audit =
        new RefusedStrangers(call -> {
          if (call.reason().contains("more calls")) {
            throw new IllegalStateException("the disk is full");
          }
        });
    for (int i = 0; i < FLOOD; i++) {
      audit.record(stranger("192.0.2.1"));
    }
    audit.close();
    assertThat(recorded).isEmpty();
  }
}
