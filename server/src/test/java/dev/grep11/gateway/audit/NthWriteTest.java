package dev.grep11.gateway.audit;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.ReadableByteChannel;
import java.nio.channels.WritableByteChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * The audit file's channel fails once, at each of its operations by number: whatever was
 * acknowledged is on the disk, nothing is there twice, the chain has no fault, and meanwhile
 * nothing is taken.
 */
class NthWriteTest {
  private static final int ROUNDS = 2;

  /** How an operation of the channel fails. */
  enum Fault {
    /** Nothing is written, and the next attempt fails too. */
    WRITE_REFUSED,
    /** Half is written, and the next attempt writes nothing. */
    WRITE_CUT,
    /** One byte is written without a failure: the rest is asked for. */
    WRITE_SHORT,
    /** As for two forces, so that the one after the next cannot make up for it. */
    FORCE_REFUSED,
    SIZE_REFUSED;

    private boolean refusesWrites() {
      return this == WRITE_REFUSED || this == WRITE_CUT;
    }
  }

  @TempDir Path directory;

  /** What was taken, by how surely. */
  private static final class Taken {
    private final List<String> recorded = new ArrayList<>();
    private final List<String> acknowledged = new ArrayList<>();
    private final List<String> refused = new ArrayList<>();
    private final List<AuditHead> checkpoints = new ArrayList<>();
  }

  @ParameterizedTest
  @EnumSource
  void whatWasAcknowledgedIsThereWhicheverOperationFails(Fault fault) throws Exception {
    boolean more = true;
    int failed = 0;
    for (int n = 1; more; n++) {
      var file = directory.resolve("audit-" + n + ".jsonl");
      more = whatWasAcknowledgedIsThere(file, fault, n);
      failed += more ? 1 : 0;
    }
    assertThat(failed).as("operations that failed").isGreaterThanOrEqualTo(2 * ROUNDS);
    System.out.printf("audit file: %s at each of %d operations%n", fault, failed);
  }

  /** False when there were not so many operations. */
  private boolean whatWasAcknowledgedIsThere(Path file, Fault fault, int n) throws Exception {
    var mac = new TestMac();
    var taken = new Taken();
    var settings =
        new AuditSettings(
            Optional.of(file), false, 64, AuditSettings.WhenFull.BLOCK, Duration.ofMillis(50));
    var channel = new FailingChannel(file, fault, n);
    try (var audit = new AuditLog(settings, List.of(new AuditSink.File(channel)))) {
      audit.makeCheckpoints(mac);
      channel.log = audit;
      for (int round = 0; round < ROUNDS; round++) {
        work(audit, channel, taken, round);
      }
      await().until(audit::working);
      // Nothing is wrong any more.
      channel.fault = null;
      work(audit, channel, taken, ROUNDS);
      audit.checkpoint(true).ifPresent(taken.checkpoints::add);
    }
    var about = "%s at %d".formatted(fault, n);
    var text = Files.readString(file);
    assertThat(taken.recorded).as(about).allSatisfy(id -> assertThat(times(text, id)).isOne());
    assertThat(taken.acknowledged).as(about).allSatisfy(id -> assertThat(times(text, id)).isOne());
    assertThat(taken.acknowledged).as(about).contains("append-" + ROUNDS);
    assertThat(taken.refused)
        .as(about)
        .filteredOn(id -> id.startsWith("record"))
        .allSatisfy(id -> assertThat(times(text, id)).isZero());
    assertThat(text).as(about).doesNotContain("meanwhile");
    var report = AuditVerification.verify(file, Optional.of(mac), taken.checkpoints, _ -> {});
    assertThat(report.findings()).as(about).isEmpty();
    assertThat(report.torn()).as(about).isFalse();
    assertThat(report.checkpointsVerified()).as(about).isTrue();
    assertThat(taken.checkpoints)
        .as(about)
        .hasSizeGreaterThan(1)
        .allSatisfy(head -> {
          assertThat(head.file()).isEqualTo(report.file().orElseThrow());
          assertThat(AuditLog.holds(file, head)).isTrue();
        });
    if (fault.refusesWrites() && channel.hit) {
      assertThat(channel.refusedMeanwhile).as("refused while it fails, %s", about).hasValue(3);
    }
    return channel.hit;
  }

  private static void work(AuditLog audit, FailingChannel channel, Taken taken, int round)
      throws IOException {
    var recorded = "record-" + round;
    try {
      audit.record(AuditWriterProcess.event(recorded));
      taken.recorded.add(recorded);
    } catch (AuditUnavailableException e) {
      taken.refused.add(recorded);
    }
    var appended = "append-" + round;
    try {
      audit.append(AuditWriterProcess.event(appended).text());
      taken.acknowledged.add(appended);
      assertThat(channel.safe()).as("what survives a loss of power").contains(appended);
    } catch (AuditUnavailableException e) {
      taken.refused.add(appended);
    }
    Optional<AuditHead> made;
    try {
      made = audit.checkpoint(false);
    } catch (AuditUnavailableException e) {
      return;
    }
    if (made.isPresent()) {
      taken.checkpoints.add(made.get());
      assertThat(channel.forced)
          .as("what survives a loss of power")
          .isGreaterThanOrEqualTo(made.get().offset());
    }
  }

