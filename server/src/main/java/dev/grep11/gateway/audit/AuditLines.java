package dev.grep11.gateway.audit;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.StreamWriteFeature;
import com.fasterxml.jackson.core.json.JsonWriteFeature;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.StringWriter;
import java.time.format.DateTimeFormatter;
import java.util.Locale;
import java.util.Optional;

/**
 * Events as JSON, one line each. {@code source} names the process and {@code sequence} counts its
 * events from 1, so that a gap shows.
 */
final class AuditLines {
  // ASCII only: a line ends where every reader thinks it ends (U+2028), and a terminal shows no
  // trick.
  private static final JsonFactory JSON =
      JsonFactory.builder()
          .enable(JsonWriteFeature.ESCAPE_NON_ASCII)
          .disable(StreamWriteFeature.AUTO_CLOSE_TARGET)
          .build();

  private final String source;
  private long sequence;

  AuditLines(String source) {
    this.source = source;
  }

  void write(AuditEvent event, ByteArrayOutputStream out) throws IOException {
    write(event, ++sequence, out);
  }

  /** Tells, in the place of the events that are missing, how many there are. */
  void writeLoss(long lost, ByteArrayOutputStream out) throws IOException {
    try (JsonGenerator json = JSON.createGenerator((OutputStream) out)) {
      json.writeStartObject();
      json.writeStringField("action", "grep11.audit.loss");
      json.writeStringField("severity", Severity.CRITICAL.text());
      json.writeNumberField("lost", lost);
      json.writeStringField("source", source);
      json.writeNumberField("sequence", ++sequence);
      json.writeEndObject();
    }
    out.write('\n');
  }

  private void write(AuditEvent event, long number, ByteArrayOutputStream out) throws IOException {
    try (JsonGenerator json = JSON.createGenerator((OutputStream) out)) {
      json.writeStartObject();
      fields(json, event);
      json.writeStringField("source", source);
      json.writeNumberField("sequence", number);
      json.writeEndObject();
    }
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
    json.writeStringField("outcome", event.outcome().name().toLowerCase(Locale.ROOT));
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
