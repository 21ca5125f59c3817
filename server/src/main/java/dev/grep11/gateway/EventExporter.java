package dev.grep11.gateway;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.grep11.gateway.audit.AuditEvent;
import dev.grep11.gateway.audit.AuditHead;
import dev.grep11.gateway.audit.AuditLog;
import dev.grep11.gateway.audit.AuditUnavailableException;
import dev.grep11.gateway.audit.CheckpointMac;
import dev.grep11.gateway.certmgr.AdministrativeEvents;
import dev.grep11.gateway.host.AuditHeads;
import dev.grep11.gateway.store.EventRecord;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.store.StoreException;
import java.io.IOException;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Brings events of administration from the store into the audit file, and keeps the file's last
 * checkpoint in the store. A row is removed only when its line is on the disk; a gateway that ended
 * in between writes it again when it comes back, or another one does after a minute. So a line may
 * be there twice, and bears the id of its event. One thread; safe for use by several.
 */
final class EventExporter implements AdministrativeEvents, AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(EventExporter.class);

  /** How old a row of another gateway is when this one takes it over. */
  static final Duration TAKEN_OVER_AFTER = Duration.ofMinutes(1);

  private static final Duration PASS = Duration.ofSeconds(1);
  private static final Duration BETWEEN_LOOKS = Duration.ofSeconds(10);
  private static final Duration CLOSE_WITHIN = Duration.ofSeconds(10);

  /** As many rows may wait for a sink before changes are refused. */
  private static final int MOST_WAITING = 1_000;

  private static final int REMEMBERED = 10_000;

  private final Store store;
  private final AuditLog audit;
  private final UUID writer;
  private final InstantSource clock;
  private final ConcurrentLinkedQueue<EventRecord> committed = new ConcurrentLinkedQueue<>();
  private final Semaphore wake = new Semaphore(0);
  private final Thread thread;
  private volatile int waiting;
  private volatile boolean closed;

  // Of the thread only.
  private final Map<UUID, EventRecord> due = new LinkedHashMap<>();
  private final Map<UUID, EventRecord> written = new LinkedHashMap<>();
  private final Map<UUID, Boolean> done =
      new LinkedHashMap<>() {
        private static final long serialVersionUID = 1;

        @Override
        protected boolean removeEldestEntry(Map.Entry<UUID, Boolean> eldest) {
          return size() > REMEMBERED;
        }
      };
  private @Nullable AuditHead kept;
  private long nextLook = System.nanoTime();
  private String trouble = "";

  private EventExporter(Store store, AuditLog audit, UUID writer, InstantSource clock) {
    this.store = store;
    this.audit = audit;
    this.writer = writer;
    this.clock = clock;
    thread = Thread.ofPlatform().daemon().name("event-exporter").unstarted(this::run);
  }

  /**
   * Begins: with a look at whether the audit file still ends where the store says, and with what
   * was left behind.
   *
   * @param gateway what this gateway is also called after a restart
   * @throws IOException when the audit file cannot be read
   */
  static EventExporter start(
      Store store, AuditLog audit, CheckpointMac mac, String gateway, InstantSource clock)
      throws IOException {
    var exporter =
        new EventExporter(store, audit, UUID.nameUUIDFromBytes(gateway.getBytes(UTF_8)), clock);
    exporter.reportMissing();
    audit.makeCheckpoints(mac);
    exporter.thread.start();
    return exporter;
  }

  private void reportMissing() throws IOException {
    for (var head : audit.missing(AuditHeads.known(store.snapshot()))) {
      var what =
          "the audit file was cut or changed: line %d of source %s, a checkpoint of %s, is not where it was"
              .formatted(head.sequence(), head.source(), head.time());
      LOG.error("{}: {}", head.path(), what);
      audit.record(
          new AuditEvent(
              "grep11.audit.missing",
              clock.instant(),
              AuditEvent.Outcome.FAILURE,
              AuditEvent.Reason.failure(500, "Internal Server Error", what),
              new AuditEvent.Initiator(
                  AuditEvent.Initiator.UNKNOWN,
                  Optional.empty(),
                  AuditEvent.Initiator.UNKNOWN,
                  "none",
                  Optional.empty(),
                  Optional.empty()),
              new AuditEvent.Target(
                  head.file().toString(), Optional.of(head.path()), "grep11/audit-file"),
              UUID.randomUUID().toString(),
              new AuditEvent.RequestData("start", Optional.empty())));
    }
  }

  @Override
  public EventRecord row(AuditEvent event) {
    var id = event.id().orElseThrow(() -> new IllegalArgumentException("an event without an id"));
    return new EventRecord(id, event.text(), writer, clock.instant());
  }

  @Override
  public void committed(EventRecord row) {
    committed.add(row);
    wake.release();
  }

  @Override
  public void record(AuditEvent event) {
    audit.record(event);
  }

  @Override
  public boolean available() {
    return !closed && audit.working() && waiting < MOST_WAITING;
  }

  /** Events of administration that are in the store and not in the audit file yet. */
  int waiting() {
    return waiting;
  }

  private void run() {
    tryPass();
    while (!closed) {
      try {
        if (wake.tryAcquire(PASS.toMillis(), TimeUnit.MILLISECONDS)) {
          wake.drainPermits();
        }
      } catch (InterruptedException e) {
        return;
      }
      tryPass();
    }
  }

  private void tryPass() {
    try {
      pass();
      trouble = "";
    } catch (AuditUnavailableException | StoreException e) {
      report("events of administration wait in the store: " + e.getMessage());
    } catch (RuntimeException e) {
      LOG.error("events of administration wait in the store", e);
    }
  }

  /** Once, not at every pass. */
  private void report(String problem) {
    if (!trouble.equals(problem)) {
      trouble = problem;
      LOG.error("{}", problem);
    }
  }

  private void pass() {
    for (var row = committed.poll(); row != null; row = committed.poll()) {
      take(row);
    }
    if (System.nanoTime() - nextLook >= 0) {
      lookForRows();
      nextLook = System.nanoTime() + BETWEEN_LOOKS.toNanos();
    }
    waiting = due.size();
    try {
      for (var row : List.copyOf(due.values())) {
        audit.append(row.event());
        due.remove(row.id());
        written.put(row.id(), row);
        done.put(row.id(), true);
      }
    } finally {
      waiting = due.size();
      settle();
    }
  }

  /** Rows of an earlier process of this gateway, and those that another gateway left for long. */
  private void lookForRows() {
    Instant old = clock.instant().minus(TAKEN_OVER_AFTER);
    store.snapshot().events().stream()
        .filter(row -> row.writer().equals(writer) || row.written().isBefore(old))
        .sorted(Comparator.comparing(EventRecord::written))
        .forEach(this::take);
  }

  private void take(EventRecord row) {
    if (!done.containsKey(row.id())) {
      due.put(row.id(), row);
    }
  }

  /** Removes rows that are in the file and keeps its checkpoint, in one transaction. */
  private void settle() {
    var head = audit.head();
    boolean newHead = head.isPresent() && !head.get().equals(kept);
    if (written.isEmpty() && !newHead) {
      return;
    }
    var removed = new ArrayList<>(written.values());
    store.change(change -> {
      removed.forEach(change::remove);
      head.ifPresent(each -> AuditHeads.put(change, each));
      return true;
    });
    removed.forEach(row -> written.remove(row.id()));
    kept = head.orElse(null);
  }

  /** Brings what is left into the file, and closes it with a checkpoint. */
  @Override
  public void close() {
    closed = true;
    wake.release();
    try {
      if (!thread.join(CLOSE_WITHIN)) {
        LOG.warn("the audit file ends without a closing checkpoint: the store or the token hangs");
        return;
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return;
    }
    tryPass();
    try {
      if (audit.checkpoint(true).isPresent()) {
        settle();
      }
    } catch (AuditUnavailableException | StoreException e) {
      LOG.warn("the audit file ends without a closing checkpoint: {}", e.getMessage());
    }
  }
}
