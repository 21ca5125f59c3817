package dev.grep11.certmgr;

import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import dev.grep11.client.certmgr.CertificatePem;
import dev.grep11.client.certmgr.RegisteredCertificates;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * An administrator's certificates in a directory: each as PEM, and {@code manifest.json} with their
 * ids and SHA-256.
 */
final class CertificateBackup {
  private static final String MANIFEST = "manifest.json";
  private static final int VERSION = 1;
  private static final int MAX_MANIFEST_BYTES = 1 << 20;

  /** A new or empty directory, so that no two backups are mixed. */
  static void requireRoom(Path directory) {
    try {
      if (Files.exists(directory)) {
        if (!Files.isDirectory(directory)) {
          throw new CommandFailure(directory + ": is no directory");
        }
        try (var entries = Files.list(directory)) {
          if (entries.findAny().isPresent()) {
            throw new CommandFailure(directory + ": is not empty; name a new directory");
          }
        }
      }
    } catch (IOException e) {
      throw new CommandFailure(directory + ": cannot be read: " + e.getMessage(), e);
    }
  }

  static void write(Path directory, Crn crn, RegisteredCertificates list, Instant now) {
    try {
      Files.createDirectories(directory);
    } catch (IOException e) {
      throw new CommandFailure(directory + ": cannot be made: " + e.getMessage(), e);
    }
    var entries = new com.google.gson.JsonArray();
    for (var own : list.own()) {
      var file = own.id() + ".pem";
      NewFile.write(directory.resolve(file), CertificatePem.write(own.certificate()), false);
      var entry = new JsonObject();
      entry.addProperty("id", own.id());
      entry.addProperty("file", file);
      entry.addProperty("sha256", Fingerprint.of(own.certificate()));
      entry.addProperty("subject", own.certificate().getSubjectX500Principal().getName());
      entry.addProperty("notAfter", own.certificate().getNotAfter().toInstant().toString());
      entries.add(entry);
    }
    var manifest = new JsonObject();
    manifest.addProperty("version", VERSION);
    manifest.addProperty("crn", crn.text());
    manifest.addProperty("generation", list.generation());
    manifest.addProperty("exported", now.toString());
    manifest.add("certificates", entries);
    // Last, so that a directory with a manifest is a whole backup.
    NewFile.write(
        directory.resolve(MANIFEST),
        new GsonBuilder().disableHtmlEscaping().setPrettyPrinting().create().toJson(manifest)
            + "\n",
        false);
  }

  /** By id. Every file is compared with the manifest before any of them is believed. */
  static Map<String, X509Certificate> read(Path directory) {
    var manifestFile = directory.resolve(MANIFEST);
    var certificates = new LinkedHashMap<String, X509Certificate>();
    try {
      if (Files.size(manifestFile) > MAX_MANIFEST_BYTES) {
        throw new CommandFailure(manifestFile + ": too large");
      }
      var manifest = JsonParser.parseString(Files.readString(manifestFile)).getAsJsonObject();
      if (manifest.get("version").getAsInt() != VERSION) {
        throw new CommandFailure(manifestFile + ": of another version than " + VERSION);
      }
      for (var element : manifest.getAsJsonArray("certificates")) {
        var entry = element.getAsJsonObject();
        var id = entry.get("id").getAsString();
        ClientCaFile.requireId(id);
        // The name follows from the id; a path in the manifest could lead elsewhere.
        var file = directory.resolve(id + ".pem");
        var certificate = CertificatePem.readOne(file);
        if (!Fingerprint.of(certificate).equals(entry.get("sha256").getAsString())) {
          throw new CommandFailure(file + ": not the certificate that " + MANIFEST + " names");
        }
        if (certificates.put(id, certificate) != null) {
          throw new CommandFailure(manifestFile + ": names \"" + id + "\" twice");
        }
      }
    } catch (IOException e) {
      throw new CommandFailure(
          "%s: no backup of cert export there: %s cannot be read".formatted(directory, MANIFEST),
          e);
    } catch (JsonParseException
        | IllegalStateException
        | NullPointerException
        | UnsupportedOperationException
        | NumberFormatException e) {
      throw new CommandFailure(manifestFile + ": not what cert export writes", e);
    }
    return certificates;
  }

  private CertificateBackup() {}
}