  private static int times(String text, String id) {
    return text.split("\"" + id + "\"", -1).length - 1;
  }

  /** A file that fails once, and says what of it was forced. */
  private static final class FailingChannel extends FileChannel {
    private final FileChannel real;
    private final Path file;
    private final int n;
    private volatile @Nullable Fault fault;
    private volatile @Nullable AuditLog log;
    private volatile long forced;
    private volatile boolean hit;
    private final AtomicInteger refusedMeanwhile = new AtomicInteger();

    // Of the writer's thread.
    private int seen;
    private boolean again;

    FailingChannel(Path file, Fault fault, int n) throws IOException {
      this.real =
          FileChannel.open(
              file,
              StandardOpenOption.CREATE_NEW,
              StandardOpenOption.WRITE,
              StandardOpenOption.APPEND);
      this.file = file;
      this.fault = fault;
      this.n = n;
    }

    /** The file as it was when it was last forced. */
    String safe() throws IOException {
      return new String(Arrays.copyOf(Files.readAllBytes(file), (int) forced), UTF_8);
    }

    private boolean isIt() {
      if (hit || ++seen != n) {
        return false;
      }
      hit = true;
      return true;
    }

    @Override
    public int write(ByteBuffer source) throws IOException {
      var how = fault;
      if (again && how != null && how.refusesWrites()) {
        again = false;
        requireNothingIsTaken();
        throw new IOException("No space left on device, once more");
      }
      if (how == Fault.WRITE_REFUSED && isIt()) {
        again = true;
        throw new IOException("No space left on device");
      }
      if (how == Fault.WRITE_CUT && isIt()) {
        again = true;
        part(source, source.remaining() / 2);
        throw new IOException("No space left on device after half of it");
      }
      if (how == Fault.WRITE_SHORT && isIt()) {
        return part(source, 1);
      }
      return real.write(source);
    }

    private int part(ByteBuffer source, int length) throws IOException {
      int end = source.limit();
      source.limit(source.position() + length);
      try {
        return real.write(source);
      } finally {
        source.limit(end);
      }
    }

    /** By the second attempt the log knows that it failed. */
    private void requireNothingIsTaken() {
      var audit = log;
      if (audit == null) {
        throw new AssertionError("no log");
      }
      if (!audit.available() && !audit.working()) {
        refusedMeanwhile.incrementAndGet();
      }
      assertRefused(() -> audit.record(AuditWriterProcess.event("record-meanwhile")));
      assertRefused(() -> audit.append(AuditWriterProcess.event("append-meanwhile").text()));
    }

    private void assertRefused(Runnable taking) {
      assertThatThrownBy(taking::run).isInstanceOf(AuditUnavailableException.class);
      refusedMeanwhile.incrementAndGet();
    }

    @Override
    public void force(boolean metaData) throws IOException {
      if (fault == Fault.FORCE_REFUSED && (again || isIt())) {
        again = !again;
        throw new IOException("Input/output error");
      }
      real.force(metaData);
      forced = real.size();
    }

    @Override
    public long size() throws IOException {
      if (fault == Fault.SIZE_REFUSED && isIt()) {
        throw new IOException("Input/output error");
      }
      return real.size();
    }

    @Override
    protected void implCloseChannel() throws IOException {
      real.close();
    }

    @Override
    public long write(ByteBuffer[] sources, int offset, int length) {
      throw new UnsupportedOperationException();
    }

    @Override
    public int write(ByteBuffer source, long position) {
      throw new UnsupportedOperationException();
    }

    @Override
    public int read(ByteBuffer destination) {
      throw new UnsupportedOperationException();
    }

    @Override
    public long read(ByteBuffer[] destinations, int offset, int length) {
      throw new UnsupportedOperationException();
    }

    @Override
    public int read(ByteBuffer destination, long position) {
      throw new UnsupportedOperationException();
    }

    @Override
    public long position() {
      throw new UnsupportedOperationException();
    }

    @Override
    public FileChannel position(long newPosition) {
      throw new UnsupportedOperationException();
    }

    @Override
    public FileChannel truncate(long size) {
      throw new UnsupportedOperationException();
    }

    @Override
    public long transferTo(long position, long count, WritableByteChannel target) {
      throw new UnsupportedOperationException();
    }

    @Override
    public long transferFrom(ReadableByteChannel source, long position, long count) {
      throw new UnsupportedOperationException();
    }

    @Override
    public MappedByteBuffer map(MapMode mode, long position, long size) {
      throw new UnsupportedOperationException();
    }

    @Override
    public FileLock lock(long position, long size, boolean shared) {
      throw new UnsupportedOperationException();
    }

    @Override
    public FileLock tryLock(long position, long size, boolean shared) {
      throw new UnsupportedOperationException();
    }
  }

  /** In the place of the HSM's. */
  private static final class TestMac implements CheckpointMac {
    @Override
    public byte[] mac(byte[] message) {
      try {
        var hmac = Mac.getInstance("HmacSHA256");
        hmac.init(new SecretKeySpec(new byte[32], "HmacSHA256"));
        return hmac.doFinal(message);
      } catch (GeneralSecurityException e) {
        throw new IllegalStateException(e);
      }
    }

    @Override
    public boolean verify(byte[] message, byte[] mac) {
      return MessageDigest.isEqual(mac(message), mac);
    }
  }
}
