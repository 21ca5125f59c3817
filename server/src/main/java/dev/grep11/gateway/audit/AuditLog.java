package dev.grep11.gateway.audit;

import java.io.ByteArrayOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.OpenOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.LongAdder;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Writes events in order as JSON lines, off the calling thread.
 *
 * <p>A caller only puts its event into a bounded queue. One thread takes what has gathered, writes
 * it in one go, and then rests for a moment: so the queue is seldom waited on, and a caller seldom
 * pays for waking the writer. Lines survive the death of the process once written; they are not
 * forced to the disk one by one. Safe for use by several threads.
 */
public final class AuditLog implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(AuditLog.class);
  private static final Duration GATHERING = Duration.ofMillis(2);
  private static final Duration RETRY = Duration.ofMillis(500);
  private static final Duration DRAIN = Duration.ofSeconds(5);
  private static final int BATCH = 4_096;

  private final AuditSettings settings;
  private final BlockingQueue<AuditEvent> queue;
  private final List<Sink> sinks;
  private final AuditLines lines = new AuditLines(UUID.randomUUID().toString());
  private final LongAdder dropped = new LongAdder();
  private final Thread writer;
  private volatile boolean failed;
  private volatile boolean closing;

  /**
   * Opens the sinks and starts writing.
   *
   * @throws IOException when a sink cannot be opened
   */
  public static AuditLog open(AuditSettings settings) throws IOException {
    List<Sink> sinks = new ArrayList<>();
    if (settings.file().isPresent()) {
      Path file = settings.file().get();
      Path directory = file.toAbsolutePath().getParent();
      if (directory != null && !Files.isDirectory(directory)) {
        throw new IOException(
            "audit.file %s: the directory %s is not there; make it, owner the gateway's user, mode rwx------"
                .formatted(file, directory));
      }
      sinks.add(new Sink(appending(file)));
    }
    if (settings.standardOutput()) {
      // Not System.out, which swallows errors. Never closed: it is not ours.
      sinks.add(new Sink(new FileOutputStream(FileDescriptor.out)));
    }
    return new AuditLog(settings, sinks);
  }

  /**
   * Writes one event at once and forces it to the disk: for commands, which may change something
   * only when that is recorded. It goes to the file, beside the lines of a gateway that runs, under
   * a source of its own; or to standard error where no file is configured, because a command's
   * standard output is its answer.
   *
   * @throws IOException when it could not be written
   */
  public static void append(AuditSettings settings, AuditEvent event) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    new AuditLines(UUID.randomUUID().toString()).write(event, bytes);
    if (settings.file().isEmpty()) {
      // Not closed: it is not ours.
      new FileOutputStream(FileDescriptor.err).write(bytes.toByteArray());
      return;
    }
    try (FileChannel channel = appendingChannel(settings.file().get())) {
      ByteBuffer line = ByteBuffer.wrap(bytes.toByteArray());
      while (line.hasRemaining()) {
        channel.write(line);
      }
      channel.force(true);
    }
  }

  AuditLog(AuditSettings settings, List<Sink> sinks) {
    this.settings = settings;
    this.sinks = sinks;
    queue = new ArrayBlockingQueue<>(settings.queueCapacity());
    writer = Thread.ofPlatform().daemon().name("audit-writer").start(this::writeAll);
  }

  /**
   * Hands an event over. To be called before the outcome it tells of is released.
   *
   * @throws AuditUnavailableException when the event could not be taken and the policy is {@link
   *     AuditSettings.WhenFull#BLOCK}: the call must be refused
   */
  public void record(AuditEvent event) {
    if (!failed && !closing && queue.offer(event)) {
      refuseIfLeftBehind(event);
      return;
    }
    switch (settings.whenFull()) {
      case DROP_AND_COUNT -> dropped.increment();
      case BLOCK -> waitFor(event);
    }
  }

  /** Whether an event would be taken now; lets a call be refused before any work is done. */
  public boolean available() {
    return settings.whenFull() == AuditSettings.WhenFull.DROP_AND_COUNT
        || (!failed && !closing && queue.remainingCapacity() > 0);
  }

  /** Events lost so far that the log does not tell of yet. */
  public long dropped() {
    return dropped.sum();
  }

  private void waitFor(AuditEvent event) {
    if (failed) {
      throw new AuditUnavailableException("the audit sink has failed");
    }
    if (closing) {
      throw new AuditUnavailableException("the audit log is closed");
    }
    try {
      if (!queue.offer(event, settings.maxWait().toNanos(), TimeUnit.NANOSECONDS)) {
        throw new AuditUnavailableException("the audit queue is full");
      }
      refuseIfLeftBehind(event);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new AuditUnavailableException("interrupted while the audit queue was full");
    }
  }

  /** The writer may have gone between the look at {@code closing} and the offer. */
  private void refuseIfLeftBehind(AuditEvent event) {
    if (closing && queue.remove(event)) {
      throw new AuditUnavailableException("the audit log is closed");
    }
  }

  private void writeAll() {
    List<AuditEvent> batch = new ArrayList<>(BATCH);
    ByteArrayOutputStream bytes = new ByteArrayOutputStream(64 * 1024);
    while (!(closing && queue.isEmpty())) {
      try {
        AuditEvent first = queue.poll(100, TimeUnit.MILLISECONDS);
        if (first != null) {
          batch.add(first);
          queue.drainTo(batch, BATCH - 1);
        }
        for (AuditEvent event : batch) {
          lines.write(event, bytes);
        }
        long lost = dropped.sumThenReset();
        if (lost > 0) {
          lines.writeLoss(lost, bytes);
        }
        batch.clear();
        if (bytes.size() > 0) {
          writeStubbornly(bytes.toByteArray());
          bytes.reset();
        }
        if (!closing && queue.size() < BATCH) {
          Thread.sleep(GATHERING);
        }
      } catch (InterruptedException e) {
        // Only close() interrupts; what has gathered is still written.
        closing = true;
      } catch (IOException e) {
        throw new IllegalStateException("writing to memory", e);
      }
    }
  }

  /**
   * Tries until every sink has the batch, or the log is closed; meanwhile calls are refused or
   * counted.
   */
  private void writeStubbornly(byte[] batch) {
    List<Sink> left = new ArrayList<>(sinks);
    while (true) {
      left.removeIf(sink -> sink.write(batch));
      if (left.isEmpty()) {
        failed = false;
        return;
      }
      failed = true;
      if (closing) {
        log.error("audit events are lost: the sink does not take them and the gateway stops");
        return;
      }
      try {
        Thread.sleep(RETRY);
      } catch (InterruptedException e) {
        closing = true;
      }
    }
  }

  /** Takes no more events and writes those it has. */
  @Override
  public void close() {
    closing = true;
    try {
      if (!writer.join(DRAIN)) {
        // Stuck in a sink that neither takes nor fails.
        writer.interrupt();
        log.error("audit events are lost: {} were not written in {}", queue.size(), DRAIN);
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    sinks.forEach(Sink::close);
  }

  private static OutputStream appending(Path file) throws IOException {
    FileChannel channel = appendingChannel(file);
    try {
      holdAlone(channel, file);
      return Channels.newOutputStream(channel);
    } catch (IOException | RuntimeException e) {
      channel.close();
      throw e;
    }
  }

  private static FileChannel appendingChannel(Path file) throws IOException {
    Set<PosixFilePermission> owner = PosixFilePermissions.fromString("rw-------");
    // No link is followed: who can plant one in the directory must not choose the file.
    Set<OpenOption> options =
        Set.of(
            StandardOpenOption.CREATE,
            StandardOpenOption.WRITE,
            StandardOpenOption.APPEND,
            LinkOption.NOFOLLOW_LINKS);
    FileChannel channel =
        FileChannel.open(file, options, PosixFilePermissions.asFileAttribute(owner));
    Files.setPosixFilePermissions(file, owner);
    return channel;
  }

  /**
   * Lines of two processes in one file would cut into each other, and sequences look like gaps. The
   * lock ends with the process, however it ends.
   */
  private static void holdAlone(FileChannel channel, Path file) throws IOException {
    FileLock lock;
    try {
      lock = channel.tryLock();
    } catch (OverlappingFileLockException e) {
      lock = null;
    }
    if (lock == null) {
      throw new IOException(
          "audit.file %s: another gateway writes it; give each process a file of its own"
              .formatted(file));
    }
  }

  /** One place to write to, which remembers that it may have stopped in the middle of a line. */
  static final class Sink {
    private final OutputStream out;
    private boolean inMiddleOfLine;
    private boolean reported;

    Sink(OutputStream out) {
      this.out = out;
    }

    boolean write(byte[] batch) {
      try {
        if (inMiddleOfLine) {
          out.write('\n');
        }
        inMiddleOfLine = true;
        out.write(batch);
        out.flush();
        inMiddleOfLine = false;
        reported = false;
        return true;
      } catch (IOException e) {
        if (!reported) {
          log.error("audit events cannot be written: {}", e.getMessage());
          reported = true;
        }
        return false;
      }
    }

    void close() {
      try {
        if (!(out instanceof FileOutputStream)) {
          out.close();
        }
      } catch (IOException e) {
        log.error("the audit file did not close cleanly: {}", e.getMessage());
      }
    }
  }
}
