package dev.grep11.gateway.audit;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.function.LongConsumer;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Reads an audit file from its beginning and tells where it is not as gateways wrote it. Needs
 * memory for a line, whatever the size of the file.
 */
public final class AuditVerification {
  private static final int MOST_FINDINGS = 100;
  private static final int LONGEST_NAME = 100;
  private static final long PROGRESS = 100_000;
  private static final byte[] START =
      ("{\"action\":\"" + AuditLines.START + "\"").getBytes(US_ASCII);
  private static final byte[] CHECKPOINT =
      ("{\"action\":\"" + AuditLines.CHECKPOINT + "\"").getBytes(US_ASCII);
  private static final Pattern PLACE =
      Pattern.compile(",\"source\":\"([0-9a-f-]{36})\",\"sequence\":([0-9]{1,18})$");

  /** As long as the text that {@link #PLACE} finds can be. */
  private static final int LONGEST_PLACE = 90;

  private static final ObjectMapper JSON = new ObjectMapper();

  /**
   * Something that is not as it was written.
   *
   * @param line counted from 1; 0 where it is about the file
   */
  public record Finding(long line, String what) {}

  /**
   * What was found.
   *
   * @param file its name by its first line; empty when there is nothing in the file
   * @param previous the chain value with which the file begins; empty when none is stated
   * @param chain that of its last line
   * @param checkpointsVerified false when only the chain was looked at, and when none of them was
   *     made under the key that they were judged by
   * @param linesAfterCheckpoint vouched for by the chain only
   * @param closed whether the last line is a closing checkpoint
   * @param torn whether the last line has no end
   * @param findings in the order of the file, not more than some; empty when all is well
   */
  @SuppressWarnings("ArrayRecordComponent") // Not compared.
  public record Report(
      long lines,
      Optional<UUID> file,
      Optional<String> previous,
      String chain,
      long checkpoints,
      boolean checkpointsVerified,
      Optional<Instant> lastCheckpoint,
      long linesAfterCheckpoint,
      boolean closed,
      boolean torn,
      List<Finding> findings) {
    public Report {
      findings = List.copyOf(findings);
    }
  }

  private record Place(UUID source, long sequence) {}

  private final Path path;
  private final Optional<CheckpointMac> mac;
  private final Map<Place, AuditHead> wanted = new HashMap<>();
  private final List<Finding> findings = new ArrayList<>();
  private final List<Finding> wrongMacs = new ArrayList<>();
  private final Chain chain = Chain.empty();
  private long line;
  private long others;
  private long checkpoints;
  private long rightMacs;
  private long linesAfterCheckpoint;
  private boolean closed;
  private boolean torn;
  private @Nullable UUID file;
  private @Nullable Place last;
  private @Nullable String previous;
  private String gateway = "";
  private boolean ofAnother;
  private @Nullable Instant lastCheckpoint;

  private AuditVerification(Path path, Optional<CheckpointMac> mac) {
    this.path = path.toAbsolutePath().normalize();
    this.mac = mac;
  }

  /**
   * Verifies a file as long as it is now; a gateway may go on writing it.
   *
   * @param mac by which checkpoints are judged; without it only the chain is
   * @param known last checkpoints of files, read before; without {@code mac} not looked at
   * @param progress is told the number of lines read, from time to time
   */
  public static Report verify(
      Path path, Optional<CheckpointMac> mac, List<AuditHead> known, LongConsumer progress)
      throws IOException {
    AuditVerification verification = new AuditVerification(path, mac);
    try (FileChannel channel = AuditTail.reading(path)) {
      InputStream in = new Bounded(Channels.newInputStream(channel), channel.size());
      verification.read(new LineReader(in), mac.isPresent() ? known : List.of(), progress);
    }
    return verification.report();
  }

  /**
   * Verifies the chain over the end of a file, however long the file is.
   *
   * @param most bytes that are read
   * @return what is not as it was written, empty when all is well; lines are counted from the first
   *     that was read
   */
  public static List<Finding> verifyTail(Path path, long most) throws IOException {
    AuditVerification verification = new AuditVerification(path, Optional.empty());
    try (FileChannel channel = AuditTail.reading(path)) {
      long size = channel.size();
      long from = Math.max(0, size - most);
      channel.position(from);
      var lines = new LineReader(new Bounded(Channels.newInputStream(channel), size - from));
      if (from > 0) {
        verification.resume(lines);
      }
      verification.readOn(lines);
    }
    return List.copyOf(verification.findings);
  }

  /** To behind the first line that states a chain value; what was before it vouches for nothing. */
  private void resume(LineReader lines) throws IOException {
    // Where it begins is not known: most likely in the middle of a line.
    lines.next();
    while (lines.next()) {
      Optional<byte[]> stated = Chain.stated(lines.bytes(), lines.length());
      if (stated.isPresent()) {
        chain.resume(stated.get());
        last = place(lines.bytes(), lines.length() - Chain.SUFFIX).orElse(null);
        line = 1;
        return;
      }
    }
  }

