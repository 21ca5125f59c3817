package dev.grep11.gateway.audit;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.OpenOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.LongAdder;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Writes events in order as JSON lines, off the calling thread.
 *
 * <p>A caller only puts its event into a bounded queue. One thread takes what has gathered, writes
 * it in one go, and then rests for a moment: so the queue is seldom waited on, and a caller seldom
 * pays for waking the writer. Lines survive the death of the process once written; they are not
 * forced to the disk one by one. Safe for use by several threads.
 *
 * <p>The lines of a file are one hash chain over all processes that wrote it, one after another.
 * From time to time a checkpoint with a MAC says how far it had come.
 */
public final class AuditLog implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(AuditLog.class);
  private static final Duration GATHERING = Duration.ofMillis(2);
  private static final Duration RETRY = Duration.ofMillis(500);
  private static final Duration DRAIN = Duration.ofSeconds(5);
  private static final int BATCH = 4_096;

  /** How often a checkpoint is made while there are events. */
  public static final Duration BETWEEN_CHECKPOINTS = Duration.ofMinutes(1);

  /** How long the writer rests for a MAC. Then the checkpoint waits, not the events. */
  private static final Duration LONGEST_MAC = Duration.ofMillis(500);

  private static final Duration AFTER_FAILED_CHECKPOINT = Duration.ofSeconds(5);
  private static final Duration LONGEST_APPEND = Duration.ofSeconds(5);
  private static final int HOLDS = 10;
  private static final Duration BETWEEN_HOLDS = Duration.ofMillis(100);

  /** Locks of a file are held by a process, so commands in one process need another. */
  private static final ReentrantLock appending = new ReentrantLock();

  private final AuditSettings settings;
  private final BlockingQueue<AuditEntry> queue;
  private final List<AuditSink> sinks;

  /** Of the file, which no other process writes meanwhile. */
  private final Optional<LockFile> hold;

  private final AuditLines lines;
  private final LongAdder dropped = new LongAdder();
  private final Thread writer;
  private volatile boolean failed;

  // What the writer has taken from the queue and no sink has yet, and since when.
  private volatile int inHand;
  private volatile long inHandSince;

  private volatile boolean closing;
  private volatile @Nullable CheckpointMac mac;
  private volatile @Nullable AuditHead head;

  // Whether there are lines that no checkpoint vouches for, and since when.
  private volatile boolean sinceCheckpoint;
  private volatile long sinceCheckpointFrom;

  // Of the writer's thread only.
  private boolean started;
  private boolean inMiddleOfLine;
  private long expectedSize;
  private long nextCheckpoint = System.nanoTime();
  private @Nullable CompletableFuture<byte[]> pendingMac;

  /** As {@link #open(AuditSettings, String)}, for a process without a better name. */
  public static AuditLog open(AuditSettings settings) throws IOException {
    return open(settings, "process " + ProcessHandle.current().pid());
  }

  /**
   * Opens the sinks and starts writing. Nothing is written before the first event.
   *
   * @param gateway who writes, for people
   * @throws IOException when a sink cannot be opened
   */
  public static AuditLog open(AuditSettings settings, String gateway) throws IOException {
    List<AuditSink> sinks = new ArrayList<>();
    AuditTail tail = AuditTail.EMPTY;
    Optional<LockFile> hold = Optional.empty();
    if (settings.file().isPresent()) {
      Path file = settings.file().get();
      Path directory = file.toAbsolutePath().getParent();
      if (directory != null && !Files.isDirectory(directory)) {
        throw new IOException(
            "audit.file %s: the directory %s is not there; make it, owner the gateway's user, mode rwx------"
                .formatted(file, directory));
      }
      requireRegular(file);
      hold = Optional.of(holdAlone(file, gateway));
      try {
        FileChannel channel = appendingChannel(file);
        sinks.add(new AuditSink.File(channel));
        tail = AuditTail.of(file);
      } catch (IOException | RuntimeException e) {
        try (LockFile _ = hold.get()) {
          for (AuditSink sink : sinks) {
            sink.close();
          }
        }
        throw e;
      }
    }
    if (settings.standardOutput()) {
      // Not System.out, which swallows errors. Never closed: it is not ours.
      sinks.add(new AuditSink.Stream(new FileOutputStream(FileDescriptor.out)));
    }
    return new AuditLog(settings, sinks, gateway, tail, hold);
  }

  /**
   * Writes one event at once and forces it to the disk: for commands, which may change something
   * only when that is recorded. It goes to a file of its own beside that of the gateway, with
   * {@code .commands} at the end of its name, since a gateway that runs holds the other; or to
   * standard error where no file is configured, because a command's standard output is its answer.
   *
   * @param mac for the checkpoint after it
   * @return the checkpoint
   * @throws IOException when it could not be written
   */
  public static Optional<AuditHead> append(
      AuditSettings settings, AuditEvent event, CheckpointMac mac) throws IOException {
    String who = "command, process " + ProcessHandle.current().pid();
    LineBuffer bytes = new LineBuffer();
    if (settings.file().isEmpty()) {
      AuditLines lines = new AuditLines(who, AuditTail.EMPTY);
      lines.writeStart(Instant.now(), bytes);
      lines.write(event, bytes);
      // Not closed: it is not ours.
      new FileOutputStream(FileDescriptor.err).write(bytes.toByteArray());
      return Optional.empty();
    }
    Path file = commandsFile(settings.file().get());
    appending.lock();
    try (LockFile _ = awaited(file, who);
        FileChannel channel = appendingChannel(file)) {
      AuditTail tail = AuditTail.of(file);
      if (tail.inMiddleOfLine()) {
        bytes.write('\n');
      }
      AuditLines lines = new AuditLines(who, tail);
      lines.writeStart(Instant.now(), bytes);
      lines.write(event, bytes);
      Instant now = Instant.now();
      lines.writeCheckpoint(now, true, mac.mac(lines.checkpoint(true)), bytes);
      ByteBuffer left = ByteBuffer.wrap(bytes.toByteArray());
      while (left.hasRemaining()) {
        channel.write(left);
      }
      channel.force(true);
      return Optional.of(
          new AuditHead(
              lines.file(),
              file.toAbsolutePath().normalize().toString(),
              lines.source(),
              lines.sequence(),
              lines.chain(),
              channel.size(),
              now,
              true));
    } finally {
      appending.unlock();
    }
  }

  /** Which one process holds at a time that writes to this file. */
  private static Path lockFile(Path file) {
    return file.resolveSibling(file.getFileName() + ".lock");
  }

  private static LockFile awaited(Path file, String who) throws IOException {
    try {
      return LockFile.await(lockFile(file), who).orElseThrow();
    } catch (IOException e) {
      throw noLock(file, e);
    }
  }

  private static IOException noLock(Path file, IOException cause) {
    return new IOException(
        "audit.file %s: %s cannot be made or locked: %s; let the gateway's user write in its directory"
            .formatted(file, lockFile(file), reason(cause)),
        cause);
  }

  /**
   * Who writes to this file at present.
   *
   * @return as {@link #open(AuditSettings, String)} was told; empty when nobody does
   */
  public static Optional<String> writer(Path file) throws IOException {
    return LockFile.holder(lockFile(file));
  }

  /** Whether this process can take the lock of a file that it can write. */
  public static boolean isLockable(Path file) {
    Path lock = lockFile(file).toAbsolutePath();
    return Files.exists(lock, LinkOption.NOFOLLOW_LINKS)
        ? Files.isWritable(lock)
        : lock.getParent() != null && Files.isWritable(lock.getParent());
  }

  /** Where host commands write, when the gateway writes to this file. */
  public static Path commandsFile(Path file) {
    return file.resolveSibling(file.getFileName() + ".commands");
  }

  AuditLog(AuditSettings settings, List<AuditSink> sinks) {
    this(settings, sinks, "test", AuditTail.EMPTY, Optional.empty());
  }

  private AuditLog(
      AuditSettings settings,
      List<AuditSink> sinks,
      String gateway,
      AuditTail tail,
      Optional<LockFile> hold) {
    this.settings = settings;
    this.sinks = sinks;
    this.hold = hold;
    this.lines = new AuditLines(gateway, tail);
    this.inMiddleOfLine = tail.inMiddleOfLine();
    this.expectedSize = tail.size();
    queue = new ArrayBlockingQueue<>(settings.queueCapacity());
    writer = Thread.ofPlatform().daemon().name("audit-writer").start(this::writeAll);
  }

  /** From now on checkpoints are made, until the closing one. */
  public void makeCheckpoints(CheckpointMac by) {
    mac = by;
  }

  /** The last checkpoint that this process made, once it is on the disk. */
  public Optional<AuditHead> head() {
    return Optional.ofNullable(head);
  }

  /**
   * Of these checkpoints, those that are of this log's file but no longer in it where they were:
   * the file was cut or changed since. To be asked before anything else is done.
   */
  public List<AuditHead> missing(List<AuditHead> known) throws IOException {
    if (settings.file().isEmpty()) {
      return List.of();
    }
    return missing(settings.file().get(), known);
  }

  /** As {@link #missing(List)}, of a file that another process may be writing. */
  public static List<AuditHead> missing(Path file, List<AuditHead> known) throws IOException {
    AuditTail tail = AuditTail.of(file);
    List<AuditHead> missing = new ArrayList<>();
    for (AuditHead each : known) {
      if (tail.file().equals(Optional.of(each.file())) && !holds(file, each)) {
        missing.add(each);
      }
    }
    return missing;
  }

  /** Whether a file has this checkpoint where it was written. Says nothing about other lines. */
  public static boolean holds(Path file, AuditHead checkpoint) throws IOException {
    return AuditTail.states(file, checkpoint.offset(), checkpoint.chain());
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
      case BLOCK -> waitFor(event, settings.maxWait());
    }
  }

  /**
   * Writes an event that was kept elsewhere, forces it to the disk, and follows it with a
   * checkpoint if one can be made now. Whatever the policy: it is not dropped.
   *
   * @param text as {@link AuditEvent#text} gave it
   * @throws AuditUnavailableException when that could not be seen to be done; it may happen later
   *     all the same
   */
  public void append(String text) {
    CompletableFuture<Boolean> written = new CompletableFuture<>();
    waitFor(new AuditEntry.Kept(text, written), LONGEST_APPEND);
    if (!within(LONGEST_APPEND, written).orElse(false)) {
      throw new AuditUnavailableException("the event is not seen to be in the audit file");
    }
  }

  /**
   * Makes a checkpoint after everything that was taken before; empty when that was not possible.
   *
   * @param last whether no more checkpoints follow
   */
  public Optional<AuditHead> checkpoint(boolean last) {
    CompletableFuture<Optional<AuditHead>> made = new CompletableFuture<>();
    waitFor(new AuditEntry.Checkpoint(last, made), LONGEST_APPEND);
    Optional<AuditHead> result = within(LONGEST_APPEND, made).orElse(Optional.empty());
    if (last) {
      mac = null;
    }
    return result;
  }

  /** Whether an event would be taken now; lets a call be refused before any work is done. */
  public boolean available() {
    return settings.whenFull() == AuditSettings.WhenFull.DROP_AND_COUNT || working();
  }

  /** Whether the sinks take what they are given, whatever the policy. */
  public boolean working() {
    return !failed && !closing && queue.remainingCapacity() > 0;
  }

  /** Events lost so far that the log does not tell of yet. */
  public long dropped() {
    return dropped.sum();
  }

  /** Events that were taken and are not written yet. */
  public int waiting() {
    return queue.size() + inHand;
  }

  /** How long the writer tries to write what it has; next to nothing while the sinks take it. */
  public Duration lag() {
    // In this order: the writer sets the time before the number.
    return inHand == 0 ? Duration.ZERO : Duration.ofNanos(System.nanoTime() - inHandSince);
  }

  /** How long the oldest line has been there that no checkpoint vouches for. */
  public Duration unvouched() {
    // In this order: the writer sets the time before the word.
    return sinceCheckpoint
        ? Duration.ofNanos(System.nanoTime() - sinceCheckpointFrom)
        : Duration.ZERO;
  }

  private void waitFor(AuditEntry entry, Duration longest) {
    if (failed) {
      throw new AuditUnavailableException("the audit sink has failed");
    }
    if (closing) {
      throw new AuditUnavailableException("the audit log is closed");
    }
    try {
      if (!queue.offer(entry, longest.toNanos(), TimeUnit.NANOSECONDS)) {
        throw new AuditUnavailableException("the audit queue is full");
      }
      refuseIfLeftBehind(entry);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new AuditUnavailableException("interrupted while the audit queue was full");
    }
  }

  /** The writer may have gone between the look at {@code closing} and the offer. */
  private void refuseIfLeftBehind(AuditEntry entry) {
    if (closing && queue.remove(entry)) {
      throw new AuditUnavailableException("the audit log is closed");
    }
  }

  /** Empty when it did not come in time, or failed. */
  private static <T> Optional<T> within(Duration longest, CompletableFuture<T> result) {
    try {
      return Optional.of(result.get(longest.toNanos(), TimeUnit.NANOSECONDS));
    } catch (ExecutionException | TimeoutException e) {
      return Optional.empty();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return Optional.empty();
    }
  }

  private void writeAll() {
    List<AuditEntry> batch = new ArrayList<>(BATCH);
    LineBuffer bytes = new LineBuffer();
    while (!(closing && queue.isEmpty())) {
      try {
        AuditEntry first = queue.poll(100, TimeUnit.MILLISECONDS);
        if (first != null) {
          batch.add(first);
          queue.drainTo(batch, BATCH - 1);
        }
        writeBatch(batch, bytes);
        batch.clear();
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

  private void writeBatch(List<AuditEntry> batch, LineBuffer bytes) throws IOException {
    List<AuditEntry.Kept> kept = new ArrayList<>();
    List<AuditEntry.Checkpoint> asked = new ArrayList<>();
    inHandSince = System.nanoTime();
    inHand = batch.size();
    long lost = dropped.sumThenReset();
    if (!batch.isEmpty() || lost > 0 || checkpointIsDue()) {
      start(bytes);
    }
    for (AuditEntry entry : batch) {
      switch (entry) {
        case AuditEvent event -> lines.write(event, bytes);
        case AuditEntry.Kept each -> {
          lines.write(each.text(), bytes);
          kept.add(each);
        }
        case AuditEntry.Checkpoint each -> asked.add(each);
      }
    }
    if (lost > 0) {
      lines.writeLoss(lost, bytes);
    }
    boolean written = flush(bytes);
    inHand = 0;
    boolean safe = kept.isEmpty() || (written && forced());
    boolean last = asked.stream().anyMatch(AuditEntry.Checkpoint::closing);
    Optional<AuditHead> made = Optional.empty();
    if (!asked.isEmpty() || !kept.isEmpty() || checkpointIsDue()) {
      made = writeCheckpoint(last, bytes);
    }
    for (AuditEntry.Kept each : kept) {
      each.written().complete(safe);
    }
    for (AuditEntry.Checkpoint each : asked) {
      each.made().complete(made);
    }
  }

  /** Writes what goes before the first line of this process, or of a file that was emptied. */
  private void start(LineBuffer bytes) throws IOException {
    if (wasEmptied()) {
      log.warn("the audit file is shorter than it was: it begins anew, and says what went before");
      lines.beginFile();
      inMiddleOfLine = false;
      expectedSize = 0;
      started = false;
    }
    if (started) {
      return;
    }
    if (inMiddleOfLine) {
      // Torn when a process was killed. The chain vouches for it as it is.
      bytes.write('\n');
    }
    lines.writeStart(Instant.now(), bytes);
    started = true;
    nextCheckpoint = System.nanoTime();
  }

  /** Whether somebody copied and truncated the file. */
  private boolean wasEmptied() {
    for (AuditSink sink : sinks) {
      if (sink instanceof AuditSink.File file) {
        try {
          return file.size() < expectedSize;
        } catch (IOException e) {
          log.error("the audit file cannot be looked at: {}", e.getMessage());
        }
      }
    }
    return false;
  }

  private boolean flush(LineBuffer bytes) {
    if (bytes.size() == 0) {
      return true;
    }
    boolean written = writeStubbornly(bytes.toByteArray());
    expectedSize += bytes.size();
    bytes.reset();
    if (!sinceCheckpoint) {
      sinceCheckpointFrom = System.nanoTime();
      sinceCheckpoint = true;
    }
    return written;
  }

  /**
   * Tries until every sink has the batch, or the log is closed; meanwhile calls are refused or
   * counted.
   */
  private boolean writeStubbornly(byte[] batch) {
    List<Writing> left =
        new ArrayList<>(
            sinks.stream().map(sink -> new Writing(sink, ByteBuffer.wrap(batch))).toList());
    while (true) {
      left.removeIf(writing -> writing.sink().write(writing.batch()));
      if (left.isEmpty()) {
        failed = false;
        return true;
      }
      failed = true;
      if (closing) {
        log.error("audit events are lost: the sink does not take them and the gateway stops");
        return false;
      }
      try {
        Thread.sleep(RETRY);
      } catch (InterruptedException e) {
        closing = true;
      }
    }
  }

  /** What a sink has not taken of a batch. */
  private record Writing(AuditSink sink, ByteBuffer batch) {}

  private boolean forced() {
    try {
      for (AuditSink sink : sinks) {
        sink.force();
      }
      return true;
    } catch (IOException e) {
      log.error("the audit file cannot be forced to the disk: {}", e.getMessage());
      return false;
    }
  }

  private boolean checkpointIsDue() {
    return mac != null && sinceCheckpoint && System.nanoTime() - nextCheckpoint >= 0;
  }

  /** A checkpoint after the last line, on the disk; empty when there is no MAC for it now. */
  private Optional<AuditHead> writeCheckpoint(boolean last, LineBuffer bytes) throws IOException {
    CheckpointMac by = mac;
    if (by == null || !started) {
      return Optional.empty();
    }
    nextCheckpoint = System.nanoTime() + AFTER_FAILED_CHECKPOINT.toNanos();
    Optional<byte[]> code = code(by, lines.checkpoint(last));
    if (code.isEmpty()) {
      return Optional.empty();
    }
    Instant now = Instant.now();
    lines.writeCheckpoint(now, last, code.get(), bytes);
    if (!flush(bytes) || !forced()) {
      return Optional.empty();
    }
    sinceCheckpoint = false;
    nextCheckpoint = System.nanoTime() + BETWEEN_CHECKPOINTS.toNanos();
    String path =
        settings
            .file()
            .map(file -> file.toAbsolutePath().normalize().toString())
            .orElse("standard output");
    AuditHead made =
        new AuditHead(
            lines.file(),
            path,
            lines.source(),
            lines.sequence(),
            lines.chain(),
            expectedSize,
            now,
            last);
    head = made;
    return Optional.of(made);
  }

  /** The HSM may hang; then the lines go on without a checkpoint, and it is asked once at most. */
  private Optional<byte[]> code(CheckpointMac by, byte[] message) {
    CompletableFuture<byte[]> pending = pendingMac;
    if (pending != null && !pending.isDone()) {
      return Optional.empty();
    }
    CompletableFuture<byte[]> asked = new CompletableFuture<>();
    pendingMac = asked;
    Thread.ofPlatform()
        .daemon()
        .name("audit-checkpoint")
        .start(() -> {
          try {
            asked.complete(by.mac(message));
          } catch (RuntimeException e) {
            log.warn("no checkpoint in the audit file now: {}", e.getMessage());
            asked.completeExceptionally(e);
          }
        });
    return within(LONGEST_MAC, asked);
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
    for (AuditSink sink : sinks) {
      try {
        sink.close();
      } catch (IOException e) {
        log.error("the audit file did not close cleanly: {}", e.getMessage());
      }
    }
    hold.ifPresent(LockFile::close);
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
    try {
      FileChannel channel =
          FileChannel.open(file, options, PosixFilePermissions.asFileAttribute(owner));
      Files.setPosixFilePermissions(file, owner);
      return channel;
    } catch (IOException e) {
      throw new IOException(
          "audit.file %s cannot be written: %s; name a file that the gateway's user may make and write"
              .formatted(file, reason(e)),
          e);
    }
  }

  private static String reason(IOException failure) {
    return switch (failure) {
      case AccessDeniedException _ -> "permission denied";
      case FileSystemException other when other.getReason() != null -> other.getReason();
      default -> String.valueOf(failure.getMessage());
    };
  }

  /** A chain is read back when it is gone on with, and a device may have no end. */
  private static void requireRegular(Path file) throws IOException {
    if (Files.exists(file, LinkOption.NOFOLLOW_LINKS)
        && !Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS)) {
      throw new IOException(
          "audit.file %s: expected a regular file, and there is %s; name another, or set audit.standardOutput: true"
              .formatted(
                  file,
                  Files.isSymbolicLink(file)
                      ? "a symbolic link"
                      : Files.isDirectory(file) ? "a directory" : "a device"));
    }
  }

  /**
   * Lines of two processes in one file would cut into each other, and sequences look like gaps. The
   * lock ends with the process, however it ends.
   */
  private static LockFile holdAlone(Path file, String gateway) throws IOException {
    Optional<LockFile> hold = Optional.empty();
    try {
      // Who looks whether it is held, as doctor does, has it for a moment.
      for (int attempt = 1; hold.isEmpty() && attempt <= HOLDS; attempt++) {
        if (attempt > 1) {
          LockSupport.parkNanos(BETWEEN_HOLDS.toNanos());
        }
        hold = LockFile.hold(lockFile(file), gateway);
      }
    } catch (IOException e) {
      throw noLock(file, e);
    }
    return hold.orElseThrow(() ->
        new IOException(
            "audit.file %s: another gateway writes it; give each process a file of its own"
                .formatted(file)));
  }
}
