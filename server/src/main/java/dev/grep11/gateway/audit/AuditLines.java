package dev.grep11.gateway.audit;

import static java.nio.charset.StandardCharsets.US_ASCII;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.StreamWriteFeature;
import com.fasterxml.jackson.core.json.JsonWriteFeature;
import java.io.IOException;
import java.io.OutputStream;
import java.io.StringWriter;
import java.nio.ByteBuffer;
import java.time.Instant;
import java.time.format.DateTimeFormatter;
import java.util.Base64;
import java.util.Objects;
import java.util.Optional;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/**
 * Events as JSON, one line each. {@code source} names the process and {@code sequence} counts its
 * lines from 1, so that a gap shows; {@code chain} ties every line to all before it.
 */
final class AuditLines {
  static final String START = "grep11.audit.start";
  static final String CHECKPOINT = "grep11.audit.checkpoint";
  private static final String LOSS = "grep11.audit.loss";

  // ASCII only: a line ends where every reader thinks it ends (U+2028), and a terminal shows no
  // trick.
  private static final JsonFactory JSON =
      JsonFactory.builder()
          .enable(JsonWriteFeature.ESCAPE_NON_ASCII)
          .disable(StreamWriteFeature.AUTO_CLOSE_TARGET)
          .build();

  private static final byte[] CHECKPOINT_CONTEXT =
      "grep11-gateway audit checkpoint v1".getBytes(US_ASCII);

  private final UUID source = UUID.randomUUID();
  private final String gateway;
  private final Chain chain;
  private long sequence;
  private @Nullable UUID file;

  /**
   * @param gateway who writes, for people
   * @param tail of the file that the lines are for
   */
  AuditLines(String gateway, AuditTail tail) {
    this.gateway = gateway;
    this.chain = new Chain(tail.chain());
    this.file = tail.file().orElse(null);
  }

  UUID source() {
    return source;
  }

  /** Of the last line. */
  long sequence() {
    return sequence;
  }

  byte[] chain() {
    return chain.value();
  }

  /** The file that the lines are for, once its first line is made. */
  UUID file() {
    return Objects.requireNonNull(file, "nothing was written yet");
  }

  /** The first line of this source, and if the file is empty, of the file. */
  void writeStart(Instant now, LineBuffer out) throws IOException {
    boolean first = file == null;
    int from = out.size();
    writeLine(
        out,
        json -> {
          json.writeStringField("action", START);
          json.writeStringField("eventTime", DateTimeFormatter.ISO_INSTANT.format(now));
          json.writeStringField("severity", Severity.NORMAL.text());
          json.writeStringField("gateway", gateway);
          if (first) {
            // What the chain of this file begins with: not zero when an earlier file goes before.
            json.writeStringField("previous", Chain.text(chain.value()));
          }
        });
    if (first) {
      file = AuditTail.fileId(out.bytes(), from, out.size() - 1);
    }
  }

  /** The lines that follow go to an empty file, in the place of the one before. */
  void beginFile() {
    file = null;
  }

  void write(AuditEvent event, LineBuffer out) throws IOException {
    writeLine(out, json -> fields(json, event));
  }

  /** Writes what {@link #text} gave. */
  void write(String text, LineBuffer out) {
    int from = out.size();
    out.writeBytes(text.getBytes(US_ASCII));
    finish(from, out);
  }

  /** Tells, in the place of the events that are missing, how many there are. */
  void writeLoss(long lost, LineBuffer out) throws IOException {
    writeLine(
        out,
        json -> {
          json.writeStringField("action", LOSS);
          json.writeStringField("severity", Severity.CRITICAL.text());
          json.writeNumberField("lost", lost);
        });
  }

  /** What a checkpoint after the last line vouches for. */
  byte[] checkpoint(boolean closing) {
    return checkpoint(file(), source, sequence, closing, chain.value());
  }

  /**
   * What a checkpoint vouches for.
   *
   * @param lines of the source before it
   * @param chain of the line before it
   */
  static byte[] checkpoint(UUID file, UUID source, long lines, boolean closing, byte[] chain) {
    return ByteBuffer.allocate(CHECKPOINT_CONTEXT.length + 4 * 8 + 8 + 1 + Chain.LENGTH)
        .put(CHECKPOINT_CONTEXT)
        .putLong(file.getMostSignificantBits())
        .putLong(file.getLeastSignificantBits())
        .putLong(source.getMostSignificantBits())
        .putLong(source.getLeastSignificantBits())
        .putLong(lines)
        .put((byte) (closing ? 1 : 0))
        .put(chain)
        .array();
  }