  private void readOn(LineReader lines) throws IOException {
    read(lines, List.of(), _ -> {});
  }

  private void read(LineReader lines, List<AuditHead> known, LongConsumer progress)
      throws IOException {
    while (lines.next()) {
      line++;
      if (line == 1) {
        begin(lines, known);
      }
      torn = !lines.terminated();
      Optional<byte[]> stated = Chain.stated(lines.bytes(), lines.length());
      if (stated.isPresent()) {
        line(lines.bytes(), lines.length(), stated.get());
        others = 0;
      } else {
        chain.other(lines.bytes(), 0, lines.length());
        others++;
        closed = false;
      }
      linesAfterCheckpoint++;
      if (closed || isCheckpoint(lines)) {
        linesAfterCheckpoint = 0;
      }
      if (line % PROGRESS == 0) {
        progress.accept(line);
      }
    }
    end(known);
  }

  private static boolean isCheckpoint(LineReader lines) {
    return startsWith(lines.bytes(), lines.length(), CHECKPOINT);
  }

  private void begin(LineReader lines, List<AuditHead> known) {
    file = AuditTail.fileId(lines.bytes(), 0, lines.length());
    for (AuditHead head : known) {
      if (head.file().equals(file)) {
        wanted.put(new Place(head.source(), head.sequence()), head);
      }
    }
    if (!startsWith(lines.bytes(), lines.length(), START)) {
      found(
          "the file does not begin with the line " + AuditLines.START + ": its beginning is gone");
      return;
    }
    var start = parsed(lines);
    previous = start.map(json -> json.path("previous").asText("")).orElse("");
    gateway = start.map(json -> shown(json.path("gateway").asText(""))).orElse("");
    Chain.value(previous)
        .ifPresentOrElse(
            chain::resume, () -> found("the first line does not say what its chain begins with"));
  }

  private void line(byte[] bytes, int length, byte[] stated) {
    byte[] before = chain.value();
    chain.line(bytes, 0, length - Chain.SUFFIX);
    Optional<Place> place = place(bytes, length - Chain.SUFFIX);
    if (place.isEmpty()) {
      found("the line does not say its source and sequence");
    }
    if (!MessageDigest.isEqual(chain.value(), stated)) {
      found(broken(place, startsWith(bytes, length, START)));
      // One finding for one change: the lines that follow are judged by what this one states.
      chain.resume(stated);
    }
    closed = false;
    place.ifPresent(at -> {
      if (startsWith(bytes, length, CHECKPOINT)) {
        checkpoint(bytes, length, at, before);
      }
      AuditHead head = wanted.remove(at);
      if (head != null && !MessageDigest.isEqual(head.chain(), stated)) {
        found("the store knows this checkpoint with another chain value: the file was rewritten");
      }
      last = at;
    });
  }

  /** What the sequence tells about a line that does not go on from the one before. */
  private String broken(Optional<Place> place, boolean start) {
    if (others > 0) {
      return "the %d line(s) before it are not what was written there".formatted(others);
    }
    Place before = last;
    if (place.isEmpty() || before == null || start) {
      return "it, or what was before it, was changed or removed";
    }
    if (!place.get().source().equals(before.source())) {
      return "it comes from another source than the line before it: lines were removed or moved";
    }
    long gap = place.get().sequence() - before.sequence();
    if (gap == 1) {
      return "it was changed";
    }
    return gap > 1
        ? "%d line(s) before it were removed or moved".formatted(gap - 1)
        : "it was inserted or moved: its sequence is %d after %d"
            .formatted(place.get().sequence(), before.sequence());
  }

  private void checkpoint(byte[] bytes, int length, Place at, byte[] before) {
    checkpoints++;
    JsonNode json;
    try {
      json = JSON.readTree(bytes, 0, length);
    } catch (IOException _) {
      found("the checkpoint is not JSON");
      return;
    }
    closed = json.path("closing").asBoolean();
    lastCheckpoint = time(json.path("eventTime").asText(""));
    long lines = json.path("lines").asLong(-1);
    if (lines != at.sequence() - 1) {
      found("the checkpoint counts %d lines, not %d".formatted(lines, at.sequence() - 1));
    }
    if (mac.isPresent()) {
      byte[] message = AuditLines.checkpoint(name(), at.source(), lines, closed, before);
      if (mac.get().verify(message, decoded(json.path("mac").asText("")))) {
        rightMacs++;
      } else if (wrongMacs.size() < MOST_FINDINGS) {
        wrongMacs.add(
            new Finding(
                line,
                "the checkpoint is forged, or a line before it was changed: its MAC is not the"
                    + " HSM's"));
      }
    }
  }

