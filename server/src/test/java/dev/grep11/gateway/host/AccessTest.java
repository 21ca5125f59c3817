package dev.grep11.gateway.host;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.grep11.gateway.audit.AuditEvent;
import dev.grep11.gateway.iam.GrantRegister;
import dev.grep11.gateway.iam.Roles;
import dev.grep11.gateway.store.Entitlement;
import dev.grep11.gateway.store.GenerationAnchor;
import dev.grep11.gateway.store.Grant;
import dev.grep11.gateway.store.InstanceRecord;
import dev.grep11.gateway.store.SoftwareEnvelope;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.store.StoreLocation;
import dev.grep11.gateway.store.Subject;
import dev.grep11.gateway.store.UncertainChangeException;
import java.nio.file.Path;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AccessTest {
  private static final UUID INSTANCE = UUID.randomUUID();

  /** One that may forget. */
  private static final class Anchor implements GenerationAnchor {
    private long highest;
    private boolean fails;

    @Override
    public long highest() {
      return highest;
    }

    @Override
    public void advance(long generation) {
      if (fails) {
        throw new IllegalStateException("a fault that the test made");
      }
      highest = Math.max(highest, generation);
    }

    @Override
    public String name() {
      return "anchor of a test";
    }
  }

  @Test
  void afterTheRecordOfAChangeItIsRecordedThatNobodyKnowsWhetherItWasMade(@TempDir Path directory) {
    var events = new ArrayList<AuditEvent>();
    var audit =
        new HostAudit(event -> {
          events.add(event);
          return Optional.empty();
        });
    var anchor = new Anchor();
    try (var store =
        Store.create(
            new StoreLocation.Directory(directory.resolve("store")),
            new SoftwareEnvelope(),
            anchor)) {
      assertThat(
              store.createInstance(new InstanceRecord(INSTANCE, "one", "acc", "local", List.of())))
          .isTrue();
      var access =
          new Access(
              store, audit, new GrantRegister(store, Roles.standard()), InstantSource.system());
      anchor.fails = true;
      assertThatThrownBy(() ->
              access.add(
                  new Grant(
                      new Subject("https://issuer.test", "reader"),
                      INSTANCE,
                      new Entitlement.Role("Reader"),
                      Optional.empty())))
          .isInstanceOf(UncertainChangeException.class);
      assertThat(events)
          .extracting(AuditEvent::outcome)
          .containsExactly(AuditEvent.Outcome.SUCCESS, AuditEvent.Outcome.FAILURE);
      assertThat(events.getLast().reason().toString())
          .contains("the change is made, but the token");
    }
  }

  @Test
  void theCheckpointAfterARefusalIsKeptToo(@TempDir Path directory) {
    var file = UUID.randomUUID();
    var source = UUID.randomUUID();
    var written = new java.util.concurrent.atomic.AtomicLong();
    var audit =
        new HostAudit(_ -> {
          long sequence = written.incrementAndGet();
          return Optional.of(
              new dev.grep11.gateway.audit.AuditHead(
                  file,
                  directory.resolve("audit").toString(),
                  source,
                  sequence,
                  new byte[32],
                  100 * sequence,
                  java.time.Instant.EPOCH,
                  false));
        });
    try (var store =
        Store.create(
            new StoreLocation.Directory(directory.resolve("store")),
            new SoftwareEnvelope(),
            new Anchor())) {
      var instance = new InstanceRecord(INSTANCE, "one", "acc", "local", List.of());
      var access =
          new Access(
              store, audit, new GrantRegister(store, Roles.standard()), InstantSource.system());
      access.add(instance);
      assertThatThrownBy(() -> access.add(instance))
          .isInstanceOf(dev.grep11.gateway.token.StartException.class);
      assertThat(written).hasValue(2);
      assertThat(AuditHeads.known(store.snapshot()))
          .extracting(dev.grep11.gateway.audit.AuditHead::sequence)
          .containsExactly(2L);
    }
  }
}
