package dev.grep11.gateway.store;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.time.DateTimeException;
import java.time.Instant;
import java.util.Collections;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.regex.Pattern;

/**
 * What a backup says of itself, in clear: it is read before there is a token that opens the rest,
 * and is believed once {@link BackupFile#verify} has judged it. It names no person and holds no
 * secret.
 *
 * @param made when the state was read, in ISO 8601
 * @param schema version of the tables
 * @param token that opens it
 * @param instances whose keys the token must hold for blobs to open
 * @param generation of the store
 * @param granted the generation that last granted or revoked something
 * @param rows of each table
 * @param bodySha256 of what follows the manifest and its seal, in hexadecimal
 */
public record BackupManifest(
    int format,
    String made,
    int schema,
    Token token,
    List<Instance> instances,
    long generation,
    long granted,
    Map<String, Long> rows,
    @JsonProperty("body-sha256") String bodySha256) {
  /** 2 since there are samples in it; one of format 1 is read as it is. */
  static final int FORMAT = 2;

  private static final int SAMPLES_SINCE = 2;

  /** Stands for the digest while the body is being written: as long as one. */
  static final String NO_DIGEST = "0".repeat(64);

  private static final Pattern DIGEST = Pattern.compile("[0-9a-f]{64}");
  private static final Pattern ID = Pattern.compile("[0-9a-f]{2,64}");
  private static final Pattern TABLE = Pattern.compile("[a-z_]{1,64}");
  private static final ObjectMapper JSON =
      JsonMapper.builder()
          .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
          .enable(DeserializationFeature.FAIL_ON_MISSING_CREATOR_PROPERTIES)
          .enable(DeserializationFeature.FAIL_ON_NULL_CREATOR_PROPERTIES)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .build();

  /**
   * The token as it was when the backup was made; what counts is that the store key is in it.
   *
   * @param storeKey CKA_ID in hexadecimal of the key that opens the backup and the store
   * @param signingKey CKA_ID in hexadecimal of the key of the embedded token service
   */
  public record Token(
      String label,
      String serial,
      String manufacturer,
      String model,
      @JsonProperty("store-key") String storeKey,
      @JsonProperty("signing-key") String signingKey) {
    public Token {
      // Told to an operator before the file is verified. Not refused: a token may say such things
      // of itself, and its backup must be readable.
      label = Text.shown("label", label);
      serial = Text.shown("serial", serial);
      manufacturer = Text.shown("manufacturer", manufacturer);
      model = Text.shown("model", model);
      requireId("store-key", storeKey);
      requireId("signing-key", signingKey);
    }
  }

  /** An instance, and its master keys in their order. */
  public record Instance(UUID id, @JsonProperty("master-keys") List<MasterKey> masterKeys) {
    public Instance {
      masterKeys = List.copyOf(masterKeys);
    }

    static Instance of(InstanceRecord instance) {
      return new Instance(
          instance.id(),
          instance.generations().stream()
              .map(each -> new MasterKey(each.id(), each.state()))
              .toList());
    }
  }

  /** A generation of sealing keys. */
  public record MasterKey(String id, SealingKeyGeneration.State state) {
    public MasterKey {
      requireId("master key", id);
    }
  }

  public BackupManifest {
    if (!DIGEST.matcher(bodySha256).matches()) {
      throw new IllegalArgumentException("body-sha256 is no SHA-256");
    }
    for (var table : rows.keySet()) {
      if (!TABLE.matcher(table).matches()) {
        throw new IllegalArgumentException("rows of what is no table");
      }
    }
    instances = List.copyOf(instances);
    rows = Collections.unmodifiableMap(new LinkedHashMap<>(rows));
  }

  private static void requireId(String what, String value) {
    if (!ID.matcher(value).matches()) {
      throw new IllegalArgumentException(what + " is no id in hexadecimal");
    }
  }

  /** Whether the body has samples ({@link BackupSample}), be it of no master key. */
  boolean hasSamples() {
    return format >= SAMPLES_SINCE;
  }

  /** When the state was read. */
  public Instant time() {
    return Instant.parse(made);
  }

  /** The same about this body. */
  BackupManifest with(byte[] digest) {
    return new BackupManifest(
        format,
        made,
        schema,
        token,
        instances,
        generation,
        granted,
        rows,
        HexFormat.of().formatHex(digest));
  }

  byte[] encoded() {
    try {
      return JSON.writeValueAsBytes(this);
    } catch (JsonProcessingException e) {
      throw new IllegalStateException("texts and numbers are JSON", e);
    }
  }

  /**
   * Reads a manifest of this or an earlier format.
   *
   * @throws StoreException when it is none, or is newer than this program
   */
  static BackupManifest decode(byte[] encoded) {
    try {
      int format = JSON.readTree(encoded).path("format").asInt();
      if (format > FORMAT) {
        throw new StoreException(
            "the backup has format %d, this program knows up to %d: use the program that made it, or a later one"
                .formatted(format, FORMAT));
      }
      var manifest = JSON.readValue(encoded, BackupManifest.class);
      var _ = manifest.time();
      return manifest;
    } catch (IOException | IllegalArgumentException | DateTimeException e) {
      throw new StoreException("the backup's manifest cannot be read, so it is damaged or none", e);
    }
  }
}