  private void end(List<AuditHead> known) throws IOException {
    if (others > 0 && !(torn && others == 1)) {
      found("nothing vouches for the last %d line(s): no gateway wrote them".formatted(others));
    }
    if (mac.isEmpty()) {
      return;
    }
    for (AuditHead head : wanted.values()) {
      findings.add(
          new Finding(
              0,
              "the tail is missing: the store knows a checkpoint of %s that the file has not, line %d of source %s"
                  .formatted(head.time(), head.sequence(), head.source())));
    }
    if (line == 0) {
      nothing(known);
      return;
    }
    boolean unknown = known.stream().noneMatch(head -> head.file().equals(file));
    if (unknown && checkpoints > 0 && rightMacs == 0) {
      ofAnother = true;
      findings.addFirst(new Finding(0, ofAnother()));
      return;
    }
    if (unknown) {
      findings.add(
          new Finding(
              0, "the store knows no checkpoint of a file that begins with this first line"));
    }
    findings.addAll(wrongMacs);
    findings.sort(
        Comparator.comparingLong(each -> each.line() == 0 ? Long.MAX_VALUE : each.line()));
  }

  /** A gateway makes its file when it starts, and writes when something happens. */
  private void nothing(List<AuditHead> known) throws IOException {
    // By its name alone: the same place may have several paths.
    var last =
        known.stream()
            .filter(head -> path.getFileName().equals(Path.of(head.path()).getFileName()))
            .max(Comparator.comparing(AuditHead::time));
    if (last.isPresent()) {
      found(
          "nothing is in it, and the store knows a checkpoint of %s of %s: it was emptied, unless that is another host's, or was moved away"
              .formatted(last.get().time(), last.get().path()));
    } else if (AuditLog.writer(path).isEmpty()) {
      found("nothing is in it, no gateway writes it now, and the store knows no checkpoint of it");
    }
  }

  /** Once, instead of at every checkpoint; and a file about which this is all is not intact. */
  private String ofAnother() {
    return ("none of its %d checkpoint(s) was made under the key of the gateway that you named, whose"
            + " store does not know the file%s; verify it with the --config or --data of the gateway"
            + " that wrote it. If that is this one, the file was forged, or its first line changed")
        .formatted(checkpoints, gateway.isEmpty() ? "" : ": it says that " + gateway + " wrote it");
  }

  /** Whoever made the file chose it, and a terminal shows it. */
  private static String shown(String text) {
    String printable = text.replaceAll("[^ -~]", "?");
    return printable.length() <= LONGEST_NAME ? printable : printable.substring(0, LONGEST_NAME);
  }

  private void found(String what) {
    if (findings.size() < MOST_FINDINGS) {
      findings.add(new Finding(line, what));
    }
  }

  private UUID name() {
    UUID name = file;
    if (name == null) {
      throw new IllegalStateException("the first line names the file");
    }
    return name;
  }

  private static Optional<Place> place(byte[] bytes, int end) {
    int from = Math.max(0, end - LONGEST_PLACE);
    var matcher = PLACE.matcher(new String(bytes, from, end - from, US_ASCII));
    if (!matcher.find()) {
      return Optional.empty();
    }
    try {
      return Optional.of(
          new Place(UUID.fromString(matcher.group(1)), Long.parseLong(matcher.group(2))));
    } catch (IllegalArgumentException _) {
      return Optional.empty();
    }
  }

  private static Optional<JsonNode> parsed(LineReader lines) {
    try {
      return Optional.of(JSON.readTree(new String(lines.bytes(), 0, lines.length(), UTF_8)));
    } catch (JsonProcessingException _) {
      return Optional.empty();
    }
  }

  private static @Nullable Instant time(String text) {
    try {
      return Instant.parse(text);
    } catch (java.time.format.DateTimeParseException _) {
      return null;
    }
  }

  private static byte[] decoded(String text) {
    try {
      return Base64.getUrlDecoder().decode(text);
    } catch (IllegalArgumentException _) {
      return new byte[0];
    }
  }

  private static boolean startsWith(byte[] bytes, int length, byte[] beginning) {
    return length >= beginning.length
        && Arrays.equals(bytes, 0, beginning.length, beginning, 0, beginning.length);
  }

  private Report report() {
    return new Report(
        line,
        Optional.ofNullable(file),
        Optional.ofNullable(previous).filter(text -> !text.isEmpty()),
        Chain.text(chain.value()),
        checkpoints,
        mac.isPresent() && !ofAnother,
        Optional.ofNullable(lastCheckpoint),
        linesAfterCheckpoint,
        closed,
        torn,
        findings);
  }

  /** As many bytes as there were, so that a file that grows has an end. */
  private static final class Bounded extends InputStream {
    private final InputStream in;
    private long left;

    Bounded(InputStream in, long left) {
      this.in = in;
      this.left = left;
    }

    @Override
    public int read() throws IOException {
      byte[] one = new byte[1];
      return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
    }

    @Override
    public int read(byte[] bytes, int offset, int length) throws IOException {
      if (left == 0) {
        return -1;
      }
      int count = in.read(bytes, offset, (int) Math.min(length, left));
      if (count > 0) {
        left -= count;
      }
      return count;
    }
  }
}