  void writeCheckpoint(Instant now, boolean closing, byte[] mac, LineBuffer out)
      throws IOException {
    writeLine(
        out,
        json -> {
          json.writeStringField("action", CHECKPOINT);
          json.writeStringField("eventTime", DateTimeFormatter.ISO_INSTANT.format(now));
          json.writeStringField("severity", Severity.NORMAL.text());
          json.writeNumberField("lines", sequence);
          json.writeBooleanField("closing", closing);
          json.writeStringField("mac", Base64.getUrlEncoder().withoutPadding().encodeToString(mac));
        });
  }

  private interface Fields {
    void writeTo(JsonGenerator json) throws IOException;
  }

  private void writeLine(LineBuffer out, Fields fields) throws IOException {
    int from = out.size();
    try (JsonGenerator json = JSON.createGenerator((OutputStream) out)) {
      json.writeStartObject();
      fields.writeTo(json);
      json.writeEndObject();
    }
    finish(from, out);
  }

  /** Puts what ties a line to its place in the stead of the closing brace. */
  private void finish(int from, LineBuffer out) {
    out.removeLast();
    out.writeBytes(
        (",\"source\":\"" + source + "\",\"sequence\":" + ++sequence).getBytes(US_ASCII));
    chain.line(out.bytes(), from, out.size());
    chain.writeSuffix(out);
    out.write('\n');
  }

  /** An event without source and sequence. */
  static String text(AuditEvent event) {
    StringWriter text = new StringWriter();
    try (JsonGenerator json = JSON.createGenerator(text)) {
      json.writeStartObject();
      fields(json, event);
      json.writeEndObject();
    } catch (IOException e) {
      throw new IllegalStateException("writing to memory", e);
    }
    return text.toString();
  }

  private static void fields(JsonGenerator json, AuditEvent event) throws IOException {
    optional(json, "id", event.id().map(Object::toString));
    json.writeStringField("action", event.action());
    json.writeStringField("eventTime", DateTimeFormatter.ISO_INSTANT.format(event.eventTime()));
    json.writeStringField("outcome", event.outcome().text());
    json.writeObjectFieldStart("reason");
    json.writeNumberField("reasonCode", event.reason().code());
    json.writeStringField("reasonType", event.reason().type());
    optional(json, "reasonForFailure", event.reason().forFailure());
    optional(json, "tokenRefusal", event.reason().tokenRefusal());
    json.writeEndObject();
    json.writeStringField("severity", event.severity().text());
    initiator(json, event.initiator());
    json.writeObjectFieldStart("target");
    json.writeStringField("id", event.target().id());
    optional(json, "name", event.target().name());
    json.writeStringField("typeURI", event.target().typeUri());
    json.writeEndObject();
    json.writeStringField("correlationId", event.correlationId());
    json.writeObjectFieldStart("requestData");
    json.writeStringField("requestURI", event.requestData().requestUri());
    optional(json, "instanceID", event.requestData().instanceId().map(Object::toString));
    optional(json, "mechanism", event.requestData().mechanism());
    optional(json, "keyFingerprint", event.requestData().keyFingerprint());
    optional(json, "accountId", event.requestData().accountId());
    optional(json, "certificateId", event.requestData().certificateId());
    json.writeEndObject();
    if (event.responseData().isPresent()) {
      json.writeObjectFieldStart("responseData");
      json.writeStringField("action", event.responseData().get().action());
      optional(json, "consequence", event.responseData().get().consequence());
      json.writeEndObject();
    }
  }

  private static void initiator(JsonGenerator json, AuditEvent.Initiator initiator)
      throws IOException {
    json.writeObjectFieldStart("initiator");
    json.writeStringField("id", initiator.id());
    optional(json, "name", initiator.name());
    json.writeStringField("typeURI", initiator.typeUri());
    json.writeObjectFieldStart("credential");
    json.writeStringField("type", initiator.credentialType());
    optional(json, "authority", initiator.authority());
    json.writeEndObject();
    json.writeObjectFieldStart("host");
    optional(json, "address", initiator.hostAddress());
    optional(json, "agent", initiator.hostAgent());
    json.writeEndObject();
    json.writeEndObject();
  }

  private static void optional(JsonGenerator json, String name, Optional<String> value)
      throws IOException {
    if (value.isPresent()) {
      json.writeStringField(name, value.get());
    }
  }
}
